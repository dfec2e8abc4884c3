"""What is asked of queues, and what is to be reached."""
from question import Column, Question, Target, reached

SYSTEMS = ["penstock", "mutex", "tbb_queue", "fiber", "moodycamel", "go", "python"]
BLOCKS = ["penstock", "mutex", "moodycamel"]  # those that take many items at once
PAIRS = [(1, 1), (2, 2), (4, 4), (8, 8), (1, 4), (4, 1), (1, 8), (8, 1)]

# Fewer for slow systems, so that a run takes about as long for each.
ITEMS = {"penstock": 4_000_000, "mutex": 1_000_000, "tbb_queue": 500_000, "fiber": 4_000_000, "moodycamel": 1_000_000, "go": 4_000_000, "python": 150_000}
ROUND_TRIPS = {"penstock": 200_000, "mutex": 8_000, "tbb_queue": 8_000, "fiber": 8_000, "moodycamel": 100_000, "go": 200_000, "python": 5_000}


def _program(system, name, *arguments):
    if system == "go":
        return ["channels", name, *arguments]
    if system == "python":
        return ["python", name, *arguments]
    return [f"bench_queue_{name}", system, *arguments]


def _ns_per_item(result):
    return 1e9 * result["wall_s"] / result["items"]


def _millions(result):
    return result["items"] / result["wall_s"] / 1e6


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    return [
        Question("W1", "items through a queue of 1024, one by one; producers/consumers", "million items/s", _millions,
                 [Column(f"{p}/{c}", {s: _program(s, "throughput", p, c, few(ITEMS[s])) for s in SYSTEMS}) for p, c in PAIRS], more_is_better=True),
        Question("blocks", "the same in blocks of 64", "million items/s", _millions,
                 [Column(f"{p}/{c}", {s: _program(s, "throughput", p, c, few(40_000_000 if s == "penstock" else 8_000_000), 64) for s in BLOCKS})
                  for p, c in [(1, 1), (4, 4), (8, 8)]], more_is_better=True),
        Question("W2", "a round trip between two threads, two queues of capacity 1", "ns", _ns_per_item,
                 [Column("round trip", {s: _program(s, "round_trip", few(ROUND_TRIPS[s])) for s in SYSTEMS})], digits=0),
    ]


def _rivals(m, column):
    return [s for s in m.systems("W1", column) if s != "penstock"]


def targets(m):
    for pair in ("1/1", "4/4"):
        yield reached(f"W1 {pair} one by one: at least 60 million items/s", m.median("W1", pair), lambda v: v >= 60)
    for p, c in PAIRS:
        pair = f"{p}/{c}"
        best = max(_rivals(m, pair), key=lambda s: m.median("W1", pair, s), default=None)
        ratio = best and m.ratio("W1", pair, "penstock", best)
        yield reached(f"W1 {pair}: at least 2 × the best blocking rival" + (f" ({best})" if best else ""), ratio, lambda v: v >= 2, "{:.2f} ×")
    for pair in ("1/1", "4/4"):
        yield reached(f"W1 {pair} in blocks of 64: at least 400 million items/s", m.median("blocks", pair), lambda v: v >= 400)
    yield reached("W2: at most 1,000 ns for a round trip", m.median("W2", "round trip"), lambda v: v <= 1000, "{:,.0f} ns")
    yield Target("W2 between coroutines on one loop: at most 250 ns", None)
