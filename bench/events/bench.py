"""bench/events/run: event streams of unship serve against a bare epoll loop. See there."""
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

UNSHIP, CLIENT, CLIENTS, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ENTRIES = 3000  # in the journal before the storm

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
CLIENTS = min(CLIENTS, hard - 500)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def private_kib(pid):
    """What the process has for itself: anonymous memory that is resident."""
    return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def fan(name, port, token, command, pid, stdin=None):
    before = private_kib(pid)
    client = subprocess.Popen([CLIENT, "fan", "127.0.0.1", str(port), token, str(CLIENTS), str(ROUNDS), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = client.stdout.readline()
    if not line:
        sys.exit(f"{name}: no result")
    result = json.loads(line)
    result["bytesPerClient"] = round((private_kib(pid) - before) * 1024 / CLIENTS)
    client.stdin.close()
    client.wait()
    print(f"{name:10} {CLIENTS} clients: an event reaches all in {result['medianMs']} ms (median), {result['worstMs']} ms (worst of {ROUNDS}); {result['bytesPerClient']} bytes per client; "
          f"{result['faults']} out of order, {result['broken']} cut")
    return result


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "unship.yaml").write_text("project: bench\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n")
        call = lambda *argv: subprocess.run([UNSHIP, "-C", str(folder), *argv], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
        call("people", "add", "bench", "--kind", "service", "--grant", "*=viewer", "--json")
        token = json.loads(call("tokens", "create", "bench", "--principal", "bench", "--json"))["token"]
        (folder / "token").write_text(token)
        port = free_port()
        server = subprocess.Popen([UNSHIP, "-C", str(folder), "serve", "--listen", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
        server.stdout.readline()
        time.sleep(0.5)
        append = ["sh", "-c", f"exec '{UNSHIP}' -C '{folder}' flags production set bench \"v$(date +%s%N)\" --new-variant --reason bench"]
        ours = fan("unship", port, str(folder / "token"), append, server.pid)

        # The peer gets its line through a named pipe, so that the client can send it the same way.
        peer_port, pipe = free_port(), folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR)
        peer = subprocess.Popen([CLIENT, "serve", str(peer_port)], stdin=reader)
        time.sleep(0.3)
        text = "x" * 380  # as long as the entry of a flag
        theirs = fan("bare epoll", peer_port, str(folder / "token"), ["sh", "-c", f"echo {text} >'{pipe}'"], peer.pid)
        peer.kill()
        peer.wait()
        print(f"ratio      {ours['medianMs'] / max(theirs['medianMs'], 1):.2f} of the bare loop's time")

        # Entries to resume from.
        head = json.loads(call("audit", "verify", "--json"))["entries"]
        subprocess.run(["sh", "-c", f"i=0; while [ $i -lt {ENTRIES // 20} ]; do i=$((i+1)); '{UNSHIP}' -C '{folder}' flags production set fill v$i --new-variant --reason fill >/dev/null || exit 1; done"], check=True)
        head = json.loads(call("audit", "verify", "--json"))["entries"]
        many = ["sh", "-c", f"i=0; while [ $i -lt 40 ]; do i=$((i+1)); '{UNSHIP}' -C '{folder}' flags production set storm v$i --new-variant --reason storm || exit 1; done"]
        result = json.loads(subprocess.run([CLIENT, "storm", "127.0.0.1", str(port), str(folder / "token"), str(CLIENTS), str(head), *many], capture_output=True, text=True).stdout)
        print(f"storm      {result['clients']} clients at entries 0 to {result['from']}, cut and back at once while {result['reached'] - result['from']} entries were written: "
              f"all at {result['reached']}: {result['all']}, after {result['ms']} ms; {result['faults']} missed or repeated")
        server.send_signal(signal.SIGTERM)
        server.wait(30)


main()
