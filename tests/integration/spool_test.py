#!/usr/bin/env python3
"""Responses that are read ahead of their clients: the upstream is free when it has given its last byte, whatever the clients do."""

import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import BINARY, SANITIZED, Crowd, Cut, RunCase, eventually, free_port, request
from support.peers import NGINX, nginx, nginx_http
from tls_test import TlsCase

MIB = 1 << 20
BODY = random.Random(5).randbytes(12 * MIB)
PATIENCE = 60.0  # seconds: an origin is held up as long as the test says
SPOOL = "response: {buffering: spool, spool_memory: 256KiB, spool_disk: 100MiB}"


class SpoolCase(RunCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="headgate-spool-")
        self.addCleanup(folder.cleanup)
        self.spools = Path(folder.name)

    def config(self, port, response=SPOOL, upstream="", route=""):
        return (self.listener() + f"routes: [{{name: files, proxy: {{upstream: a, {response}}}{route}}}]\n"
                f"upstreams: {{a: {{endpoints: ['127.0.0.1:{port}']{upstream}}}}}\n")

    def serve(self, port, server="", **how):
        self.run_with(self.config(port, **how), workers=1, more=f", spool: {{directory: {self.spools}{server}}}")

    def origin_of(self, body, framing="length"):
        """An origin that answers all requests so."""

        def script(conn):
            conn.sock.settimeout(PATIENCE)

            def handle(conn, head):
                conn.recv_body(head)
                if head.method == "HEAD":
                    return conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                if framing != "close":
                    return conn.respond(200, [], body, chunked=framing == "chunked")
                conn.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                conn.sock.shutdown(socket.SHUT_WR)
                return False

            conn.serve(handle)

        return self.origin_named("a", script)

    def slow(self, target="/"):
        """A client that reads nothing until it is told to, nor does its system take much."""
        client = self.client(receive_buffer=16384, timeout=PATIENCE)
        client.request("GET", target)
        return client

    def upstream_is_free(self):
        eventually(lambda: (live := self.gateway.live())["upstream_busy"] == 0 and live["upstream_idle"] > 0, 20,
                   "the upstream's connections are back in the pool")

    def files(self):
        """What the gateway's files without names take on disk, in bytes."""
        taken = []
        for fd in Path(f"/proc/{self.gateway.pid}/fd").iterdir():
            try:
                if os.readlink(fd).startswith(str(self.spools)):
                    taken.append(os.stat(fd).st_blocks * 512)
            except FileNotFoundError:
                pass
        return taken


@unittest.skipUnless(NGINX, "nginx is not installed")
class BehindNginx(SpoolCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="headgate-files-")
        self.addCleanup(self.folder.cleanup)
        os.chmod(self.folder.name, 0o755)
        Path(self.folder.name, "body").write_bytes(2 * BODY)
        self.origin_port = free_port()
        log = f"log_format t '$request_time $bytes_sent $connection'; access_log {self.folder.name}/log t; "
        server = (f"listen 127.0.0.1:{self.origin_port}; root {self.folder.name}; sendfile on; keepalive_timeout 600s; "
                  "location /status { access_log off; stub_status; }")
        self.nginx = nginx(nginx_http(server).replace("access_log off; ", log, 1), self.origin_port)
        self.addCleanup(self.nginx.close)

    def nginx_writes(self):
        """How many connections nginx sends answers on, by its own account."""
        said = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{self.origin_port}/status"], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"Writing: (\d+)", said)[1]) - 1  # but for this answer

    def test_four_slow_curls_and_two_connections(self):
        self.serve(self.origin_port, upstream=", connections_max: 2, queue_timeout: 1m")
        begun = time.monotonic()
        outputs = [Path(self.folder.name, f"got{i}") for i in range(4)]
        curls = [subprocess.Popen(["curl", "-sS", "--limit-rate", "2M", "--max-time", "100", "-o", out, f"http://127.0.0.1:{self.port}/body"]) for out in outputs]
        try:
            log = Path(self.folder.name, "log")
            eventually(lambda: log.read_text().count("\n") == 4, 60, "nginx has sent all")
            self.upstream_is_free()
            self.assertEqual(self.nginx_writes(), 0)
            self.assertGreater(self.gateway.live()["requests"], 0, "clients are still at it")
            free_after = time.monotonic() - begun
            self.assertEqual({curl.wait(100) for curl in curls}, {0})
            took = time.monotonic() - begun
        finally:
            for curl in curls:
                curl.kill()
                curl.wait()
        for out in outputs:
            self.assertEqual(hashlib.sha256(out.read_bytes()).hexdigest(), hashlib.sha256(2 * BODY).hexdigest())
            self.log(target="/body", end="complete", down=2 * len(BODY))
        self.assertLessEqual(len({line.split()[2] for line in log.read_text().splitlines()}), 2, "by two connections")
        self.assertLess(free_after, took)
        self.rest_is_now()

    def test_without_it_the_upstream_waits(self):
        self.serve(self.origin_port, response="response: {buffering: none}")
        client = self.slow("/body")
        client.recv_head()
        live = [self.gateway.live() for _ in range(20)]
        self.assertEqual({one["upstream_busy"] for one in live}, {1})
        client.close()


class Endings(SpoolCase):
    def test_the_files_have_no_names_and_are_gone(self):
        self.serve(self.origin_of(BODY).address[1])
        clients = [self.slow() for _ in range(3)]
        self.upstream_is_free()
        self.assertEqual(len(self.files()), 3)
        self.assertGreater(min(self.files()), 4 * MIB)
        self.assertEqual(os.listdir(self.spools), [])
        for client in clients[:2]:
            self.assertEqual(client.response().body.sha256, hashlib.sha256(BODY).hexdigest())
            self.log(status=200, end="complete", down=len(BODY))
        clients[2].close()
        self.log(lambda line: line.end in ("client_closed", "client_reset"), status=200)
        eventually(lambda: self.files() == [])

    def test_framings(self):
        body = BODY
        origins = {framing: self.origin_of(body, framing) for framing in ("length", "chunked", "close")}
        self.run_with(self.listener() + "routes:\n" + "".join(f"- {{match: {{path: /{f}}}, proxy: {{upstream: {f}, {SPOOL}}}}}\n" for f in origins) +
                      "upstreams:\n" + "".join(f"  {f}: {{endpoints: ['{o.name}']}}\n" for f, o in origins.items()), workers=1)
        for framing in origins:
            with self.subTest(framing):
                client = self.slow("/" + framing)
                eventually(lambda: (live := self.gateway.live())["upstream_busy"] == 0 and live["requests"] == 1, 20)
                response = client.response()
                self.assertEqual((response.body.sha256, response.head.framing), (hashlib.sha256(body).hexdigest(), framing))
                self.log(target="/" + framing, end="complete", down=len(body))
                self.assertEqual(self.client().exchange("HEAD", "/" + framing).data, b"")
                self.log(target="/" + framing, end="complete", down=0)
                eventually(lambda: self.gateway.live()["requests"] == 0)

    def test_an_upstream_that_breaks_is_seen_by_the_client(self):
        def script(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + BODY[:4 * MIB])
            conn.sock.close()

        self.serve(self.origin_named("a", script).address[1])
        client = self.slow()
        self.log(status=200, end="upstream_closed")
        self.assertEqual(self.gateway.live()["requests"], 0)
        self.assertEqual(self.files(), [])
        with self.assertRaises(Cut):
            client.response()

    def test_a_client_that_leaves_is_felt_at_once(self):
        origin = self.origin_named("a", lambda conn: self._endless(conn))
        self.serve(origin.address[1])
        client = self.slow()
        eventually(lambda: self.files() and self.files()[0] > MIB, 20, "something is on disk")
        client.close()
        self.log(lambda line: line.end in ("client_closed", "client_reset"), status=200)
        eventually(lambda: origin.connections[0].end, 20, "the origin sees the end")
        self.assertEqual(origin.connections[0].end.kind, "reset")
        self.assertEqual(self.files(), [])

    @staticmethod
    def _endless(conn):
        conn.recv_head()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            conn.send(BODY[:65536])
            time.sleep(0.005)

    def test_a_reload_in_the_middle(self):
        a, b = self.origin_of(BODY), self.origin_of(b"of the new one")
        self.serve(a.address[1])
        client = self.slow()
        self.upstream_is_free()
        self.reload(self.config(b.address[1], response="response: {buffering: none}"), workers=1)
        self.assertEqual(self.client().exchange("GET", "/").data, b"of the new one")
        self.assertEqual(client.response().body.sha256, hashlib.sha256(BODY).hexdigest())

    def test_the_end_of_the_gateway_lets_the_client_finish(self):
        self.serve(self.origin_of(BODY).address[1])
        client = self.slow()
        self.upstream_is_free()
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(client.response().body.sha256, hashlib.sha256(BODY).hexdigest())
        self.assertEqual(self.gateway.wait_exit(), 0)

    @unittest.skipIf(SANITIZED, "the sanitizer asks a pipe whether memory can be read, and takes a refusal for a no")
    def test_no_descriptor_for_the_file(self):
        self.serve(self.origin_of(BODY).address[1])
        client = self.client(receive_buffer=16384, timeout=PATIENCE)
        self.assertEqual(self.client().exchange("HEAD", "/").status, 200)
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        taken = {int(fd) for fd in os.listdir(f"/proc/{self.gateway.pid}/fd")}
        free = min(set(range(len(taken) + 1)) - taken)
        subprocess.run(["prlimit", "--pid", str(self.gateway.pid), f"--nofile={free}:"], check=True)
        client.request("GET", "/")
        client.recv_head()
        eventually(lambda: self.gateway.live()["buffer_bytes"] >= 256 * 1024, 20)
        self.assertEqual((self.gateway.live()["upstream_busy"], self.files()), (1, []))
        subprocess.run(["prlimit", "--pid", str(self.gateway.pid), "--nofile=1024:"], check=True)
        self.upstream_is_free()
        self.assertEqual(len(self.files()), 1)

    def test_a_folder_that_is_not_there(self):
        self.write(f"server: {{spool: {{directory: {self.spools}/none}}}}\n" + self.config(1))
        done = subprocess.run([BINARY, "validate", "-c", self.file], capture_output=True, text=True, check=False, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.spools}/none: No such file or directory", done.stderr)

    def test_a_limit_for_what_is_not_spooled(self):
        self.write(self.config(1, response="response: {buffering: none}", route=", spool_disk_limit: 1GiB"))
        done = subprocess.run([BINARY, "validate", "-c", self.file], capture_output=True, text=True, check=False, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing of this route is spooled", done.stderr)


class Quotas(SpoolCase):
    def full(self, server="", route="", workers=1):
        self.run_with(self.config(self.origin_of(BODY).address[1], route=route), workers=workers,
                      more=f", spool: {{directory: {self.spools}{server}}}")
        crowd = Crowd(self.gateway.address, 4, request("GET", "/"), receive_buffer=16384)
        self.adopt(crowd)
        # Each waits for room: what they have on disk together does not grow any more.
        eventually(lambda: sum(self.files()) > 6 * MIB, 20)
        most = 0
        for _ in range(20):
            most = max(most, sum(self.files()))
            time.sleep(0.02)
        self.assertLessEqual(most, 8 * MIB + 64 * 1024, "but for what the file system itself needs")
        self.assertGreater(self.gateway.live()["upstream_busy"], 0)
        for sock in crowd.socks:
            digest, left = hashlib.sha256(), None
            while left is None or left:
                data = sock.recv(1 << 20)
                self.assertTrue(data)
                if left is None:
                    data, left = data.partition(b"\r\n\r\n")[2], len(BODY)
                digest.update(data)
                left -= len(data)
            self.assertEqual(digest.hexdigest(), hashlib.sha256(BODY).hexdigest())
        eventually(lambda: self.files() == [] or sum(self.files()) == 0)
        crowd.close()

    def test_of_all_routes_over_all_workers(self):
        self.full(server=", disk_limit: 8MiB", workers=2)

    def test_of_a_route(self):
        self.full(route=", spool_disk_limit: 8MiB")


class OverTls(TlsCase):
    @unittest.skipIf(SANITIZED, "much is encrypted")
    def test_a_client_with_tls(self):
        origin = SpoolCase.origin_of(self, BODY)
        self.run_with(self.secure() + f"routes: [{{proxy: {{upstream: a, {SPOOL}}}}}]\n"
                      f"upstreams: {{a: {{endpoints: ['{origin.name}']}}}}\n")
        self.assertEqual(hashlib.sha256(self.curl("--limit-rate", "50M")).digest(), hashlib.sha256(BODY).digest())


class Page(SpoolCase):
    def test_the_example_is_right(self):
        page = (Path(__file__).resolve().parents[2] / "docs/gateway.md").read_text()
        examples = [e for e in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "buffering:" in e]
        self.assertEqual(len(examples), 1)
        origin = self.origin_of(BODY)
        text = examples[0].replace(":8080", f"127.0.0.1:{self.port}").replace("127.0.0.1:9001", origin.name).replace("/var/spool/headgate", str(self.spools))
        self.write(text)
        explained = subprocess.run([BINARY, "explain", "-c", self.file, "GET", "/reports/1"], capture_output=True, text=True, check=False, timeout=20)
        self.assertEqual(explained.returncode, 0, explained.stderr)
        self.assertRegex(explained.stdout, r"response\.buffering +spool ")
        self.assertRegex(explained.stdout, r"spool_disk_limit +4GiB ")
        server, _, rest = text.partition("\n")
        self.run_with(rest, workers=1, more=", " + server.removeprefix("server: {").removesuffix("}"))
        client = self.slow("/reports/1")
        self.upstream_is_free()
        self.assertEqual(client.response().body.sha256, hashlib.sha256(BODY).hexdigest())


if __name__ == "__main__":
    unittest.main()
