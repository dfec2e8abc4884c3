"""Where the figures were measured, and how much of the machine others used meanwhile."""
import os
import pathlib
import platform
import resource
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _first_line(*command):
    return (_said(*command).splitlines() or ["unknown"])[0]


def setting():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    changed = " with changes" if _said("git", "status", "--porcelain", "--", "penstock", "bench") else ""
    versions = _said("dpkg-query", "-W", "-f", "${Package} ${Version}\n", "libtbb-dev", "libboost-fiber1.81-dev", "libconcurrentqueue-dev", "golang-go",
                    "findutils", "moreutils", "parallel")
    return {
        "machine": f"{os.cpu_count()} × {model}, Linux {platform.release()}",
        "compiler": f"{_first_line('c++', '--version')}, -O2",
        "rivals": ", ".join(versions.splitlines() + [_first_line("/usr/bin/python3", "--version")]),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD") + changed,
    }


def pace(machine):
    """What bench_machine said during the run: median, and from where to where."""
    def spread(name, digits):
        values = [m[name] for m in machine if m]
        return f"{statistics.median(values):.{digits}f} ns ({min(values):.{digits}f} to {max(values):.{digits}f})" if values else "unknown"

    return f"a cache line there and back in {spread('line_ns', 0)}, a step of computing in {spread('step_ns', 2)}"


class Others:
    """Processor time that was not ours since this was made: other processes, and what the host of a virtual machine took."""

    def __init__(self):
        self._before = self._now()

    @staticmethod
    def _now():
        with open("/proc/stat") as stat:
            user, nice, system, idle, iowait, irq, soft, steal = map(int, stat.readline().split()[1:9])
        ticks = os.sysconf("SC_CLK_TCK")
        ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        busy = (user + nice + system + irq + soft) / ticks
        return busy, steal / ticks, busy + (idle + iowait + steal) / ticks, ours

    def share(self):
        busy, steal, total, ours = (now - before for now, before in zip(self._now(), self._before))
        return f"{100 * max(0, busy - ours) / total:.0f} % other processes, {100 * steal / total:.0f} % the host" if total else "unknown"
