#!/usr/bin/env python3
"""The soak's own judgement: what it must notice, and what it must not make a fuss about."""

import asyncio
import random
import socket
import subprocess
import sys
import threading
import types
import unittest
import xml.dom.minidom
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

from soaking import plot, verdict  # noqa: E402
from soaking.client import Check, Connection, Cut, WrongBody, receive  # noqa: E402
from soaking.pattern import PERIOD, pieces  # noqa: E402
from soaking.tally import Tally  # noqa: E402
from soaking.upstream import SOON, Upstream  # noqa: E402


def looks(count, frames=lambda i: 100, **others):
    """Samples of a gateway in which everything stays as it is, but for what is given."""
    return [{"rss": 8 << 20, "open": 200, "buffer_bytes": 1 << 20, "frames": frames(i)} |
            {name: value(i) for name, value in others.items()} for i in range(count)]


class Trends(unittest.TestCase):
    def test_noise_is_no_trend(self):
        chance = random.Random(5)
        noisy = looks(600, lambda _: chance.randrange(200, 400), rss=lambda _: chance.randrange(8 << 20, 9 << 20),
                      open=lambda _: chance.randrange(150, 250))
        self.assertEqual(verdict.trends("proxy", noisy), [])

    def test_what_grows_at_first_and_stays_is_no_trend(self):
        self.assertEqual(verdict.trends("proxy", looks(60, rss=lambda i: min(i, 14) << 20)), [])

    def test_what_falls_is_no_trend(self):
        self.assertEqual(verdict.trends("proxy", looks(60, rss=lambda i: (100 - i) << 20, open=lambda i: 1000 - i)), [])

    def test_every_rise_is_noticed_and_named(self):
        for what, rising in {"resident memory": {"rss": lambda i: (8 << 20) + i * 200_000},
                             "descriptors": {"open": lambda i: 200 + 3 * i},
                             "live frames": {"frames": lambda i: 100 + 5 * i},
                             "bytes in buffers": {"buffer_bytes": lambda i: (1 << 20) + i * 100_000}}.items():
            with self.subTest(what):
                problems = verdict.trends("proxy", looks(60, **rising))
                self.assertEqual(len(problems), 1)
                self.assertIn(f"proxy: {what} rose from", problems[0])

    def test_too_few_samples_are_not_judged(self):
        self.assertIn("too few", verdict.trends("proxy", looks(19))[0])


class Bodies(unittest.TestCase):
    LENGTH = PERIOD + 5000  # so that its bytes begin again

    def feed(self, data, key=7, length=LENGTH):
        check = Check(key, length)
        for at in range(0, len(data), 65521):
            check.feed(data[at:at + 65521])
        check.end()

    def whole(self, key=7):
        return b"".join(pieces(key, self.LENGTH))

    def test_the_right_one(self):
        self.feed(self.whole())

    def test_every_other_one_is_wrong(self):
        body = self.whole()
        altered = bytearray(body)
        altered[70_000] ^= 1
        for what, wrong in {"altered": bytes(altered), "cut": body[:-1],
                            "one byte lost": body[:500] + body[501:] + b"x",
                            "a piece twice": body[:3000] + body[2000:], "surplus": body + body[:1],
                            "another's": self.whole(8),
                            "two swapped": body[1000:2000] + body[:1000] + body[2000:]}.items():
            with self.subTest(what), self.assertRaises(WrongBody):
                self.feed(wrong)

    def test_where_it_is_wrong(self):
        altered = bytearray(self.whole())
        altered[70_000] ^= 1
        with self.assertRaisesRegex(WrongBody, "at byte 70000$"):
            self.feed(bytes(altered))


class Responses(unittest.TestCase):
    """receive(), before a peer that says these bytes and ends."""

    def receive(self, said, reset=False, length=5):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            peer, _ = listener.accept()
            peer.sendall(said)
            if reset:
                peer.recv(1)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()

        async def ask():
            connection = await Connection().open(listener.getsockname())
            try:
                if reset:
                    await connection.send(b"x")
                return await receive(connection, Check(3, length))
            finally:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return asyncio.run(ask())
        finally:
            thread.join()

    BODY = b"".join(pieces(3, 5))

    def test_good_ones(self):
        self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + self.BODY)
        self.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + self.BODY + b"\r\n0\r\n\r\n")

    def test_a_cut_tells_by_what(self):
        for reset, kind in ((False, "fin"), (True, "reset")):
            with self.assertRaises(Cut) as cut:
                self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + self.BODY[:2], reset)
            self.assertEqual((cut.exception.kind, cut.exception.where), (kind, "in a body"))

    def test_what_looks_whole_and_is_not(self):
        for said in (b"Content-Length: 4\r\n\r\n" + self.BODY[:4], b"\r\n" + self.BODY,
                     b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + self.BODY[:4] + b"\r\n0\r\n\r\n",
                     b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + self.BODY + b"\r\n0\r\n\r\n"):
            with self.subTest(said), self.assertRaises(WrongBody):
                self.receive(b"HTTP/1.1 200 OK\r\n" + said)


class Failures(unittest.TestCase):
    def setUp(self):
        self.upstream = Upstream()
        self.upstream.outages = [[100.0, 101.0], [200.0, None]]

    def test_an_outage_explains_what_it_touches(self):
        for begin, end in ((90, 100), (100.2, 100.3), (101 + SOON, 150), (50, 300), (201, 202)):
            self.assertTrue(self.upstream.explains(begin, end), (begin, end))
        for begin, end in ((90, 99.9), (101.1 + SOON, 199.9)):
            self.assertFalse(self.upstream.explains(begin, end), (begin, end))

    def test_a_failure_without_one_is_a_problem(self):
        tally = Tally(types.SimpleNamespace(explains=lambda begin, end: False))
        tally.good.update(verdict.EVERY_KIND)
        self.assertEqual(verdict.of_tally(tally), [])
        tally.has_failed("small", "502", 1.0)
        self.assertIn("1 failures though the origin was up: small: 502", verdict.of_tally(tally)[0])

    def test_a_wrong_body_is_a_problem_even_in_an_outage(self):
        tally = Tally(types.SimpleNamespace(explains=lambda begin, end: True))
        tally.good.update(verdict.EVERY_KIND)
        tally.has_failed("small", "502", 1.0)
        self.assertEqual(verdict.of_tally(tally), [])
        tally.is_wrong("small", "at byte 7")
        self.assertIn("1 wrong bodies: small: at byte 7", verdict.of_tally(tally)[0])

    def test_a_load_that_did_not_run_is_a_problem(self):
        tally = Tally(self.upstream)
        self.assertIn("not one success of: small", verdict.of_tally(tally)[0])


class Plots(unittest.TestCase):
    def test_a_picture(self):
        look = {"rss": 8 << 20, "buffer_bytes": 1 << 20, "open": 9, "frames": 5}
        samples = [{"time": i, "gateways": {"proxy": look, "tunnel": look}, "p50": 0.001,
                    "p99": None if i == 3 else 0.01} for i in range(10)]
        text = plot.svg("load < rest & more", ["a note"], samples, 8, [4.5])
        document = xml.dom.minidom.parseString(text)
        texts = [node.firstChild.data for node in document.getElementsByTagName("text") if node.firstChild]
        for wanted in ("load < rest & more", "a note", "Memory", "MiB", "Open descriptors", "ms", "time (s)", "proxy"):
            self.assertIn(wanted, texts)
        lines = document.getElementsByTagName("polyline")
        self.assertEqual(len(lines), 4 + 2 + 2 + 3, "a gap divides a line")

    def test_round_numbers_on_the_axes(self):
        self.assertEqual(plot.ticks(10.5, 6), [0, 2, 4, 6, 8, 10])
        self.assertEqual(plot.ticks(700, 6), [0, 200, 400, 600])
        self.assertEqual([plot.label(tick) for tick in plot.ticks(0.35, 6)], ["0", "0.1", "0.2", "0.3"])


class CommandLine(unittest.TestCase):
    def run_soak(self, *arguments, **environment):
        return subprocess.run([sys.executable, "-B", str(TESTS / "soak.py"), *arguments], env=environment, text=True,
                              capture_output=True, timeout=60, check=False)

    def test_no_program_to_simulate_with(self):
        done = self.run_soak("--simulate", "3", HEADGATE_SIMULATE="/nonexistent/simulate")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no program /nonexistent/simulate; `./dev soak --simulate 3` builds it", done.stderr)

    def test_simulate_is_handed_over(self):
        done = self.run_soak("--simulate", "3", "--seed", "4711", HEADGATE_SIMULATE="/bin/echo")
        self.assertEqual((done.returncode, done.stdout), (0, "3 4711\n"))
        firsts = {self.run_soak("--simulate", "3", HEADGATE_SIMULATE="/bin/echo").stdout for _ in range(3)}
        self.assertGreater(len(firsts), 1, "seeds are fresh unless one is named")

    def test_no_gateway(self):
        done = self.run_soak("1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("HEADGATE_BIN", done.stderr)


if __name__ == "__main__":
    unittest.main()
