"""What became of the mutants, as a table and as docs/mutation.md."""
import collections
import os
import re
import subprocess

from mutation.programs import COMPILER, FLAGS, ROOT

ARGUED = ROOT / "script" / "mutate.argued"
VERDICTS = ["killed", "survived", "not reached", "argued", "did not compile"]


def arguments_given():
    """[(path, what, the line without its indentation, why it is harmless)]; the first three are patterns in which only * is special"""
    def pattern(text):
        return re.compile(".*".join(re.escape(part) for part in text.split("*")))

    found = []
    if ARGUED.exists():
        for line in ARGUED.read_text().splitlines():
            if line and not line.startswith("#"):
                *patterns, why = (part.strip() for part in line.split(" | ", 3))
                found.append((*map(pattern, patterns), why))
    return found


def machine():
    model = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    compiler = subprocess.run([COMPILER, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip() or "none"
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "penstock", "tests"], cwd=ROOT, stderr=subprocess.DEVNULL).returncode:
        commit += " with changes"
    return f"{model}, {os.cpu_count()} processors; {compiler} {' '.join(FLAGS[:2])}; commit {commit}"


def markdown(results, in_all, command):
    sanitized = any(name.startswith("thread/") for r in results for name in [r.get("by", ""), *r.get("ran", [])])
    out = ["# Mutation report", "", "What `script/mutate` broke, one line at a time, and whether a test noticed. Written by:", "", f"    {command}", "",
           f"{machine()}. {len(results)} of {in_all} mutants.", "",
           "*Killed*: a test failed, crashed or did not end. *Not reached*: no test comes by. *Argued*:",
           "not run, because no test could tell; `script/mutate.argued` says why that does no harm. What only weakens a memory order where this machine does the",
           "same for both was run under simulation" + (" and with the thread sanitizer (thread/...)." if sanitized else " only."), ""]
    out += ["| file | mutants | " + " | ".join(VERDICTS) + " |", "|---|---|" + "---|" * len(VERDICTS)]
    by_file = collections.defaultdict(collections.Counter)
    for r in results:
        by_file[r["path"]][r["verdict"]] += 1
    total = collections.Counter()
    for path, counts in sorted(by_file.items()):
        out.append(f"| `{path}` | {sum(counts.values())} | " + " | ".join(str(counts[v]) for v in VERDICTS) + " |")
        total += counts
    out.append(f"| all | {sum(total.values())} | " + " | ".join(str(total[v]) for v in VERDICTS) + " |")

    def table(title, verdict, last, value):
        rows = [r for r in results if r["verdict"] == verdict]
        out.extend(["", f"## {title}", ""])
        if not rows:
            out.append("None.")
            return
        out.extend([f"| where | line | mutation | {last} |", "|---|---|---|---|"])
        for r in sorted(rows, key=lambda r: (r["path"], r["line"])):
            code = r["old"].strip().replace("|", "\\|")
            out.append(f"| `{r['path']}:{r['line']}` | `{code}` | {r['what'].replace('|', chr(92) + '|')} | {value(r)} |")
    table("Survivors", "survived", "ran", lambda r: ", ".join(r["ran"]))
    table("Not reached", "not reached", "", lambda r: "")
    table("Argued", "argued", "why it does no harm", lambda r: r["why"])
    killers = collections.Counter((r["by"]) for r in results if r["verdict"] == "killed")
    hows = collections.Counter((r["by"], r["how"].split()[0]) for r in results if r["verdict"] == "killed")
    out += ["", "## Killers", "", "The programs that killed most per second run first, so the numbers say who was asked first as much as who is strong.", "",
            "| program | killed | by failing | by crashing | by hanging |", "|---|---|---|---|---|"]
    for name, count in killers.most_common():
        out.append(f"| {name} | {count} | {hows[(name, 'fails')]} | {hows[(name, 'crashes')]} | {hows[(name, 'hangs')]} |")
    return "\n".join(out) + "\n"
