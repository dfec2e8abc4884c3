"""The figures as text."""
import statistics

from question import NAMES


def _grid(title, columns, rows):
    """rows: [(name, [text, ...]), ...]"""
    first = max([len(title)] + [len(name) + 2 for name, _ in rows])
    widths = [max([len(column)] + [len(cells[i]) for _, cells in rows]) for i, column in enumerate(columns)]
    lines = [title.ljust(first) + "".join("  " + column.rjust(width) for column, width in zip(columns, widths))]
    lines += [("  " + name).ljust(first) + "".join("  " + cell.rjust(width) for cell, width in zip(cells, widths)) for name, cells in rows]
    return "\n".join(lines)


def _number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(question, measured):
    """Medians: the answer itself; then processor time, switches and peak memory."""
    columns = [column.name for column in question.columns]
    answered = {system for column in columns for system in measured.systems(question.key, column)}
    systems = [system for system in NAMES if system in answered]

    def grid(title, of, digits):
        return _grid(title, columns, [(NAMES[s], [_number(measured.median(question.key, c, s, of), digits) for c in columns]) for s in systems])

    rounds = max([len(measured.all(question.key, c, s)) for c in columns for s in systems], default=0)
    parts = [f"== {question.key}: {question.title} (median of {rounds})", grid(question.unit, None, question.digits)]
    for title, (of, digits) in question.extra.items():
        parts.append(grid(title, of, digits))
    if question.per_item:
        parts.append(grid("processor time, ns per item", lambda r: 1e9 * r["cpu_s"] / r["items"], 0))
        parts.append(grid("voluntary switches per 1,000 items", lambda r: 1e3 * r["switches"] / r["items"], 1))
    peaks = [(NAMES[s], [_number(statistics.median(r["peak_rss_kib"] for c in columns for r in measured.runs[question.key].get(c, {}).get(s, [])) / 1024, 1)])
             for s in systems]
    parts.append("peak RSS, MiB: " + ", ".join(f"{name} {cells[0]}" for name, cells in peaks))
    return "\n".join(parts)


def targets(title, found):
    words = {True: "met", False: "NOT MET", None: ""}
    rows = [(t.text, [t.measured if t.measured is not None else "not measured", words[t.met]]) for t in found]
    return _grid(title, ["measured", ""], rows)
