#!/usr/bin/env python3
"""The command line: help that is complete, and refusals that name the flag and say what would be right."""

import os
import re
import socket
import subprocess
import tempfile
import unittest

from support import BINARY, GatewayCase

TO = ["--to", "http://127.0.0.1:1"]

COMMON = ["--to", "--listen", "--workers", "--drain-timeout", "--access-log", "--stream-buffer", "--slow-stream-bytes", "--connections-max",
          "--connect-timeout", "--upstream-connections-max", "--upstream-queue-max", "--upstream-queue-timeout"]
FLAGS = {
    "proxy": COMMON + ["--header-timeout", "--client-idle-timeout", "--keep-alive-timeout", "--first-byte-timeout",
                       "--upstream-idle-timeout", "--upstream-keep-alive-timeout", "--upstream-idle-max"],
    "tunnel": COMMON + ["--idle-timeout", "--half-close-timeout"],
}
TIMES = [flag for flag in FLAGS["proxy"] + FLAGS["tunnel"] if flag.endswith("-timeout")]

# What is given, and what the message must hold.
BAD = [
    ([], "subcommand|command"),
    (["frobnicate"], "frobnicate.*proxy.*tunnel"),
    (["proxy"], "--to"),
    (["tunnel"], "--to"),
    (["proxy", "--to"], "--to"),
    (["proxy", "--to", ""], "--to.*http://host:port"),
    (["proxy", "--to", "127.0.0.1:80"], "--to.*127.0.0.1:80.*http://"),
    (["proxy", "--to", "https://127.0.0.1"], "--to.*https"),
    (["proxy", "--to", "ftp://127.0.0.1"], "--to.*ftp://127.0.0.1.*http://host:port"),
    (["proxy", "--to", "http://"], "--to.*http://host:port"),
    (["proxy", "--to", "http://a b"], "--to.*http://host:port"),
    (["proxy", "--to", "http://127.0.0.1:99999"], "--to.*99999.*http://host:port"),
    (["proxy", "--to", "http://127.0.0.1:x"], "--to.*http://host:port"),
    (["proxy", "--to", "http://user@127.0.0.1"], "--to.*http://host:port"),
    (["proxy", "--to", "http://127.0.0.1/path"], "--to.*path.*http://host:port"),
    (["proxy", *TO, "--listen", "127.0.0.1"], "--listen.*port.*127.0.0.1:8080"),
    (["proxy", *TO, "--listen", "127.0.0.1:70000"], "--listen.*port.*65535"),
    (["proxy", *TO, "--listen", "127.0.0.1:http"], "--listen.*port.*65535"),
    (["proxy", *TO, "--listen", "[::1"], "--listen.*IPv6.*brackets"),
    (["proxy", *TO, "--workers", "0"], "--workers.*1.*1024"),
    (["proxy", *TO, "--workers", "two"], "--workers.*1.*1024"),
    (["proxy", *TO, "--access-log", "maybe"], "--access-log.*maybe.*on.*off"),
    (["proxy", *TO, "--connections-max", "0"], "--connections-max.*1"),
    (["proxy", *TO, "--connections-max", "-1"], "--connections-max.*1"),
    (["proxy", *TO, "--upstream-idle-max", "x"], "--upstream-idle-max.*0"),
    (["proxy", *TO, "--upstream-connections-max", "0"], "--upstream-connections-max.*1"),
    (["proxy", *TO, "--upstream-requests-per-connection-max", "0"], "--upstream-requests-per-connection-max.*1"),
    (["proxy", *TO, "--stream-buffer", "64KB"], "--stream-buffer.*64KB.*64KiB"),
    (["proxy", *TO, "--stream-buffer", "big"], "--stream-buffer.*big.*64KiB"),
    (["proxy", *TO, "--stream-buffer", "0"], "--stream-buffer.*KiB"),
    (["proxy", *TO, "--stream-buffer", "99999999999GiB"], "--stream-buffer.*KiB"),
    (["proxy", *TO, "--frobnicate"], "--frobnicate"),
    (["proxy", *TO, "stray"], "stray"),
    (["proxy", *TO, *TO], "--to"),
    (["tunnel", "--to", "http://127.0.0.1:80"], "--to.*http://127.0.0.1:80.*host:port"),
    (["tunnel", "--to", "127.0.0.1"], "--to.*127.0.0.1.*host:port"),
    (["tunnel", "--to", "127.0.0.1:0"], "--to.*127.0.0.1:0.*host:port"),
    (["tunnel", "--to", "127.0.0.1:1", "--keep-alive-timeout", "1s"], "--keep-alive-timeout"),
]


def run(*arguments):
    return subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=20)


class CommandLine(unittest.TestCase):
    def assert_refused(self, arguments, message):
        done = run(*arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, re.compile(message, re.DOTALL))
        self.assertNotRegex(done.stderr, "terminate|Sanitizer|std::|what\\(\\)")

    def test_help(self):
        overview = run("--help")
        self.assertEqual((overview.returncode, overview.stderr), (0, ""))
        for command, flags in FLAGS.items():
            self.assertRegex(overview.stdout, rf"(?m)^ +{command} +\w")
            details = run(command, "--help")
            self.assertEqual((details.returncode, details.stderr), (0, ""))
            self.assertIn(f"headgate {command}", details.stdout)
            for flag in flags:
                with self.subTest(command=command, flag=flag):
                    # The flag, what its value is, and then, here or on the next line, what it does.
                    self.assertRegex(details.stdout, rf"(?m)^ +{flag} \S.*(?:  +\S.*|\n +[A-Z])")

    def test_help_tells_units_and_defaults(self):
        text = run("proxy", "--help").stdout
        for default in ["127.0.0.1:8080", "10s", "64KiB", "10000", "5s", "15s", "75s"]:
            self.assertIn(f"={default}", text)
        self.assertRegex(text, "500ms.*30s")
        self.assertRegex(text, "64KiB.*1MiB")

    def test_version(self):
        done = run("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^headgate \d+\.\d+\.\d+\n$")

    def test_refusals(self):
        for arguments, message in BAD:
            with self.subTest(arguments):
                self.assert_refused(arguments, message)

    def test_times(self):
        for flag in sorted(set(TIMES)):
            command = "proxy" if flag in FLAGS["proxy"] else "tunnel"
            to = TO if command == "proxy" else ["--to", "127.0.0.1:1"]
            bad = ["15", "s", "-1s", "1.5s", "15 s", "15sec", "", "99999999999999999999s", "1d"]
            for value in bad if flag in ("--header-timeout", "--idle-timeout") else bad[:3]:
                with self.subTest(flag=flag, value=value):
                    self.assert_refused([command, *to, flag, value], f"{flag}.*(ms, s, m or h|30s)")
            self.assert_refused([command, *to, flag, "0s"], f"{flag}.*1ms")


class Listening(GatewayCase):
    def test_address_in_use(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            done = run("proxy", *TO, "--listen", f"127.0.0.1:{port}")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, f"127.0.0.1:{port}.*in use")

    def test_another_gateway_on_the_same_port(self):
        """Workers share a port; two gateways must not."""
        self.start()
        done = run("proxy", *TO, "--listen", self.gateway.name)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, f"{self.gateway.name}.*in use")

    def test_address_of_another_machine(self):
        done = run("proxy", *TO, "--listen", "192.0.2.1:0", "--workers", "2")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, "192.0.2.1:0.*assign")

    def test_unit_suffixes_are_taken(self):
        self.start("--drain-timeout", "20s", "--header-timeout", "1500ms", "--keep-alive-timeout", "2m",
                   "--client-idle-timeout", "1h", "--stream-buffer", "128KiB", "--access-log", "off")

    def started(self, *arguments):
        """The line that says that it is ready, of a gateway that is there until the test ends."""
        process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, text=True)

        def end():
            process.terminate()
            process.communicate(timeout=20)
            self.assertEqual(process.returncode, 0)

        self.addCleanup(end)
        return process.stdout.readline()

    def test_one_worker_per_core_by_default(self):
        line = self.started("proxy", *TO, "--listen", "127.0.0.1:0")
        self.assertRegex(line, rf"forwarding to http://127\.0\.0\.1:1, {len(os.sched_getaffinity(0))} workers?\n")

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
            path = os.path.join(folder, "socket")
            line = self.started("proxy", *TO, "--listen", f"unix:{path}")
            self.assertEqual(line, f"headgate: listening on unix:{path}, forwarding to http://127.0.0.1:1, 1 worker\n")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(path)
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertTrue(client.recv(1000).startswith(b"HTTP/1.1 502 "))
            self.doCleanups()
            self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    unittest.main()
