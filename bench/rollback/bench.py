"""Times whole rollbacks of one small application: a release directory from Git, a configuration file, an SQLite database (backed up and
restored), a process that is stopped and started, a health check over HTTP.

A round takes each contender forward to version 2.0.0, which is not timed, and back to 1.0.0, which is; all in turn, so that the machine's
moods meet all of them. Printed are the medians and the ratios to the bare commands."""

import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

UNSHIP, ROUNDS = sys.argv[1], int(sys.argv[2])

# A process in state Z is dead: who waits with `kill -0` may wait for whatever reaps orphans on this machine.
# The service is a program that starts at once, so that what is measured is the rollback and not an interpreter.
SERVICE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])) };
	int one = 1, server = socket(AF_INET, SOCK_STREAM, 0);
	char request[4096];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc < 2 || bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, 16))
		return 1;
	for (;;) {
		int client = accept(server, NULL, NULL);

		if (read(client, request, sizeof(request)) > 0 && write(client, answer, strlen(answer)) < 0)
			perror("write");
		close(client);
	}
}
"""


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_application(folder):
    """A Git repository with two tagged versions of a few files, a configuration and a database of 1,000 rows."""
    folder.mkdir(parents=True)
    git = lambda *argv: run("git", "-C", str(folder), *argv)
    git("init", "-q", "-b", "main")
    git("config", "user.name", "bench")
    git("config", "user.email", "bench@example.com")
    for version in ("1.0.0", "2.0.0"):
        for number in range(30):
            path = folder / f"lib/module{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"module {number} of {version}\n" * 20)
        git("add", "lib")
        git("commit", "-qm", version)
        git("tag", f"v{version}")
    (folder / "state").mkdir()
    with sqlite3.connect(folder / "state/app.db") as database:
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO rows (text) VALUES (?)", [("x" * 50,)] * 1000)
    (folder / "state/app.env").write_text("GREETING=one\n")


def wait_healthy(port):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if client.recv(100).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            time.sleep(0.002)
    sys.exit("the service did not answer")


class Bare:
    """What an engineer would type, as one script of plain commands."""

    def __init__(self, folder, binary):
        self.folder, self.binary, self.port = folder, binary, free_port()
        make_application(folder)
        (folder / "backup").mkdir()
        self.script = folder / "rollback.sh"
        self.script.write_text(f"""set -e
cd {folder}
version=$1
cp state/app.env backup/app.env
sqlite3 state/app.db ".backup backup/app.db"
[ -f pid ] && kill "$(cat pid)" && while grep -qsv ') Z ' "/proc/$(cat pid)/stat"; do sleep 0.005; done
if [ ! -d "releases/$version" ]; then mkdir -p "releases/$version"; git archive "v$version" | tar -x -C "releases/$version"; fi
ln -sfn "releases/$version" next && mv -T next current
sed -i "s/^GREETING=.*/GREETING=$version/" state/app.env
setsid {binary} {self.port} >/dev/null 2>&1 </dev/null & echo $! >pid
until curl -fs http://127.0.0.1:{self.port}/ >/dev/null; do sleep 0.002; done
""")
        self.roll("2.0.0")

    def roll(self, version):
        run("sh", str(self.script), version)

    def stop(self):
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


class Unship:
    """The same with everything that makes it safe."""

    def __init__(self, folder, binary):
        self.folder, self.binary, self.port = folder, binary, free_port()
        make_application(folder)
        (folder / "unship.yaml").write_text(f"""project: bench
environments:
  production:
    components:
      code: {{driver: git-release, repo: ., root: deploy}}
      config: {{driver: files, paths: [state/app.env]}}
      db: {{driver: sqlite, path: state/app.db}}
      api:
        driver: process
        argv: ["{binary}", "{self.port}"]
        dir: deploy/current
        ready: {{type: http, url: "http://127.0.0.1:{self.port}/"}}
        needs: [code, config, db]
    probes:
      http: {{type: http, url: "http://127.0.0.1:{self.port}/", component: api}}
""")
        self.ids = {}
        for version in ("1.0.0", "2.0.0"):
            plan = folder / "deploy.json"
            plan.write_text(json.dumps({"id": "deploy", "name": "deploy", "steps": [
                {"id": "stop", "type": "service", "parameters": {"service": "api", "action": "stop"}},
                {"id": "release", "type": "deployment", "parameters": {"service": "code", "version": f"v{version}", "environment": "production"}},
                {"id": "configure", "type": "configuration", "parameters": {"service": "config", "configItems": {"GREETING": version}}},
                {"id": "start", "type": "service", "parameters": {"service": "api", "action": "start"}}]}))
            self.call("rollback", "production", "--plan", str(plan), "--reason", "deploy", "--yes")
            self.ids[version] = json.loads(self.call("record", "production", "--version", version, "--status", "passing").stdout)["id"]

    def call(self, *argv):
        return run(UNSHIP, "-C", str(self.folder), "--json", *argv)

    def roll(self, version):
        self.call("rollback", "production", "--to", self.ids[version], "--reason", "bench", "--force", "--yes")

    def stop(self):
        for path in (self.folder / ".deployments/run").glob("*.json"):
            os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)


class Capistrano:
    """deploy:rollback on the local back end, with tasks for the service, the configuration and the database."""

    def __init__(self, folder, binary):
        self.folder, self.port = folder, free_port()
        make_application(folder)
        (folder / "backup").mkdir()
        (folder / "config/deploy").mkdir(parents=True)
        (folder / "Capfile").write_text('require "capistrano/setup"\nrequire "capistrano/deploy"\nrequire "capistrano/scm/git"\ninstall_plugin Capistrano::SCM::Git\n')
        (folder / "config/deploy/production.rb").write_text("server :local, roles: %w[app]\n")
        (folder / "config/deploy.rb").write_text(f"""set :application, "bench"
set :repo_url, "{folder}"
set :branch, ENV["BRANCH"] || "v2.0.0"
set :deploy_to, "{folder}/deploy"
namespace :service do
  task :stop do
    on roles(:app) do
      execute "cp {folder}/state/app.env {folder}/backup/app.env"
      execute "sqlite3 {folder}/state/app.db '.backup {folder}/backup/app.db'"
      execute "if [ -f {folder}/pid ]; then kill $(cat {folder}/pid); while grep -qsv ') Z ' /proc/$(cat {folder}/pid)/stat; do sleep 0.005; done; fi"
    end
  end
  task :restart do
    invoke "service:stop"
    invoke "service:start"
  end
  task :start do
    on roles(:app) do
      execute "sed -i 's/^GREETING=.*/GREETING=x/' {folder}/state/app.env"
      execute "setsid {binary} {self.port} >/dev/null 2>&1 </dev/null & echo $! > {folder}/pid"
      execute "until curl -fs http://127.0.0.1:{self.port}/ >/dev/null; do sleep 0.002; done"
    end
  end
end
before "deploy:reverting", "service:stop"
after "deploy:reverted", "service:start"
after "deploy:published", "service:restart"
""")
        for version in ("1.0.0", "2.0.0"):
            self.cap("deploy", BRANCH=f"v{version}")

    def cap(self, *tasks, **variables):
        run("cap", "production", *tasks, cwd=self.folder, env={**os.environ, **variables})

    def roll(self, version):
        if version == "2.0.0":  # a rollback there removes what it left: forward is a deployment
            self.cap("deploy", BRANCH="v2.0.0")
        else:
            self.cap("deploy:rollback")

    def stop(self):
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="unship-bench-"))
    try:
        (folder / "service.c").write_text(SERVICE)
        run("cc", "-O2", "-o", str(folder / "service"), str(folder / "service.c"))
        names = {"bare commands": Bare, "unship": Unship}
        if shutil.which("cap"):
            names["Capistrano, local"] = Capistrano
        contenders = {name: make(folder / f"app{number}", folder / "service") for number, (name, make) in enumerate(names.items())}
        times = {name: [] for name in contenders}
        for turn in range(ROUNDS + 1):
            for name, contender in contenders.items():
                contender.roll("2.0.0")
                wait_healthy(contender.port)
                begun = time.monotonic()
                contender.roll("1.0.0")
                if turn:  # the first round warms up
                    times[name].append((time.monotonic() - begun) * 1000)
                wait_healthy(contender.port)
        for contender in contenders.values():
            contender.stop()
        bare = statistics.median(times["bare commands"])
        for name, values in times.items():
            middle = statistics.median(values)
            print(f"{name:20} {middle:8.1f} ms   {middle / bare:5.2f} of bare   (min {min(values):.1f}, max {max(values):.1f})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
