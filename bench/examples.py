#!/usr/bin/env python3
"""What does each way of doing it cost, in the examples themselves? The figures of docs/examples.md.

    bench/examples.py FOLDER_WITH_THE_PROGRAMS [ROUNDS]

Each is run ROUNDS times (5), in turn; medians. Time and memory are those of the whole process, its start and its children included.
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

programs = pathlib.Path(sys.argv[1])
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def run(name, *arguments):
    """What it prints, seconds, processor seconds, peak MiB."""
    began = time.monotonic()
    child = subprocess.Popen([programs / f"example_{name}", *arguments], stdout=subprocess.PIPE, text=True)
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0, f"{name} ended with {status}"
    return text, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def medians(runs):
    return [statistics.median(column) for column in list(zip(*runs))[1:]]


def in_turn(commands):
    runs = {command: [] for command in commands}
    for _ in range(rounds):
        for command in commands:
            runs[command].append(run(*command))
    return runs


def said(runs):
    """The lines that hold figures, each figure the median of all rounds."""
    number = re.compile(r"\d+\.\d+")
    for lines in zip(*(text.splitlines() for text, *_ in runs)):
        columns = [number.findall(line) for line in lines]
        if columns[0]:
            middle = iter(f"{statistics.median(map(float, column)):{len(column[0])}.{len(column[0].split('.')[1])}f}" for column in zip(*columns))
            yield number.sub(lambda _: next(middle), lines[0])


print("items between three workers      seconds  processor seconds")
for (name,), runs in in_turn([("polling_pipeline",), ("blocking_pipeline",)]).items():
    seconds, processor, _ = medians(runs)
    polls = statistics.median(int(re.search(r"(\d+) wasted", text).group(1)) for text, *_ in runs)
    print(f"  {name:28} {seconds:9.2f}  {processor:17.3f}    {polls:.0f} wasted polls")

for (name,), runs in in_turn([("counter",), ("blocking_calls",), ("processor_bound",)]).items():
    print(f"\n{name}")
    for line in said(runs):
        if not line.startswith("after"):
            print(f"  {line}")

print("\nLife: a generation in which each cell waits for 100 ms")
print("                                 45 cells               10,000 cells")
print("                                  seconds    seconds  processor seconds  peak MiB")
limit = ("--generations", "2", "--io", "100ms")
ways = ["serial", "thread_per_cell", "workers", "phases", "fan_out", "coroutines", "generators"]
at_once = ["thread_per_cell", "coroutines", "generators"]  # the others would take minutes
small = in_turn([(f"life_{way}", *limit) for way in ways])
large = in_turn([(f"life_{way}", *limit, "--size", "100x100") for way in at_once])
for way in ways:
    line = f"  {way:28} {medians(small[(f'life_{way}', *limit)])[0]:9.2f}"
    if way in at_once:
        line += "  {:9.2f}  {:17.2f}  {:8.0f}".format(*medians(large[(f"life_{way}", *limit, "--size", "100x100")]))
    print(line)
