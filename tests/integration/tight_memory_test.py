#!/usr/bin/env python3
"""The load of the soak (tests/soak.py) for 20 seconds on gateways that have 64 MiB of address space each, program,
libraries and stacks included (RLIMIT_AS: no need to be root, and stricter than a limit on resident memory). Nothing may
fail: not a request, not a body, not an allocation.
"""

import asyncio
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from soaking import verdict  # noqa: E402
from soaking.load import Load  # noqa: E402
from soaking.tally import Tally  # noqa: E402
from soaking.upstream import Upstream  # noqa: E402
from soaking.watch import Watch, Watched  # noqa: E402
from support import SANITIZED, SLACK, eventually  # noqa: E402

ADDRESS_SPACE = 64 << 20
SECONDS = 20
SEED = 64


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
            await asyncio.to_thread(eventually, lambda gateway=gateway: not gateway.unrest(), 5 * SLACK, f"{name} is at rest")
        return tally

    def assert_limited(self, gateway):
        status = Path(f"/proc/{gateway.pid}/limits").read_text(encoding="ascii")
        self.assertRegex(status, rf"Max address space +{ADDRESS_SPACE} ")


if __name__ == "__main__":
    unittest.main()
