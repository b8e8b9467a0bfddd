"""Plots of a soak: one SVG file with four panels over the same time."""

from html import escape

WIDTH, HEIGHT = 960, 660
PANEL_WIDTH, PANEL_HEIGHT = 372, 190
LEFTS, TOPS = (72, 564), (92, 366)
COLOURS = ("#1f5fa8", "#c2571a", "#5b8c3b", "#7b4fa3")
STYLE = """
    text { font-family: system-ui, sans-serif; fill: #1c2b44; font-size: 12.5px; }
    .title { font-size: 17px; font-weight: 600; }
    .name { font-size: 14px; font-weight: 600; }
    .small { fill: #55657f; font-size: 11.5px; }
    .grid { stroke: #e1e6ee; stroke-width: 1; }
    .axis { stroke: #8a99b0; stroke-width: 1; fill: none; }
    .kill { stroke: #c0392b; stroke-width: 1.2; }
    .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
    .after { fill: #f1f4f8; }
"""


def nice_step(most, steps):
    """1, 2 or 5 times a power of ten, so that `most` has about so many steps."""
    rough = max(most, 1e-9) / steps
    power = 10.0
    while power > rough:
        power /= 10
    while power * 10 <= rough:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def label(value):
    return f"{value:,.10g}"


class Panel:
    """`lines` are (name, [value or None for each of `times`])."""

    def __init__(self, title, unit, times, lines):
        self.title, self.unit, self.times, self.lines = title, unit, times, lines
        self.most = max((v for _, values in lines for v in values if v is not None), default=1) * 1.08 or 1

    def draw(self, left, top, until, load_end, kills):
        x = lambda time: left + PANEL_WIDTH * time / until
        y = lambda value: top + PANEL_HEIGHT * (1 - value / self.most)
        bottom, right = top + PANEL_HEIGHT, left + PANEL_WIDTH
        out = [f'<rect class="after" x="{x(load_end):.1f}" y="{top}" width="{right - x(load_end):.1f}" '
               f'height="{PANEL_HEIGHT}"/>',
               f'<text class="name" x="{left}" y="{top - 26}">{escape(self.title)}</text>',
               f'<text class="small" x="{left - 8}" y="{top - 8}" text-anchor="end">{escape(self.unit)}</text>']
        for value in ticks(self.most, 6):
            out.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                       f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{label(value)}</text>')
        scale, name = (60, "min") if until > 180 else (1, "s")
        for value in ticks(until / scale, 8):
            at = x(value * scale)
            out.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
                       f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{label(value)}</text>')
        out.append(f'<text class="small" x="{right}" y="{bottom + 34}" text-anchor="end">time ({name})</text>')
        out += [f'<line class="kill" x1="{x(kill):.1f}" x2="{x(kill):.1f}" y1="{top}" y2="{top + 8}"/>'
                for kill in kills]
        out.append(f'<path class="axis" d="M{left},{top} V{bottom} H{right}"/>')
        for colour, (_, values) in zip(COLOURS, self.lines):
            out += [f'<polyline class="line" stroke="{colour}" points="{run}"/>' for run in self.runs(values, x, y)]
        return out + self.legend(left, top)

    def runs(self, values, x, y):
        """Each stretch of values without a gap, as the points of a polyline."""
        run = []
        for time, value in [*zip(self.times, values), (0, None)]:
            if value is not None:
                run.append(f"{x(time):.1f},{y(value):.1f}")
            elif run:
                yield " ".join(run)
                run = []

    def legend(self, left, top):
        out, at = [], left + 4
        for colour, (name, _) in zip(COLOURS, self.lines):
            out.append(f'<path class="line" stroke="{colour}" d="M{at},{top - 11} h16"/>'
                       f'<text class="small" x="{at + 21}" y="{top - 7}">{escape(name)}</text>')
            at += 34 + 6.3 * len(name)
        return out


def ticks(most, steps):
    step = nice_step(most, steps)
    count = int(most / step)
    return [step * i for i in range(count + 1)]


def panels_of(samples):
    """What a soak's samples show."""
    times = [sample["time"] for sample in samples]
    names = list(samples[0]["gateways"])

    def of(gateway, what, unit=1):
        return [sample["gateways"][gateway][what] / unit for sample in samples]

    def milliseconds(what):
        return [sample[what] and sample[what] * 1000 for sample in samples]

    mib = 1 << 20
    memory = [line for name in names for line in ((f"{name}, resident", of(name, "rss", mib)),
                                                  ("buffers", of(name, "buffer_bytes", mib)))]
    return [Panel("Memory", "MiB", times, memory),
            Panel("Open descriptors", "", times, [(name, of(name, "open")) for name in names]),
            Panel("Live coroutine frames", "", times, [(name, of(name, "frames")) for name in names]),
            Panel("Latency of small requests", "ms", times,
                  [("median", milliseconds("p50")), ("99th percentile", milliseconds("p99"))])]


def svg(title, notes, samples, load_end, kills):
    """The whole file. `kills` are when the origin was killed, `load_end` when the load ended, in seconds."""
    until = max(samples[-1]["time"], load_end)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">', f"<style>{STYLE}</style>",
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           f'<text class="title" x="24" y="34">{escape(title)}</text>']
    for i, panel in enumerate(panels_of(samples)):
        out += panel.draw(LEFTS[i % 2], TOPS[i // 2], until, load_end, kills)
    for i, note in enumerate(notes):
        out.append(f'<text class="small" x="24" y="{HEIGHT - 12 - 17 * (len(notes) - 1 - i)}">{escape(note)}</text>')
    return "\n".join(out + ["</svg>", ""])
