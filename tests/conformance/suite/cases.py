"""The tables: files of cases in the notation that README.md describes."""

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
TABLES = ("requests", "responses", "smuggling")

CUT, WAIT = "cut", "wait"  # marks between the bytes of a message
DEFAULT_SEND = rb"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".decode("unicode_escape").encode()

ASSERTIONS = {"line", "has", "lacks", "list", "body", "framing", "trailer", "notrailer", "status", "interim", "kept", "closed"}
KINDS = {"forwarded", "refused", "answered", "dropped", "passed", "broken"}


class Malformed(Exception):
    """A table cannot be read; the text says where and why."""


@dataclass
class Step:
    """One thing that happens: see README.md for the kinds."""

    kind: str
    statuses: tuple = ()
    assertions: list = field(default_factory=list)  # (keyword, bytes)

    def all(self, keyword):
        return [value for name, value in self.assertions if name == keyword]

    def says(self, keyword):
        return any(name == keyword for name, _ in self.assertions)


@dataclass
class Case:
    name: str = ""
    table: str = ""
    group: str = ""
    rfc: str = ""
    why: str = ""
    send: list = field(default_factory=lambda: [DEFAULT_SEND])  # bytes and marks
    upstream: list = None  # the same; None: an ordinary answer to each request
    end: str = "keep"  # of the upstream's connection, after these bytes
    wants: list = field(default_factory=list)  # lists of Steps, of which one must come true


def load(tables=TABLES):
    """All cases of these tables, in order."""
    return [case for table in tables for path in sorted((FOLDER / table).glob("*.txt")) for case in read(path, table)]


def read(path, table):
    reader = Reader(path, table)
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        try:
            reader.line(line)
        except (Malformed, ValueError, KeyError) as e:
            raise Malformed(f"{path.name}:{number}: {e}") from None
    return reader.finish()


class Reader:
    def __init__(self, path, table):
        self.file, self.table = path.name, table
        self.names = {}
        self.defaults = Case(table=table)
        self.case = None
        self.cases = []
        self.text = None  # what a line that goes on is added to
        self.own_wants = False

    def line(self, line):
        if not line.strip() or line.startswith("#"):
            return
        if line[0] == " ":
            if self.text is None:
                raise Malformed("nothing to go on with")
            self.text += decode(line.strip(), self.names)
            return
        keyword, _, rest = line.partition(" ")
        rest = rest.strip()
        self.text = None
        target = self.case or self.defaults
        if keyword == "define":
            name, _, value = rest.partition(" ")
            self.names[name] = decode(value.strip(), self.names)
        elif keyword == "group":
            self.close()
            self.defaults = Case(table=self.table, group=rest)
        elif keyword == "case":
            self.close()
            self.case = copy.deepcopy(self.defaults)
            self.case.name = rest
        elif keyword in ("rfc", "why", "end"):
            setattr(target, keyword, rest)
        elif keyword in ("send", "upstream"):
            self.text = decode(rest, self.names)
            setattr(target, keyword, self.text)
        elif keyword == "want":
            if self.case and not self.own_wants:
                self.case.wants = []
                self.own_wants = True
            target.wants.append([step(rest)])
        elif keyword == "then":
            target.wants[-1].append(step(rest))
        elif keyword in ASSERTIONS:
            target.wants[-1][-1].assertions.append((keyword, plain(decode(rest, self.names))))
        else:
            raise Malformed(f"no keyword {keyword!r}")

    def close(self):
        if self.case:
            for what in ("name", "group", "rfc", "why", "send", "wants"):
                if not getattr(self.case, what):
                    raise Malformed(f"the case {self.case.name!r} before this line has no {what}")
            if any(case.name == self.case.name and case.group == self.case.group for case in self.cases):
                raise Malformed(f"two cases {self.case.name!r}")
            self.cases.append(self.case)
        self.case, self.own_wants = None, False

    def finish(self):
        try:
            self.close()
        except Malformed as e:
            raise Malformed(f"{self.file}: {e}") from None
        return self.cases


def step(text):
    kind, *statuses = text.split()
    if kind not in KINDS:
        raise Malformed(f"no verdict {kind!r}")
    return Step(kind, tuple(int(s) for s in statuses))


ESCAPE = re.compile(r"\\(?:([rnt0s\\|~])|x([0-9a-fA-F]{2})|\{(\w+)\}|\((.*?)\*(\d+)\))")
SIMPLE = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "s": b" ", "\\": b"\\"}


def decode(text, names):
    """Escape notation to a list of bytes and marks, with no two pieces of bytes side by side."""
    parts, at = [], 0
    while at < len(text):
        if text[at] != "\\":
            stop = text.find("\\", at)
            stop = len(text) if stop < 0 else stop
            parts.append(text[at:stop].encode("ascii"))
            at = stop
            continue
        found = ESCAPE.match(text, at)
        if not found:
            raise Malformed(f"malformed escape at {text[at:at + 10]!r}")
        simple, code, name, repeated, times = found.groups()
        if simple in SIMPLE:
            parts.append(SIMPLE[simple])
        elif simple:
            parts.append(CUT if simple == "|" else WAIT)
        elif code:
            parts.append(bytes([int(code, 16)]))
        elif name:
            parts += names[name]
        else:
            parts.append(plain(decode(repeated, names)) * int(times))
        at = found.end()
    return Text(parts)


class Text(list):
    """Bytes and marks; adding joins them."""

    def __init__(self, parts=()):
        super().__init__()
        self += parts

    def __iadd__(self, parts):
        for part in parts:
            if isinstance(part, bytes) and self and isinstance(self[-1], bytes):
                self[-1] += part
            else:
                self.append(part)
        return self


def plain(parts):
    """Text without marks as bytes."""
    if any(not isinstance(part, bytes) for part in parts):
        raise Malformed("no marks are allowed here")
    return b"".join(parts)
