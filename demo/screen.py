"""What the demonstration prints: plain lines, a line of progress on a terminal, and a table at the end."""

import sys
import textwrap

WIDTH = 80
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


def size(count):
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(count) >= scale:
            return f"{count / scale:.{0 if count % scale == 0 else 1}f} {unit}"
    return f"{count} B"


def milliseconds(seconds):
    return f"{seconds * 1000:.1f}".removesuffix(".0") + " ms" if seconds < 1 else f"{seconds:.2f} s"


class Screen:
    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.verdicts = []
        self.under_progress = False

    def paint(self, colour, text):
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.terminal else text

    def line(self, text="", colour=None):
        if self.under_progress:
            sys.stdout.write("\r\033[K")
            self.under_progress = False
        print(self.paint(colour, text) if colour else text, flush=True)

    def scene(self, title, explanation):
        self.line()
        self.line(title, "bold")
        for text in textwrap.wrap(explanation, WIDTH - 2):
            self.line("  " + text, "dim")

    def progress(self, text):
        """What is going on right now: replaced by what follows. Nothing where there is no terminal."""
        if self.terminal:
            sys.stdout.write("\r\033[K  " + text[:WIDTH - 3])
            sys.stdout.flush()
            self.under_progress = True

    def verdict(self, what, expected, measured, good):
        """One thing that was to be shown. `good` is None where nothing is judged."""
        self.verdicts.append((what, expected, measured, good))
        self.line("  " + self.mark(good) + f" {what}: {measured}")

    def mark(self, good):
        return {True: self.paint("green", "ok  "), False: self.paint("red", "FAIL"), None: "-   "}[good]

    def table(self):
        self.line()
        rows = [("what", "expected", "measured")] + [v[:3] for v in self.verdicts]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]

        def cells(row):
            return "  ".join(text.ljust(width) for text, width in zip(row, widths))
        self.line(cells(rows[0]) + "  verdict", "bold")
        for row in self.verdicts:
            self.line(cells(row) + "  " + self.mark(row[3]).rstrip())
        failed = sum(v[3] is False for v in self.verdicts)
        self.line()
        if failed:
            self.line(f"{failed} of {len(self.verdicts)} failed.", "red")
        else:
            self.line(f"All {len(self.verdicts)} as expected.", "green")
        return failed == 0
