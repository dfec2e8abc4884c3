"""What is asked of child processes and isolated functions, and what is to be reached."""
import pathlib
import shutil
import subprocess

from question import Column, Question, Target, reached

OURS = ["spawn", "run_call", "command_stage"]
COMMANDS = {"true": "/bin/true", "echo": "sh -c 'echo {}'"}
PARENTS = [0, 4]  # GiB
TOOL = pathlib.Path(__file__).resolve().parents[2] / "build/release/apps/penstock/penstock"


def _tool_runs_commands():
    """Whether the tool is built, and of an age that has `penstock run`."""
    try:
        return subprocess.run([TOOL, "run", "--help"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _moreutils():
    """Where GNU parallel is installed, too, the other one's name is diverted."""
    if shutil.which("parallel.moreutils"):
        return True
    return bool(shutil.which("parallel")) and b"GNU" not in subprocess.run(["parallel", "--version"], capture_output=True, check=False).stdout


def _spawning(count, what):
    """Rivals that are installed: script/setup bench installs all of them."""
    commands = {s: ["bench_process_spawning", s, count, what] for s in ["vfork", *OURS]}
    there = {"python_pool": True, "xargs": shutil.which("xargs"), "moreutils": _moreutils(), "gnu_parallel": shutil.which("parallel") and not _only_moreutils()}
    if _tool_runs_commands():
        commands["tool"] = ["process_rivals", "spawn", "penstock_tool", count, what, TOOL]
    return commands | {s: ["process_rivals", "spawn", s, count, what] for s, is_there in there.items() if is_there}


def _only_moreutils():
    return _moreutils() and not shutil.which("parallel.moreutils")


def _per_second(result):
    return result["items"] / result["wall_s"]


def questions(quick):
    def few(items):
        return items // 10 if quick else items

    mebibytes = few(1024)
    return [
        Question("spawn", "programs started and waited for, two at a time", "programs/s", _per_second,
                 [Column(name, _spawning(few(5000), what)) for what, name in COMMANDS.items()], more_is_better=True, digits=0,
                 extra={"processor time, ms per program": (lambda r: 1e3 * r["cpu_s"] / r["items"], 3)}, per_item=False),
        Question("parent", "one program started and waited for, by the memory of who starts it", "µs, median", lambda r: r["median_us"],
                 [Column(f"{gib} GiB", {s: ["bench_process_large_parent", "penstock" if s == "spawn" else s, gib, few(1000 if s == "spawn" else 100)]
                                        for s in ("spawn", "fork")}) for gib in PARENTS], digits=0, per_item=False, rounds=3),
        Question("cat", f"{mebibytes} MiB through cat", "GiB/s", lambda r: r["items"] / r["wall_s"] / 2**30,
                 [Column("handed on", {"penstock": ["bench_process_through_cat", "handed_on", mebibytes]}),
                  Column("all kept", {"penstock": ["bench_process_through_cat", "kept", mebibytes], "python_pool": ["process_rivals", "cat", mebibytes]})],
                 more_is_better=True, digits=2, per_item=False),
        Question("isolated", "a function that adds 1, called in another process", "calls/s", _per_second,
                 [Column("calls", {"one_by_one": ["bench_process_isolated_calls", "call", few(20_000)],
                                   "isolated_stage": ["bench_process_isolated_calls", "stage", few(200_000)],
                                   "process_pool": ["bench_process_isolated_calls", "pool", few(200_000)],
                                   "python_processes": ["process_rivals", "calls", few(5000), 1]}),
                  Column("in chunks of 64", {"python_processes": ["process_rivals", "calls", few(100_000), 64]})], more_is_better=True, digits=0),
    ]


def targets(m):
    for name in COMMANDS.values():
        yield reached(f"{name}: spawn and wait at least 90 % of the bare vfork loop", m.ratio("spawn", name, "spawn", "vfork"), lambda v: v >= .9, "{:.3f} of it")
    for name in COMMANDS.values():
        for system, what, least in (("xargs", "xargs -P2", 1.4), ("gnu_parallel", "GNU parallel -j2", 5)):
            text = f"{name}: penstock run at least {least} × {what}"
            measured = m.ratio("spawn", name, "tool", system)
            yield reached(text, measured, lambda v, least=least: v >= least, "{:.2f} ×") if measured else Target(text, None)
    small, large = (m.median("parent", f"{gib} GiB", "spawn") for gib in PARENTS)
    yield reached("from a parent of 4 GiB: at most 1.2 × the time from a small one", large / small if small and large else None, lambda v: v <= 1.2, "{:.2f} ×")
    for column in ("handed on", "all kept"):
        yield reached(f"1 GiB through cat, {column}: at least 3 GiB/s", m.median("cat", column), lambda v: v >= 3, "{:.2f} GiB/s")
    yield reached("an isolated stage of two workers: at least 20,000 items/s", m.median("isolated", "calls", "isolated_stage"), lambda v: v >= 20_000, "{:,.0f}")
