#!/usr/bin/env python3
"""`headgate top`, `flows` and `status`, on a terminal of their own, before a gateway that plays scenarios and a real one."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from support import BINARY, SLACK, eventually, free_port
from support.terminal import Terminal

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dashboard" / "test"))
import fake_gateway  # noqa: E402


class FakeCase(unittest.TestCase):
    def setUp(self):
        self.fake = None

    def fake_gateway(self, scenario="everything", listen="127.0.0.1:0", token=None):
        self.fake = fake_gateway.make(listen, scenario, token)
        thread = threading.Thread(target=self.fake.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.addCleanup(self.fake.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.fake.shutdown)
        return self.fake

    @property
    def world(self):
        return self.fake.RequestHandlerClass.world

    def command(self, *arguments, admin=True):
        at = ["--admin", self.fake.name] if admin else []
        return subprocess.run([BINARY, *arguments, *at], text=True, capture_output=True, check=False, timeout=60)


class Top(FakeCase):
    def top(self, *arguments, **how):
        terminal = Terminal([BINARY, "top", "--admin", self.fake.name, *arguments], environment={"NO_COLOR": "1"}, **how)
        self.addCleanup(terminal.close)
        return terminal

    def assert_ends(self, terminal, status):
        self.assertEqual(terminal.wait_exit(20 * SLACK), status)
        self.assertTrue(terminal.restored(), "the terminal is as it was")

    def test_shows_who_is_slow_and_goes_on_showing_it(self):
        self.fake_gateway("calm")
        t = self.top()
        t.wait_for(r"^Everything flows\.$")
        self.assertTrue(t.alternate)
        self.world.play("stalled_client")
        t.wait_for(r"^The client 192\.0\.2\.77 has taken nothing for \d.* and 41\.1 MiB are held for it\.$")
        t.wait_for(r"^> client [\d.]+ s +41\.1 MiB.*192\.0\.2\.77 +GET /reports/sales-2026\.csv\.gz$")
        first = t.wait_for(r"up 1 d")
        self.assertTrue(first)
        t.type("q")
        self.assert_ends(t, 0)

    def test_inspects_a_flow(self):
        self.fake_gateway("stalled_client")
        t = self.top()
        t.wait_for(r"^> client")
        t.type("\r")
        t.wait_for(r"^connection to the database shop given back after 0\.4 s$")
        t.wait_for(r"^ > client +\[#{16}\] +64 KiB of 64 KiB +takes nothing: ")
        t.wait_for(r"^ > spool +\[#{11} {5}\] +41 MiB of 64 MiB +waits for the client")
        t.wait_for(r"^what it did:  head at 1 ms")
        t.type("\x1b")
        t.wait_for(r"^> client")

    def test_aborts_a_flow_and_asks_once(self):
        self.fake_gateway("stalled_client")
        t = self.top()
        t.wait_for(r"^> client")
        t.type("x")
        t.wait_for(r"^abort w0-201, GET /reports/sales-2026\.csv\.gz\?")
        t.type("n")
        t.wait_for(r"longest stalled")
        self.assertIn("w0-201", self.world.flows)
        t.type("xy")
        t.wait_for(r"^w0-201 is aborted$")
        self.assertNotIn("w0-201", self.world.flows)
        t.wait_for(r"^Everything flows\.$")

    def test_filters_and_sorts(self):
        self.fake_gateway("everything")
        t = self.top(columns=130)
        t.wait_for(r"^14 shown, longest stalled")
        t.type("s")
        t.wait_for(r"most bytes held")
        t.wait_for(r"^> client.*sales-2026")
        t.type("/orders\r")
        t.wait_for(r'^4 shown, most bytes held, with "orders"')
        self.assertNotIn("sales", t.text())
        t.type("/\x7f\x7f\x7f\x7f\x7f\x7f\r")
        t.wait_for(r"^14 shown, most bytes held")
        t.type("\x1b[B")
        t.wait_for(r"(?s)sales-2026\S*\n> ")

    def test_fits_the_terminal(self):
        self.fake_gateway("thousand")
        t = self.top(columns=80, rows=10)
        t.wait_for(r"1000 flows, (20|1\d) stalled")
        t.wait_for(r"^> client.*\n(  \S.*\n){3}")
        self.assertLessEqual(max(map(len, t.text().splitlines())), 80)
        t.resize(160, 30)
        t.signal(signal.SIGWINCH)
        t.wait_for(r"^  WAITS FOR +HELD +OF +KEEPS +AGE +MOVED +CLIENT +ROUTE +WHAT$")
        eventually(lambda: (t.read(0.2), len(t.text().splitlines()) == 30)[1], 10 * SLACK)

    def test_gives_the_terminal_back_however_it_ends(self):
        self.fake_gateway("calm")
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)):
            with self.subTest(signal=number):
                t = self.top()
                t.wait_for(r"^Everything flows\.$")
                t.signal(number)
                self.assert_ends(t, status)
        t = self.top()
        t.wait_for(r"^Everything flows\.$")
        t.type("\x03")
        self.assert_ends(t, 130)

    def test_stops_and_goes_on(self):
        self.fake_gateway("calm")
        t = self.top()
        t.wait_for(r"^Everything flows\.$")
        t.type("\x1a")
        eventually(lambda: (t.read(0.1), t.restored() and t.stopped())[1], 10 * SLACK, "Ctrl-Z gives the terminal back")
        t.signal(signal.SIGCONT)
        t.wait_for(r"^Everything flows\.$")
        self.assertTrue(t.alternate)
        t.type("q")
        self.assert_ends(t, 0)

    def test_writes_little(self):
        """Only lines that have changed: a still picture costs a few hundred bytes a second, for slow lines."""
        self.fake_gateway("empty")
        t = self.top()
        t.wait_for(r"no flow is under way")
        t.wait_for(r"up 1 d")
        before, asked = t.bytes, self.world.version
        with self.world.changed:
            self.world.started -= 3600  # what changes is a number in the first line
        t.wait_for(r"up 1 d 1 h")
        self.assertLess(t.bytes - before, 300)
        self.assertEqual(asked, self.world.version)

    def test_says_that_nobody_is_there_and_goes_on_asking(self):
        port = free_port()
        self.fake_gateway("calm", f"127.0.0.1:{port}")
        t = self.top()
        t.wait_for(r"^Everything flows\.$")
        self.fake.shutdown()
        self.fake.server_close()
        t.wait_for(r"cannot reach a gateway at 127\.0\.0\.1")
        self.fake_gateway("calm", f"127.0.0.1:{port}")
        t.wait_for(r"^headgate 0\.1\.0 ready")

    def test_without_a_terminal_it_says_so(self):
        self.fake_gateway("calm")
        done = self.command("top")
        self.assertEqual(done.returncode, 1)
        self.assertIn("this needs a terminal", done.stderr)


class Scripts(FakeCase):
    def test_flows(self):
        self.fake_gateway("everything")
        done = self.command("flows", "--limit", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[0], r"^ID +WAITS FOR +HELD +MOVED +AGE +CLIENT +ROUTE +WHAT$")
        self.assertRegex(lines[1], r"^w1-202 +client [\d.]+ s +64 KiB .* 192\.0\.2\.91 +downloads +GET /images/debian\.iso$")

    def test_flows_as_json_and_filtered(self):
        self.fake_gateway("everything")

        def ids(*arguments):
            done = self.command("flows", "--json", *arguments)
            self.assertIn(done.returncode, (0, 3), done.stderr)
            return [flow["id"] for flow in json.loads(done.stdout)["flows"]]

        self.assertEqual(len(ids()), 14)
        self.assertEqual(ids("--sort", "held", "--limit", "1"), ["w0-201"])
        self.assertEqual(sorted(ids("--route", "reports")), ["w0-201", "w0-221", "w1-231"])
        self.assertEqual(ids("--client", "192.0.2.91"), ["w1-202"])
        self.assertEqual(ids("--upstream", "10.0.0.12:9000"), ["w1-211"])
        self.assertEqual(len(ids("--kind", "upgrade")), 2)
        self.assertEqual(ids("--search", "blue+shoes"), ["w1-211"])
        self.assertEqual(sorted(ids("--stalled", "1s")), ["w0-201", "w1-202", "w1-211", "w1-231"])
        self.assertEqual(ids("--stalled", "1h"), [])

    def test_exit_status_of_flows(self):
        self.fake_gateway("everything")
        for arguments, status in (((), 0), (("--stalled", "1h"), 3), (("--search", "nobody"), 3), (("--stalled", "soon"), 2),
                                  (("--limit", "0"), 2), (("--sort", "beauty"), 2)):
            self.assertEqual(self.command("flows", *arguments).returncode, status, arguments)

    def test_status(self):
        self.fake_gateway("slow_database")
        done = self.command("status")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^headgate 0\.1\.0, process \d+, ready, up 1 d 0 h, 2 workers\n10 flows, 1 stalled, ")
        self.assertIn("upstream     images: 1 of 2 endpoints well, 3 connections in use, 12 kept, circuit closed\n", done.stdout)
        self.assertIn("database     warehouse: 4 of 4 connections in use, 3 wait, 97 of 812 given back before the client was done\n", done.stdout)
        self.assertEqual(json.loads(self.command("status", "--json").stdout)["sources"][1]["name"], "warehouse")
        overview = self.world.overview
        self.world.overview = lambda: overview() | {"ready": False}
        self.assertEqual(self.command("status").returncode, 3)

    def test_over_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            self.fake_gateway("calm", f"unix:{folder}/admin.sock")
            self.assertEqual(self.command("status").returncode, 0)

    def test_with_a_token(self):
        self.fake_gateway("calm", token="open-sesame")
        done = self.command("status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the gateway has refused (401): a token is needed", done.stderr)
        with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
            file.write("open-sesame\n")
            file.flush()
            self.assertEqual(self.command("status", "--token-file", file.name).returncode, 0)
            file.seek(0)
            file.write("open\x01sesame\n")
            file.flush()
            done = self.command("status", "--token-file", file.name)
            self.assertEqual((done.returncode, "visible ASCII" in done.stderr), (1, True), done.stderr)
        done = self.command("status", "--token-file", "/nowhere/token")
        self.assertEqual((done.returncode, "no token can be read" in done.stderr), (1, True))

    def test_nobody_there(self):
        done = subprocess.run([BINARY, "flows", "--admin", f"127.0.0.1:{free_port()}"], text=True, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, re.compile("cannot reach a gateway at 127.0.0.1"))


if __name__ == "__main__":
    unittest.main()
