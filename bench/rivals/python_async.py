"""The questions of coroutines, answered by Python's asyncio. Prints one line of JSON.

    python_async.py sleepers N
    python_async.py life SIDE GENERATIONS
    python_async.py child|send N
    python_async.py channel one ITEMS
    python_async.py echo                    prints its port, and serves until it is killed
"""
import asyncio
import json
import resource
import sys
import time


async def sleepers(count):
    await asyncio.gather(*(asyncio.sleep(.1) for _ in range(count)))


def neighbours(now, side, cell):
    y, x = divmod(cell, side)
    return sum(now[(y + dy) % side * side + (x + dx) % side] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def rule(alive, n):
    return int(n == 3 or n == 2 and alive)


async def life(side, generations):
    """As bench/async/life.cpp has it."""
    now = [0] * (side * side)
    for y, x in ((0, 1), (0, 2), (1, 0), (1, 1), (2, 1)):
        now[(side // 2 + y) * side + side // 2 + x] = 1

    async def cell(now, after, i):
        await asyncio.sleep(.01)
        n = neighbours(now, side, i)
        await asyncio.sleep(.1)
        after[i] = rule(now[i], n)
    for _ in range(generations):
        after = [0] * len(now)
        await asyncio.gather(*(cell(now, after, i) for i in range(len(now))))
        now = after


async def one(value):
    return value


async def child(count):
    total = 0
    for i in range(count):
        total += await one(i)
    assert total == count * (count - 1) // 2


def send(count):
    def asks():
        total = 0
        for i in range(count):
            total += yield i
        return total
    g = asks()
    try:
        question = next(g)
        while True:
            question = g.send(question)
    except StopIteration as end:
        assert end.value == count * (count - 1) // 2


async def channel(count):
    queue = asyncio.Queue(1024)

    async def feed():
        for i in range(count):
            await queue.put(i)

    async def drain():
        total = 0
        for _ in range(count):
            total += await queue.get()
        assert total == count * (count - 1) // 2
    await asyncio.gather(feed(), drain())


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    what, numbers = (sys.argv + [""])[1], [int(word) for word in sys.argv[2:] if word != "one"]
    if what == "echo":
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        asyncio.run(echo())
    if what not in ("sleepers", "life", "child", "send", "channel") or not numbers:
        sys.exit(__doc__)
    before, start, cpu = peak_kib(), time.perf_counter(), time.process_time()
    if what == "send":
        send(*numbers)
    else:
        asyncio.run({"sleepers": sleepers, "life": life, "child": child, "channel": channel}[what](*numbers))
    print(json.dumps({"items": numbers[-1], "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu, "switches": 0, "peak_rss_kib": peak_kib(),
                      "bytes_per_task": 1024 * (peak_kib() - before) / numbers[0]}))


main()
