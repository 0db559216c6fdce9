"""The web service of the demonstration: a shop with a price list in SQLite and a greeting from its configuration.

Version 3 has a fault: under load most of its answers are errors."""

import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "@VERSION@"
FAULTY = "@FAULTY@" == "yes"
STATE = os.environ["SHOP_STATE"]
served = 0


class Shop(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        global served
        served += 1
        if self.path == "/health":
            failing = FAULTY and served > 20
            self.answer(503 if failing else 200, {"version": VERSION, "healthy": not failing})
            return
        if FAULTY and served > 20 and served % 3:
            self.answer(500, {"error": "no connection left in the pool"})
            return
        with open(os.path.join(STATE, "shop.json"), encoding="utf-8") as file:
            greeting = json.load(file)["greeting"]
        with sqlite3.connect(os.path.join(STATE, "shop.db")) as database:
            count = database.execute("SELECT count(*) FROM products").fetchone()[0]
        self.answer(200, {"version": VERSION, "greeting": greeting, "products": count})


time.sleep(1)  # warms its caches before it listens, as real services do
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
