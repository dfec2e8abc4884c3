"""What is asked of coroutines, and what is to be reached."""
from question import Column, Question, reached

SLEEPERS = {"penstock": 1_000_000, "asio": 1_000_000, "go": 1_000_000, "python": 1_000_000, "threads": 10_000}  # at most
CHANNEL = {"penstock": 30_000_000, "asio": 1_000_000, "go": 3_000_000}


def _program(system, name, *arguments):
    if system == "go":
        return ["async", name, *arguments]
    if system == "python":
        return ["python_async", name, *arguments]
    return [f"bench_async_{name}", system, *arguments]


def _ms(result):
    return 1e3 * result["wall_s"]


def _ns(result):
    return 1e9 * result["wall_s"] / result["items"]


def _millions(result):
    return result["items"] / result["wall_s"] / 1e6


def _bytes(result):
    return result["bytes_per_task"]


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    return [
        Question("sleepers", "so many tasks that sleep 0.1 s, fanned out and in", "ms", _ms,
                 [Column(f"{n:,}", {s: _program(s, "sleepers", n) for s, most in SLEEPERS.items() if n <= most}, rounds=1 if n > 10_000 and quick else 0)
                  for n in ([10_000] if quick else [10_000, 1_000_000])], per_item=False,
                 extra={"bytes per task": (_bytes, 0), "processor time, s": (lambda r: r["cpu_s"], 3)}),
        Question("child", "a child that is awaited, its frame included", "ns", _ns,
                 [Column("child", {s: _program(s, "switches", "child", few(20_000_000)) for s in ("penstock", "asio")})]),
        Question("send", "an answer sent to a generator, and its next question", "ns", _ns,
                 [Column("send", {s: _program(s, "switches", "send", few(50_000_000 if s == "penstock" else 5_000_000)) for s in ("penstock", "coroutine2")})]),
        Question("channel", "items through a channel of 1024, one by one; on one thread, between two", "million items/s", _millions,
                 [Column(threads, {s: _program(s, "channel", threads, few(n)) for s, n in CHANNEL.items()}) for threads in ("one", "two")], more_is_better=True),
    ]


def targets(m):
    yield reached("1,000,000 tasks that sleep 0.1 s: at most 250 ms", m.median("sleepers", "1,000,000"), lambda v: v <= 250, "{:.0f} ms")
    yield reached("1,000,000 tasks that sleep: at most 256 bytes each", m.median("sleepers", "1,000,000", of=_bytes), lambda v: v <= 256, "{:.0f}")
    yield reached("10,000 tasks that sleep 0.1 s: at most 102 ms", m.median("sleepers", "10,000"), lambda v: v <= 102, "{:.1f} ms")
    yield reached("a child that is awaited: at most 15 ns", m.median("child", "child"), lambda v: v <= 15, "{:.1f} ns")
    yield reached("an answer to a generator: at most 3 ns", m.median("send", "send"), lambda v: v <= 3, "{:.1f} ns")
    yield reached("a channel on one thread: at least 100 million items/s", m.median("channel", "one"), lambda v: v >= 100)
    yield reached("a queue between two loops: at least 15 million items/s", m.median("channel", "two"), lambda v: v >= 15)
