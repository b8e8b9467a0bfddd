#!/usr/bin/env python3
"""The admin server: who may use it, what it answers, and the commands that use it."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

from support import BINARY, SLACK, Client, RunCase, chunk, eventually, free_port, request


class AdminCase(RunCase):
    def setUp(self):
        super().setUp()
        self.admin_port = free_port()

    def serving(self, body="one", admin=None):
        admin = admin or f"{{address: '127.0.0.1:{self.admin_port}'}}"
        return self.listener() + f"routes: [{{respond: {{body: {body}}}}}]\nadmin: {admin}\n"

    def admin(self, **how):
        client = Client(("127.0.0.1", self.admin_port), **how)
        self.adopt(client)
        return client

    def ask(self, method, target, *fields, host=None):
        client = self.admin()
        client.send(request(method, target, fields, host=host or f"127.0.0.1:{self.admin_port}"))
        return client.response(method)

    def command(self, *arguments):
        return subprocess.run([BINARY, *map(str, arguments)], text=True, capture_output=True, check=False, timeout=60)

    def change(self, text):
        self.write(f"server: {{workers: 2{self.more}}}\n" + text)

    def served(self):
        return self.client().exchange().data


class Server(AdminCase):
    def test_what_it_answers(self):
        self.run_with(self.serving())
        for path in ("/livez", "/readyz"):
            answer = self.ask("GET", path)
            self.assertEqual((answer.status, answer.data, answer.head["Cache-Control"]), (200, b"ok\n", "no-store"))
            self.assertEqual(self.ask("HEAD", path).head["Content-Length"], "3")
        for method, target, status in (("GET", "/nowhere", 404), ("GET", "/api/v1/reload", 405), ("POST", "/livez", 405)):
            answer = self.ask(method, target)
            self.assertEqual((answer.status, answer.head["Content-Type"]), (status, "application/problem+json"))
            self.assertEqual(json.loads(answer.data)["status"], status)
        self.assertEqual(self.ask("GET", "/api/v1/reload").head["Allow"], "POST")
        self.assertEqual(self.ask("POST", "/livez").head["Allow"], "GET, HEAD")

    def test_several_requests_on_a_connection(self):
        self.run_with(self.serving())
        client = self.admin()
        client.send(request("GET", "/livez", host="localhost") * 3)
        for _ in range(3):
            self.assertEqual(client.response().status, 200)
        client.send(request("POST", "/nowhere", host="localhost", body=b"a body that nobody reads"))
        self.assertEqual(client.response().status, 404)
        self.assertEqual(client.wait_end(5).kind, "fin")

    def test_web_pages_cannot_use_it(self):
        self.run_with(self.serving())
        for host, status in (("127.0.0.1", 200), ("localhost:9", 200), ("[::1]:1", 200), ("10.1.2.3", 200),
                             ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403)):
            self.assertEqual(self.ask("GET", "/livez", host=host).status, status, host)
        own = f"127.0.0.1:{self.admin_port}"
        for origin, status in (("http://evil.example", 403), ("null", 403), (f"http://{own}", 200)):
            self.assertEqual(self.ask("POST", "/api/v1/reload", ("Origin", origin)).status, status, origin)

    def test_malformed_and_slow_requests(self):
        self.run_with(self.serving())
        client = self.admin()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        self.assertEqual(client.response().status, 400)
        client = self.admin()
        client.send(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(client.response().status, (414, 431))
        slow = self.admin()
        slow.send(b"GET /livez HTT")
        since = time.monotonic()
        self.assertEqual(slow.response().status, 408)
        self.assertGreater(time.monotonic() - since, 4)

    def test_connections_are_bounded(self):
        self.run_with(self.serving())
        kept = [self.admin() for _ in range(32)]
        for client in kept:
            client.send(request("GET", "/livez", host="localhost"))
            self.assertEqual(client.response().status, 200)
        self.assertEqual(self.admin().response().status, 503)
        kept[0].close()
        eventually(lambda: self.ask("GET", "/livez").status == 200, 5)

    def test_a_unix_socket(self):
        path = str(self.file.parent / "admin.sock")
        self.run_with(self.serving(admin=f"{{address: 'unix:{path}'}}"))
        done = self.command("reload", "--admin", f"unix:{path}")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.gateway.stop()
        self.assertFalse(os.path.exists(path))

    def test_an_address_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.write(self.serving(admin=f"{{address: '127.0.0.1:{port}'}}"))
            done = self.command("run", "-c", self.file)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"cannot listen on 127.0.0.1:{port}: Address already in use", done.stderr)
        self.write(self.serving(admin=f"{{address: '127.0.0.1:{self.port}'}}"))
        done = self.command("validate", "-c", self.file)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"headgate.yaml:3:19: the address '127.0.0.1:{self.port}' of admin overlaps with that of the listener on line 1", done.stderr)


class Reload(AdminCase):
    def test_reload(self):
        self.run_with(self.serving())
        self.assertEqual(self.served(), b"one")
        self.change(self.serving("two"))
        done = self.command("reload", "-c", self.file)
        self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", "headgate: reloaded: 1 listener(s), 1 route(s), 0 upstream(s)\n"))
        self.assertEqual(self.served(), b"two")
        answer = self.ask("POST", "/api/v1/reload")
        self.assertEqual((answer.head["Content-Type"], json.loads(answer.data)), ("application/json", {"listeners": 1, "routes": 1, "upstreams": 0}))

    def test_the_whole_error_is_told(self):
        self.run_with(self.serving())
        bad = self.serving("two").replace("respond", "respnd").replace("body: two", "boddy: two") + "colour: red\n"
        self.change(bad)
        wanted = self.command("validate", "-c", self.file).stderr
        self.assertIn("headgate.yaml:5:1: 'colour' is not a key", wanted)
        done = self.command("reload", "--admin", f"127.0.0.1:{self.admin_port}")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, wanted + "headgate: not reloaded; what was served before is served on\n")
        self.assertEqual(self.served(), b"one")
        answer = self.ask("POST", "/api/v1/reload")
        self.assertEqual((answer.status, answer.head["Content-Type"]), (422, "application/problem+json"))
        self.assertEqual(json.loads(answer.data)["detail"], done.stderr)
        done = self.command("reload", "-c", self.file)  # which cannot be read to learn where
        self.assertEqual((done.returncode, done.stderr), (1, wanted))

    def test_nobody_there(self):
        done = self.command("reload", "--admin", f"127.0.0.1:{free_port()}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot reach a gateway at 127.0.0.1:", done.stderr)
        self.assertEqual(self.command("reload", "--admin", "nonsense").returncode, 2)
        self.write(self.listener() + "routes: [{respond: {}}]\n")
        done = self.command("reload", "-c", self.file)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no `admin`", done.stderr)

    def test_somebody_else_there(self):
        a = self.origin_named("a")
        done = self.command("reload", "--admin", a.name)
        self.assertEqual(done.returncode, 0, "any HTTP server may answer")
        talker = self.origin_named("b", lambda conn: conn.send(b"220 mail ready\r\n"))
        done = self.command("reload", "--admin", talker.name)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no gateway", done.stderr)


class Drain(AdminCase):
    def begin(self, delay):
        origin = self.start_origin()
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x}}}}]\nupstreams: {{x: {{endpoints: ['{origin.name}']}}}}\n"
                      f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\n", more=f", drain_delay: {delay}, drain_timeout: 20s")
        client = self.client()
        client.request()
        up = origin.accept()
        up.recv_head()
        up.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.recv_head()
        return client, up

    def test_readiness_goes_first_then_the_listeners(self):
        for how in ("signal", "command"):
            with self.subTest(how):
                client, up = self.begin("1500ms")
                since = time.monotonic()
                if how == "signal":
                    self.gateway.signal(signal.SIGTERM)
                else:
                    done = self.command("drain", "--admin", f"127.0.0.1:{self.admin_port}")
                    self.assertEqual((done.returncode, done.stdout), (0, "headgate: draining\n"))
                eventually(lambda: self.ask("GET", "/readyz").status == 503, 5)
                self.assertEqual(self.ask("GET", "/livez").status, 200)
                self.assertEqual(self.ask("POST", "/api/v1/reload").status, 409)
                self.client().close()  # is still accepted
                self.assertLess(time.monotonic() - since, 1.5)
                eventually(self.gateway.refuses, 10)
                self.assertGreaterEqual(time.monotonic() - since, 1.4)
                self.assertEqual(self.ask("GET", "/livez").status, 200, "as long as it runs")
                up.send(chunk(b"end") + b"0\r\n\r\n")
                self.assertEqual(self.gateway.wait_exit(10), 0)
                client.close()
                self.gateway.stop()
                self.gateway = self.leaks = None

    def test_a_second_signal_does_not_wait(self):
        client, _ = self.begin("20s")
        since = time.monotonic()
        self.gateway.signal(signal.SIGTERM)
        eventually(lambda: self.ask("GET", "/readyz").status == 503, 5)
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(client.wait_end(5).kind, "reset")
        self.assertEqual(self.gateway.wait_exit(10), 0)
        self.assertLess(time.monotonic() - since, 5 * SLACK)


class Documentation(AdminCase):
    def test_its_examples_are_right(self):
        page = Path(__file__).resolve().parents[2] / "docs/operations.md"
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        self.assertTrue(blocks)
        for block in blocks:
            self.file.write_text(block)
            done = self.command("validate", "-c", self.file)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
