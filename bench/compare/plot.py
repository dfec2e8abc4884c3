"""The figures as a picture: a panel per question, a bar per system and configuration."""
from question import NAMES


def draw(questions, measured, setting, to):
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    if not questions:
        return
    across = 2
    down = (len(questions) + across - 1) // across
    figure, panels = pyplot.subplots(down, across, figsize=(16, 4.2 * down + 1), squeeze=False)
    colours = dict(zip(NAMES, pyplot.get_cmap("tab20").colors))
    for panel in panels.flat[len(questions):]:
        panel.axis("off")
    for question, panel in zip(questions, panels.flat):
        columns = [c.name for c in question.columns]
        systems = [s for s in NAMES if any(measured.all(question.key, c, s) for c in columns)]
        width = .85 / max(1, len(systems))
        for i, system in enumerate(systems):
            bars = [(x + (i - (len(systems) - 1) / 2) * width, measured.median(question.key, c, system)) for x, c in enumerate(columns)]
            bars = [(x, height) for x, height in bars if height is not None and height > 0]
            panel.bar([x for x, _ in bars], [height for _, height in bars], width, color=colours[system], label=NAMES[system])
        values = [v for c in columns for s in systems for v in measured.all(question.key, c, s) if v > 0]
        if values and max(values) > 20 * min(values):
            panel.set_yscale("log")
        panel.set_xticks(range(len(columns)), columns, fontsize=8)
        panel.set_ylabel(question.unit, fontsize=8)
        panel.set_title(f"{question.key}: {question.title}" + (" (more is better)" if question.more_is_better else " (less is better)"), fontsize=9, wrap=True)
        panel.legend(fontsize=6)
    figure.suptitle("\n".join(f"{name}: {value}" for name, value in setting.items()), fontsize=8, x=.01, ha="left")
    figure.tight_layout(rect=(0, 0, 1, .97 if down > 1 else .9))
    figure.savefig(to)
