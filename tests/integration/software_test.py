#!/usr/bin/env python3
"""Programs that people use, on both sides of the gateway."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import SANITIZED, SLACK, GatewayCase, chunk, eventually, response
from support.nginx import PROGRAM as NGINX
from support.nginx import Nginx

LOAD_SECONDS = 2


def needs(program):
    return unittest.skipUnless(NGINX if program == "nginx" else shutil.which(program), f"{program} is not installed")


def run(*arguments, data=None, within=60):
    return subprocess.run(arguments, input=data, capture_output=True, check=False, timeout=within)


class NginxCase(GatewayCase):
    @classmethod
    def setUpClass(cls):
        cls.nginx = Nginx()

    @classmethod
    def tearDownClass(cls):
        cls.nginx.close()

    def start_before_nginx(self, *flags, **how):
        """nginx lives on, and so do the pool's connections to it: the time they may be unused is short."""
        return self.start("--upstream-keep-alive-timeout", "500ms", *flags, to=self.nginx.url(), **how)

    def _check_rest(self):
        if self._running():
            self.leaks.wait_rest(2)


@needs("nginx")
@needs("curl")
class CurlAndNginx(NginxCase):
    def curl(self, *arguments, target="/small.txt", code=0, **how):
        done = run("curl", "-sS", *arguments, self.gateway.url(target), **how)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def status_of(self, *arguments, target):
        return self.curl("-o", "/dev/null", "-w", "%{http_code}", *arguments, target=target).decode()

    def test_files(self):
        self.start_before_nginx()
        for name, data in self.nginx.files.items():
            for flags in [[], ["--http1.0"], ["--limit-rate", "20M"], ["-H", "Connection: close"]]:
                with self.subTest(name=name, flags=flags):
                    self.assertEqual(hashlib.sha256(self.curl(*flags, target=f"/{name}")).hexdigest(),
                                     hashlib.sha256(data).hexdigest())
                    self.log(status=200, end="complete", down=len(data))

    def test_compressed(self):
        """nginx compresses on the fly, and so sends chunks."""
        self.start_before_nginx()
        got = self.curl("--compressed", "-D", "/dev/stderr", target="/text.txt")
        self.assertEqual(got, self.nginx.files["text.txt"])
        self.assertLess(self.log(status=200, end="complete").down, len(got) // 2)

    def test_other_answers(self):
        self.start_before_nginx()
        self.assertEqual(self.status_of(target="/nothing"), "404")
        self.assertEqual(self.status_of(target="/empty"), "204")
        self.assertEqual(self.status_of("-I", target="/big.bin"), "200")
        self.assertEqual(self.status_of("-X", "DELETE", target="/small.txt"), "405")
        self.assertEqual(self.curl("-L", "-H", f"Host: {self.gateway.name}", target="/moved"), self.nginx.files["small.txt"])
        etag = re.search(rb"(?i)etag: (\S+)", self.curl("-I", target="/small.txt"))[1].decode()
        self.assertEqual(self.status_of("-H", f"If-None-Match: {etag}", target="/small.txt"), "304")

    def test_ranges(self):
        self.start_before_nginx()
        big = self.nginx.files["big.bin"]
        self.assertEqual(self.curl("-r", "1000-1999", target="/big.bin"), big[1000:2000])
        self.assertEqual(self.curl("-r", "-5", target="/big.bin"), big[-5:])
        parts = self.curl("-r", "0-9,100-109", target="/big.bin")
        self.assertTrue(big[:10] in parts and big[100:110] in parts)

    def test_many_on_one_connection(self):
        self.start_before_nginx()
        urls = ["-o", "/dev/null", self.gateway.url("/small.txt")] * 50
        done = run("curl", "-sS", "-w", "%{num_connects}\n", *urls)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(map(int, done.stdout.split())), [1] + [0] * 49)

    def test_aborted(self):
        """A download that is stopped in the middle, and a client that is killed."""
        self.start_before_nginx()
        self.curl("--limit-rate", "100k", "--max-time", "0.5", target="/huge.bin", code=28)
        self.log(lambda line: line.end in ("client_closed", "client_reset"), status=200)
        slow = subprocess.Popen(["curl", "-sS", "-o", "/dev/null", "--limit-rate", "10k", self.gateway.url("/huge.bin")])
        eventually(lambda: self.gateway.live()["requests"] == 1)
        slow.send_signal(signal.SIGKILL)
        slow.wait(10)
        self.log(lambda line: line.end in ("client_closed", "client_reset"), status=200)
        self.leaks.wait_idle()

    def test_at_the_upstreams_end(self):
        """nginx goes away: what it had begun fails, and what comes then is told 502."""
        self.start_before_nginx()
        self.curl()
        with self.subTest("gone"):
            self.nginx.process.terminate()
            self.nginx.process.wait(10)
            self.assertEqual(self.status_of(target="/small.txt"), "502")
        type(self).nginx.close()
        type(self).nginx = Nginx()


@needs("curl")
class CurlUploads(GatewayCase):
    SIZE = 2 << 20

    def receive(self, conn):
        """Answers with the digest of what came, and sends 100 to who asks for it."""

        def handle(conn, head):
            if head.get("Expect") == "100-continue":
                conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.expected += 1
            conn.respond(200, [("X-Framing", head.framing)], conn.recv_body(head, keep=False).sha256.encode())

        conn.serve(handle)

    def upload(self, *arguments, data, feed=None):
        with tempfile.NamedTemporaryFile(prefix="headgate-") as file:
            file.write(data)
            file.flush()
            name = "-" if feed else file.name
            done = run("curl", "-sS", "-D", "/dev/stderr", "-T", name, *arguments, self.gateway.url(), data=feed)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), hashlib.sha256(data).hexdigest())
        self.log(status=200, end="complete", up=len(data))
        return done.stderr.decode()

    def setUp(self):
        super().setUp()
        self.expected = 0
        self.data = os.urandom(self.SIZE)

    def test_with_length(self):
        self.start(script=self.receive)
        answer = self.upload("-H", "Expect:", data=self.data)
        self.assertIn("X-Framing: length", answer)

    def test_expect_continue(self):
        self.start(script=self.receive)
        answer = self.upload("-H", "Expect: 100-continue", "--expect100-timeout", "30", data=self.data)
        self.assertRegex(answer, "^HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
        self.assertEqual(self.expected, 1)

    def test_chunked(self):
        self.start(script=self.receive)
        answer = self.upload("-H", "Expect:", data=self.data, feed=self.data)
        self.assertIn("X-Framing: chunked", answer)

    def test_http_1_0(self):
        self.start(script=self.receive)
        self.upload("--http1.0", data=self.data)

    def test_slowly(self):
        self.start(script=self.receive)
        self.upload("--limit-rate", "1500k", "-H", "Expect:", data=self.data)

    def test_an_early_answer(self):
        """The origin refuses in the middle of an upload. curl stops, and shows the answer."""

        def refuse(conn):
            conn.recv_head()
            conn.recv_exact(100_000)
            conn.respond(413, [("Connection", "close")], b"too large", reason="Too Large")
            conn.wait_end()

        self.start(script=refuse)
        with tempfile.NamedTemporaryFile(prefix="headgate-") as file:
            file.truncate(1 << 30)
            done = run("curl", "-sS", "-w", " %{http_code}", "-H", "Expect:", "-T", file.name, self.gateway.url())
        self.assertEqual(done.stdout, b"too large 413", done.stderr)
        self.log(status=413, end="complete")

    def test_cut_download(self):
        """curl, too, sees a cut response as one that failed."""

        def cut(conn):
            head = conn.recv_head()
            if head.target == "/chunked":
                conn.send(response(200, [("Transfer-Encoding", "chunked")]) + chunk(b"some"))
            else:
                conn.send(response(200, [("Content-Length", "100")]) + b"some")

        self.start(script=cut)
        for target in ("/length", "/chunked"):
            done = run("curl", "-sS", self.gateway.url(target))
            self.assertIn(done.returncode, (18, 56), done.stderr)
            self.log(status=200, end="upstream_closed")


@needs("nginx")
class Load(NginxCase):
    def start_before_nginx(self, *flags, **how):
        super().start_before_nginx(*flags, **how)
        self.gateway.may_drop_lines = True

    def assert_no_errors(self, least):
        """What the gateway thinks of it: everything was complete, but for what the tool cut off at its end."""
        self.leaks.wait_idle()
        lines = self.gateway.all_logs
        complete = sum(line.end == "complete" and line.status == 200 for line in lines)
        self.assertGreater(complete, least)
        cut = [line for line in lines if line.end != "complete" or line.status != 200]
        self.assertLessEqual(len(cut), 100)
        self.assertLessEqual({line.end for line in cut}, {"client_closed", "client_reset"})

    @needs("wrk")
    def test_wrk(self):
        self.start_before_nginx(workers=2)
        for target in ("/small.txt", "/text.txt"):
            done = run("wrk", "-t1", "-c50", f"-d{LOAD_SECONDS}s", self.gateway.url(target))
            text = done.stdout.decode()
            self.assertEqual(done.returncode, 0, text)
            self.assertNotRegex(text, "Socket errors|Non-2xx", text)
            self.assertGreater(int(re.search(r"(\d+) requests in", text)[1]), 200 / SLACK)
        self.assert_no_errors(400 / SLACK)

    @needs("h2load")
    def test_h2load(self):
        self.start_before_nginx(workers=2)
        count = 500 if SANITIZED else 5000
        done = run("h2load", "--h1", "-t1", "-c50", f"-n{count}", self.gateway.url("/small.txt"))
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, text)
        self.assertRegex(text, rf"{count} total, \d+ started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")
        self.assertIn(f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx", text)
        self.assert_no_errors(count - 1)

    @needs("wrk")
    def test_wrk_without_keep_alive(self):
        self.start_before_nginx(workers=2)
        done = run("wrk", "-t1", "-c50", "-d1s", "-H", "Connection: close", self.gateway.url("/small.txt"))
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, text)
        self.assertNotRegex(text, "Non-2xx|connect [1-9]|write [1-9]|timeout [1-9]", text)
        self.assert_no_errors(50)


if __name__ == "__main__":
    unittest.main()
