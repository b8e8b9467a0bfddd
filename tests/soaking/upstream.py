"""The origin's life: it is killed and started again, and what fails meanwhile has a reason."""

import asyncio
import random
import socket
import sys
import time
from pathlib import Path

SOON = 0.5  # seconds after its return in which a failure may still be due to the outage


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Upstream:
    def __init__(self):
        self.http_port, self.echo_port = free_port(), free_port()
        self.outages = []  # [begin, end or None]
        self._process = None

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", "-m", "soaking.origin", str(self.http_port), str(self.echo_port),
            cwd=Path(__file__).parent.parent, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        if await self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the origin did not start")

    async def stop(self):
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def come_and_go(self, seed):
        """Until it is cancelled: up for some seconds, killed, down for up to one second."""
        chance = random.Random(seed)
        while True:
            await asyncio.sleep(chance.uniform(4, 10))
            outage = [time.monotonic(), None]
            self.outages.append(outage)
            await self.stop()
            await asyncio.sleep(chance.choice((0, chance.random())))
            await self.start()
            outage[1] = time.monotonic()

    def explains(self, begin, end):
        """Whether there was an outage in this time, or it had just ended."""
        return any(down <= end and (up is None or begin <= up + SOON) for down, up in self.outages)
