#!/usr/bin/env python3
"""TCP routes by the name that a TLS client asks for: what is read of it, what goes on, and every way it can end."""

import socket
import ssl
import struct
import subprocess
import unittest

from support import RunCase, eventually
from support.gateway import BINARY
from tls_test import Authority


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vector(2, data)


def hello(name=None, extensions=b"", record=16384):
    """A ClientHello in records of at most `record` bytes."""
    if name:
        extensions += extension(0, vector(2, b"\0" + vector(2, name.encode())))
    body = b"\x03\x03" + b"r" * 32 + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0") + vector(2, extensions)
    message = b"\x01" + vector(3, body)
    return b"".join(b"\x16\x03\x01" + vector(2, message[i:i + record]) for i in range(0, len(message), record))


ALERT = b"\x15\x03\x03\x00\x02\x02\x70"


class SniCase(RunCase):
    def serve(self, routes, default=True, listener="", **how):
        """Routes by name, each to an origin that the test plays; `default` is for the others."""
        self.by_name = {name: self.start_origin() for name in routes}
        rows = [f"{{match: {{sni: [{name!r}]}}, tcp: {{upstream: u{i}}}}}" for i, name in enumerate(routes)]
        if default:
            self.by_name[None] = self.start_origin()
            rows.append(f"{{tcp: {{upstream: u{len(routes)}}}}}")
        upstreams = ", ".join(f"u{i}: {{endpoints: ['{o.name}']}}" for i, o in enumerate(self.by_name.values()))
        self.run_with(f"listeners: [{{name: db, address: '127.0.0.1:{self.port}'{listener}}}]\nroutes: [{', '.join(rows)}]\n"
                      f"upstreams: {{{upstreams}}}\n", **how)

    def assert_reaches(self, sent, name):
        client = self.client()
        client.send(sent)
        up = self.by_name[name].accept()
        self.assertEqual(up.recv_exact(len(sent)), sent, "not a byte is changed or lost")
        up.send(b"answer")
        self.assertEqual(client.recv_exact(6), b"answer")
        client.half_close()
        self.assertEqual(up.wait_end().kind, "fin")
        up.close()
        self.assertEqual(client.wait_end().kind, "fin")
        return self.log(method="tunnel")


class Routes(SniCase):
    def test_the_most_specific_wins(self):
        self.serve(["db.example.org", "*.example.org", "*.b.example.org"])
        for name, route in [("db.example.org", "db.example.org"), ("DB.EXAMPLE.ORG", "db.example.org"), ("x.example.org", "*.example.org"),
                            ("x.b.example.org", "*.b.example.org"), ("x.y.example.org", "*.example.org"), ("example.org", None), ("other.org", None), (None, None)]:
            line = self.assert_reaches(hello(name) + b"and more", route)
            self.assertEqual((line.target, line.end, line.up, line.down), (name or "-", "complete", len(hello(name)) + 8, 6))

    def test_many_records_byte_by_byte_and_in_pieces(self):
        self.serve(["db.example.org"])
        whole = hello("db.example.org", extension(0x1a1a, b"") + extension(21, bytes(9000)), record=700)
        self.assert_reaches(whole, "db.example.org")
        client = self.client()
        client.send_slowly(hello("db.example.org", record=3))
        up = self.by_name["db.example.org"].accept()
        self.assertEqual(up.recv_exact(len(hello("db.example.org", record=3))), hello("db.example.org", record=3))
        client.reset()
        self.assertEqual(up.wait_end().kind, "reset")

    def test_what_is_not_tls_has_the_default(self):
        self.serve(["db.example.org"])
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f"):
            self.assert_reaches(sent, None)

    def test_behind_a_proxy_that_names_the_client(self):
        self.serve(["db.example.org"], listener=", trusted_proxies: [127.0.0.0/8], proxy_protocol: true")
        client = self.client()
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n" + hello("db.example.org"))
        up = self.by_name["db.example.org"].accept()
        self.assertEqual(up.recv_exact(len(hello("db.example.org"))), hello("db.example.org"))
        client.reset()
        self.assertEqual(up.wait_end().kind, "reset")
        self.log(method="tunnel", target="db.example.org", client="192.0.2.1:1000")

    def test_nobody_by_that_name(self):
        self.serve(["db.example.org"], default=False)
        for name in ("other.org", None):
            client = self.client()
            client.send(hello(name))
            self.assertEqual(client.recv_exact(7), ALERT)
            self.assertEqual(client.wait_end().kind, "fin")
            self.log(method="tunnel", end="no_route", target=name or "-")
        client = self.client()
        client.send(b"plain text")
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(method="tunnel", end="no_route", target="-")

    def test_real_tls_to_the_right_server(self):
        ca = Authority(self.file.parent)
        servers = {}
        for name in ("one.example.org", "two.example.org"):
            pem, key = ca.issue(name, name, [f"DNS:{name}"])
            server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(pem), "-key", str(key), "-www"],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(server.wait)
            self.addCleanup(server.stdout.close)
            self.addCleanup(server.kill)
            while not (line := server.stdout.readline()).startswith(b"ACCEPT"):
                self.assertTrue(line, "the server has ended")
            servers[name] = line.split()[1].decode()
        rows = ", ".join(f"{{match: {{sni: [{n}]}}, tcp: {{upstream: {n[:3]}}}}}" for n in servers)
        self.run_with(self.listener() + f"routes: [{rows}]\nupstreams: {{" + ", ".join(f"{n[:3]}: {{endpoints: ['{at}']}}" for n, at in servers.items()) + "}\n")
        context = ssl.create_default_context(cafile=ca.pem)
        for name in servers:
            with socket.create_connection(("127.0.0.1", self.port)) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
                secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertIn(b"200", secure.recv(1000))
        with socket.create_connection(("127.0.0.1", self.port)) as plain, self.assertRaisesRegex(ssl.SSLError, "UNRECOGNIZED_NAME"):
            context.wrap_socket(plain, server_hostname="three.example.org")


class Endings(SniCase):
    def test_slow_and_silent_clients(self):
        self.serve(["db.example.org"], listener=", header_timeout: 300ms")
        for sent in (b"", hello("db.example.org")[:30]):
            client = self.client()
            client.send(sent)
            self.assertEqual(client.wait_end().kind, "reset")
            self.log(method="tunnel", end="client_slow_header")

    def test_the_client_goes_before_it_has_said_all(self):
        self.serve(["db.example.org"])
        for leave, end in (("half_close", "client_closed"), ("reset", "client_reset")):
            client = self.client()
            client.send(hello("db.example.org")[:30])
            eventually(lambda: self.gateway.live()["requests"] == 1)
            getattr(client, leave)()
            self.log(method="tunnel", end=end)

    def test_what_is_malformed_or_too_long(self):
        self.serve(["db.example.org"])
        for sent in (hello("a b"), hello(extensions=extension(21, bytes(20_000)), record=10_000), b"\x16\x03\x01\x00\x00", hello("a.b")[:-1] + b"\x16\x03\x01\x00\x01\x01x"):
            client = self.client()
            client.send(sent)
            self.assertEqual(client.wait_end().kind, "reset")
            self.log(method="tunnel", end="client_protocol")

    def test_a_reload_in_the_middle(self):
        self.serve(["db.example.org"])
        client = self.client()
        sent = hello("db.example.org")
        client.send(sent[:30])
        eventually(lambda: self.gateway.live()["requests"] == 1)
        text = self.file.read_text()
        self.reload(text.split("\n", 1)[1].replace("db.example.org", "other.example.org"))
        client.send(sent[30:])
        up = self.by_name["db.example.org"].accept()
        self.assertEqual(up.recv_exact(len(sent)), sent, "it goes on as it began")
        client.reset()
        self.assertEqual(up.wait_end().kind, "reset")


class Explain(SniCase):
    def test_explain(self):
        self.write("listeners: [{name: db, address: ':5432'}]\nroutes:\n  - {name: one, match: {sni: [db.example.org]}, tcp: {upstream: a}}\n"
                   "  - {name: any, tcp: {upstream: b}}\nupstreams: {a: {endpoints: ['127.0.0.1:1']}, b: {endpoints: ['127.0.0.1:2']}}\n")

        def explain(url):
            return subprocess.run([BINARY, "explain", "-c", self.file, url], capture_output=True, text=True, check=True).stdout

        said = explain("tls://db.example.org:5432")
        for part in ("takes the route one", "sni db.example.org", "not any", "127.0.0.1:1", "idle_timeout", "connect_timeout"):
            self.assertIn(part, said)
        self.assertIn("takes the route any", explain("tls://other.org"))
        self.assertIn("no tcp listener on port 1 takes it", explain("tls://db.example.org:1"))


if __name__ == "__main__":
    unittest.main()
