"""Runs a program at a terminal, as a person would: waits for what it shows, types an answer, waits again.

    python3 tests/terminal.py '{"argv": ["unship", "..."], "talk": [["Type .* to go on: ", "production\\n"]], "columns": 100}'

Prints {"code", "signal", "screen"} as JSON. `talk` is a list of [regular expression, text to type]; \\x03 is Ctrl-C. Every wait has
a deadline; when one passes, the program is ended and "timeout" names what did not appear.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

WAIT_S = 30


def main():
    wanted = json.loads(sys.argv[1])
    environment = {**os.environ, "TERM": "xterm", **wanted.get("env", {})}
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, wanted.get("columns", 100), 0, 0))
        os.execvpe(wanted["argv"][0], wanted["argv"], environment)
    screen, seen, missing = "", 0, None
    talk = list(wanted.get("talk", []))
    limit = time.monotonic() + WAIT_S
    while True:
        if talk:
            found = re.search(talk[0][0], screen[seen:])
            if found:
                seen += found.end()
                os.write(terminal, talk[0][1].encode())
                talk.pop(0)
                limit = time.monotonic() + WAIT_S
                continue
        if time.monotonic() > limit:
            missing = talk[0][0] if talk else "the end"
            os.kill(pid, signal.SIGKILL)
            break
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side was closed
            break
        if not data:
            break
        screen += data.decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    result = {"code": os.waitstatus_to_exitcode(status), "screen": screen}
    if missing or talk:
        result["timeout"] = missing or talk[0][0]
    print(json.dumps(result))


main()
