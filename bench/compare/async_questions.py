"""What is asked of coroutines, and what is to be reached."""
from question import Column, Question, reached

# At most so many, of those who cannot do more or take too long.
SLEEPERS = {"penstock": 1_000_000, "asio": 1_000_000, "go": 1_000_000, "asyncio": 1_000_000, "threads": 10_000}
LIFE = {"penstock": 1_000_000, "asio": 1_000_000, "go": 1_000_000, "asyncio": 10_000, "threads": 10_000}
CHILD = {"penstock": 20_000_000, "asio": 20_000_000, "asyncio": 2_000_000, "threads": 20_000}
SEND = {"penstock": 50_000_000, "coroutine2": 5_000_000, "go": 1_000_000, "generator": 2_000_000}
ONE_THREAD = {"penstock": 30_000_000, "asio": 1_000_000, "go": 3_000_000, "asyncio": 300_000}
TWO_THREADS = {"penstock": 10_000_000, "batches": 30_000_000, "blocking": 10_000_000, "asio": 1_000_000, "go": 3_000_000}
CONNECTIONS = 10_000


def _program(system, name, *arguments):
    if system == "go":
        return ["async", name, *arguments]
    if system in ("asyncio", "generator"):
        return ["python_async", name, *arguments]
    return [f"bench_async_{name}", {"blocking": "threads"}.get(system, system), *arguments]


def _switches(system, name, count):
    return _program(system, name, count) if system in ("go", "asyncio", "generator") else ["bench_async_switches", system, name, count]


def _server(system):
    """The program that serves, and its arguments. The one that asks starts it in its own folder, where all of them are."""
    return {"go": ["./async", "echo"], "asyncio": ["/usr/bin/python3", "python_async.py", "echo"]}.get(system, ["./bench_async_echo", "serve", system])


def _ms(result):
    return 1e3 * result["wall_s"]


def _ms_each(result):
    return 1e3 * result["wall_s"] / result["items"]


def _ms_per_round(result):
    return 1e3 * result["wall_s"] / result["rounds"]


def _ns(result):
    return 1e9 * result["wall_s"] / result["items"]


def _millions(result):
    return result["items"] / result["wall_s"] / 1e6


def _bytes(result):
    return result["bytes_per_task"]


def _mib(result):
    return result["peak_rss_kib"] / 1024


def _cpu(result):
    return result["cpu_s"]


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    def columns(counts, most, name, more=(), rounds=None):
        return [Column(f"{n:,}", {s: _program(s, name, n, *more) for s, limit in most.items() if n <= limit}, rounds=(rounds or {}).get(n, 0)) for n in counts]

    life = [Column(f"{side:,} × {side:,}", {s: _program(s, "life", side, generations) for s, most in LIFE.items() if side * side <= most})
            for side, generations in ([(100, 1)] if quick else [(100, 5), (1000, 2)])]
    return [
        Question("sleepers", "so many tasks that sleep 0.1 s, fanned out and in", "ms", _ms, columns([10_000] if quick else [10_000, 1_000_000], SLEEPERS, "sleepers"),
                 per_item=False, extra={"bytes per task": (_bytes, 0), "processor time, s": (_cpu, 3)}),
        Question("life", "a generation of Life, each cell with 110 ms of waiting", "ms", _ms_each, life, per_item=False,
                 extra={"peak memory, MiB": (_mib, 0), "processor time, s": (_cpu, 3)}),
        Question("echo", f"64 bytes to each of {few(CONNECTIONS):,} connections, and back", "ms", _ms_per_round,
                 [Column("round", {s: ["bench_async_echo", "ask", few(CONNECTIONS), few(50), *_server(s)] for s in ("penstock", "epoll", "asio", "go", "asyncio", "threads")})],
                 per_item=False, extra={"the server's processor time, µs per message": (lambda r: 1e6 * r["server_cpu_s"] / r["items"], 2),
                                        "the server's peak memory, KiB per connection": (lambda r: r["server_rss_kib"] / few(CONNECTIONS), 2)}),
        Question("child", "a child that is awaited, its frame included", "ns", _ns,
                 [Column("child", {s: _switches(s, "child", few(n)) for s, n in CHILD.items()})]),
        Question("send", "an answer sent to a generator, and its next question", "ns", _ns,
                 [Column("send", {s: _switches(s, "send", few(n)) for s, n in SEND.items()})]),
        Question("channel", "items through a channel of 1024; on one thread, between two", "million items/s", _millions,
                 [Column(threads, {s: _program(s, "channel", threads, few(n)) for s, n in most.items()}) for threads, most in (("one", ONE_THREAD), ("two", TWO_THREADS))],
                 more_is_better=True),
    ]


def targets(m):
    def cpu(key, column):
        return m.median(key, column, of=_cpu)

    yield reached("1,000,000 tasks that sleep 0.1 s: at most 250 ms", m.median("sleepers", "1,000,000"), lambda v: v <= 250, "{:.0f} ms")
    yield reached("1,000,000 tasks that sleep: at most 256 bytes each", m.median("sleepers", "1,000,000", of=_bytes), lambda v: v <= 256, "{:.0f}")
    yield reached("10,000 tasks that sleep 0.1 s: at most 102 ms", m.median("sleepers", "10,000"), lambda v: v <= 102, "{:.1f} ms")
    yield reached("Life 100 × 100: at most 113 ms a generation", m.median("life", "100 × 100"), lambda v: v <= 113, "{:.1f} ms")
    yield reached("Life 1,000 × 1,000: at most 500 ms a generation", m.median("life", "1,000 × 1,000"), lambda v: v <= 500, "{:.0f} ms")
    yield reached("Life 1,000 × 1,000: at most 512 MiB", m.median("life", "1,000 × 1,000", of=_mib), lambda v: v <= 512, "{:.0f} MiB")
    yield reached(f"{CONNECTIONS:,} echo connections: at most 1.1 times a bare epoll loop", m.ratio("echo", "round", "penstock", "epoll"), lambda v: v <= 1.1, "{:.2f}")
    yield reached("a child that is awaited: at most 15 ns", m.median("child", "child"), lambda v: v <= 15, "{:.1f} ns")
    yield reached("an answer to a generator: at most 3 ns", m.median("send", "send"), lambda v: v <= 3, "{:.1f} ns")
    yield reached("a channel on one thread: at least 100 million items/s", m.median("channel", "one"), lambda v: v >= 100)
    yield reached("a queue between two loops, one by one: at least 15 million items/s", m.median("channel", "two"), lambda v: v >= 15)
    yield reached("a queue between two loops, 64 at once: at least 15 million items/s", m.median("channel", "two", "batches"), lambda v: v >= 15)
