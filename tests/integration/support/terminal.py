"""A program on a terminal of its own, and what that terminal shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([^\x1b])", re.DOTALL)


class Terminal:
    """`text()` is what a person sees: cursor movement, erasing and the two pages of a terminal are understood, no more is used."""

    def __init__(self, arguments, columns=100, rows=24, environment=None):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave  # kept open, so that its state can be seen after the end
        self.lines, self.at, self.alternate, self.cursor = {}, (1, 1), False, True
        self.bytes = 0
        self._rest = ""
        self.resize(columns, rows)
        self.process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env=os.environ | {"TERM": "xterm"} | (environment or {}),
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, within):
        if not select.select([self.master], [], [], within)[0]:
            return
        data = os.read(self.master, 65536)
        self.bytes += len(data)
        text, self._rest = self._rest + data.decode("utf-8", "replace"), ""
        at = text.rfind("\x1b")
        if at >= 0 and not TOKEN.match(text, at):
            text, self._rest = text[:at], text[at:]
        for private, numbers, order, char in TOKEN.findall(text):
            self._take(private, numbers, order, char)

    def _take(self, private, numbers, order, char):
        row, column = self.at
        if char == "\n":
            self.at = (row + 1, 1)
        elif char == "\r":
            self.at = (row, 1)
        elif char:
            self.lines.setdefault(row, {})[column] = char
            self.at = (row, column + 1)
        elif private and numbers == "1049":
            self.alternate, self.lines = order == "h", {}
        elif private and numbers == "25":
            self.cursor = order == "h"
        elif order == "H":
            self.at = tuple(map(int, numbers.split(";"))) if numbers else (1, 1)
        elif order == "J":
            self.lines = {}
        elif order == "K":
            self.lines[row] = {c: t for c, t in self.lines.get(row, {}).items() if c < column}

    def text(self):
        rows = []
        for row in range(1, max(self.lines, default=0) + 1):
            line = self.lines.get(row, {})
            rows.append("".join(line.get(c, " ") for c in range(1, max(line, default=0) + 1)).rstrip())
        return "\n".join(rows)

    def wait_for(self, pattern, within=20.0):
        """Reads until the screen fits; gives the match."""
        until = time.monotonic() + within
        while not (found := re.search(pattern, self.text(), re.MULTILINE)):
            left = until - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {pattern!r} on the terminal within {within} s:\n{self.text()}")
            self.read(left)
        return found

    def wait_exit(self, within=20.0):
        until = time.monotonic() + within
        while self.process.poll() is None:
            if time.monotonic() > until:
                raise AssertionError(f"it runs on:\n{self.text()}")
            self.read(0.05)
        while select.select([self.master], [], [], 0)[0]:
            self.read(0)
        return self.process.returncode

    def restored(self):
        """Whether the terminal is as it was before."""
        return termios.tcgetattr(self.slave) == self.before and self.cursor and not self.alternate

    def stopped(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
