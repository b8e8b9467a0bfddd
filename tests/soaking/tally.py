"""What the clients have seen."""

import collections
import time

KEPT = 20  # of the failures that are told in words


class Tally:
    def __init__(self, upstream):
        self.upstream = upstream
        self.good = collections.Counter()  # by kind of client
        self.failed = collections.Counter()  # by how, and explained by an outage of the origin
        self.left = 0  # clients that vanished as they were meant to
        self.bytes = 0
        self.wrong = []  # bodies that were not what they should be
        self.unexplained = []  # failures that nothing can be blamed for
        self.wrong_count = self.unexplained_count = 0
        self.latencies = []  # of small requests since the last sample, in seconds
        self.slowest = 0.0

    def succeeded(self, kind, count=0, latency=None):
        self.good[kind] += 1
        self.bytes += count
        if latency is not None:
            self.latencies.append(latency)
            self.slowest = max(self.slowest, latency)

    def is_wrong(self, kind, problem):
        self.wrong_count += 1
        if len(self.wrong) < KEPT:
            self.wrong.append(f"{kind}: {problem}")

    def has_failed(self, kind, how, begin=None):
        """A request since `begin` was not answered, or not well. Without `begin` there is no excuse."""
        if begin is not None and self.upstream.explains(begin, time.monotonic()):
            self.failed[how] += 1
            return
        self.unexplained_count += 1
        if len(self.unexplained) < KEPT:
            self.unexplained.append(f"{kind}: {how}")

    def take_latencies(self):
        taken, self.latencies = sorted(self.latencies), []
        return taken

    @property
    def requests(self):
        return sum(self.good.values())

    @property
    def failures(self):
        return sum(self.failed.values()) + self.unexplained_count
