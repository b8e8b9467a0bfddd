#!/usr/bin/env python3
"""The load of the soak (tests/soak.py) for 20 seconds on gateways that have 64 MiB of address space each, program,
libraries and stacks included (RLIMIT_AS: no need to be root, and stricter than a limit on resident memory). Nothing may
fail: not a request, not a body, not an allocation. And the same with no memory at all.
"""

import asyncio
import re
import resource
import sys
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from soaking import verdict  # noqa: E402
from soaking.load import Load  # noqa: E402
from soaking.tally import Tally  # noqa: E402
from soaking.upstream import Upstream  # noqa: E402
from soaking.watch import Watch, Watched  # noqa: E402
from support import SANITIZED, SLACK, eventually  # noqa: E402

ADDRESS_SPACE = 80 << 20  # the program, its libraries and the stacks of its threads are 50 MiB of it
SECONDS = 20
SHORT_SECONDS = 5  # without any memory
SEED = 64


async def at_rest(name, gateway):
    await asyncio.to_thread(eventually, lambda: not gateway.unrest(), 5 * SLACK, f"{name} is at rest")


def status_of(gateway):
    return Path(f"/proc/{gateway.pid}/status").read_text(encoding="ascii")


@unittest.skipIf(SANITIZED, "a sanitizer needs terabytes of address space")
class TightMemory(unittest.TestCase):
    def test_mixed_load(self):
        asyncio.run(self.mixed_load())

    async def mixed_load(self):
        upstream = Upstream()
        await upstream.start()
        gateways = {}
        try:
            for name, to in (("proxy", f"http://127.0.0.1:{upstream.http_port}"),
                             ("tunnel", f"127.0.0.1:{upstream.echo_port}")):
                gateways[name] = Watched(name, to, workers=2, address_space=ADDRESS_SPACE)
            tally = await self.under_load(upstream, gateways)
            self.assertEqual(verdict.of_tally(tally), [])
            for name, gateway in gateways.items():
                self.assert_limited(gateway)
                gateway.stop()
                self.assertEqual(verdict.of_gateway(name, gateway), [])
        finally:
            for gateway in gateways.values():
                gateway.kill()
            await upstream.stop()

    async def under_load(self, upstream, gateways):
        tally = Tally(upstream)  # it knows of no outage: every failure is one too many
        load = Load(gateways["proxy"].address, gateways["tunnel"].address, tally, SEED)
        watch = Watch(gateways, tally)
        load.start()
        try:
            await watch.until(SECONDS, lambda sample: None)
        finally:
            await load.stop()
        await upstream.stop()  # with it go the connections in the pool
        for name, gateway in gateways.items():
            await at_rest(name, gateway)
        return tally

    def test_no_memory_at_all(self):
        asyncio.run(self.no_memory_at_all())

    async def no_memory_at_all(self):
        """What a gateway has at rest, and not a page more: it refuses and drops what it must, and is itself again
        later.
        """
        upstream = Upstream()
        await upstream.start()
        gateways = {}
        try:
            for name, to in (("proxy", f"http://127.0.0.1:{upstream.http_port}"),
                             ("tunnel", f"127.0.0.1:{upstream.echo_port}")):
                # Without a limit from the beginning the allocator would reserve far more than it uses.
                gateways[name] = Watched(name, to, workers=2, address_space=ADDRESS_SPACE)
                used = int(re.search(r"VmSize:\s+(\d+) kB", status_of(gateways[name]))[1]) * 1024
                resource.prlimit(gateways[name].pid, resource.RLIMIT_AS, (used, ADDRESS_SPACE))
            tally = Tally(types.SimpleNamespace(explains=lambda begin, end: True))  # whatever fails is as it should be
            load = Load(gateways["proxy"].address, gateways["tunnel"].address, tally, SEED)
            load.start()
            await asyncio.sleep(SHORT_SECONDS)
            await load.stop()
            self.assertEqual(tally.wrong, [])
            self.assertGreater(tally.failures, 100, "there was memory enough")
            for gateway in gateways.values():
                self.assertIsNone(gateway.process.poll(), gateway.stderr()[-2000:])
                resource.prlimit(gateway.pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
            await self.all_is_well(upstream, gateways)
        finally:
            for gateway in gateways.values():
                gateway.kill()
            await upstream.stop()

    async def all_is_well(self, upstream, gateways):
        """Every worker serves, and nothing is left of what was."""
        tally = Tally(upstream)
        load = Load(gateways["proxy"].address, gateways["tunnel"].address, tally, SEED)
        load.start()
        await asyncio.sleep(2)
        await asyncio.to_thread(eventually, lambda: tally.good["small"] > 100, 30, "a hundred small requests are served")
        await load.stop()
        self.assertEqual((tally.wrong, tally.unexplained), ([], []))
        await upstream.stop()
        for name, gateway in gateways.items():
            await at_rest(name, gateway)
            gateway.stop()

    def assert_limited(self, gateway):
        limits = Path(f"/proc/{gateway.pid}/limits").read_text(encoding="ascii")
        self.assertRegex(limits, rf"Max address space +{ADDRESS_SPACE} ")


if __name__ == "__main__":
    unittest.main()
