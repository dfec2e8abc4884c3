#!/usr/bin/env python3
"""A run with a journal is killed (kill -9) at random moments and gone on with: in the end every item has been through every stage, what was done is
not done again but for what was in work at a kill, and a longer or reordered input does not matter.

usage: killed_test.py PENSTOCK [--kills N] [--items N] [--seed N]      50 kills of 2,000 items × 3 stages: --kills 50 --items 2000
"""
import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("tool", type=pathlib.Path)
parser.add_argument("--kills", type=int, default=6)
parser.add_argument("--items", type=int, default=200)
parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
arguments = parser.parse_args()
tool = str(arguments.tool.resolve())
print(f"seed {arguments.seed}")
chance = random.Random(arguments.seed)
scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-killed-"))
os.chdir(scratch)

# The third stage sees what the second printed: after a resume that comes from the journal. What prints ignores SIGPIPE, because it goes on after its
# reader was killed.
stages = ["-j3", "echo b {} >>log; echo d {} >>log", "::", "-j2", "--pass", "trap '' PIPE; echo b {}/2 >>log; echo {}/2; echo d {}/2 >>log", "::",
          "-j2", "--name", "last", "trap '' PIPE; echo b {in}:{} >>log; echo {in}; echo d {in}:{} >>log"]
workers = 3 + 2 + 2


def names(item):
    return [item, f"{item}/2", f"{item}:{item}/2"]


def counts(kind):
    text = (scratch / "log").read_text() if (scratch / "log").exists() else ""
    return collections.Counter(line[2:] for line in text.splitlines() if line.startswith(kind + " "))


log_read, log_finished = 0, 0


def finished():
    """How many jobs have ended so far; only what is new in the log is read, because this is asked all the time."""
    global log_read, log_finished
    if (scratch / "log").exists():
        with open("log", "rb") as log:
            log.seek(log_read)
            new = log.read()
        new = new[:new.rfind(b"\n") + 1]
        log_read += len(new)
        log_finished += sum(line.startswith(b"d ") for line in new.splitlines())
    return log_finished


def start(items):
    return subprocess.Popen([tool, "run", "--journal", "journal", "--resume", *stages], stdin=open(items), stdout=open("out", "ab"), stderr=subprocess.PIPE)


items = [f"item {i}" for i in range(arguments.items)]
items += items[:10]  # some twice
expected = collections.Counter(name for item in items for name in names(item))
(scratch / "items").write_text("".join(i + "\n" for i in items))
total = 3 * len(items)
kills = 0
while kills < arguments.kills:
    order = items[:]
    if kills % 2:
        chance.shuffle(order)
    if kills % 3 == 0:
        order = order[: len(order) * 2 // 3 + 1]  # more is there next time
    (scratch / "order").write_text("".join(i + "\n" for i in order))
    child = start("order")
    # A moment is a number of finished jobs, not a time: the machine may be slow.
    goal = finished() + chance.randrange(1, max(2, 2 * total // arguments.kills))
    while child.poll() is None and finished() < min(goal, total):
        time.sleep(.002 * chance.random())
    child.kill()
    child.wait()
    child.stderr.close()
    kills += 1
    # What is in work goes on without its parent; its end is waited for, so that it is not taken for the next run's.
    while counts("b") - counts("d"):
        time.sleep(.02)
again = counts("d") - expected
assert sum(again.values()) <= kills * workers, f"{sum(again.values())} jobs were done again after {kills} kills of {workers} workers"

child = start("items")
_, errors = child.communicate(timeout=1200)
assert child.returncode == 0, (child.returncode, errors)
done = counts("d")
missing = expected - done
assert not missing, f"never done: {list(missing)[:5]}"
extra = sum((done - expected).values())
assert extra <= kills * workers, f"{extra} jobs were done again after {kills} kills of {workers} workers"
out = collections.Counter((scratch / "out").read_text().splitlines())
assert not collections.Counter(items) - out, "output is missing"

# Now everything is done: nothing is done again, and nothing is printed.
before = sum(counts("b").values())
child = start("items")
child.communicate(timeout=600)
assert child.returncode == 0 and sum(counts("b").values()) == before, "a finished run did something again"
# A damaged end of the journal costs that record, no more.
with open("journal", "r+b") as journal:
    journal.truncate(os.path.getsize("journal") - 3)
child = start("items")
child.communicate(timeout=600)
assert child.returncode == 0 and sum(counts("b").values()) == before + 1, sum(counts("b").values()) - before
child = start("items")
child.communicate(timeout=600)
assert sum(counts("b").values()) == before + 1
# Another template is other work.
stages[-1] += "; :"
child = start("items")
child.communicate(timeout=1200)
assert sum(counts("b").values()) == before + 1 + len(items)

# Failures are not tried again, unless that is asked for.
few = ["run", "--journal", "j2", "-j1", "echo {} >>log2; [ {} != b ] || [ -e fixed ]", ":::", "a", "b", "c"]
assert subprocess.run([tool, *few], capture_output=True).returncode == 1
refused = subprocess.run([tool, *few], capture_output=True)
assert refused.returncode == 2 and b"--resume" in refused.stderr, refused
assert subprocess.run([tool, "run", "--resume", *few[1:]], capture_output=True).returncode == 1
assert (scratch / "log2").read_text() == "a\nb\nc\n"
(scratch / "fixed").touch()
assert subprocess.run([tool, "run", "--retry-failed", *few[1:]], capture_output=True).returncode == 0
assert (scratch / "log2").read_text() == "a\nb\nc\nb\n"
assert subprocess.run([tool, "run", "--resume", *few[1:]], capture_output=True).returncode == 0
assert (scratch / "log2").read_text() == "a\nb\nc\nb\n"

shutil.rmtree(scratch)
print(f"{kills} kills, {total} jobs, {extra} done again (at most {kills * workers})")
