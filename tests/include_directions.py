#!/usr/bin/env python3
"""Checks the direction of every include in the project: which room may know which.

usage: include_directions.py [CHECKOUT]      prints one line for each violation and exits with 1 if there is one
"""

import pathlib
import re
import sys

# The rule table. A room may include itself and the rooms named here.
ALL = None
ROOMS = {
    "headgate/core": [],
    "headgate/flow": ["headgate/core"],
    "headgate/tabular": ["headgate/core"],
    "headgate/stages": ["headgate/flow", "headgate/tabular", "headgate/core"],
    "headgate/io": ["headgate/flow", "headgate/core"],
    "headgate/http": ["headgate/io", "headgate/flow", "headgate/core"],
    "headgate/db": ["headgate/io", "headgate/flow", "headgate/tabular", "headgate/core"],
    "headgate/testing": ["headgate/flow", "headgate/io", "headgate/core"],
    "gateway": ALL,
    "examples": ALL,
    "tests": ALL,
    "bench": ALL,
    "fuzz": ALL,
    "demo": ALL,
}
# A test (*_test.cpp) in any room may include these as well.
TESTS_ALSO = ["headgate/testing"]

# Rooms that know no operating system. Their tests may.
WITHOUT_OS = ["headgate/core", "headgate/flow", "headgate/tabular", "headgate/stages"]
OS_HEADER = re.compile(
    r"(sys|net|netinet|arpa|linux|asm)/.*|(unistd|fcntl|poll|signal|pthread|netdb|dirent|ifaddrs|sched|spawn|termios)\.h")

# The HTTP parsers take bytes and do no I/O: these files (.hpp and .cpp) of headgate/http include nothing of io.
HTTP_PARSERS = ["message", "parser", "chunked", "writer"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def room_of(path):
    """The room of a path from the root, or None: headgate/io/tcp.hpp is in headgate/io, gateway/cli/main.cpp in gateway."""
    parts = path.split("/")
    if len(parts) < 2:
        return None
    return "/".join(parts[:2]) if parts[0] == "headgate" else parts[0]


def check_file(path, text):
    """Yields (line, what is wrong) for one file. `path` is from the root, with slashes."""
    name = path.rsplit("/", 1)[-1]
    room = room_of(path)
    if room not in ROOMS:
        yield 1, f"{room} is not in the rule table"
        return

    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    if name.endswith(".hpp"):
        code = (line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("//"))
        if next(code, "") != "#pragma once":
            yield 1, "a header starts with #pragma once"

    is_test = name.endswith("_test.cpp")
    allowed = ROOMS[room]
    if allowed is not ALL:
        allowed = [room, *allowed, *(TESTS_ALSO if is_test else [])]
    is_parser = room == "headgate/http" and not is_test and name.split(".")[0] in HTTP_PARSERS

    for match in INCLUDE.finditer(text):
        quote, included = match.groups()
        line = text.count("\n", 0, match.start(1)) + 1
        if quote == '"':
            yield line, f'"{included}": includes are written <from/the/root.hpp>'
        elif included.startswith(("headgate/", "gateway/")):
            target = room_of(included)
            if target not in ROOMS:
                yield line, f"<{included}>: {target} is not in the rule table"
            elif allowed is not ALL and target not in allowed:
                yield line, f"<{included}>: {room} may not include {target}"
            elif is_parser and target == "headgate/io":
                yield line, f"<{included}>: an HTTP parser does no I/O"
        elif room in WITHOUT_OS and not is_test and OS_HEADER.fullmatch(included):
            yield line, f"<{included}>: {room} knows no operating system"


def check_tree(root):
    """All violations in a checkout, as lines of text, and the number of files read."""
    violations, files = [], 0
    for top in sorted({room.split("/")[0] for room in ROOMS}):
        for path in sorted((root / top).rglob("*.[ch]pp")):
            files += 1
            name = path.relative_to(root).as_posix()
            for line, what in check_file(name, path.read_text(encoding="utf-8")):
                violations.append(f"{name}:{line}: {what}")
    return violations, files


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    violations, files = check_tree(root)
    for violation in violations:
        print(violation)
    print(f"{files} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
