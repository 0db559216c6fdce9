"""Times snapshots of one tree, in turn: unship, restic, borg, tar | zstd. Prints medians, ratios to unship, and the peak of memory.

The tree: 10,000 files in 100 folders, from 100 bytes to some MiB, half of them text that compresses to a third, half of them random. A machine may give the memory of a process that ended
back to its host, and pay for it page by page when it is wanted again; so before each timed run as much memory is touched and given back, and the files are read. Everything that
writes is timed until it is on the disk: the tools that do not flush are followed by a flush of their file system within the timed run."""

import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM, ROUNDS, MIB = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ONLY = sys.argv[4].split(",") if len(sys.argv) > 4 else None
FILES, FOLDERS = 10000, 100
AIMS = {"first": 3, "unchanged": 15, "changed": 8, "restore": 1.5, "verify": 1.5}  # times as fast as restic
AIM_PEAK_MIB = 64
SECRET = "a key of the benchmark, which guards nothing at all"


# In a process of its own: a child that is measured inherits the peak of memory of the process that starts it.
SETTLE = """
import pathlib, sys
block = bytearray(int(sys.argv[1]) << 20)
del block
for path in pathlib.Path(sys.argv[2]).rglob("*"):
    if path.is_file():
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
"""


def make_tree(folder):
    rng = random.Random(4)
    words = [bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    text = b" ".join(rng.choices(words, weights, k=2_000_000))
    sizes = [100 + rng.lognormvariate(0, 1.5) for _ in range(FILES)]
    scale = (MIB << 20) / sum(sizes)
    for number, size in enumerate(sizes):
        size = int(size * scale)
        path = folder / f"folder{number % FOLDERS:02}" / f"file{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            if number % 2:
                file.write(rng.randbytes(size))
            else:
                while size > 0:
                    at = rng.randrange(len(text))
                    piece = text[at : at + size]
                    file.write(piece)
                    size -= len(piece)


def change(folder, rng):
    for number in rng.sample(range(FILES), FILES // 100):
        path = folder / f"folder{number % FOLDERS:02}" / f"file{number:05}"
        size = path.stat().st_size
        path.write_bytes(rng.randbytes(size))


def settle(tree, seconds):
    """Memory that is there, sources in the page cache, nothing left to flush, and no file so young that it must be read again."""
    subprocess.run([sys.executable, "-c", SETTLE, str(3 * MIB), str(tree)], check=True)
    os.sync()
    time.sleep(seconds)


class Timer:
    def __init__(self):
        self.times, self.peak = {}, {}

    def run(self, name, what, *commands, env=None, cwd=None):
        begun = time.monotonic()
        for command in commands:
            process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit(f"{name} {what}: {command}: {output.decode(errors='replace')}")
            self.peak[name] = max(self.peak.get(name, 0), usage.ru_maxrss / 1024)
        self.times.setdefault((name, what), []).append(time.monotonic() - begun)
        if os.environ.get("BENCH_VERBOSE"):
            print(f"{name:8} {what:10} {self.times[(name, what)][-1]:7.3f}  {output.decode(errors='replace').strip()[-100:] if name == 'unship' else ''}", flush=True)


def contenders(work, tree):
    """name -> (environment, folder to be emptied, {what: commands}); {n} is the number of the snapshot."""
    flush = ["sync", "-f", str(work)]
    restic = ["restic", "-q", "-r", f"{work}/restic", "--cache-dir", f"{work}/restic-cache"]
    borg = f"{work}/borg"
    env = dict(os.environ, UNSHIP_BENCH_KEY=SECRET, RESTIC_PASSWORD=SECRET, BORG_PASSPHRASE=SECRET, BORG_BASE_DIR=f"{work}/borg-base",
               BORG_RELOCATED_REPO_ACCESS_IS_OK="yes")
    ours = lambda *rest: [PROGRAM, f"{work}/unship", *rest]
    return env, {
        "unship": {
            "new": [],
            "take": lambda n: [ours("take", f"run-{n}", str(tree))],
            "restore": lambda n: [ours("export", f"run-{n}", f"{work}/out")],
            "verify": lambda n: [ours("verify", f"run-{n}")],
        },
        "restic": {
            "new": [[*restic, "init"]],
            "take": lambda n: [[*restic, "backup", str(tree)]],
            "restore": lambda n: [[*restic, "restore", "latest", "--target", f"{work}/out"], flush],
            "verify": lambda n: [[*restic, "check", "--read-data"]],
        },
        "borg": {
            "new": [["borg", "init", "-e", "repokey-blake2", borg]],
            "take": lambda n: [["borg", "create", f"{borg}::run-{n}", str(tree)]],
            "restore": lambda n: [["sh", "-c", f"mkdir {work}/out && cd {work}/out && borg extract {borg}::run-{n}"], flush],
            "verify": lambda n: [["borg", "check", "--verify-data", borg]],
        },
        "tar|zstd": {
            "new": [],
            "take": lambda n: [["sh", "-c", f"tar -C {tree} -cf - . | zstd -q -1 -T0 -f -o {work}/tar.zst"], flush],
            "restore": lambda n: [["sh", "-c", f"mkdir {work}/out && zstd -q -dc {work}/tar.zst | tar -C {work}/out -xf -"], flush],
        },
    }


def forget(work):
    for name in ("unship", "restic", "restic-cache", "borg", "borg-base", "out"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "tar.zst").unlink(missing_ok=True)


def a_round(timer, work, tree, number, rng):
    forget(work)
    env, tools = contenders(work, tree)
    tools = {name: tool for name, tool in tools.items() if not ONLY or name in ONLY}
    order = list(tools)
    rng.shuffle(order)
    for name in order:
        for command in tools[name]["new"]:
            subprocess.run(command, check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for step, what in enumerate(("first", "unchanged", "unchanged", "unchanged", "changed")):
        if what == "changed":
            change(tree, rng)
        for name in order:
            if name == "tar|zstd" and what != "first":
                continue
            settle(tree, 3)
            timer.run(name, what, *tools[name]["take"](step), env=env)
    for what in ("restore", "verify"):
        for name in order:
            if what in tools[name]:
                settle(tree, 0)
                timer.run(name, what, *tools[name][what](4), env=env)
                shutil.rmtree(work / "out", ignore_errors=True)
    print(f"round {number + 1} of {ROUNDS} done", file=sys.stderr, flush=True)


def main():
    timer = Timer()
    rng = random.Random(5)
    work = pathlib.Path(tempfile.mkdtemp(prefix="unship-bench-"))
    try:
        tree = work / "tree"
        maker = os.fork()
        if maker == 0:
            make_tree(tree)
            os._exit(0)
        if os.waitpid(maker, 0)[1]:
            sys.exit("the tree could not be made")
        for number in range(ROUNDS):
            a_round(timer, work, tree, number, rng)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(work)], check=False)
        shutil.rmtree(work)
    print(f"{FILES} files, {MIB} MiB; medians in seconds (and how many times as long as unship)")
    names = [name for name in ("unship", "restic", "borg", "tar|zstd") if name in timer.peak]
    print(f"{'':12}" + "".join(f"{name:>18}" for name in names) + "   aim, against restic")
    for what in ("first", "unchanged", "changed", "restore", "verify"):
        middle = {name: statistics.median(timer.times[(name, what)]) for name in names if (name, what) in timer.times}
        line = "".join(f"{middle[name]:9.3f} ({middle[name] / middle['unship']:5.1f}) " if name in middle else " " * 18 for name in names)
        reached = "" if "restic" not in middle else "reached" if middle["restic"] / middle["unship"] >= AIMS[what] else "not reached"
        print(f"{what:12}{line}   {AIMS[what]:4} times {reached}")
    peaks = "".join(f"{timer.peak[name]:9.0f}         " for name in names)
    print(f"{'peak MiB':12}{peaks}   {AIM_PEAK_MIB:4}       {'reached' if timer.peak['unship'] < AIM_PEAK_MIB else 'not reached'}")


main()
