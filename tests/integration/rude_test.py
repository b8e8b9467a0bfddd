#!/usr/bin/env python3
"""Good clients beside rude ones: all are answered, memory stays within its bound, and nothing is left behind.

The same clients as those of bench/rude.py, fewer and for a shorter time. How fast the answers are is measured there.
"""

import sys
import unittest
from pathlib import Path

from support import SANITIZED, GatewayCase, response

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from rude_clients import MALFORMED, RUDENESSES, Good, Rude  # noqa: E402

RUDE = 200
TURNS = 10
GOOD = 5  # questions between two turns
PER_STREAM = (64 + 32) * 1024
BASE = 8 << 20
BODY = 64 << 20


def answer(connection, head):
    """What the origin does with a request: it takes the body first."""
    connection.recv_body(head)
    if head.target == "/small":
        return connection.respond(200, body=b"x" * 200)
    connection.send(response(200, [("Content-Length", str(BODY))]))
    for _ in range(BODY >> 16):
        connection.send(b"x" * (1 << 16))


class RudeClients(GatewayCase):
    def be_rude(self, name, streams=RUDE, count=RUDE):
        """Gives them TURNS turns, with good clients between them."""
        self.start("--access-log", "off", script=lambda connection: connection.serve(answer))
        good = Good(self.gateway.address)
        self.adopt(good)
        good.ask()
        rest = self.gateway.resident_bytes()
        rude = Rude(self.gateway.address, RUDENESSES[name], count)
        self.adopt(rude)
        most = rest
        for _ in range(TURNS):
            rude.turn()
            for question in range(GOOD):
                good.ask(fresh=question % 2 == 1)
            most = max(most, self.gateway.resident_bytes())
        self.assertEqual(good.statuses, {200: 1 + TURNS * GOOD})
        if not SANITIZED:
            self.assertLessEqual(most - rest, streams * PER_STREAM + BASE)
        return rude

    def assert_alive(self, rude, **wanted):
        """None was cut off; and the gateway's own count of what is alive. One connection is a good client's."""
        self.assertEqual((rude.opened, rude.cut), (RUDE, 0))
        live = self.gateway.live()
        self.assertEqual({name: live[name] for name in wanted}, wanted)

    def test_heads_a_byte_at_a_time(self):
        self.assert_alive(self.be_rude("heads"), connections=RUDE + 1, upstream_busy=0)

    def test_bodies_a_byte_at_a_time(self):
        self.assert_alive(self.be_rude("bodies"), connections=RUDE + 1, requests=RUDE, upstream_busy=RUDE)

    def test_responses_that_are_not_read(self):
        self.assert_alive(self.be_rude("readers"), connections=RUDE + 1, requests=RUDE, upstream_busy=RUDE)

    def test_connections_that_wait(self):
        self.assert_alive(self.be_rude("idle", streams=0), connections=RUDE + 1, requests=0, buffer_bytes=0)

    def test_malformed_requests(self):
        rude = self.be_rude("flood", count=4 * len(MALFORMED))
        self.assertEqual(rude.cut, TURNS * 4 * len(MALFORMED), "each connection ends with its refusal")


if __name__ == "__main__":
    unittest.main()
