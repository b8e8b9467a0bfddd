#!/usr/bin/env python3
"""Sends the cases of the tables to headgate, and to other servers beside it, and says what came out differently."""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from suite import cases, report  # noqa: E402
from suite.exchange import Slot  # noqa: E402
from suite.servers import SERVERS, Unavailable  # noqa: E402


class Run:
    """All cases through one server, a few at a time."""

    def __init__(self, kind, wanted, options):
        self.kind, self.options = kind, options
        self.todo = list(wanted)
        self.deviations = {}  # case: what happened
        self.errors = []
        self._lock = threading.Lock()

    def go(self):
        slots = [threading.Thread(target=self.slot) for _ in range(min(self.options.slots, len(self.todo)))]
        for slot in slots:
            slot.start()
        for slot in slots:
            slot.join()
        if self.errors:
            raise self.errors[0]
        return self.deviations

    def slot(self):
        slot = None
        try:
            slot = Slot(self.kind)
            while case := self.next():
                if problem := slot.play(case, self.options.cut):
                    self.deviations[id(case)] = problem
                    if self.options.verbose:
                        print(f"{self.kind.name}: {case.group}: {case.name}: {problem}", file=sys.stderr, flush=True)
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
        finally:
            if slot:
                try:
                    slot.stop()
                except AssertionError as e:
                    self.errors.append(e)

    def next(self):
        with self._lock:
            return self.todo.pop(0) if self.todo and not self.errors else None


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(cases.TABLES), help="which tables (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this text in their name or group")
    parser.add_argument("--peers", default="", help="compare with these: nginx, haproxy, or both with a comma")
    parser.add_argument("--cut", type=int, default=0, metavar="N", help="send everything in pieces of N bytes")
    parser.add_argument("--slots", type=int, default=4, help="cases at a time, each with a server process of its own")
    parser.add_argument("--output", type=Path, metavar="FILE", help="put the report into its section of this file")
    parser.add_argument("--verbose", action="store_true", help="show deviations as they come")
    options = parser.parse_args()
    for name in filter(None, options.peers.split(",")):
        if name not in SERVERS:
            parser.error(f"there is no {name}; there are nginx and haproxy")
    return options


def main():
    options = parse_arguments()
    wanted = [case for case in cases.load(options.tables.split(",")) if options.only in f"{case.group}: {case.name}"]
    if not wanted:
        sys.exit("no such case")
    begun = time.monotonic()
    results = {}
    for name in ["headgate", *filter(None, options.peers.split(","))]:
        try:
            results[name] = Run(SERVERS[name], wanted, options).go()
        except Unavailable as problem:
            sys.exit(f"{name}: {problem}")
    for line in report.text(wanted, results):
        print(line)
    print(f"in {time.monotonic() - begun:.1f} s")
    if options.output:
        report.save(options.output, report.markdown(wanted, results))
    return 1 if results["headgate"] else 0


if __name__ == "__main__":
    if not os.environ.get("HEADGATE_BIN"):
        sys.exit("HEADGATE_BIN must name headgate's program")
    sys.exit(main())
