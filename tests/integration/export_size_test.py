#!/usr/bin/env python3
"""Exports at size, from a real PostgreSQL: memory that does not grow with the rows, connections that slow clients do not hold.

HEADGATE_EXPORT_ROWS is how many rows the largest export has; `./dev soak --exports` makes it ten million.
"""

import http.client
import os
import select
import statistics
import sys
import threading
import time
import unittest

from support import SANITIZED, Crowd, RunCase, eventually, request
from support.postgres import PROGRAMS, Postgres

MIB = 1 << 20
ROWS = int(os.environ.get("HEADGATE_EXPORT_ROWS", 1_000_000))
GROWTH_MAX = 64 * MIB

ORDERS = ("select i as id, 'customer ' || i % 1000 as customer, i * 0.25 as total, "
          "timestamp '2026-01-01' + i * interval '1 second' as placed_at from generate_series(1, :n::int) i")
WIDE = "select i, repeat('x', 500) as wide from generate_series(1, :n::int) i"

CLIENTS, POOL = 50, 4
WIDE_ROWS = 16_000  # 8 MB
MANY_WIDE_ROWS = 80_000  # 40 MB, which is more than the kernel's buffers take on their way
SLOW_RATE = 500_000  # bytes per second and client
SLOW_SECONDS = 5  # after which they read faster, for the test to end
NOISE = 0.5  # seconds that a busy machine may add to a time
END = b"\r\n0\r\n\r\n"


class MemoryWatch:
    """The most memory that a gateway has while this is open."""

    def __init__(self, gateway):
        self.gateway, self.most, self.done = gateway, gateway.resident_bytes(), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.wait(0.02):
            self.most = max(self.most, self.gateway.resident_bytes())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.most = max(self.most, self.gateway.resident_bytes())


@unittest.skipIf(PROGRAMS is None, "PostgreSQL is not installed")
@unittest.skipIf(SANITIZED, "a sanitizer's own memory and time would be measured")
class Size(RunCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres("-c log_min_duration_statement=0")
        cls.addClassCleanup(cls.server.close)

    def serve(self, sql, more=""):
        self.run_with(self.listener() + f"""
sources: {{shop: {{postgres: '{self.server.source}', pool_size: {POOL}, queue_max: 1000, acquire_timeout: 1m}}}}
routes:
  - match: {{path_prefix: /exports/}}
    export: {{source: shop, query: "{sql}", parameters: {{n: {{type: integer}}}}{more}}}
""", workers=1)
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv?n=1").status, 200)
        self.rest_is_now()

    def active(self):
        return int(self.server.sql("select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() "
                                   "and backend_type = 'client backend'"))

    def export(self, rows, more=""):
        """All rows of one export, as fast as they come. Gives rows, bytes, seconds."""
        connection = http.client.HTTPConnection(*self.gateway.address, timeout=60)
        self.adopt(connection)
        begun = time.monotonic()
        connection.request("GET", f"/exports/x.csv{more}?n={rows}")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        buffer, lines, size = bytearray(MIB), 0, 0
        while n := answer.readinto(buffer):
            lines += buffer.count(b"\n", 0, n)
            size += n
        return lines - 1, size, time.monotonic() - begun

    def test_memory_does_not_grow_with_the_rows(self):
        self.serve(ORDERS)
        before = self.gateway.resident_bytes()
        with MemoryWatch(self.gateway) as memory:
            rows, size, seconds = self.export(ROWS)
        self.assertEqual(rows, ROWS)
        print(f"{rows:,} rows, {size / MIB:,.0f} MiB in {seconds:.1f} s; memory {before / MIB:.1f} MiB before, "
              f"{memory.most / MIB:.1f} MiB at most", file=sys.stderr)
        self.assertLessEqual(memory.most - before, GROWTH_MAX)
        self.log(end="complete", target=f"/exports/x.csv?n={ROWS}")
        self.rest_is_now()

    # ---- fifty clients, four connections

    def holds(self, rate=None, clients=CLIENTS, rows=WIDE_ROWS):
        """How long the query of each of so many clients, who read at this rate, took the database, as its log says; and how long all
        of that took."""
        begun = self.server.log_size()
        crowd = Crowd(self.gateway.address, clients, request("GET", f"/exports/x.csv?n={rows}"), receive_buffer=65536)
        self.adopt(crowd)
        started = time.monotonic()
        self.drive(crowd, rate)
        took = time.monotonic() - started
        crowd.close()
        eventually(lambda: self.active() == 0, 20)
        holds = self.server.durations("as wide", begun)
        self.assertEqual(len(holds), clients)
        return holds, took

    def drive(self, crowd, rate):
        """Each client reads to the end of its answer: as fast as it can, or slowly at first."""
        ends = dict.fromkeys(crowd.socks, b"")
        poll = select.poll()
        by_number = {sock.fileno(): sock for sock in crowd.socks}
        for sock in crowd.socks:
            sock.setblocking(False)
            poll.register(sock, select.POLLIN)
        begun, turn = time.monotonic(), 0
        waiting = select.poll()  # for nothing: a clock
        while ends:
            turn += 1
            for number, _ in poll.poll(20_000):
                sock = by_number[number]
                data = sock.recv(rate // 20 if rate and time.monotonic() - begun < SLOW_SECONDS else MIB)
                self.assertTrue(data, "an answer was cut")
                ends[sock] = (ends[sock] + data)[-len(END):]
                if ends[sock] == END:
                    poll.unregister(sock)
                    del ends[sock]
            if rate and time.monotonic() - begun < SLOW_SECONDS:
                waiting.poll(max(begun + turn / 20 - time.monotonic(), 0) * 1000)

    def test_slow_clients_do_not_hold_connections(self):
        self.serve(WIDE)
        unthrottled, fast_took = self.holds()
        slow, slow_took = self.holds(SLOW_RATE)
        in_words = (f"held for {statistics.median(slow):.3f} s (median), {max(slow):.3f} s at most, for clients of {slow_took:.1f} s; "
                    f"unthrottled for {statistics.median(unthrottled):.3f} s, {max(unthrottled):.3f} s, of {fast_took:.1f} s")
        print(in_words, file=sys.stderr)
        self.assertGreater(slow_took, SLOW_SECONDS, "they must have been slow")
        self.assertLessEqual(max(slow), 2 * max(unthrottled) + NOISE, in_words)
        self.assertLessEqual(statistics.median(slow), 2 * statistics.median(unthrottled) + NOISE, in_words)
        self.rest_is_now()

    def test_without_a_spool_they_do(self):
        """The control: what the test above would see."""
        self.serve(WIDE, ", spool_memory: 16KiB, spool_disk: 0")
        unthrottled, _ = self.holds(clients=POOL, rows=MANY_WIDE_ROWS)
        slow, _ = self.holds(SLOW_RATE, clients=POOL, rows=MANY_WIDE_ROWS)
        self.assertGreater(statistics.median(slow), 2 * statistics.median(unthrottled) + NOISE)
        self.rest_is_now()


if __name__ == "__main__":
    unittest.main()
