"""The test programs that judge mutants: how they are made, with switches or apart, and run."""
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

from mutation import switches

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "mutate"

# Which test sources know which files. Each test source becomes a program of its own. Patterns are of paths; the first line that fits a file counts.
# Simulated programs are the strongest on memory orders and lost wake-ups.
TESTS = [
    ("penstock/queue/*", ["tests/queue/*_test.cpp", "tests/simulation/*queue*_test.cpp", "tests/simulation/told_test.cpp", "tests/async/queue_ends_test.cpp"]),
    ("penstock/pipeline/*", ["tests/pipeline/*_test.cpp", "tests/simulation/*_test.cpp", "tests/async/stage_test.cpp"]),
    ("penstock/base/*", ["tests/base/*_test.cpp", "tests/queue/*_test.cpp", "tests/simulation/*_test.cpp"]),
]
LEFT_OUT = ["tests/queue/history_checkers_test.cpp"]  # tests of the tests: they know no queue

# How a program is made: its other sources, and what it is compiled with. The first line that fits its source counts.
BASE = ["penstock/base/*.cpp"]
SIMULATED_BASE = ["penstock/base/[!s]*.cpp", "penstock/simulation/*.cpp"]  # without system.cpp, which is of the real machine
SIMULATED = ["-DPENSTOCK_SIMULATED", "-DPENSTOCK_FEW_SCHEDULES"]  # the second for a first run only
KINDS = [
    ("tests/simulation/*queue*", SIMULATED_BASE, SIMULATED),
    ("tests/simulation/*", [*SIMULATED_BASE, "penstock/pipeline/*.cpp"], SIMULATED),
    ("tests/pipeline/*", [*BASE, "penstock/pipeline/*.cpp"], []),
    ("tests/async/*", [*BASE, "penstock/pipeline/*.cpp", "penstock/async/*.cpp"], []),
    ("tests/*", BASE, []),
]
FOR_ORDERS = "tests/[qp]*/*"  # these are compiled with the thread sanitizer, too
THREAD_SANITIZER = ["-fsanitize=thread"]
KIND_NAMES = ["plain", "simulated", "thread"]
COMPILER = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++20", "-O1", "-w", "-frandom-seed=0"]
PRECOMPILED = ["gtest/gtest.h", "algorithm", "atomic", "chrono", "functional", "memory", "mutex", "optional", "random", "sstream", "stop_token", "string", "thread",
               "unordered_map", "vector"]
COMPILE_LIMIT = 600  # seconds
SHORT_TEST = 0.25  # seconds: these are asked first


class Program:
    """for_orders: with the thread sanitizer, which holds a program to its memory orders and not to the machine's."""
    def __init__(self, source, for_orders=False):
        self.source = source
        others, self.flags = next((others, flags) for pattern, others, flags in KINDS if fnmatch.fnmatch(source, pattern))
        self.kind = "simulated" if self.flags else "thread" if for_orders else "plain"
        if for_orders:
            self.flags = THREAD_SANITIZER
        self.sources = [source] + sorted({str(p.relative_to(ROOT)) for o in others for p in ROOT.glob(o)})
        self.name = ("thread/" if for_orders else "") + source.removeprefix("tests/").removesuffix("_test.cpp")
        self.tests = {}  # name: (seconds, {mutants it comes by})

    def object_of(self, source):
        return f"{self.kind}/{source.replace('/', '-')}.o"

    @property
    def executable(self):
        return WORK / "objects" / self.name.replace("/", "-")


def programs_for(paths, with_orders):
    """({path: [programs that know it]}, all of them). with_orders: those for memory orders, too."""
    programs, knowing = {}, {}
    for path in paths:
        tests = next((tests for pattern, tests in TESTS if fnmatch.fnmatch(path, pattern)), None)
        if tests is None:
            raise SystemExit(f"script/mutate: no tests are known for {path}: see TESTS in script/mutation/programs.py")
        sources = sorted({str(p.relative_to(ROOT)) for t in tests for p in ROOT.glob(t)} - set(LEFT_OUT))
        wanted = [(s, False) for s in sources] + [(s, True) for s in sources if with_orders and fnmatch.fnmatch(s, FOR_ORDERS)]
        knowing[path] = [programs[w] if w in programs else programs.setdefault(w, Program(*w)) for w in wanted]
    return knowing, list(programs.values())


# --- processes ---

def in_a_group_of_its_own():
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command, seconds, **environment):
    """Returns (status or None if it did not end, output)."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=in_a_group_of_its_own,
                               env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1", **environment})
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output.decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output.decode(errors="replace")


def compile_source(source, output, tree, flags):
    """source: in `tree` if it is of penstock, else in the snapshot."""
    place = tree if source.startswith("penstock/") else WORK / "source"
    return run([COMPILER, *FLAGS, *flags, "-include", str(WORK / "precompiled.hpp"), f"-ffile-prefix-map={tree}=.", "-I", str(tree), "-I", str(WORK / "source"),
                "-MMD", "-MF", str(output) + ".d", "-c", str(place / source), "-o", str(output)], COMPILE_LIMIT)


def link(program, objects, output):
    return run([COMPILER, *(THREAD_SANITIZER if program.kind == "thread" else []), *map(str, objects), "-lgtest", "-lgtest_main", "-lpthread", "-o", str(output)], COMPILE_LIMIT)


def test_command(executable, tests=None):
    return [str(executable), "--gtest_fail_fast", "--gtest_color=no", "--gtest_print_time=0"] + ([f"--gtest_filter={':'.join(tests)}"] if tests else [])


# --- all mutants at once ---

def take_snapshot():
    """What is judged is one state of the tree, whatever is edited meanwhile."""
    for name in ("source", "switched", "objects"):
        shutil.rmtree(WORK / name, ignore_errors=True)
    for folder in ("penstock", "tests"):
        shutil.copytree(ROOT / folder, WORK / "source" / folder, ignore=shutil.ignore_patterns("node_modules", "build"))
    shutil.copytree(WORK / "source" / "penstock", WORK / "switched" / "penstock")
    for kind in KIND_NAMES:
        (WORK / "objects" / kind).mkdir(parents=True)


def build_with_switches(mutants, numbers, programs, jobs):
    """Returns the numbers of the mutants that have a switch now. What the compiler does not like at a switch goes without, and is tried again."""
    (WORK / "switches.cpp").write_text(switches.SUPPORT_SOURCE % {"count": max(numbers.values(), default=0) + 1})
    (WORK / "precompiled.hpp").write_text("".join(f"#include <{h}>\n" for h in PRECOMPILED) + switches.SUPPORT_HEADER.removeprefix("#pragma once\n"))
    subprocess.run([COMPILER, *FLAGS, "-x", "c++-header", str(WORK / "precompiled.hpp"), "-o", str(WORK / "precompiled.hpp.gch")], check=True)
    by_file = {}
    for m in sorted(mutants, key=lambda m: (m.path, m.line, numbers[m])):
        by_file.setdefault(m.path, []).append(m)
    refused = {path: set() for path in by_file}
    switched = {}

    def write(path):
        text, lines = switches.put_in((WORK / "source" / path).read_text(), by_file[path], [numbers[m] for m in by_file[path]], refused[path])
        (WORK / "switched" / path).write_text(text)
        switched[path] = lines

    for path in by_file:
        write(path)
    to_do = {p.object_of(s): (s, p.flags) for p in programs for s in p.sources}
    objects = WORK / "objects"
    made_from = {}
    while to_do:
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = dict(zip(to_do, pool.map(lambda item: compile_source(item[1][0], objects / item[0], WORK / "switched", item[1][1]), to_do.items())))
        changed = set()
        for name, (status, output) in results.items():
            if status == 0:
                made_from[name] = (to_do[name], (objects / (name + ".d")).read_text())
                continue
            # The innermost line in a file of ours that a message names, whether as the place of an error or as what it was needed for.
            found = False
            for path, line in re.findall(r"(penstock/[\w/.]+):(\d+)", output):
                if path in refused and int(line) not in refused[path] and any(int(line) in span for span in switched[path].values()):
                    refused[path].add(int(line))
                    changed.add(path)
                    found = True
            if not found and not changed:
                raise SystemExit(f"{to_do[name][0]} does not compile:\n{output[:3000]}")
        for path in changed:
            write(path)
        failed = {name: what for name, what in to_do.items() if results[name][0] != 0}
        again = {name: what for name, (what, dependencies) in made_from.items() if any(path in dependencies for path in changed)}
        to_do = {**failed, **again}
        if to_do:
            print(f"  {len(to_do)} sources once more, without the switches that do not compile", flush=True)
    status, output = run([COMPILER, *FLAGS, "-include", str(WORK / "precompiled.hpp"), "-c", str(WORK / "switches.cpp"), "-o", str(objects / "switches.o")], COMPILE_LIMIT)
    if status != 0:
        raise SystemExit(output)
    for p in programs:
        status, output = link(p, [*(objects / p.object_of(s) for s in p.sources), objects / "switches.o"], p.executable)
        if status != 0:
            raise SystemExit(f"{p.name} does not link:\n{output[:3000]}")
    return {number for lines in switched.values() for number in lines}


def learn_what_they_reach(programs):
    """Runs each as it is. Returns those that pass, and whether any does not."""
    usable = []
    for p in programs:
        record = WORK / "record"
        record.unlink(missing_ok=True)
        status, output = run(test_command(p.executable), 900, PENSTOCK_RECORD=str(record))
        if status != 0:
            print(f"  {p.name}: fails without any mutation, left out\n{output[-1500:]}", file=sys.stderr)
            continue
        for line in record.read_text().splitlines():
            name, seconds, *reached = line.split(" ")
            p.tests[name] = (float(seconds), {int(n) for n in reached})
        usable.append(p)
        print(f"  {p.name}: {len(p.tests)} tests pass in {sum(s for s, _ in p.tests.values()):.1f} s, and reach {len(set().union(*(r for _, r in p.tests.values())))} mutants", flush=True)
    return usable, len(usable) < len(programs)


def steps_for(number, programs, kinds):
    """What to run for a mutant: two lists of (program, tests, seconds that they take without it): its short tests, and the others. kinds: of programs."""
    short, long = [], []
    for p in programs:
        if p.kind not in kinds:
            continue
        for steps, is_wanted in ((short, lambda s: s <= SHORT_TEST), (long, lambda s: s > SHORT_TEST)):
            tests = [(name, seconds) for name, (seconds, reached) in p.tests.items() if number in reached and is_wanted(seconds)]
            if tests:
                steps.append((p, [name for name, _ in tests], sum(seconds for _, seconds in tests)))
    return short, long
