"""What is asked of pipelines, and what is to be reached."""
import os

from question import Column, Question, Target, reached

THREADS = ["penstock_queue", "mutex", "tbb_queue", "fiber", "moodycamel"]  # by hand on a queue
SYSTEMS = ["penstock", *THREADS, "tbb_pipeline", "tbb_graph", "go", "python"]
WORKERS = ["1,1,1", "3,4,5"]
WORK = [(1000, "1,1,1"), (1000, "2,2,2"), (10_000, "1,1,1"), (10_000, "2,2,2")]

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


def _efficiency(workers):
    cores = min(os.cpu_count(), sum(int(w) for w in workers.split(",")))
    return lambda r: r["items"] * 3 * r["work_ns"] * 1e-9 / cores / r["wall_s"]


def _work_name(ns, workers):
    return f"{ns // 1000} µs ({workers})"


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    return [
        Question("W3", "source → three phases that add 1 → collector, queues of 1024; workers", "ns per item", _ns_per_item,
                 [Column(f"({w})", {s: _phases(s, w, few(ITEMS.get(s, 1_000_000)), "nothing") for s in SYSTEMS if not (s == "tbb_pipeline" and w != "1,1,1")})
                  for w in WORKERS], digits=0),
        Question("W4", "the same with computing phases: ideal time on these processors / measured", "efficiency", None,
                 [Column(_work_name(ns, w), {s: _phases(s, w, few(200_000_000 // ns if ns == 1000 else 300_000_000 // ns), f"compute:{ns}")
                                             for s in SYSTEMS + ["ceiling"] if s != "python"}, _efficiency(w)) for ns, w in WORK], more_is_better=True, digits=3),
    ]


def targets(m):
    for workers, limit in (("(1,1,1)", 25), ("(3,4,5)", 30)):
        yield reached(f"W3 {workers}: at most {limit} ns per item", m.median("W3", workers), lambda v: v <= limit, "{:.1f} ns")
    for ns, workers in WORK:
        column = _work_name(ns, workers)
        yield reached(f"W4 {column}: efficiency at least .94", m.median("W4", column), lambda v: v >= .94, "{:.3f}")
