"""The questions of coroutines, answered by Python's asyncio. Prints one line of JSON.

    python_async.py sleepers N
"""
import asyncio
import json
import resource
import sys
import time


async def sleepers(count):
    await asyncio.gather(*(asyncio.sleep(.1) for _ in range(count)))


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "sleepers":
        sys.exit("usage: python_async.py sleepers N")
    count = int(sys.argv[2])
    before, start, cpu = peak_kib(), time.perf_counter(), time.process_time()
    asyncio.run(sleepers(count))
    print(json.dumps({"items": count, "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu, "switches": 0, "peak_rss_kib": peak_kib(),
                      "bytes_per_task": 1024 * (peak_kib() - before) / count}))


main()
