"""The frame of every test: a gateway and an origin of its own, and at the end the proof that nothing is left."""

import select
import threading
import time
import unittest

from .client import Client, Cut, problem
from .gateway import SANITIZED, Gateway
from .origin import Origin
from .swarm import Swarm
from .wait import eventually

GONE = 1.0  # seconds in which the end of one side must have reached all that was behind it
SLACK = 5.0 if SANITIZED else 1.0  # what a sanitizer's slowness may multiply a limit on time with

PIPES_IDLE_MAX = 16  # pipes a worker keeps for reuse; two descriptors each


class LeakCheck:
    """Compares a gateway at rest with itself at rest before."""

    def __init__(self, gateway, workers):
        self.gateway, self.workers = gateway, workers
        self.rest = self._counts()
        busy = {k: v for k, v in self.rest.items() if k in self.IDLE and v}
        if busy:
            raise AssertionError(f"not at rest when started: {busy}")

    IDLE = ("connections", "requests", "upstream_busy", "buffer_bytes", "pipes")

    def _counts(self):
        live = self.gateway.live()
        kinds = self.gateway.descriptors()
        return live | {f"{kind}_descriptors": count for kind, count in kinds.items()}

    def wait_idle(self, within=GONE):
        """No client, no request, no upstream connection in use, not a byte held. Pooled connections may stay."""

        def idle():
            live = self.gateway.live()
            busy = {k: live[k] for k in self.IDLE if live[k]}
            assert not busy, f"still {busy} of {live}"
            return True

        eventually(idle, within * SLACK, "the gateway is idle")

    def wait_rest(self, within=GONE):
        """Everything is as it was, but for the pipes that are kept for reuse. There may be fewer: on a busy machine the
        gateway may have been measured while a report of a held-up worker was written, which has a pipe."""

        def at_rest():
            now = self._counts()
            pipes = now["pipe_descriptors"] - self.rest["pipe_descriptors"]
            assert pipes <= 2 * PIPES_IDLE_MAX * self.workers, f"{pipes} descriptors of pipes more than at rest"
            now["pipe_descriptors"] -= pipes
            now["descriptors"] -= pipes if now["descriptors"] != self.rest["descriptors"] else 0
            more = {k: f"{self.rest[k]} -> {v}" for k, v in now.items() if v != self.rest[k]}
            assert not more, f"not as at rest: {more}"
            return True

        eventually(at_rest, within * SLACK, "the gateway is at rest")


class GatewayCase(unittest.TestCase):
    """Each test starts what it needs; what it started is checked and ended after it, in an order that shows leaks."""

    maxDiff = None
    command = "proxy"

    def setUp(self):
        self.gateway = self.origin = self.leaks = None
        self._clients, self._origins = [], []

    def tearDown(self):
        steps = [self._close_clients, self._check_idle, self._close_origins, self._check_rest, self._stop]
        failures = []
        for step in steps:
            try:
                step()
            except AssertionError as e:
                failures.append(e)
        if failures:
            raise AssertionError("after the test: " + "; then: ".join(map(str, failures)))

    # ---- what a test starts

    def start_origin(self, script=None, **how):
        self.origin = Origin(script, **how)
        self._origins.append(self.origin)
        return self.origin

    def start_swarm(self, *arguments, **how):
        """An origin for a thousand clients; see Swarm."""
        self.origin = Swarm(*arguments, **how)
        self._origins.append(self.origin)
        return self.origin

    def start(self, *flags, script=None, to=None, workers=1, **how):
        """A gateway before an origin; a new one, unless `to` names another or start_origin() has made one."""
        if to is None and self.origin is None:
            self.start_origin(script)
        if to is None:
            to = self.origin.url() if self.command == "proxy" else self.origin.name
        self.gateway = Gateway(self.command, to, *flags, workers=workers, **how)
        self.leaks = LeakCheck(self.gateway, workers)
        return self.gateway

    def client(self, **how):
        client = Client(self.gateway.address, **how)
        self._clients.append(client)
        return client

    def adopt(self, *closables):
        """Things to be closed with the clients."""
        self._clients += closables

    # ---- what a test asserts

    def assert_gone(self, wire, since, kind="reset", within=GONE):
        """The peer of `wire` ended, in this way, within a second of `since`."""
        end = wire.wait_end(within * SLACK + 5)
        self.assertEqual(end.kind, kind, f"after {end.bytes} bytes")
        self.assertLess(end.at - since, within * SLACK)

    def assert_problem(self, response, status):
        """A complete answer by the gateway itself. Returns the problem's members."""
        self.assertEqual(response.status, status, response.data)
        members = problem(response)
        self.assertEqual(members["instance"], response.head["X-Request-Id"])
        return members

    def log(self, predicate=None, within=5.0 * SLACK, **wanted):
        return self.gateway.wait_for_log(predicate, within, **wanted)

    def assert_no_more_logs(self):
        self.assertEqual(self.gateway.unseen_logs(), [])

    # ---- after it

    def _close_clients(self):
        for client in self._clients:
            client.close()
            if failures := getattr(client, "failures", None):
                raise AssertionError(f"in a client's thread: {failures}")

    def _running(self):
        return self.leaks and self.gateway.process.poll() is None

    def _check_idle(self):
        if self._running():
            self.leaks.wait_idle()

    def _close_origins(self):
        for origin in self._origins:
            origin.close()
            if origin.failures:
                raise AssertionError(f"in the origin: {origin.failures!r}")

    def _check_rest(self):
        if self._running():
            self.leaks.wait_rest()

    def _stop(self):
        if self.gateway:
            self.gateway.stop()


class HeldCase(GatewayCase):
    """With an origin that holds its answers back: start(script=self.hold), and self.release.set() lets them go."""

    def setUp(self):
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)

    def hold(self, conn):
        """An origin that answers when the test says so."""

        def handle(conn, _):
            while not self.release.wait(0.02):
                if not conn.open_and_silent(0):
                    return False
            conn.respond(body=b"ok")
            return True

        conn.serve(handle)

    def is_served(self):
        client = self.client()
        try:
            client.request()
            return client.response().status == 200
        except Cut:
            return False
        finally:
            client.close()

    def cpu_in_a_second(self):
        before, begun = self.gateway.cpu_seconds(), time.monotonic()
        select.poll().poll(1000)
        return (self.gateway.cpu_seconds() - before) / (time.monotonic() - begun)
