"""The gateways under load, looked at once a second."""

import asyncio
import collections
import re
import time
from pathlib import Path

from support import Gateway
from support.gateway import LISTENING

PIPES_IDLE_MAX = 16  # pipes a worker keeps for reuse; two descriptors each
CACHES_MAX = 20 << 20  # bytes a worker may keep free: chunk_cache_bytes_max and frame_cache_bytes_max
ALLOCATOR_MAX = 6 << 20  # bytes that the system's allocator may keep besides

BUSY = ("connections", "requests", "upstream_busy", "upstream_idle", "buffer_bytes", "pipes")
RESTING = ("frames", "waits", "timers")


class Watched(Gateway):
    """A gateway whose access log is counted and not kept."""

    def __init__(self, *arguments, workers, **how):
        self.ends, self.lines, self.workers = collections.Counter(), 0, workers
        super().__init__(*arguments, workers=workers, **how)
        self.rest = self.look()

    def look(self):
        """What it holds now. Takes some milliseconds."""
        kinds = self.descriptors()
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        rss, pss = (int(re.search(rf"^{name}: +(\d+) kB", rollup, re.MULTILINE)[1]) * 1024 for name in ("Rss", "Pss"))
        return self.live() | {
            "rss": rss, "pss": pss, "sockets": kinds["socket"], "pipe_ends": kinds["pipe"],
            "open": sum(kinds.values())}

    def _read_stdout(self):
        for text in self.process.stdout:
            if end := re.search(r'"cause":"(\w+)"', text):
                self.ends[end[1]] += 1
                self.lines += 1
            elif listening := LISTENING.fullmatch(text.rstrip("\n")):
                self._listening = listening
            else:
                self.malformed.append(text)

    def unrest(self):
        """What is not as it was before the load, in words; empty if all is."""
        now = self.look()
        found = [f"{name} {now[name]}" for name in BUSY if now[name]]
        found += [f"{name} {self.rest[name]} -> {now[name]}" for name in RESTING if now[name] != self.rest[name]]
        if now["sockets"] != self.rest["sockets"]:
            found.append(f"sockets {self.rest['sockets']} -> {now['sockets']}")
        pipes = now["pipe_ends"] - self.rest["pipe_ends"]
        if pipes > 2 * PIPES_IDLE_MAX * self.workers:
            found.append(f"pipe descriptors {self.rest['pipe_ends']} -> {now['pipe_ends']}")
        if now["open"] - pipes != self.rest["open"]:
            found.append(f"descriptors {self.rest['open']} -> {now['open'] - pipes} besides pipes")
        most = self.rest["rss"] + self.workers * CACHES_MAX + ALLOCATOR_MAX
        if now["rss"] > most:
            found.append(f"resident bytes {self.rest['rss']} -> {now['rss']}, more than {most}")
        return found


class Watch:
    """Samples of `gateways` ({name: Watched}) and of the clients' tally."""

    def __init__(self, gateways, tally):
        self.gateways, self.tally = gateways, tally
        self.begun = time.monotonic()
        self.samples = []
        self._requests = self._failures = 0

    def at(self, moment):
        return moment - self.begun

    async def sample(self):
        looks = await asyncio.gather(*(asyncio.to_thread(gateway.look) for gateway in self.gateways.values()))
        latencies = self.tally.take_latencies()
        sample = {
            "time": self.at(time.monotonic()), "gateways": dict(zip(self.gateways, looks)),
            "p50": quantile(latencies, 0.5), "p99": quantile(latencies, 0.99),
            "requests": self.tally.requests - self._requests, "failures": self.tally.failures - self._failures}
        self._requests, self._failures = self.tally.requests, self.tally.failures
        self.samples.append(sample)
        return sample

    async def until(self, seconds, told):
        """One sample per second; `told` is called with each."""
        for turn in range(1, int(seconds) + 1):
            await asyncio.sleep(max(self.begun + turn - time.monotonic(), 0))
            told(await self.sample())


def quantile(values, q):
    """Of sorted values; None if there are none."""
    return values[min(int(len(values) * q), len(values) - 1)] if values else None


__all__ = ["Watch", "Watched", "quantile"]
