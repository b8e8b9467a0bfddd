"""The report of a comparison, in Markdown."""

import os
import platform
import re
import shlex
import statistics
import sys
import textwrap
from pathlib import Path

from proxies import PEERS, Headgate, Unavailable, bulk_settings

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def number(value):
    """Three digits that mean something."""
    if value < 0.0005:
        return "0"
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def spread(values):
    return f"{number(statistics.median(values))} [{number(min(values))} - {number(max(values))}]"


def markdown(scenarios, results, options, network, seconds):
    paragraphs = [
        f"Measured in {seconds:.0f} s with `{command()}` on {machine()}, over {network}. {versions(options)}.",
        f"Each proxy has one worker, alone on core {options.proxy_core}; load and origin are on core "
        f"{options.load_core}. The proxies take turns; each value is the median of {rounds(options)}, "
        "[least - most]. Less is better.",
        "CPU is what the scheduler has accounted, in nanoseconds, to all threads of the proxy and to the kernel thread "
        "for network work of its core. On loopback it includes the receiving side's work for what the proxy sends, and "
        "not the proxy's for what it is sent: the same for all of them. Memory is the proportional set size.",
        f"For large bodies: {bulk_settings()}."]
    lines = []
    for paragraph in paragraphs:
        lines += wrap(paragraph) + [""]
    if options.output:
        lines += [f"![Each proxy in each scenario, the best peer being 1]({options.output.with_suffix('.svg').name})", ""]
    lines += summary(scenarios, results) + [""]
    for scenario in scenarios:
        lines += table(scenario, results[scenario.name]) + [""]
    lines += wrap(noise(results))
    return "\n".join(lines).rstrip() + "\n"


def wrap(text):
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def medians_of(measured):
    """The medians by name."""
    return {name: statistics.median(m.values) for name, m in measured.items() if m.values and not m.problem}


def peers_of(measured):
    """Those that headgate is compared with: not itself, and no limit."""
    return [name for name in measured if name not in ("headgate", "direct") and not name.endswith(" relay")]


def best_of(measured):
    """(name, median) of the best peer; (None, None) without one."""
    medians = medians_of(measured)
    return min(((name, medians[name]) for name in peers_of(measured) if name in medians), key=lambda both: both[1],
               default=(None, None))


def summary(scenarios, results):
    rows = [["scenario", "headgate", "best peer", "", "ratio", "aim"]]
    for scenario in scenarios:
        measured = results[scenario.name]
        medians, (best, value) = medians_of(measured), best_of(measured)
        ours = medians.get("headgate")
        reached, aim = ratio(ours, value), ""
        if scenario.aim and scenario.aim_of == "best peer":
            aim = f"{scenario.aim:.2f}"
        elif scenario.aim:
            aim = f"{scenario.aim:.2f} of {scenario.aim_of}: {ratio(ours, medians.get(scenario.aim_of))}"
        rows.append([scenario.name, number(ours) if ours is not None else "-",
                     f"{number(value)} ({best})" if best else "-", scenario.unit, reached, aim])
    return align(rows)


def table(scenario, measured):
    medians, (_, best) = medians_of(measured), best_of(measured)
    rows = [["", scenario.unit, "to best peer", scenario.rate_unit, *scenario.columns]]
    problems = [f"{name}: {m.problem}." for name, m in measured.items() if m.problem]
    for name, m in measured.items():
        if m.problem:
            continue
        rows.append([name, spread(m.values) if m.values else "-", ratio(medians.get(name), best),
                     number(statistics.median(m.rates)) if m.rates else "-",
                     *(number(statistics.median(m.more[c])) if c in m.more else "-" for c in scenario.columns)])
    if not scenario.rate_unit:
        rows = [row[:3] + row[4:] for row in rows]
    text = wrap(f"**{scenario.name}**: {scenario.title}") + [""] + align(rows)
    return text + [""] + wrap(" ".join(problems)) if problems else text


def ratio(value, base):
    return f"{value / base:.2f}" if value is not None and base else "-"


def align(rows):
    """A Markdown table whose source is aligned as well: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths = [max(w, 3) for w in widths]

    def line(row):
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        return "| " + " | ".join(cells) + " |"
    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (w + 1) + ":" for w in widths[1:]]) + "|"
    return [line(rows[0]), rule] + [line(row) for row in rows[1:]]


def noise(results):
    """What else ran on the proxies' core: whether the run can be trusted."""
    others = [share for by_name in results.values() for m in by_name.values() for share in m.others]
    if not others:
        return ""
    text = (f"Other programs had {100 * statistics.median(others):.0f} % of the proxies' core during a measurement "
            f"(median), {100 * max(others):.0f} % at most.")
    return text + (" That is much: repeat this on a quieter machine." if statistics.median(others) > 0.1 else "")


def rounds(options):
    return "1 round" if options.rounds == 1 else f"{options.rounds} rounds"


def command():
    words = ["./dev", "bench"]
    skip = False
    for word in sys.argv[1:]:  # without what names files of this machine
        private = word.split("=")[0] in ("--headgate", "--before", "--tools", "--output")
        if not private and not skip:
            words.append(word)
        skip = private and "=" not in word
    return shlex.join(words)


def machine():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    name = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({name}), Linux {platform.release()}"


def versions(options):
    found = []
    for proxy in (Headgate(options.headgate), *(PEERS[name]() for name in options.peers)):
        try:
            found.append(f"{proxy.name} {proxy.version()}")
        except (Unavailable, IndexError, AttributeError, OSError):
            found.append(f"{proxy.name} (not there)")
    return "Versions: " + ", ".join(found)


def save(path, text):
    """Writes the report to `path`; between its two markers, if the file has them."""
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        head, _, rest = old.partition(BEGIN)
        text = head + BEGIN + "\n" + text + END + rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
