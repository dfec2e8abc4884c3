#!/usr/bin/env python3
"""The same questions, answered by Python's queue.Queue between threads. Prints one line of JSON.

    python_queue.py throughput PRODUCERS CONSUMERS ITEMS
    python_queue.py round_trip ROUND_TRIPS
    python_queue.py phases WORKERS,WORKERS,WORKERS ITEMS nothing
"""
import json
import queue
import resource
import sys
import threading
import time

CAPACITY = 1024
END = None


class Stopwatch:
    def __init__(self):
        self.before, self.cpu, self.start = resource.getrusage(resource.RUSAGE_SELF), time.process_time(), time.monotonic()

    def print(self, items):
        wall, cpu, used = time.monotonic() - self.start, time.process_time() - self.cpu, resource.getrusage(resource.RUSAGE_SELF)
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        print(json.dumps({"items": items, "wall_s": wall, "cpu_s": cpu, "switches": used.ru_nvcsw - self.before.ru_nvcsw, "peak_rss_kib": peak}))


def check(what, got, want):
    if got != want:
        sys.exit(f"wrong result: {what} is {got}, not {want}")


def running(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def produce(into, numbers):
    for i in numbers:
        into.put(i)


def consume(items, results):
    count = total = 0
    while (item := items.get()) is not END:
        count += 1
        total += item
    results.append((count, total))


def close(items, consumers):
    for _ in range(consumers):
        items.put(END)


def check_all(results, items, added):
    check("the number of items", sum(count for count, _ in results), items)
    check("the sum", sum(total for _, total in results), items * (items - 1) // 2 + added)


def throughput(producers, consumers, items):
    between, results = queue.Queue(CAPACITY), []
    watch = Stopwatch()
    consuming = [running(consume, between, results) for _ in range(consumers)]
    producing = [running(produce, between, range(items * i // producers, items * (i + 1) // producers)) for i in range(producers)]
    for thread in producing:
        thread.join()
    close(between, consumers)
    for thread in consuming:
        thread.join()
    check_all(results, items, 0)
    watch.print(items)


def round_trip(round_trips):
    there, back = queue.Queue(1), queue.Queue(1)

    def echo():
        while (item := there.get()) is not END:
            back.put(item + 1)

    thread = running(echo)
    total = 0
    watch = Stopwatch()
    for i in range(round_trips):
        there.put(i)
        total += back.get()
    check("the sum", total, round_trips * (round_trips + 1) // 2)
    watch.print(round_trips)
    close(there, 1)
    thread.join()


def phases(workers, items):
    line, results = [queue.Queue(CAPACITY) for _ in range(4)], []

    def phase(taken_from, into):
        while (item := taken_from.get()) is not END:
            into.put(item + 1)

    watch = Stopwatch()
    collector = running(consume, line[3], results)
    working = [[running(phase, line[p], line[p + 1]) for _ in range(count)] for p, count in enumerate(workers)]
    source = running(produce, line[0], range(items))
    source.join()
    for p, threads in enumerate(working):
        close(line[p], len(threads))
        for thread in threads:
            thread.join()
    close(line[3], 1)
    collector.join()
    check_all(results, items, 3 * items)
    watch.print(items)


if len(sys.argv) == 5 and sys.argv[1] == "throughput":
    throughput(*map(int, sys.argv[2:]))
elif len(sys.argv) == 3 and sys.argv[1] == "round_trip":
    round_trip(int(sys.argv[2]))
elif len(sys.argv) == 5 and sys.argv[1] == "phases" and sys.argv[4] == "nothing":
    phases([int(count) for count in sys.argv[2].split(",")], int(sys.argv[3]))
else:
    sys.exit(__doc__)
