"""What is asked of queues, and what is to be reached."""
from question import Column, Question, Target, loads, reached, under

SYSTEMS = ["penstock", "mutex", "tbb_queue", "fiber", "moodycamel", "go", "python"]
LOADED = ["penstock", "mutex", "fiber", "moodycamel", "go"]
BLOCKS = ["penstock", "mutex", "moodycamel"]  # those that take many items at once
PAIRS = [f"{p}/{c}" for p, c in [(1, 1), (2, 2), (4, 4), (8, 8), (1, 4), (4, 1), (1, 8), (8, 1)]]
KINDS = ["64B", "4KiB", "unique_ptr", "string"]
PLACES = [(1, "number"), (16, "number"), (1024, "number"), (65_536, "number"), (1024, "64B"), (64, "4KiB")]
SIZES = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]

# Fewer for slow systems, so that a run takes about as long for each.
ITEMS = {"penstock": 4_000_000, "mutex": 500_000, "tbb_queue": 300_000, "fiber": 4_000_000, "moodycamel": 1_000_000, "go": 4_000_000, "python": 150_000}
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


def _peak_mib(result):
    return result["peak_rss_kib"] / 1024


def _places(capacity, kind):
    return f"{capacity:,} × " + {"number": "8 B", "64B": "64 B", "4KiB": "4 KiB"}[kind]


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    seconds = 1 if quick else 5
    sizes = SIZES[:-2] if quick else SIZES
    return [
        Question("W1", "items through a queue of 1024, one by one; producers/consumers", "million items/s", _millions,
                 [Column(pair, {s: _program(s, "throughput", *pair.split("/"), few(ITEMS[s])) for s in SYSTEMS}) for pair in PAIRS], more_is_better=True),
        Question("blocks", "the same in blocks of 64", "million items/s", _millions,
                 [Column(pair, {s: _program(s, "throughput", *pair.split("/"), few(40_000_000 if s == "penstock" else 8_000_000), 64) for s in BLOCKS})
                  for pair in ["1/1", "4/4", "8/8"]], more_is_better=True),
        Question("items", "large items and such that only move, one by one; kind, producers/consumers", "million items/s", _millions,
                 [Column(f"{kind} {pair}", {s: _program(s, "throughput", *pair.split("/"), few(100_000 if s == "tbb_queue" else 300_000), 1, kind) if s != "go"
                                            else _program(s, "throughput", *pair.split("/"), few(300_000), kind) for s in SYSTEMS if s != "python"})
                  for kind in KINDS for pair in ["1/1", "4/4"]], more_is_better=True, digits=2),
        Question("W2", "a round trip between two threads, two queues of capacity 1", "ns", _ns_per_item,
                 [Column("round trip", {s: _program(s, "round_trip", few(ROUND_TRIPS[s])) for s in SYSTEMS})], digits=0),
        Question("load", "a round trip as in W2 under load; busy processes on so many processors", "µs", lambda r: 1e-3 * _ns_per_item(r),
                 [Column(under(p, b), {s: _program(s, "round_trip", few(20_000 if s in ("penstock", "mutex") else 5000)) for s in LOADED}, busy=b, processors=p) for p, b in loads()]),
        Question("load-stream", "items through a queue of 1024 under load, one by one, 1/1; busy processes on so many processors", "ns per item", _ns_per_item,
                 [Column(under(p, b), {s: _program(s, "throughput", 1, 1, few(300_000)) for s in LOADED}, busy=b, processors=p) for p, b in loads()], digits=0),
        Question("W5", "three consumers of an empty queue and three producers of a full one", f"ms of processor time in {seconds} s", lambda r: 1e3 * r["cpu_s"],
                 [Column("waiting", {s: _program(s, "idle", *(["queue"] if s == "go" else []), seconds) for s in SYSTEMS if s != "python"})],
                 digits=3, per_item=False, rounds=3, together=True),
        Question("growth", "the cost of an item, by how many go through; 1/1, from the first arrival to the last", "ns per item", lambda r: r["ns_per_item"],
                 [Column(f"{n:,}", {"penstock": _program("penstock", "growth", n)}, rounds=1 if n == SIZES[-1] else 0) for n in sizes],
                 extra={"peak RSS, MiB": (_peak_mib, 2)}),
        Question("growth-blocks", "the same in blocks of 64", "ns per item", lambda r: r["ns_per_item"],
                 [Column(f"{n:,}", {"penstock": _program("penstock", "growth", n, 64)}) for n in sizes], extra={"peak RSS, MiB": (_peak_mib, 2)}, digits=2),
        Question("memory", "bytes of a full queue, heap included; places × size of an item", "bytes", lambda r: r["bytes"],
                 [Column(_places(capacity, kind), {s: _program(s, "memory", capacity, kind) for s in SYSTEMS if s not in ("go", "python", "tbb_queue")})
                  for capacity, kind in PLACES], digits=0, per_item=False, rounds=1,
                 extra={"share of 1 KiB + places × (size + 16)": (lambda r: r["bytes"] / r["allowed"], 2)}),
    ]


def targets(m):
    for pair in ("1/1", "4/4"):
        yield reached(f"W1 {pair} one by one: at least 60 million items/s", m.median("W1", pair), lambda v: v >= 60)
    for pair in ("1/1", "4/4"):
        yield reached(f"W1 {pair} in blocks of 64: at least 400 million items/s", m.median("blocks", pair), lambda v: v >= 400)
    for pair in PAIRS:
        best = m.best("W1", pair, SYSTEMS[1:], more_is_better=True)
        yield reached(f"W1 {pair} one by one: at least 2 × the best blocking rival" + (f" ({best})" if best else ""),
                      m.ratio("W1", pair, "penstock", best), lambda v: v >= 2, "{:.2f} ×")
    yield reached("W2: at most 1 µs for a round trip", m.median("W2", "round trip"), lambda v: v <= 1000, "{:,.0f} ns")
    yield Target("W2 between coroutines on one loop: at most 0.25 µs (comes with `async`)", None)
    for key, what in (("load", "a round trip"), ("load-stream", "a stream")):
        for p, b in loads():
            yield reached(f"under load, {what}, {b} busy processes on {p} processor{'s' * (p > 1)}: at most 2 × mutex + 2 condition variables",
                          m.ratio(key, under(p, b), "penstock", "mutex"), lambda v: v <= 2, "{:.2f} ×")
    yield reached("W5 of a queue: at most 0.05 ms of processor time in 5 s", m.median("W5", "waiting"), lambda v: v <= .05, "{:.3f} ms")
    for key, how in (("growth", "one by one"), ("growth-blocks", "in blocks of 64")):
        yield reached(f"10^4 to 10^8 items {how}: the most cost at most 1.25 × the median, per item", m.growth(key), lambda v: v <= 1.25, "{:.2f} ×")
        yield reached(f"10^4 to 10^8 items {how}: peak RSS grows by at most 1 MiB", m.more(key, _peak_mib), lambda v: v <= 1, "{:.2f} MiB")
    for capacity, kind in PLACES:
        name = _places(capacity, kind)
        yield reached(f"memory of {name}: at most 1 KiB + places × (size + 16)", m.median("memory", name, of=lambda r: r["bytes"] / r["allowed"]),
                      lambda v: v <= 1, "{:.2f} of it")
