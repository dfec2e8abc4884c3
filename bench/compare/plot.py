"""The figures as a picture: a panel per question; a point is a median, the line through it reaches from the least to the most of the rounds."""
import itertools

from question import NAMES

ACROSS = 2
HEADER, PANEL = 2.6, 3.6  # inches


def _draw_panel(panel, question, measured, colours):
    columns = [c.name for c in question.columns]
    systems = [s for s in NAMES if any(measured.all(question.key, c, s) for c in columns)]
    everything = [v for c in columns for s in systems for v in measured.all(question.key, c, s)]
    for i, system in enumerate(systems):
        for x, column in enumerate(columns):
            if values := measured.all(question.key, column, system):
                at = x + (i - (len(systems) - 1) / 2) * .8 / len(systems)
                panel.vlines(at, min(values), max(values), color=colours[system], linewidth=1.5)
                panel.plot(at, measured.median(question.key, column, system), "o" if system != "penstock" else "D", color=colours[system], markersize=6)
    for x in range(1, len(columns)):
        panel.axvline(x - .5, color="0.85", linewidth=.8)
    if min(everything) > 0 and max(everything) > 5 * min(everything):
        panel.set_yscale("log")
    else:
        panel.set_ylim(0, 1.1 * max(everything) or 1)
    panel.set_xlim(-.5, len(columns) - .5)
    panel.set_xticks(range(len(columns)), columns, fontsize=8)
    panel.grid(axis="y", color="0.9")
    panel.set_axisbelow(True)
    panel.set_ylabel(f"{question.unit} ({'more' if question.more_is_better else 'less'} is better)", fontsize=8)
    panel.set_title(f"{question.key}: {question.title}", fontsize=8)
    return systems


def draw(questions, measured, setting, to):
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    if not questions:
        return
    down = (len(questions) + ACROSS - 1) // ACROSS
    height = HEADER + PANEL * down
    figure, panels = pyplot.subplots(down, ACROSS, figsize=(18, height), squeeze=False)
    colours = dict(zip(NAMES, itertools.cycle(pyplot.get_cmap("tab20").colors))) | {"penstock": "black"}
    drawn = set()
    for question, panel in zip(questions, panels.flat):
        drawn.update(_draw_panel(panel, question, measured, colours))
    for panel in panels.flat[len(questions):]:
        panel.axis("off")
    points = [Line2D([], [], marker="D" if s == "penstock" else "o", linestyle="", color=colours[s], label=NAMES[s]) for s in NAMES if s in drawn]
    figure.text(.02, 1 - .15 / height, "\n".join(f"{name}: {value}" for name, value in setting.items()), fontsize=8, va="top")
    figure.legend(handles=points, loc="upper left", bbox_to_anchor=(.02, 1 - 1.5 / height), ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - HEADER / height))
    figure.savefig(to)
