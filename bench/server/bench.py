"""bench/server/run: unship serve against nginx with the same wrk. See there.

nginx has one worker process per thread of wrk, keeps connections alive, and writes no log. It is asked by GET, without a body to read and without anything to decide: the comparison favours it.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

UNSHIP, ROUNDS, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CONNECTIONS, THREADS = 64, 2
FLAGS = 20
CONTEXT = json.dumps({"context": {"targetingKey": "user-1", "plan": "pro", "version": "2.3.0"}})

SEARCH = """type: string
group: search
variants: {classic: v1, fast: v2, beta: v3}
defaultVariant: fast
offVariant: classic
rules:
  - if: [{attribute: plan, op: in, value: [team, enterprise]}]
    then: beta
  - if: [{attribute: version, op: semver_at_least, value: 9.0.0}]
    then: beta
  - share: {fast: 10, classic: 90}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, deadline=10):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    sys.exit("bench: a server did not start")


class Unship:
    """A project with one environment, FLAGS flags, and the server on a port of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / "unship.yaml").write_text("project: bench\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n")
        (folder / "search.yaml").write_text(SEARCH)
        for i in range(FLAGS):
            self.call("flags", "production", "define", f"flag-{i}", str(folder / "search.yaml"))
            self.call("flags", "production", "set", f"flag-{i}", "on")
        self.call("people", "add", "bench", "--kind", "service", "--grant", "*=viewer")
        self.token = json.loads(self.call("tokens", "create", "bench", "--principal", "bench", "--json"))["token"]
        self.server = subprocess.Popen([UNSHIP, "-C", str(folder), "serve", "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, stderr=open(folder / "log", "w"), text=True)
        self.url = json.loads(self.server.stdout.readline())["url"]

    def call(self, *argv):
        return subprocess.run([UNSHIP, "-C", str(self.folder), *argv], check=True, stdout=subprocess.PIPE, text=True).stdout

    def ask(self, path, body):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body.encode() if body else None, headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait(20)


class Nginx:
    """Serves the given bodies as files."""

    def __init__(self, folder, bodies):
        folder.mkdir()
        folder.chmod(0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        for name, body in bodies.items():
            (folder / name).write_bytes(body)
        (folder / "nginx.conf").write_text(f"""{'user root;' if os.getuid() == 0 else ''}
worker_processes {THREADS}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000000; sendfile on; open_file_cache max=10;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{self.port}; root {folder}; }}
}}
""")
        self.server = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
        wait_for(lambda: self.answers(next(iter(bodies))))

    def answers(self, name):
        try:
            with urllib.request.urlopen(f"{self.url}/{name}", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(10)


def wrk(folder, url, token, body):
    """(requests per second, p99 in ms). Every answer must be a 200."""
    script = folder / "request.lua"
    script.write_text(("wrk.method = 'POST'\n" if body else "") + (f"wrk.body = [==[{body}]==]\nwrk.headers['Content-Type'] = 'application/json'\n" if body else "")
                      + f"wrk.headers['Authorization'] = 'Bearer {token}'\n")
    out = subprocess.run(["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "--latency", "-s", str(script), url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"bench: not every request was answered:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        unship = Unship(folder / "unship")
        nginx = None
        try:
            cases = {"one-flag": ("/ofrep/v1/evaluate/flags/flag-0", CONTEXT), "all-flags": ("/ofrep/v1/evaluate/flags", CONTEXT), "health": ("/api/health", None)}
            nginx = Nginx(folder / "nginx", {case: unship.ask(*asked) for case, asked in cases.items()})
            print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s each, in turn; medians")
            print(f"{'':12}{'bytes':>8}{'unship/s':>12}{'p99 ms':>9}{'nginx/s':>12}{'p99 ms':>9}{'ratio':>8}")
            for case, (path, body) in cases.items():
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    ours.append(wrk(folder, unship.url + path, unship.token, body))
                    theirs.append(wrk(folder, f"{nginx.url}/{case}", unship.token, None))
                rates = [statistics.median(column) for column in (*zip(*ours), *zip(*theirs))]
                size = (folder / "nginx" / case).stat().st_size
                print(f"{case:12}{size:8}{rates[0]:12.0f}{rates[1]:9.2f}{rates[2]:12.0f}{rates[3]:9.2f}{rates[0] / rates[2]:8.2f}")
        finally:
            if nginx:
                nginx.stop()
            unship.stop()


main()
