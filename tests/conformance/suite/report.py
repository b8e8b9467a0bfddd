"""What came out: as text, and as the section of a page of documentation."""

import platform
import shlex
import sys
import textwrap
from itertools import groupby

from .servers import SERVERS

BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"


def groups(cases):
    """((table, group), cases of the group) in order."""
    return [(key, list(members)) for key, members in groupby(cases, lambda case: (case.table, case.group))]


def passed(members, deviations):
    return sum(id(case) not in deviations for case in members)


def text(cases, results):
    for name, deviations in results.items():
        for case in cases:
            if id(case) in deviations:
                yield f"{name}: {case.table}: {case.group}: {case.name} (RFC {case.rfc}): {deviations[id(case)]}"
    for name, deviations in results.items():
        yield f"{name}: {passed(cases, deviations)} of {len(cases)} cases"


def markdown(cases, results):
    names = ", ".join(f"{name} {SERVERS[name].version()}" for name in results)
    lines = textwrap.wrap(f"Made with `{command()}`: {len(cases)} cases, {names}, Linux {platform.release()}.", 120,
                          break_on_hyphens=False)
    lines += ["", "| table | cases |" + "".join(f" {name} |" for name in results), "|---|--:|" + "--:|" * len(results)]
    for (table, group), members in groups(cases):
        scores = "".join(f" {passed(members, deviations)} |" for deviations in results.values())
        lines.append(f"| {table}: {group} | {len(members)} |{scores}")
    totals = "".join(f" **{passed(cases, deviations)}** |" for deviations in results.values())
    lines.append(f"| **all** | **{len(cases)}** |{totals}")
    return "\n".join(lines + deviations_table(cases, results)) + "\n"


def deviations_table(cases, results):
    """Every case that did not come out as it should with one of them."""
    rows = [case for case in cases if any(id(case) in deviations for deviations in results.values())]
    if not rows:
        return []
    names = [name for name, deviations in results.items() if deviations]
    lines = ["", "| what came out otherwise | RFC |" + "".join(f" {name} |" for name in names), "|---|---|" + "---|" * len(names)]
    for case in rows:
        cells = "".join(f" {cell(results[name].get(id(case)))} |" for name in names)
        lines.append(f"| {escaped(case.group)}: {escaped(case.name)} | {case.rfc} |{cells}")
    return lines


SAID = ("the status is", "the connection was kept", "the upstream got", "the client got")  # in `happened` already


def cell(deviation):
    if deviation is None:
        return ""
    details = [wrong for wrong in deviation.wrong if not wrong.startswith(SAID) and not wrong[0].isdigit()]
    return escaped(deviation.happened + (f" ({'; or '.join(details)})" if details else ""))


def escaped(words):
    for character in "\\|*`_[]":
        words = words.replace(character, "\\" + character)
    return words.replace("<", "&lt;")


def command():
    words, skip = ["./dev", "conformance"], False
    for word in sys.argv[1:]:  # without the name of a file of this machine
        if not skip and not word.startswith("--output"):
            words.append(word)
        skip = word == "--output"
    return shlex.join(words)


def save(path, words):
    """Puts the report between the markers of the page."""
    old = path.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        sys.exit(f"{path} has no place for the report: {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{words}{END}{tail}", encoding="utf-8")
