"""A question, its answers by all systems in turn, and what was measured."""
import contextlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Callable

# In the order in which they are printed.
NAMES = {
    "penstock": "penstock",
    "penstock_queue": "penstock queue, threads by hand",
    "mutex": "mutex + 2 condition variables",
    "tbb_queue": "TBB concurrent_bounded_queue",
    "tbb_pipeline": "TBB parallel_pipeline",
    "tbb_graph": "TBB flow::graph",
    "fiber": "Boost.Fiber buffered_channel",
    "moodycamel": "moodycamel + semaphore",
    "go": "Go channels",
    "python": "Python queue.Queue",
    "asyncio": "Python asyncio",
    "generator": "Python generator",
    "batches": "penstock, 64 at once",
    "epoll": "bare epoll loop",
    "asio": "Boost.Asio",
    "coroutine2": "Boost.Coroutine2",
    "threads": "a thread each",
    "blocking": "penstock queue, two threads that block",
    "unordered": "penstock, unordered",
    "ordered": "penstock, ordered",
    "ceiling": "(the work alone)",
    "vfork": "bare vfork loop, two in flight",
    "bare_loop": "a bare loop around poll",
    "spawn": "penstock, spawn and wait",
    "run_call": "penstock, run() on two threads",
    "command_stage": "penstock, a stage of two workers",
    "tool": "penstock run -j2",
    "python_pool": "Python subprocess, a pool of two",
    "xargs": "xargs -P2",
    "moreutils": "moreutils parallel -j 2",
    "gnu_parallel": "GNU parallel -j2",
    "fork": "fork and exec",
    "isolated_stage": "penstock, a stage of two workers, isolated",
    "process_pool": "penstock process_pool, two workers",
    "one_by_one": "penstock, one by one",
    "python_processes": "Python ProcessPoolExecutor, two workers",
}
# Rivals that are scripts, by the names of their files.
PYTHON = {"python": "python_queue.py", "python_async": "python_async.py", "process_rivals": "process_rivals.py"}
TIMEOUT = 120  # seconds, for one run


@dataclass
class Column:
    """One configuration: what each system runs to answer it."""
    name: str
    commands: dict  # system: [program, argument, ...]
    value: Callable | None = None  # instead of the question's
    rounds: int = 0  # 0: as many as the question has
    busy: int = 0  # processes that compute meanwhile, on the same processors
    processors: int = 0  # 0: all


@dataclass
class Question:
    key: str
    title: str
    unit: str
    value: Callable | None  # of one run's result, in `unit`; None: each column has its own
    columns: list
    more_is_better: bool = False
    digits: int = 1
    per_item: bool = True  # whether processor time and switches per item tell something
    rounds: int = 0  # 0: as many as asked for
    together: bool = False  # all systems at once: for those that only wait
    usual: bool = True  # False: only when asked for by its key
    extra: dict = field(default_factory=dict)  # further tables: title: (function of a result, digits)


class Measurements:
    def __init__(self):
        self.runs = {}  # key: column: system: [value of round 1, ...] of results
        self.values = {}  # the same with numbers
        self.machine = []  # what bench_machine said, before every round of every question
        self.failures = []

    def add(self, question, column, system, result):
        self.runs.setdefault(question.key, {}).setdefault(column.name, {}).setdefault(system, []).append(result)
        self.values.setdefault(question.key, {}).setdefault(column.name, {}).setdefault(system, []).append((column.value or question.value)(result))

    def all(self, key, column, system):
        return self.values.get(key, {}).get(column, {}).get(system, [])

    def median(self, key, column, system="penstock", of=None):
        """The median of the rounds; of: a function of a result instead of the question's value. None if nothing was measured."""
        values = self.all(key, column, system)
        if of is not None:
            values = [of(result) for result in self.runs.get(key, {}).get(column, {}).get(system, [])]
        return statistics.median(values) if values else None

    def systems(self, key, column):
        return list(self.values.get(key, {}).get(column, {}))

    def best(self, key, column, among, more_is_better=False):
        """The one of these systems with the best median; None if none was measured."""
        medians = [(value, s) for s in among if (value := self.median(key, column, s)) is not None]
        return (max if more_is_better else min)(medians)[1] if medians else None

    def ratio(self, key, column, system, other):
        """The median of the ratios within each round, so that a machine that changes its pace between rounds cancels out."""
        pairs = list(zip(self.all(key, column, system), self.all(key, column, other)))
        return statistics.median(a / b for a, b in pairs) if pairs else None

    def growth(self, key, system="penstock"):
        """The last column beside the median of all; None if there is nothing to compare. Not beside the first: the shortest runs vary most."""
        medians = [value for column in self.values.get(key, {}) if (value := self.median(key, column, system)) is not None]
        return medians[-1] / statistics.median(medians) if len(medians) > 1 else None

    def more(self, key, of, system="penstock"):
        """The most of all columns less the first one's."""
        medians = [value for column in self.values.get(key, {}) if (value := self.median(key, column, system, of)) is not None]
        return max(medians) - medians[0] if medians else None


@dataclass
class Target:
    text: str
    measured: str | None  # None: not measured in this run
    met: bool | None = None


def reached(text, value, holds, form="{:.1f}"):
    """The target `text`, judged by holds(value)."""
    return Target(text, None if value is None else form.format(value), None if value is None else holds(value))


def _started(words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def _load(busy, processors):
    """Meanwhile this process and what it starts have so many processors, and so many processes compute on them."""
    all_processors = os.sched_getaffinity(0)
    if processors:
        os.sched_setaffinity(0, sorted(all_processors)[:processors])
    # Each says when it begins: its start is not what is measured.
    computing = [subprocess.Popen(["/usr/bin/python3", "-c", "print('begins', flush=True)\nwhile True: pass"], stdout=subprocess.PIPE) for _ in range(busy)]
    try:
        for process in computing:
            process.stdout.readline()
        yield
    finally:
        for process in computing:
            process.kill()
            process.communicate()
        os.sched_setaffinity(0, all_processors)


def loads():
    """(processors, busy processes) of the questions under load."""
    return [(processors, busy) for processors in (1, 2) if processors <= len(os.sched_getaffinity(0)) for busy in (0, 1, 2, 4, 8)]


def under(processors, busy):
    return f"{busy} on {processors}"


def _finished(process, timeout):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, f"no end after {timeout} s"
    if process.returncode != 0:
        return None, (err.strip().splitlines() or [f"status {process.returncode}"])[-1]
    return json.loads(out), None


def _at_most(rounds, limit):
    return min(rounds, limit) if limit else rounds


def answer(question, programs, rounds, systems, measured):
    """Runs every system on every column, in turn, round by round."""
    replaced = {name: ["/usr/bin/python3", str(programs / script)] for name, script in PYTHON.items()}
    rounds = _at_most(rounds, question.rounds)
    broken = set()
    for turn in range(rounds):
        measured.machine.append(_finished(_started([str(programs / "bench_machine")]), TIMEOUT)[0])
        for column in question.columns:
            if turn >= _at_most(rounds, column.rounds):
                continue
            started = []
            with _load(column.busy, column.processors):
                for system, command in column.commands.items():
                    if (systems and system not in systems) or (column.name, system) in broken:
                        continue
                    program = replaced.get(command[0]) or [str(programs / command[0])]
                    words = program + [str(word) for word in command[1:]]
                    started.append((system, words, _started(words)))
                    if not question.together:
                        _collect(question, column, started, measured, broken)
                _collect(question, column, started, measured, broken)
        if sys.stderr.isatty():
            print(f"\r{question.key}: round {turn + 1} of {rounds} ", end="\n" if turn + 1 == rounds else "", file=sys.stderr, flush=True)


def _collect(question, column, started, measured, broken):
    for system, words, process in started:
        result, why_not = _finished(process, TIMEOUT)
        if why_not:
            broken.add((column.name, system))  # not once more in the rounds that follow
            measured.failures.append(f"{question.key} {column.name} {system}: {why_not} ({' '.join(words)})")
        else:
            measured.add(question, column, system, result)
    started.clear()
