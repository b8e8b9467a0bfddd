"""The chart of a comparison: an SVG without anything it must load."""

import html

from report import best_of, medians_of, number, peers_of

COLOURS = {"headgate": "#0a7e6e", "nginx": "#7f8c99", "haproxy": "#a9b4bf", "caddy": "#c9b27a", "h2o": "#b9a0c4", "node": "#c99a8a",
           "splice relay": "#dde3e8", "copy relay": "#dde3e8"}
OTHER = "#a9b4bf"
LABELS, WIDTH, BAR, GAP = 150, 860, 12, 14
SHOWN_MAX = 4.0  # times the best peer: what is longer is cut


def chart(scenarios, results):
    """A group of bars per scenario, the best peer being 1; shorter is better."""
    parts, y = [], 46
    scale = (WIDTH - LABELS - 130) / SHOWN_MAX
    for scenario in scenarios:
        measured = results[scenario.name]
        medians, (_, best) = medians_of(measured), best_of(measured)
        if not best or "headgate" not in medians:
            continue
        names = ["headgate"] + sorted((n for n in peers_of(measured) if n in medians), key=medians.get)
        names += [n for n in medians if n.endswith(" relay")]
        parts.append(text(LABELS - 10, y + 10, scenario.name, "end", "bold"))
        parts.append(text(LABELS - 10, y + 24, scenario.unit, "end", small=True))
        for name in names:
            share = medians[name] / best
            length = max(1.0, min(share, SHOWN_MAX) * scale)
            parts.append(f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS.get(name, OTHER)}"/>')
            value = f"{name} {number(medians[name])}" + (f"  ({share:.1f} times)" if share > SHOWN_MAX else "")
            parts.append(text(LABELS + length + 5, y + 9, value, "start", small=True))
            y += BAR
        y += max(GAP, GAP + BAR * (2 - len(names)))
    one = LABELS + scale
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="#ffffff"/>',
            text(LABELS, 18, "What it costs, the best peer being 1: shorter is better", "start", "bold"),
            f'<line x1="{one:.1f}" y1="30" x2="{one:.1f}" y2="{y - 8}" stroke="#c0392b" stroke-dasharray="3 3"/>',
            text(one, 38, "1", "middle", small=True)]
    return "\n".join([*head, *parts, "</svg>", ""])


def text(x, y, what, anchor, weight="normal", small=False):
    size = ' font-size="10" fill="#444444"' if small else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"{size}>'
            f"{html.escape(what)}</text>")
