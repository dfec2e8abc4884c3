"""What is asked of pipelines, and what is to be reached."""
import os

from question import Column, Question, loads, reached, under

THREADS = ["penstock_queue", "mutex", "tbb_queue", "fiber", "moodycamel"]  # by hand on a queue
TBB = ["tbb_pipeline", "tbb_graph"]
SYSTEMS = ["penstock", *THREADS, *TBB, "go", "python"]
LOADED = ["penstock", "penstock_queue", "mutex", "fiber", "moodycamel", *TBB, "go"]
OURS = ["penstock", "penstock_queue", "ceiling"]  # no rivals
WORKERS = ["1,1,1", "3,4,5"]
WORK = [(1000, "1,1,1"), (1000, "2,2,2"), (10_000, "1,1,1"), (10_000, "2,2,2")]
SIZES = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]
STAGES = [1, 2, 4, 8, 16]
ORDER = [("nothing", 0, 2_000_000, "passing"), ("1 µs", 1000, 200_000, "passing"), ("10 µs", 10_000, 20_000, "passing"),
         ("1 µs, 1 in 10 filtered", 1000, 200_000, "filtering"), ("1 µs, 1 in 100 fails", 1000, 200_000, "failing")]
FIXED = [1, 2, 4, 8, 16, 32, 64]

# Fewer for slow systems, so that a run takes about as long for each.
ITEMS = {"mutex": 250_000, "tbb_queue": 50_000, "python": 50_000, "tbb_graph": 500_000, "moodycamel": 500_000}


def _phases(system, *arguments):
    if system == "go":
        return ["channels", "phases", *arguments]
    if system == "python":
        return ["python", "phases", *arguments]
    return ["bench_pipeline_phases", system, *arguments]


def _ns_per_item(result):
    return 1e9 * result["wall_s"] / result["items"]


def _peak_mib(result):
    return result["peak_rss_kib"] / 1024


def _efficiency(workers):
    cores = min(os.cpu_count(), sum(int(w) for w in workers.split(",")))
    return lambda r: r["items"] * 3 * r["work_ns"] * 1e-9 / cores / r["wall_s"]


def _work(ns, workers):
    return f"{ns // 1000} µs ({workers})"


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    seconds = 1 if quick else 5
    return [
        Question("W3", "source → three phases that add 1 → collector, queues of 1024; workers", "ns per item", _ns_per_item,
                 [Column(f"({w})", {s: _phases(s, w, few(ITEMS.get(s, 1_000_000)), "nothing") for s in SYSTEMS if s != "tbb_pipeline" or w == "1,1,1"})
                  for w in WORKERS], digits=0),
        Question("W4", "the same with computing phases: ideal time on these processors / measured", "efficiency", None,
                 [Column(_work(ns, w), {s: _phases(s, w, few({1000: 200_000, 10_000: 30_000}[ns]), f"compute:{ns}")
                                        for s in SYSTEMS + ["ceiling"] if s != "python"}, _efficiency(w)) for ns, w in WORK], more_is_better=True, digits=3),
        Question("long", "processor time beside long phases", "× their own", lambda r: r["cpu_s"] / (r["items"] * 3 * r["work_ns"] * 1e-9),
                 [Column(f"{ns // 1000:,} µs (2,2,2)", {s: _phases(s, "2,2,2", few(300_000_000 // ns), f"compute:{ns}") for s in ("penstock", "mutex", "go", "ceiling")})
                  for ns in (100_000, 1_000_000)], digits=3, per_item=False),
        Question("load", "W4 with 1 µs (2,2,2) under load; busy processes on so many processors", "ns per item", _ns_per_item,
                 [Column(under(p, b), {s: _phases(s, "2,2,2", few(30_000), "compute:1000") for s in LOADED}, busy=b, processors=p) for p, b in loads()], digits=0),
        Question("load-empty", "W3 (1,1,1) under load: all of an item's time is hand-over; busy processes on so many processors", "ns per item", _ns_per_item,
                 [Column(under(p, b), {s: _phases(s, "1,1,1", few(100_000), "nothing") for s in LOADED}, busy=b, processors=p) for p, b in loads()], digits=0),
        Question("W5", "a running (3,4,5) pipeline to which nothing comes", f"ms of processor time in {seconds} s", lambda r: 1e3 * r["cpu_s"],
                 [Column("idle", {s: ["channels", "idle", "pipeline", seconds] if s == "go" else ["bench_pipeline_idle", s, seconds]
                                  for s in ["penstock", *THREADS, "go"]})], digits=3, per_item=False, rounds=3, together=True),
        Question("W6", "phases that sleep for 1 ms, workers (8,8,8), 2,000 items", "ms", lambda r: 1e3 * r["wall_s"],
                 [Column("(8,8,8)", {s: _phases(s, "8,8,8", few(2000), "sleep:1000000") for s in SYSTEMS + ["ceiling"] if s not in ("python", *TBB)}),
                  # They sleep on a thread per processor; fewer items, for it takes them twelve times as long.
                  Column("200 items", {s: _phases(s, "8,8,8", 200, "sleep:1000000") for s in ["penstock", *TBB]})]),
        Question("growth", "the cost of an item, by how many go through three stages of one worker, from the first arrival to the last", "ns per item",
                 lambda r: r["ns_per_item"],
                 [Column(f"{n:,}", {"penstock": ["bench_pipeline_growth", n, 3]}, rounds={10_000_000: 3, 100_000_000: 1}.get(n, 0))
                  for n in (SIZES[:3] if quick else SIZES)], extra={"peak RSS, MiB": (_peak_mib, 2)}),
        Question("stages", "the cost of an item per step from stage to stage, by how many stages of one worker there are", "ns per item and step",
                 lambda r: r["ns_per_step"], [Column(f"{n} stages", {"penstock": ["bench_pipeline_growth", few(500_000), n]}) for n in STAGES]),
        Question("slow", "1 item in 100 sleeps for 10 ms, the others take 1 µs; 4 workers; the source always has more", "efficiency", lambda r: r["efficiency"],
                 [Column("saturated", {s: ["bench_pipeline_slow_items", s, "saturated", few(40_000)] for s in ("penstock", "penstock_queue", "mutex")})],
                 more_is_better=True, digits=3, extra={"p99 of the fast ones, µs": (lambda r: r["p99_us"], 0), "their median, µs": (lambda r: r["p50_us"], 0)}),
        Question("bursts", "the same, 100 items at once every 20 ms: what the fast ones wait for", "p99 of the fast ones, µs", lambda r: r["p99_us"],
                 [Column("bursts", {s: ["bench_pipeline_slow_items", s, "bursts", few(5000)] for s in ("penstock", "penstock_queue", "mutex")})],
                 digits=0, extra={"their median, µs": (lambda r: r["p50_us"], 0)}),
        Question("order", "a stage of four workers that keeps the order, or does not", "ns per item", _ns_per_item,
                 [Column(name, {o: ["bench_pipeline_order", o, ns, few(items), fate] for o in ("unordered", "ordered")}) for name, ns, items, fate in ORDER], digits=0),
        Question("autoscaling", "a stage of 1 ms sleeps whose source always has more, by workers", "items/s, settled", lambda r: r["per_second"],
                 [Column(str(n), {"penstock": ["bench_pipeline_autoscaling", n, seconds, "sleep"]}) for n in [*FIXED, "automatic"]],
                 more_is_better=True, digits=0, rounds=3, per_item=False, extra={"workers at the end": (lambda r: r["workers"], 0)}),
        Question("computing", "the same, but 100 µs of computing", "items/s, settled", lambda r: r["per_second"],
                 [Column(str(n), {"penstock": ["bench_pipeline_autoscaling", n, seconds, "compute"]}) for n in [os.cpu_count(), "automatic"]],
                 more_is_better=True, digits=0, rounds=3, per_item=False, extra={"workers at most": (lambda r: r["most_workers"], 0)}),
    ]


def _ideal_ms(m):
    """What the work alone takes, and what no line can avoid: the first item has two more phases to go when the last worker of the first begins.
    Or what the best rival takes, if that is less: sleepers that all wake at once are in each other's way, too."""
    alone = m.median("W6", "(8,8,8)", "ceiling", of=lambda r: 1e3 * r["wall_s"] * (1 + 2 / (r["items"] / 8)))
    rivals = [m.median("W6", "(8,8,8)", s) for s in m.systems("W6", "(8,8,8)") if s not in OURS]
    return min([alone, *rivals]) if alone else None


def targets(m):
    for workers, limit in (("(1,1,1)", 25), ("(3,4,5)", 30)):
        yield reached(f"W3 {workers}: at most {limit} ns per item", m.median("W3", workers), lambda v, most=limit: v <= most, "{:.1f} ns")
    for workers in ("(1,1,1)", "(3,4,5)"):
        best = m.best("W3", workers, [*TBB, "tbb_queue"])
        yield reached(f"W3 {workers}: at least 3 × as fast as TBB" + (f" ({best})" if best else ""), m.ratio("W3", workers, best, "penstock"), lambda v: v >= 3, "{:.2f} ×")
    for ns, workers in WORK:
        yield reached(f"W4 {_work(ns, workers)}: efficiency at least .94", m.median("W4", _work(ns, workers)), lambda v: v >= .94, "{:.3f}")
    for ns, workers in WORK:
        column = _work(ns, workers)
        best = m.best("W4", column, [s for s in SYSTEMS if s not in OURS], more_is_better=True)
        yield reached(f"W4 {column}: at least the best rival's" + (f" ({best}, {m.median('W4', column, best):.3f})" if best else ""),
                      m.ratio("W4", column, "penstock", best), lambda v: v >= 1, "{:.3f} of it")
    for key, what in (("load", "1 µs of work"), ("load-empty", "no work")):
        for p, b in loads():
            yield reached(f"under load, {what}, {b} busy processes on {p} processor{'s' * (p > 1)}: at most 2 × mutex + 2 condition variables",
                          m.ratio(key, under(p, b), "penstock", "mutex"), lambda v: v <= 2, "{:.2f} ×")
    yield reached("W5: at most 0.05 ms of processor time in 5 s", m.median("W5", "idle"), lambda v: v <= .05, "{:.3f} ms")
    ours, ideal = m.median("W6", "(8,8,8)"), _ideal_ms(m)
    yield reached("W6: within 2 % of ideal" + (f" ({ideal:.0f} ms)" if ideal else ""), ours / ideal if ours and ideal else None, lambda v: v <= 1.02, "{:.3f} × ideal")
    yield reached("10^4 to 10^8 items: 10^8 cost at most 1.25 × the median, per item", m.growth("growth"), lambda v: v <= 1.25, "{:.2f} ×")
    yield reached("10^4 to 10^8 items: peak RSS grows by at most 1 MiB", m.more("growth", _peak_mib), lambda v: v <= 1, "{:.2f} MiB")
    yield reached("1 to 16 stages: 16 cost at most 1.25 × the median, per item and step", m.growth("stages"), lambda v: v <= 1.25, "{:.2f} ×")
    yield reached("slow items: throughput at least 95 % of ideal", m.median("slow", "saturated"), lambda v: v >= .95, "{:.3f}")
    for key, column in (("slow", "saturated"), ("bursts", "bursts")):
        p99, free = (m.median(key, column, s, of=lambda r: r["p99_us"]) for s in ("penstock", "penstock_queue"))
        yield reached(f"slow items, {column}: p99 of the fast ones at most 2 × a batch-free queue's" + (f" ({free:,.0f} µs)" if free else ""),
                      p99 / free if p99 and free else None, lambda v: v <= 2, "{:.2f} ×")
    for name, *_ in ORDER:
        yield reached(f"order, {name}: at least 80 % of unordered throughput", m.ratio("order", name, "unordered", "ordered"), lambda v: v >= .8, "{:.2f} of it")
    fixed = [v for v in (m.median("autoscaling", str(n)) for n in FIXED) if v]
    found = m.median("autoscaling", "automatic")
    yield reached("autoscaling: automatic within 20 % of the best fixed number", found / max(fixed) if fixed and found else None, lambda v: v >= .8, "{:.2f} of it")
    yield reached(f"autoscaling: a computing stage has no more workers than processors ({os.cpu_count()})",
                  m.median("computing", "automatic", of=lambda r: r["most_workers"]), lambda v: v <= os.cpu_count(), "{:.0f}")
