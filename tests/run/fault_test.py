#!/usr/bin/env python3
"""Each system call of `penstock run` fails once, with each errno that it plausibly has: the run ends, without a crash; where something was not done the exit
code is not 0 and a message says what happened; a resumed run does the rest; and no job that has succeeded is done again.

usage: fault_test.py PENSTOCK LIBRARY [--seconds N] [--seed N] [--only CALL]     --seconds 0: all of them, a quarter of an hour
"""
import argparse
import collections
import errno
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("tool", type=pathlib.Path)
parser.add_argument("library", type=pathlib.Path)
parser.add_argument("--seconds", type=float, default=25)
parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
parser.add_argument("--only")
arguments = parser.parse_args()
tool, library = str(arguments.tool.resolve()), str(arguments.library.resolve())
print(f"seed {arguments.seed}")
scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-faults-"))
os.chdir(scratch)

# What the calls of a run can fail with. Not ECHILD, EBADF and the like: they would say that the program is wrong.
SHORT = ["EMFILE", "ENFILE", "ENOMEM"]
ERRORS = {"open": [*SHORT, "EINTR", "EACCES", "ENOSPC", "EIO"], "read": ["EINTR", "EIO"], "pread": ["EINTR", "EIO"], "write": ["EINTR", "ENOSPC", "EIO", "EDQUOT"],
          "writev": ["EINTR", "ENOMEM"], "fdatasync": ["EIO", "ENOSPC"], "pipe2": SHORT, "posix_spawn": ["EAGAIN", "ENOMEM"], "eventfd": SHORT, "poll": ["EINTR", "ENOMEM"],
          "ppoll": ["EINTR", "ENOMEM"], "fcntl": ["EMFILE"], "dup": ["EMFILE"], "fallocate": ["EINTR", "ENOSPC", "EOPNOTSUPP"], "ftruncate": ["EIO"],
          "lseek": ["ESPIPE"], "mkdir": ["ENOSPC", "EACCES"], "fstat": ["EIO"], "waitid": ["EINTR"], "pidfd_open": SHORT, "pidfd_send_signal": ["EPERM"],
          "pthread_create": ["EAGAIN"], "access": ["EACCES"]}

ITEMS = [str(i) for i in range(1, 7)]
# One with much output (in a file), one whose output goes on to the next stage, one with a worker, one with items in a table.
SCENARIOS = [
    ["run", "-j2", "--journal", "journal", "--results", "kept", "--joblog", "jobs", "--resume", "--pass", "echo {}/1; echo 1 {} >>log", "::",
     "-j2", "echo {in}; echo err {} >&2; echo 2 {in} >>log"],
    ["run", "-k", "-j2", "--journal", "journal", "--resume", "--json", "report", "echo 1 {} >>log", "::", "-j2",
     "head -c 1200000 /dev/zero | tr '\\0' x; echo; echo {in}; echo 2 {in} >>log"],
    ["run", "--csv", "-j2", "--journal", "journal", "--resume", "--lines", "echo {1}; echo 1 {1} >>log", "::", "-j2", "--worker",
     "while read x; do echo 2 $x >>log; echo $x; done"],
]


def run(scenario, fault=None, counts=None):
    environment = {**os.environ, "LD_PRELOAD": library, "TMPDIR": str(scratch / "tmp")}
    if fault:
        environment["PENSTOCK_FAULT"] = " ".join(map(str, fault))
    if counts:
        environment["PENSTOCK_FAULT_COUNTS"] = counts
    if not fault and not counts:
        del environment["LD_PRELOAD"]
    return subprocess.run([tool, *scenario], input="".join(i + "\n" for i in ITEMS).encode(), capture_output=True, timeout=60, env=environment)


def clean():
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (scratch / "tmp").mkdir()


def done():
    return collections.Counter((scratch / "log").read_text().splitlines()) if (scratch / "log").exists() else collections.Counter()


ALL = collections.Counter(f"{stage} {item}" for stage in (1, 2) for item in ITEMS)


def check(scenario, fault):
    clean()
    first = run(scenario, fault)
    error = first.stderr.decode(errors="replace")
    before = done()
    assert first.returncode >= 0, f"killed by signal {-first.returncode}: {error}"
    assert first.returncode in (0, 1, 2), (first.returncode, error)
    if first.returncode == 0:
        assert before == ALL, f"it says that all is done: {ALL - before} {before - ALL}"
        assert sorted(line for line in first.stdout.decode().splitlines() if line in ITEMS) == ITEMS, first.stdout[-300:]
    else:
        assert "penstock" in error, "no word on what happened"
    assert not before - ALL, f"done twice: {before - ALL}"
    again = run(scenario)
    after = done()
    assert not after - ALL, f"done again: {after - ALL}\n{error}\n{again.stderr.decode()}"
    # What could not be kept of a job that has succeeded is a failure that --retry-failed does again. Nothing else is.
    missing = ALL - after
    assert not missing or again.returncode == 1 and b"--retry-failed" in again.stderr and "is lost" in error, f"lost: {missing} {again.returncode}\n{error}\n{again.stderr.decode()}"


failed = tried = 0


def lasting(call, error):
    """Nothing can be started, and nothing else runs that could end: after some ten seconds the run gives up, and nothing counts as failed."""
    clean()
    first = run(["run", "-j2", "--journal", "journal", "echo {} >>log"], (call, 0, getattr(errno, error)))
    text = first.stderr.decode()
    assert first.returncode == 1 and "trying again" in text and "no failure of the command" in text and os.strerror(getattr(errno, error)) in text, (first.returncode, text)
    assert "failed" not in (scratch / "journal").read_text() and not done()
    assert run(["run", "-j2", "--journal", "journal", "--resume", "echo 1 {} >>log"]).returncode == 0 and done() == collections.Counter(f"1 {i}" for i in ITEMS)


for call, error in [("posix_spawn", "EAGAIN")] + ([("pipe2", "EMFILE"), ("posix_spawn", "ENOMEM")] if not arguments.seconds else []):
    try:
        lasting(call, error)
    except Exception as problem:
        failed += 1
        print(f"FAILED every call of {call} fails with {error}: {problem}")

cases = []
for number, scenario in enumerate(SCENARIOS):
    clean()
    whole = run(scenario, counts=str(scratch / "counts"))
    assert whole.returncode == 0 and done() == ALL, (whole, done())
    calls = {name: int(count) for name, count in (line.split() for line in (scratch / "counts").read_text().splitlines())}
    assert calls["posix_spawn"] >= 6 and calls["ppoll"] and calls["write"] and calls["waitid"], calls
    for name, count in calls.items():
        if not arguments.only or arguments.only == name:
            # Of hundreds of the same (a read of each process in /proc) some.
            numbers = range(1, count + 1) if count <= 60 else sorted({1 + i * (count - 1) // 59 for i in range(60)})
            cases += [(number, (name, call, error)) for call in numbers for error in ERRORS[name]]
random.Random(arguments.seed).shuffle(cases)
until = time.monotonic() + arguments.seconds
for number, (name, call, error) in cases:
    if arguments.seconds and time.monotonic() > until:
        break
    tried += 1
    try:
        check(SCENARIOS[number], (name, call, getattr(errno, error)))
    except Exception as problem:
        failed += 1
        print(f"FAILED scenario {number}: call {call} of {name} fails with {error}: {problem}")
os.chdir("/")
shutil.rmtree(scratch)
print(f"{tried} of {len(cases)} faults, {failed} failed")
sys.exit(1 if failed or not tried else 0)
