#!/usr/bin/env python3
"""Files: what is served of a folder and what never is, conditions and ranges, variants, and every way it can end."""

import email.parser
import hashlib
import os
import re
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from run_test import RunCase
from support import SANITIZED, Client, Cut, Gateway, eventually
from support.gateway import BINARY
from tls_test import TlsCase

BLOCK = os.urandom(1 << 20)


class StaticCase(RunCase):
    def setUp(self):
        super().setUp()
        self.root = self.file.parent / "www"
        self.root.mkdir()

    def put(self, name, data=b"", modified=None):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if modified is not None:
            os.utime(path, (modified, modified))
        return path

    def serve(self, extra="", match="", **how):
        self.run_with(self.config(extra, match), **how)

    def config(self, extra="", match=""):
        return self.listener() + f"routes: [{{{match}static: {{root: {self.root}{extra}}}}}]\n"

    def get(self, target="/", *fields, method="GET", client=None):
        return (client or self.client()).exchange(method, target, *fields)


class Files(StaticCase):
    def test_a_file(self):
        path = self.put("page.html", b"<p>hello</p>", modified=784111777)
        self.serve(", cache_control: 'public, max-age=60', headers: {set: {X-Content-Type-Options: nosniff}, add: {Link: </a>}}")
        client = self.client()
        answer = self.get("/page.html", client=client)
        self.assertEqual((answer.status, answer.data), (200, b"<p>hello</p>"))
        head = answer.head
        self.assertEqual(head["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(head["Last-Modified"], "Sun, 06 Nov 1994 08:49:37 GMT")
        self.assertEqual((head["Cache-Control"], head["X-Content-Type-Options"], head["Link"]), ("public, max-age=60", "nosniff", "</a>"))
        self.assertEqual(head["Accept-Ranges"], "bytes")
        self.assertRegex(head["ETag"], '^"[0-9a-f.-]+"$')
        self.assertNotIn("Vary", head)
        self.log(status=200, end="complete", down=12, upstream="-")
        answer = self.get("/page.html", method="HEAD", client=client)
        self.assertEqual((answer.status, answer.head["Content-Length"], answer.head["ETag"]), (200, "12", head["ETag"]))
        path.write_bytes(b"<p>other</p>")
        self.assertNotEqual(self.get("/page.html", client=client).head["ETag"], head["ETag"])
        self.assertEqual(self.gateway.live()["connections"], 1, "all on one connection")

    def test_types(self):
        self.serve(", mime_types: {Weird: application/x-weird, css: text/x-own}")
        for name, kind in [("a.PNG", "image/png"), ("a.tar.gz", "application/gzip"), ("a", "application/octet-stream"),
                           ("a.unknown", "application/octet-stream"), ("a.weird", "application/x-weird"), ("a.css", "text/x-own"),
                           ("d.png/a", "application/octet-stream")]:
            self.put(name)
            self.assertEqual(self.get("/" + name).head["Content-Type"], kind, name)

    def test_folders(self):
        self.put("index.html", b"root")
        self.put("a/home.htm", b"home")
        self.put("none/x")
        (self.root / "odd" / "index.html").mkdir(parents=True)
        self.serve(", index: [index.html, home.htm]")
        self.assertEqual(self.get("/").data, b"root")
        self.assertEqual(self.get("/a/").data, b"home")
        answer = self.get("/a?x=1")
        self.assertEqual((answer.status, answer.head["Location"]), (301, "/a/?x=1"))
        for target in ("/none/", "/odd/", "/index.html/", "/missing/", "/missing"):
            self.assert_problem(self.get(target), 404)

    def test_a_prefix_is_not_part_of_the_file(self):
        self.put("a.txt", b"a")
        self.serve(match="match: {path_prefix: /files/}, ")
        self.assertEqual(self.get("/files/a.txt").data, b"a")
        self.assertEqual(self.get("/files").head["Location"], "/files/")
        self.assertEqual(self.get("/x/../files/%61.txt").data, b"a")
        self.assert_problem(self.get("/files/files/a.txt"), 404)

    def test_an_exact_path_is_the_files(self):
        self.put("robots.txt", b"no")
        self.serve(match="match: {path: /robots.txt}, ")
        self.assertEqual(self.get("/robots.txt").data, b"no")

    def test_methods(self):
        self.put("a", b"a")
        self.serve()
        for method in ("POST", "PUT", "DELETE", "PROPFIND"):
            answer = self.get("/a", method=method)
            self.assert_problem(answer, 405)
            self.assertEqual(answer.head["Allow"], "GET, HEAD, OPTIONS")
            self.log(method=method, status=405, end="client_method")
        answer = self.get("/a", method="OPTIONS")
        self.assertEqual((answer.status, answer.head["Allow"]), (204, "GET, HEAD, OPTIONS"))

    def test_an_empty_file_and_a_body_nobody_reads(self):
        self.put("empty")
        self.serve()
        answer = self.get("/empty")
        self.assertEqual((answer.status, answer.data, answer.head["Content-Length"]), (200, b"", "0"))
        client = self.client()
        client.request("GET", "/empty", body=b"unread")
        answer = client.response()
        self.assertEqual((answer.status, answer.head["Connection"]), (200, "close"))

    def test_an_http_1_0_client(self):
        self.put("a", b"a")
        self.serve()
        client = self.client()
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        answer = client.response()
        self.assertEqual((answer.data, answer.head["Connection"]), (b"a", "close"))


class NeverServed(StaticCase):
    def test_what_is_outside(self):
        (self.file.parent / "secret").write_bytes(b"secret")
        (self.root / "up").symlink_to("../secret")
        (self.root / "absolute").symlink_to(self.file.parent / "secret")
        (self.root / "folder").symlink_to("..")
        (self.root / "proc").symlink_to("/proc/self/root")
        self.put("a", b"a")
        self.serve()
        for target in ("/up", "/absolute", "/folder/secret", "/folder/", "/proc/etc/passwd", "/../secret", "/%2e%2e/secret", "/..%2fsecret",
                       "/a/../../secret", "/.%2e/secret", "//../secret", "/a%00", "/a%2f", "/%2e%2e%2fsecret", "/a%2", "/a%zz", "/..\\secret"):
            client = self.client()
            client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = client.response()
            self.assertIn(answer.status, (400, 404), target)
            self.assertNotIn(b"secret", answer.data.replace(target.encode(), b""))

    def test_links(self):
        self.put("a/file", b"file")
        (self.root / "near").symlink_to("a/file")
        self.serve()
        self.assertEqual(self.get("/near").data, b"file")
        self.reload(self.config(", follow_symlinks: never"))
        self.assert_problem(self.get("/near"), 404)
        self.assertEqual(self.get("/a/file").data, b"file")

    def test_hidden_files(self):
        for name in (".env", ".git/config", "a/.b/c", ".well-known/acme", "a/.well-known/x", ".well-known/.x", ".well-knownx"):
            self.put(name, b"x")
        self.serve()
        for target in ("/.env", "/%2eenv", "/.git/config", "/a/.b/c", "/a/.well-known/x", "/.well-known/.x", "/.well-knownx"):
            self.assert_problem(self.get(target), 404)
        self.assertEqual(self.get("/.well-known/acme").status, 200)
        self.reload(self.config(", hidden_files: true"))
        self.assertEqual(self.get("/.git/config").status, 200)

    def test_special_files(self):
        os.mkfifo(self.root / "fifo")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(self.root / "socket"))
            self.serve()
            for target in ("/fifo", "/socket"):
                self.assert_problem(self.get(target), 404)

    @unittest.skipIf(os.geteuid() == 0, "root may read all files")
    def test_files_that_may_not_be_read(self):
        self.put("a").chmod(0)
        self.serve()
        self.assert_problem(self.get("/a"), 403)

    def test_a_root_that_is_none(self):
        self.put("a", b"a")
        self.serve()
        said = "\n".join(self.reload(self.config().replace(str(self.root), str(self.root / "a")), good=False))
        self.assertIn("Not a directory", said)
        self.assertEqual(self.get("/a").data, b"a")


class Conditions(StaticCase):
    def test_conditions(self):
        self.put("a", b"contents", modified=784111777)
        self.serve(", cache_control: no-cache")
        client = self.client()
        tag = self.get("/a", client=client).head["ETag"]
        same, earlier = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"
        for fields, status in [([("If-None-Match", tag)], 304), ([("If-None-Match", "W/" + tag)], 304), ([("If-None-Match", '"x"')], 200),
                               ([("If-Modified-Since", same)], 304), ([("If-Modified-Since", earlier)], 200),
                               ([("If-Match", tag)], 200), ([("If-Match", '"x"')], 412), ([("If-Unmodified-Since", earlier)], 412),
                               ([("If-None-Match", '"x"'), ("If-Modified-Since", same)], 200)]:
            answer = self.get("/a", *fields, client=client)
            self.assertEqual(answer.status, status, fields)
            if status == 304:
                self.assertEqual((answer.head["ETag"], answer.head["Cache-Control"], answer.data), (tag, "no-cache", b""))
                self.assertNotIn("Content-Type", answer.head)
        self.assertEqual(self.gateway.live()["connections"], 1)

    def test_ranges(self):
        data = BLOCK[:300_000]
        self.put("a", data, modified=784111777)
        self.serve()
        client = self.client()
        tag = self.get("/a", client=client).head["ETag"]
        for wanted, first, last in [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=100-", 100, 299_999), ("bytes=-5", 299_995, 299_999),
                                    ("bytes=200000-999999", 200_000, 299_999), ("bytes=0-1,400000-", 0, 1)]:
            answer = self.get("/a", ("Range", wanted), client=client)
            self.assertEqual((answer.status, answer.head["Content-Range"]), (206, f"bytes {first}-{last}/300000"))
            self.assertEqual(answer.data, data[first:last + 1])
        for wanted in ("bytes=5-4", "lines=1-2", "bytes=0-9,5-", "bytes=" + ",".join(f"{i}-{i}" for i in range(17))):
            answer = self.get("/a", ("Range", wanted), client=client)
            self.assertEqual((answer.status, len(answer.data)), (200, 300_000), wanted)
        for wanted in ("bytes=300000-", "bytes=-0"):
            answer = self.get("/a", ("Range", wanted), client=client)
            self.assert_problem(answer, 416)
            self.assertEqual(answer.head["Content-Range"], "bytes */300000")
        for condition, status in [(tag, 206), ('"x"', 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 206), ("Sun, 06 Nov 1994 08:49:38 GMT", 200)]:
            self.assertEqual(self.get("/a", ("Range", "bytes=1-2"), ("If-Range", condition), client=client).status, status)
        self.assertEqual(self.get("/a", ("Range", "bytes=1-2"), method="HEAD", client=client).status, 200)

    def test_several_ranges(self):
        data = BLOCK[:300_000]
        self.put("a.png", data)
        self.serve()
        answer = self.get("/a.png", ("Range", "bytes=10-19, 100000-250000, -1"))
        self.assertEqual(answer.status, 206)
        kind = answer.head["Content-Type"]
        self.assertTrue(kind.startswith("multipart/byteranges; boundary="), kind)
        boundary = kind.split("=")[1].encode()
        _, *parts, end = answer.data.split(b"--" + boundary)
        self.assertEqual(end, b"--\r\n")
        got = []
        for part in parts:
            head, body = part.removeprefix(b"\r\n").removesuffix(b"\r\n").split(b"\r\n\r\n", 1)
            fields = email.parser.Parser().parsestr(head.decode())
            self.assertEqual(fields["Content-Type"], "image/png")
            got.append((fields["Content-Range"], body))
        self.assertEqual(got, [("bytes 10-19/300000", data[10:20]), ("bytes 100000-250000/300000", data[100_000:250_001]),
                               ("bytes 299999-299999/300000", data[-1:])])


class Precompressed(StaticCase):
    def setUp(self):
        super().setUp()
        for name, data in [("a.css", b"plain"), ("a.css.gz", b"gzip"), ("a.css.zst", b"zstd"), ("old.css", b"plain"), ("only.js", b"plain"), ("only.js.br", b"br")]:
            self.put(name, data, modified=784111777)
        self.put("old.css.gz", b"gzip", modified=784111700)

    def test_the_client_decides(self):
        self.serve(", precompressed: [zstd, gzip, br]")
        tags = set()
        for accepted, coding in [(None, None), ("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.5, gzip", "gzip"), ("br", None), ("*", "zstd"),
                                 ("gzip;q=0", None), ("gzip;q=0.1, identity", None)]:
            answer = self.get("/a.css", *([("Accept-Encoding", accepted)] if accepted else []))
            self.assertEqual((answer.head.get("Content-Encoding"), answer.data), (coding, (coding or "plain").encode()), accepted)
            self.assertEqual((answer.head["Content-Type"], answer.head["Vary"]), ("text/css; charset=utf-8", "Accept-Encoding"))
            tags.add((coding, answer.head["ETag"]))
        self.assertEqual(len(tags), 3, "each variant has a tag of its own")
        answer = self.get("/a.css", ("Accept-Encoding", "gzip"), ("Range", "bytes=1-"))
        self.assertEqual((answer.status, answer.head["Content-Range"], answer.data), (206, "bytes 1-3/4", b"zip"))
        self.assertEqual(self.get("/only.js", ("Accept-Encoding", "gzip, br;q=0.1")).data, b"br")

    def test_an_older_variant_is_not_used(self):
        self.serve(", precompressed: [gzip]")
        answer = self.get("/old.css", ("Accept-Encoding", "gzip"))
        self.assertEqual((answer.data, answer.head["Vary"]), (b"plain", "Accept-Encoding"))

    def test_only_if_it_is_asked_for(self):
        self.serve()
        answer = self.get("/a.css", ("Accept-Encoding", "gzip"))
        self.assertEqual(answer.data, b"plain")
        self.assertNotIn("Vary", answer.head)


class Endings(StaticCase):
    """A large file to a client that does not read it, or not fast enough."""

    def setUp(self):
        super().setUp()
        self.data = BLOCK * 64
        self.big = self.put("big", self.data)

    def begin(self, extra="", **how):
        self.serve(extra, **how)
        return self.again()

    def again(self):
        client = self.client(receive_buffer=64 * 1024)
        client.request("GET", "/big")
        head = client.recv_head()
        self.assertEqual(head["Content-Length"], str(len(self.data)))
        eventually(lambda: self.open_files() == 1, 5, "the file is open")
        return client, head

    def open_files(self):
        """How often the gateway has a file open below the root."""
        folder = f"/proc/{self.gateway.pid}/fd"
        names = []
        for fd in os.listdir(folder):
            try:
                names.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                continue
        return sum(name.startswith(f"{self.root}/") for name in names)

    def test_it_arrives_and_memory_stays(self):
        client, head = self.begin()
        before = self.gateway.resident_bytes()
        body = client.recv_body(head, keep=False)
        self.assertEqual(body.sha256, hashlib.sha256(self.data).hexdigest())
        self.log(end="complete", down=len(self.data))
        if not SANITIZED:
            self.assertLess(self.gateway.resident_bytes() - before, 16 << 20)
        eventually(lambda: self.open_files() == 0)

    def test_the_client_goes(self):
        for leave, ends in ((Client.close, ("client_reset", "client_closed")), (Client.reset, ("client_reset",)),
                            (Client.half_close, ("client_closed",))):
            client, _ = self.begin() if not self.gateway else self.again()
            leave(client)
            line = self.log(method="GET", status=200)
            self.assertIn(line.end, ends)
            self.assertLess(line.down, len(self.data))
            eventually(lambda: self.open_files() == 0)

    def test_the_file_becomes_shorter(self):
        client, head = self.begin()
        os.truncate(self.big, 20 << 20)
        with self.assertRaisesRegex(Cut, "reset"):
            client.recv_body(head, keep=False)
        self.log(status=200, end="file_error")

    def test_the_file_grows_or_is_replaced(self):
        client, head = self.begin()
        with open(self.big, "ab") as f:
            f.write(b"more")
        self.put("new", b"new").rename(self.big)
        self.assertEqual(client.recv_body(head, keep=False).sha256, hashlib.sha256(self.data).hexdigest())
        self.assertEqual(client.exchange("GET", "/big").data, b"new", "the connection is where it should be")

    def test_a_client_that_stops_reading(self):
        self.begin(", client_idle_timeout: 500ms")
        self.log(status=200, end="client_idle")
        eventually(lambda: self.open_files() == 0)

    def test_draining_lets_it_end(self):
        client, head = self.begin()
        self.gateway.signal(signal.SIGTERM)
        eventually(self.gateway.refuses, 5)
        self.assertEqual(client.recv_body(head, keep=False).length, len(self.data))
        self.assertEqual(self.gateway.wait_exit(), 0)

    def test_the_drains_deadline_cuts_it(self):
        self.write("server: {workers: 1, drain_timeout: 300ms}\n" + self.config())
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)])
        client = self.client(receive_buffer=64 * 1024)
        client.request("GET", "/big")
        head = client.recv_head()
        self.gateway.signal(signal.SIGTERM)
        self.log(end="drained")
        with self.assertRaisesRegex(Cut, "reset"):
            client.recv_body(head, keep=False)
        self.assertEqual(self.gateway.wait_exit(), 0)

    def test_a_reload_in_the_middle(self):
        client, head = self.begin()
        self.reload(self.config().replace("routes: [", "routes: [{respond: {body: other}}, ").replace("static", "match: {path: /x}, static"))
        self.assertEqual(client.recv_body(head, keep=False).sha256, hashlib.sha256(self.data).hexdigest())
        self.assertEqual(client.exchange().data, b"other")

    @unittest.skipIf(SANITIZED, "a sanitizer itself needs a descriptor to look at memory")
    def test_short_of_descriptors(self):
        self.put("small", b"small")
        self.serve(workers=1)
        client = self.client()
        self.assertEqual(client.exchange("GET", "/small").data, b"small")
        eventually(lambda: self.open_files() == 0)
        taken = {int(fd) for fd in os.listdir(f"/proc/{self.gateway.pid}/fd")}
        free = min(set(range(len(taken) + 1)) - taken)
        subprocess.run(["prlimit", "--pid", str(self.gateway.pid), f"--nofile={free}:"], check=True)
        answer = client.exchange("GET", "/small")
        self.assert_problem(answer, 503)
        self.log(status=503, end="overloaded")
        subprocess.run(["prlimit", "--pid", str(self.gateway.pid), "--nofile=1024:"], check=True)
        self.assertEqual(self.client().exchange("GET", "/small").data, b"small")


class Page(StaticCase):
    def test_the_examples_are_right(self):
        page = (Path(__file__).resolve().parents[2] / "docs/gateway.md").read_text()
        examples = [e for e in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if re.search("static:\n|compression:|sni:", e)]
        self.assertEqual(len(examples), 3)
        for example in examples:
            self.write(example.replace("/srv/www", str(self.root)))
            done = subprocess.run([BINARY, "validate", "-c", self.file], capture_output=True, text=True, check=False, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""), example)

    def test_validate_looks_for_the_folder(self):
        self.write(self.config().replace(str(self.root), str(self.root / "none")))
        done = subprocess.run([BINARY, "validate", "-c", self.file], capture_output=True, text=True, check=False, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.root}/none: No such file or directory", done.stderr)


class WithTls(TlsCase):
    def test_files_by_tls(self):
        root = self.folder / "www"
        root.mkdir()
        data = BLOCK * 64
        (root / "big").write_bytes(data)
        self.run_with(self.secure() + f"routes: [{{static: {{root: {root}}}}}]\n")
        self.assertEqual(hashlib.sha256(self.curl(target="/big")).digest(), hashlib.sha256(data).digest())
        self.assertEqual(self.curl("-r", "5-500000", target="/big"), data[5:500_001])
        slow = subprocess.Popen(["curl", "-sS", "--cacert", self.ca.pem, "--limit-rate", "20M", "--resolve",
                                 f"www.example.org:{self.port}:127.0.0.1", "-o", "/dev/null", f"https://www.example.org:{self.port}/big"],
                                stderr=subprocess.PIPE, text=True)
        eventually(lambda: self.gateway.live()["requests"] == 1)
        os.truncate(root / "big", 40 << 20)
        self.assertRegex(slow.communicate(timeout=60)[1], r"curl: \((18|56)\)")
        self.log(end="file_error")


if __name__ == "__main__":
    unittest.main()
