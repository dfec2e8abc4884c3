#!/usr/bin/python3
"""Other ways to start many programs, to talk with one, and to call a function in other processes, each measured as bench/measure.hpp does.

    process_rivals.py spawn SYSTEM COUNT true|echo [PROGRAM]     xargs, moreutils, gnu_parallel, python_pool, penstock_tool (PROGRAM)
    process_rivals.py cat MEBIBYTES                              Python's subprocess
    process_rivals.py calls COUNT CHUNK                          Python's ProcessPoolExecutor
"""
import concurrent.futures
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time


def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), sum(r.ru_utime + r.ru_stime for r in both), sum(r.ru_nvcsw for r in both)


def tell(items, before, after):
    wall, cpu, switches = (now - then for now, then in zip(after, before))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"items": items, "wall_s": wall, "cpu_s": cpu, "switches": switches, "peak_rss_kib": peak}))


def moreutils():
    """Where GNU parallel is installed, too, the other one's name is diverted."""
    return shutil.which("parallel.moreutils") or "parallel"


def spawn(system, count, what, program=None):
    numbers = [str(n) for n in range(count)]
    shell = what == "echo"
    with tempfile.TemporaryFile("w+b") as printed:
        out = printed if shell else subprocess.DEVNULL
        lines = "".join(n + "\n" for n in numbers).encode()
        before = used()
        if system == "python_pool":
            def one(n):
                subprocess.run(["/bin/sh", "-c", "echo " + n] if shell else ["/bin/true"], stdout=out, check=True)

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                for _ in pool.map(one, numbers):
                    pass
        elif system == "moreutils":
            words = ["-i", "-j", "2", "/bin/sh", "-c", "echo {}"] if shell else ["-n", "1", "-j", "2", "/bin/true"]
            subprocess.run([moreutils(), *words, "--", *numbers], stdout=out, check=True)
        else:
            words = {
                "xargs": ["xargs", "-P2"] + (["-I{}", "/bin/sh", "-c", "echo {}"] if shell else ["-n1", "/bin/true"]),
                # It has a shell for every command anyway.
                "gnu_parallel": ["parallel", "-j2", "echo {}" if shell else "/bin/true {}"],
                # The semicolon: else it would need no shell.
                "penstock_tool": [program, "run", "-j2", "echo {};" if shell else "/bin/true {}"],
            }[system]
            subprocess.run(words, input=lines, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, "SHELL": "/bin/sh"}, check=True)
        after = used()
        if shell:
            printed.seek(0)
            if sorted(printed.read().split()) != sorted(n.encode() for n in numbers):
                sys.exit(f"wrong result: {system} did not print every number once")
    tell(count, before, after)


def cat(mebibytes):
    text = os.urandom(1 << 20) * mebibytes
    for _ in range(2):  # the first for the memory: see bench/process/through_cat.cpp
        done = None
        before = used()
        done = subprocess.run(["cat"], input=text, stdout=subprocess.PIPE, check=True)
        after = used()
    if len(done.stdout) != len(text):
        sys.exit("wrong result: cat changed it")
    tell(len(text), before, after)


def next_number(n):
    return n + 1


def calls(count, chunk):
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        list(pool.map(next_number, range(100)))
        before = used()
        if sum(pool.map(next_number, range(count), chunksize=chunk)) != count * (count + 1) // 2:
            sys.exit("wrong result: the sum")
        tell(count, before, used())


if __name__ == "__main__":
    {"spawn": lambda a: spawn(a[0], int(a[1]), *a[2:]), "cat": lambda a: cat(int(a[0])), "calls": lambda a: calls(int(a[0]), int(a[1]))}[sys.argv[1]](sys.argv[2:])
