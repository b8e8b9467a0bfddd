"""A gateway that serves what a file says."""

import os
import signal
import tempfile
import time
from pathlib import Path

from .case import SLACK, GatewayCase, LeakCheck
from .gateway import Gateway
from .origin import Origin
from .ports import free_port
from .wait import eventually


def named(name):
    """An origin that says who it is and what it was asked."""

    def script(conn):
        def handle(conn, head):
            conn.recv_body(head)
            fields = [("X-Origin", name), ("X-Target", head.target), ("X-Host", head["Host"])]
            fields += [("X-Seen-" + f, head[f]) for f in ("X-Team", "X-Old", "X-Forwarded-Proto") if f in head]
            conn.respond(200, fields + [("X-Secret", "of the origin")], name.encode())

        conn.serve(handle)

    return script


class RunCase(GatewayCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "headgate.yaml"
        self.port = free_port()

    def origin_named(self, name, script=None, port=0):
        origin = Origin(script or named(name), port=port)
        self._origins.append(origin)
        return origin

    def write(self, text):
        # As an editor does: at no time is there half a file.
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.file)

    def run_with(self, text, workers=2, more=""):
        """`more` is what else `server` says."""
        self.more = more
        self.write(f"server: {{workers: {workers}{more}}}\n" + text)
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)])
        self.leaks = eventually(lambda: LeakCheck(self.gateway, workers), 5, "the gateway is at rest when started")

    def rest_is_now(self, workers=1):
        """Connections to a database that are kept are no leak: what comes from here on must leave no more of them."""
        self._close_clients()
        self._clients.clear()
        self.leaks = eventually(lambda: self._lasting_rest(workers), 5 * SLACK, "the gateway is at rest")

    def _lasting_rest(self, workers):
        """A database may still be ending a query, which shows in nothing but what comes after."""
        first = LeakCheck(self.gateway, workers)
        time.sleep(0.05)
        again = LeakCheck(self.gateway, workers)
        return again if again.rest == first.rest else None

    def measure_between_checks(self):
        """With one worker. A health check or a lookup may have been under way when the gateway was measured: at rest
        there is none."""
        begun, counts = time.monotonic(), []
        while len(counts) < 10 or time.monotonic() - begun < 0.4:
            counts.append(eventually(lambda: LeakCheck(self.gateway, 1)))
        self.leaks = min(counts, key=lambda check: check.rest["frames"])

    def reload(self, text, workers=2, good=True):
        self.write(f"server: {{workers: {workers}{self.more}}}\n" + text)
        before = len(self.gateway.errors)
        self.gateway.signal(signal.SIGHUP)
        wanted = "headgate: reloaded:" if good else "headgate: not reloaded"
        eventually(lambda: any(wanted in line for line in self.gateway.errors[before:]), 10)
        return self.gateway.errors[before:]

    def listener(self, name="web", port=None):
        return f"listeners: [{{name: {name}, address: '127.0.0.1:{port or self.port}'}}]\n"
