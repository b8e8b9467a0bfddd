#!/usr/bin/env python3
"""The protocols of systemd, with a stand-in for it: notification, watchdog, socket activation; and the unit file."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from replace_test import ReplaceCase
from support import BINARY, Gateway, eventually, free_port, request

# Becomes the program that is named behind "--", with the descriptors before it as systemd gives them.
HAND_OVER = """
import os, sys
end = sys.argv.index("--")
for n, fd in enumerate(sys.argv[1:end]):
    os.dup2(int(fd), 3 + n)
    os.close(int(fd))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(end - 1), LISTEN_FDNAMES=":".join("abc"[:end - 1]))
os.execv(sys.argv[end + 1], sys.argv[end + 1:])
"""
PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


class Manager:
    """Receives what services tell."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(name.replace("@", "\0", 1))
        self.told = []  # (pid of the sender, {key: value})

    def next(self, within=10):
        self.socket.settimeout(within)
        data, credentials, _, _ = self.socket.recvmsg(4096, 128)
        pid = int.from_bytes(credentials[0][2][:4], "little")
        self.told.append((pid, dict(line.split("=", 1) for line in data.decode().split("\n"))))
        return self.told[-1]

    def until(self, key, within=10):
        deadline = time.monotonic() + within
        while True:
            pid, values = self.next(max(deadline - time.monotonic(), 0.01))
            if key in values:
                return pid, values

    def close(self):
        self.socket.close()


class SystemdCase(ReplaceCase):
    """The gateway is started by a stand-in for systemd."""

    def manager(self, name=None):
        m = Manager(name or str(self.folder / "notify"))
        self.addCleanup(m.close)
        return m

    def begin_under(self, manager, text=None, **variables):
        self.configure(text or self.respond())
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)], program=str(self.program),
                               environment={"NOTIFY_SOCKET": manager.name, **variables})


class Notification(SystemdCase):
    def test_ready_reload_and_stop(self):
        for name in (None, f"@headgate-test-{os.getpid()}"):
            with self.subTest(name):
                manager = self.manager(name)
                self.begin_under(manager)
                pid, values = manager.next()
                self.assertEqual((pid, values["READY"], values["MAINPID"]), (self.gateway.pid, "1", str(self.gateway.pid)))
                self.assertEqual(values["STATUS"], "serving 1 listener(s), 1 route(s), 0 upstream(s)")
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                self.gateway.signal(signal.SIGHUP)
                values = manager.next()[1]
                self.assertEqual(values["RELOADING"], "1")
                self.assertTrue(before <= int(values["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
                self.assertEqual(manager.next()[1]["READY"], "1")
                self.configure("nonsense: 1\n")
                self.gateway.signal(signal.SIGHUP)
                self.assertEqual(manager.next()[1]["RELOADING"], "1")
                values = manager.next()[1]
                self.assertEqual(values["READY"], "1", "a reload that fails is over, too")
                self.assertIn("the last reload has failed", values["STATUS"])
                self.gateway.signal(signal.SIGTERM)
                self.assertEqual(manager.next()[1]["STOPPING"], "1")
                self.assertEqual(self.gateway.wait_exit(10), 0)
                self.gateway.stop()
                self.gateway = None

    def test_nobody_listens(self):
        manager = self.manager()
        manager.close()
        os.unlink(manager.name)
        self.begin_under(manager)
        self.assertEqual(self.client().exchange().data, b"one")

    def test_the_watchdog(self):
        manager = self.manager()
        self.begin_under(manager, WATCHDOG_USEC="400000")
        for _ in range(3):
            self.assertEqual(manager.until("WATCHDOG", 2)[0], self.gateway.pid)
        begun = time.monotonic()
        times = []
        while time.monotonic() < begun + 1.5:
            manager.until("WATCHDOG", 2)
            times.append(time.monotonic())
        self.assertLess(max(b - a for a, b in zip(times, times[1:])), 0.4)

    def test_a_watchdog_that_is_for_another_process(self):
        manager = self.manager()
        self.begin_under(manager, WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        manager.until("READY")
        with self.assertRaises(TimeoutError):
            manager.until("WATCHDOG", 0.5)

    def test_another_process_becomes_the_service(self):
        manager = self.manager()
        self.begin_under(manager, WATCHDOG_USEC="400000", WATCHDOG_PID="")
        manager.until("READY")
        new = self.upgrade()
        told = []
        while not any(pid == new and "WATCHDOG" in values for pid, values in told):
            told.append(manager.next())
        mains = [(pid, values["MAINPID"]) for pid, values in told if "MAINPID" in values]
        self.assertIn((self.gateway.pid, str(new)), mains)
        self.assertIn((new, str(new)), mains)
        self.assertFalse(any("STOPPING" in values for _, values in told), "the service goes on")
        self.old_ends()


class Activation(ReplaceCase):
    def activated(self, text, *sockets):
        """Starts the gateway as systemd does."""
        self.configure(text)
        own = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in sockets]
        try:
            self.gateway = Gateway("run", None, arguments=["-c", str(self.file)], program=str(self.program),
                                   prefix=[sys.executable, "-c", HAND_OVER, *map(str, own), "--"], pass_fds=own)
        finally:
            for fd in own:
                os.close(fd)

    def test_sockets_are_taken_over(self):
        path = str(self.folder / "web.sock")
        local = socket.socket(socket.AF_UNIX)
        local.bind(path)
        local.listen()
        with socket.create_server(("127.0.0.1", self.port)) as web, local:
            # Who has connected before there is a gateway is served when there is one.
            with socket.create_connection(("127.0.0.1", self.port)) as early:
                early.sendall(request("GET", "/"))
                self.activated(f"listeners: [{{name: a, address: '127.0.0.1:{self.port}'}}, {{name: b, address: 'unix:{path}'}}]\n"
                               "routes: [{respond: {body: one}}]\n", web, local)
                self.assertIn(b"200 OK", early.recv(1000))
            for _ in range(10):
                self.assertEqual(self.client().exchange().data, b"one")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(request("GET", "/"))
                self.assertIn(b"200 OK", s.recv(1000))
            self.upgrade()
            self.assertEqual(self.client().exchange().data, b"one")
            self._stop()
            self.gateway, self.later = None, []
            self.assertTrue(os.path.exists(path), "the path is systemd's")
            # The sockets are open as before: what connects now waits for the next gateway.
            with socket.create_connection(("127.0.0.1", self.port)) as late:
                late.sendall(request("GET", "/"))
                self.activated(self.respond("two"), web)
                self.assertIn(b"two", late.recv(1000))

    def test_all_workers_share_a_socket(self):
        with socket.create_server(("127.0.0.1", self.port)) as web:
            self.activated(self.respond(), web)
            clients = [self.client() for _ in range(40)]
            for client in clients:
                self.assertEqual(client.exchange().data, b"one")
            self.configure(self.respond("two"), workers=4)
            self.upgrade()
            self.assertEqual(self.client().exchange().data, b"two")

    def test_a_wildcard_of_both_families(self):
        with socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True) as web:
            self.activated(f"listeners: [{{name: a, address: ':{self.port}'}}]\nroutes: [{{respond: {{body: one}}}}]\n", web)
            self.gateway.address = ("127.0.0.1", self.port)
            self.assertEqual(self.client().exchange().data, b"one")

    def test_one_that_no_listener_is_for(self):
        other = free_port()
        with socket.create_server(("127.0.0.1", other)) as web:
            self.activated(self.respond(), web)
            eventually(lambda: any(f"no listener is for the socket 127.0.0.1:{other}" in line for line in self.gateway.errors), 5)
            self.assertEqual(self.client().exchange().data, b"one")

    def test_sockets_for_another_process(self):
        self.configure(self.respond())
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)], program=str(self.program),
                               environment={"LISTEN_FDS": "2", "LISTEN_PID": "1"})
        self.assertEqual(self.client().exchange().data, b"one")


class Unit(unittest.TestCase):
    def test_verify(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("there is no systemd-analyze")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("headgate.service", "headgate.socket"):
                text = (PACKAGING / name).read_text().replace("/usr/bin/headgate", BINARY)
                (Path(folder) / name).write_text(text)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, sorted(Path(folder).iterdir()))], text=True,
                                  capture_output=True, check=False)
        if "Failed to initialize manager" in done.stderr:
            self.skipTest(done.stderr)
        complaints = [line for line in done.stderr.splitlines() if re.search(r"headgate\.(service|socket)", line)]
        self.assertEqual(complaints, [], done.stderr)


if __name__ == "__main__":
    unittest.main()
