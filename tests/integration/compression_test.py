#!/usr/bin/env python3
"""Answers that are compressed as they go by: which, how they are told, that events are never held back, and every way it can end."""

import gzip
import os
import subprocess
import unittest
import zlib

from support import SANITIZED, RunCase, eventually
from support.nginx import Nginx

TEXT = b"".join(b"%d,%d,name\n" % (i, i * i % 997) for i in range(200_000))


class CompressionCase(RunCase):
    def proxying(self, origin, extra="algorithms: [zstd, gzip]", more="", **how):
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: a, compression: {{{extra}}}{more}}}}}]\n"
                      f"upstreams: {{a: {{endpoints: ['{origin.name}']}}}}\n", **how)

    def answering(self, fields=(), body=TEXT[:5000], **how):
        """An origin that answers all requests so."""

        def script(conn):
            def handle(conn, head):
                conn.recv_body(head)
                conn.respond(how.get("status", 200), [("Content-Type", "text/csv"), *fields], body, chunked=how.get("chunked", False))

            conn.serve(handle)

        return self.origin_named("a", script)

    def get(self, accepted="gzip", method="GET", fields=()):
        return self.client().exchange(method, "/", *([("Accept-Encoding", accepted)] if accepted else []), *fields)

    def curl(self, *arguments, target="/"):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "--compressed", *arguments, f"http://127.0.0.1:{self.port}{target}"],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class What(CompressionCase):
    def test_what_is_told(self):
        self.proxying(self.answering([("ETag", '"x"'), ("Accept-Ranges", "bytes"), ("Content-MD5", "abc"), ("Content-Digest", "sha-256=:a:"),
                                      ("Vary", "Origin"), ("X-Other", "y")]))
        answer = self.get("gzip")
        head = answer.head
        self.assertEqual(gzip.decompress(answer.data), TEXT[:5000])
        self.assertEqual((head["Content-Encoding"], head["ETag"], head.framing), ("gzip", 'W/"x"', "chunked"))
        self.assertEqual((head.all("Vary"), head["X-Other"]), (["Origin", "Accept-Encoding"], "y"))
        for name in ("Accept-Ranges", "Content-MD5", "Content-Digest", "Content-Length"):
            self.assertNotIn(name, head)
        self.log(status=200, end="complete", down=len(answer.data))
        answer = self.get(None)
        self.assertEqual((answer.data, answer.head["Content-Length"], answer.head["ETag"]), (TEXT[:5000], "5000", '"x"'))
        self.assertEqual(answer.head.all("Vary"), ["Origin", "Accept-Encoding"], "others may get another coding")

    def test_the_client_decides(self):
        self.proxying(self.answering())
        for accepted, coding in [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("gzip, zstd;q=0.9", "gzip"), ("br", None), ("*", "zstd"), ("gzip;q=0", None),
                                 ("identity, gzip;q=0.5", None)]:
            self.assertEqual(self.get(accepted).head.get("Content-Encoding"), coding, accepted)
        self.assertEqual(self.curl(), TEXT[:5000])
        self.assertEqual(self.curl("-H", "Accept-Encoding: zstd"), TEXT[:5000])

    def check_plain(self, fields=(), body=TEXT[:5000], accepted="gzip", method="GET", asked=(), **how):
        origin = self.answering(fields, body, **how)
        self.proxying(origin)
        answer = self.get(accepted, method, asked)
        self.assertEqual(answer.data, b"" if method == "HEAD" else body)
        return answer

    def test_not_what_is_coded(self):
        self.assertEqual(self.check_plain([("Content-Encoding", "br")]).head["Content-Encoding"], "br")

    def test_not_what_forbids_it(self):
        self.assertNotIn("Vary", self.check_plain([("Cache-Control", "max-age=1, No-Transform")]).head)

    def test_not_for_who_forbids_it(self):
        self.check_plain(asked=[("Cache-Control", "no-transform")])

    def test_not_a_part(self):
        self.check_plain([("Content-Range", "bytes 0-4999/10000")], status=206)

    def test_not_the_answer_to_head(self):
        origin = self.origin_named("a", lambda conn: conn.serve(lambda c, head: c.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 5000\r\n\r\n")))
        self.proxying(origin)
        head = self.get("gzip", "HEAD").head
        self.assertEqual((head["Content-Length"], head.get("Content-Encoding")), ("5000", None))

    def test_not_what_is_short(self):
        self.check_plain(body=TEXT[:1023])

    def test_not_other_types(self):
        origin = self.origin_named("a", lambda conn: conn.serve(
            lambda c, head: c.respond(200, [("Content-Type", "image/png")] if "q=png" in head.target else [], TEXT[:5000])))
        self.proxying(origin)
        for target in ("/?q=png", "/"):
            answer = self.client().exchange("GET", target, ("Accept-Encoding", "gzip"))
            self.assertEqual((answer.data, answer.head.get("Vary")), (TEXT[:5000], None))

    def test_an_error_with_a_body_and_a_304(self):
        self.proxying(self.answering(status=404))
        self.assertEqual(gzip.decompress(self.get().data), TEXT[:5000])
        other = self.origin_named("b", lambda conn: conn.serve(lambda c, head: c.send(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n')))
        self.reload(self.listener() + "routes: [{proxy: {upstream: a, compression: {algorithms: [gzip]}}}]\n"
                    f"upstreams: {{a: {{endpoints: ['{other.name}']}}}}\n")
        answer = self.get(fields=[("If-None-Match", 'W/"x"')])
        self.assertEqual((answer.status, answer.data), (304, b""))

    def test_an_http_1_0_client(self):
        self.proxying(self.answering())
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n")
        head = client.recv_head()
        self.assertEqual((head.framing, head["Connection"]), ("close", "close"))
        self.assertEqual(gzip.decompress(client.recv_body(head).data), TEXT[:5000])

    def test_settings(self):
        self.proxying(self.answering(), "algorithms: [gzip], types: [Text/CSV], min_length: 5001, level: 9")
        self.assertNotIn("Content-Encoding", self.get().head)
        self.reload(self.listener() + f"defaults: {{proxy: {{compression: {{algorithms: [gzip], level: 9}}}}}}\nroutes: [{{proxy: {{upstream: a}}}}]\n"
                    f"upstreams: {{a: {{endpoints: ['{self._origins[0].name}']}}}}\n")
        self.assertEqual(gzip.decompress(self.get().data), TEXT[:5000])

    def test_answers_of_our_own(self):
        self.run_with(self.listener() + f"routes: [{{respond: {{body: '{'x' * 3000}', compression: {{algorithms: [zstd, gzip]}}}}}}]\n")
        answer = self.get()
        self.assertEqual((gzip.decompress(answer.data), answer.head["Content-Length"]), (b"x" * 3000, str(len(answer.data))))
        answer = self.get(None)
        self.assertEqual((answer.data, answer.head["Vary"]), (b"x" * 3000, "Accept-Encoding"))


class WithNginx(CompressionCase):
    def test_nginx_compresses_itself_what_it_can(self):
        nginx = Nginx()
        self.addCleanup(nginx.close)
        self.run_with(self.listener() + "routes: [{proxy: {upstream: a, compression: {algorithms: [zstd, gzip], types: [text/*, application/*]}}}]\n"
                      f"upstreams: {{a: {{endpoints: ['127.0.0.1:{nginx.port}']}}}}\n")
        for accepted, target in (("gzip", "/text.txt"), ("zstd", "/text.txt"), ("zstd", "/big.bin"), ("gzip", "/big.bin"), ("identity", "/big.bin")):
            self.assertEqual(self.curl("-H", f"Accept-Encoding: {accepted}", target=target), nginx.files[target[1:]])
        tag = self.client().exchange("GET", "/text.txt", ("Accept-Encoding", "zstd")).head["ETag"]
        self.assertTrue(tag.startswith("W/"))
        answer = self.client().exchange("GET", "/text.txt", ("Accept-Encoding", "zstd"), ("If-None-Match", tag))
        self.assertEqual(answer.status, 304, "the upstream knows the tag again")
        self._close_clients()
        nginx.close()


class Files(CompressionCase):
    def test_files(self):
        root = self.file.parent / "www"
        root.mkdir()
        (root / "a.csv").write_bytes(TEXT)
        (root / "a.png").write_bytes(TEXT)
        (root / "pre.css").write_bytes(TEXT)
        (root / "pre.css.gz").write_bytes(gzip.compress(TEXT))
        self.run_with(self.listener() + f"routes: [{{static: {{root: {root}, precompressed: [gzip], compression: {{algorithms: [zstd, gzip]}}}}}}]\n")

        def get(target, *fields, method="GET"):
            return self.client().exchange(method, target, *fields)

        answer = get("/a.csv", ("Accept-Encoding", "gzip"))
        self.assertEqual(gzip.decompress(answer.data), TEXT)
        self.log(status=200, down=len(answer.data))
        self.assertNotIn("Accept-Ranges", answer.head)
        plain = get("/a.csv")
        self.assertEqual((answer.head["ETag"], plain.head["Vary"], plain.data), ("W/" + plain.head["ETag"], "Accept-Encoding", TEXT))
        answer = get("/a.csv", ("Accept-Encoding", "gzip"), ("If-None-Match", answer.head["ETag"]))
        self.assertEqual(answer.status, 304)
        answer = get("/a.csv", ("Accept-Encoding", "gzip"), ("Range", "bytes=1-5"))
        self.assertEqual((answer.status, answer.data), (206, TEXT[1:6]))
        self.assertEqual(get("/a.png", ("Accept-Encoding", "gzip")).data, TEXT)
        answer = get("/pre.css", ("Accept-Encoding", "gzip"))
        self.assertEqual((gzip.decompress(answer.data), answer.head["Accept-Ranges"]), (TEXT, "bytes"))
        self.assertEqual(self.curl("-H", "Accept-Encoding: zstd", target="/pre.css"), TEXT)
        self.assertEqual(get("/a.csv", ("Accept-Encoding", "gzip"), method="HEAD").head["Content-Length"], str(len(TEXT)))


class Flow(CompressionCase):
    def test_events_are_never_held_back(self):
        """Each event arrives before the next is sent, by curl, with both codings; and so does the head."""
        for coding in ("gzip", "zstd"):
            origin = self.start_origin()
            if self.gateway:
                self.reload(self.listener() + "routes: [{proxy: {upstream: a, compression: {algorithms: [zstd, gzip]}}}]\n"
                            f"upstreams: {{a: {{endpoints: ['{origin.name}']}}}}\n")
            else:
                self.proxying(origin)
            curl = subprocess.Popen(["curl", "-sSN", "--max-time", "60", "--compressed", "-H", f"Accept-Encoding: {coding}", "-D", "/dev/stderr",
                                     f"http://127.0.0.1:{self.port}/events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            os.set_blocking(curl.stdout.fileno(), False)
            conn = origin.accept()
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += os.read(curl.stderr.fileno(), 4096)
            self.assertIn(f"Content-Encoding: {coding}".encode(), head)
            got = b""
            for i in range(200):
                event = b"data: event %d\n\n" % i
                conn.send(b"%x\r\n%s\r\n" % (len(event), event))

                def arrived():
                    nonlocal got
                    got += curl.stdout.read() or b""
                    return got.endswith(event)

                eventually(arrived, 5, f"event {i} has arrived")
            conn.send(b"0\r\n\r\n")
            self.assertEqual(curl.wait(10), 0)
            self.log(status=200, end="complete")
            curl.stdout.close()
            curl.stderr.close()

    def test_much_in_constant_memory(self):
        def script(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n" % (len(TEXT) * 20))
            for _ in range(20):
                conn.send(TEXT)

        self.proxying(self.origin_named("a", script), workers=1)
        self.get("gzip;q=0")
        before = self.gateway.resident_bytes()
        answer = self.get()
        self.assertEqual(zlib.crc32(gzip.decompress(answer.data)), zlib.crc32(TEXT * 20))
        self.assertLess(len(answer.data), len(TEXT) * 20 // 3)
        if not SANITIZED:
            self.assertLess(self.gateway.resident_bytes() - before, 16 << 20)

    def test_backpressure(self):
        """A client that does not read stops the origin; one that reads again goes on."""
        noise = os.urandom(1 << 20)
        origin = self.start_origin()
        self.proxying(origin)
        client = self.client(receive_buffer=64 * 1024)
        client.request("GET", "/", ("Accept-Encoding", "gzip"))
        conn = origin.accept()
        conn.recv_head()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        sent = conn.fill(noise)
        self.assertLess(sent, 64 << 20)
        conn.half_close()
        answer = client.response()
        whole = gzip.decompress(answer.data)
        self.assertEqual((len(whole), whole[:1 << 20]), (sent, noise))


class Endings(CompressionCase):
    def begin(self, head, **how):
        origin = self.start_origin()
        self.proxying(origin, "algorithms: [gzip]", **how)
        client = self.client()
        client.request("GET", "/", ("Accept-Encoding", "gzip"))
        conn = origin.accept()
        conn.recv_head()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + head + b"\r\n")
        self.assertEqual(client.recv_head()["Content-Encoding"], "gzip")
        return client, conn

    def assert_cut(self, client):
        """What came has no end: neither of gzip nor of the chunks."""
        raw = bytearray()
        while True:
            try:
                some = client.recv_some()
            except Exception as e:  # pylint: disable=broad-except
                self.assertIn("reset", str(e))
                break
            self.assertTrue(some, "a FIN would look like an end")
            raw += some
        self.assertFalse(raw.endswith(b"0\r\n\r\n"))
        decoder = zlib.decompressobj(31)
        data = raw
        while data:
            size, _, data = data.partition(b"\r\n")
            decoder.decompress(data[:int(size, 16)])
            data = data[int(size, 16) + 2:]
        self.assertFalse(decoder.eof)

    def test_the_upstream_is_cut(self):
        for head, body, leave, end in [(b"Content-Length: 100\r\n", b"x" * 50, "close", "upstream_closed"),
                                       (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", "close", "upstream_closed"),
                                       (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", "reset", "upstream_reset"),
                                       (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\nnonsense\r\n", None, "upstream_protocol")]:
            if self.gateway:
                self.gateway.stop()
                self.leaks = None
            if "100" in head.decode():
                head = head.replace(b"100", b"5000")
            client, conn = self.begin(head)
            conn.send(body)
            if leave:
                eventually(lambda: self.gateway.live()["requests"] == 1)
                getattr(conn, leave)()
            self.assert_cut(client)
            self.log(status=200, end=end)

    def test_the_client_goes(self):
        for leave, ends in (("reset", ("client_reset",)), ("close", ("client_closed", "client_reset"))):
            if self.gateway:
                self.gateway.stop()
                self.leaks = None
            client, conn = self.begin(b"Transfer-Encoding: chunked\r\n")
            conn.send(b"5\r\nhello\r\n")
            client.recv_some()
            getattr(client, leave)()
            self.assertEqual(conn.wait_end(5).kind, "reset")
            self.assertIn(self.log(status=200).end, ends)

    def test_an_idle_upstream(self):
        client, conn = self.begin(b"Transfer-Encoding: chunked\r\n", more=", upstream_idle_timeout: 300ms")
        conn.send(b"5\r\nhello\r\n")
        self.assert_cut(client)
        self.log(status=200, end="upstream_idle")

    def test_until_the_connection_ends(self):
        client, conn = self.begin(b"")
        conn.send(b"hello")
        conn.half_close()
        self.log(status=200, end="complete")


if __name__ == "__main__":
    unittest.main()
