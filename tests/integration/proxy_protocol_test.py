#!/usr/bin/env python3
"""The PROXY protocol, from and to HAProxy and nginx, and from and to those that get it wrong."""

import os
import struct
import time
import unittest

from support import SLACK, Client, Gateway, LeakCheck, RunCase, eventually, free_port, named, request
from support.peers import HAPROXY, NGINX, NGINX_STREAM, haproxy, nginx, nginx_http

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 443\r\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), 4660, 443)
V2_TLS = SIGNATURE + b"\x21\x11" + struct.pack("!H", 20) + V2[16:] + b"\x20\0\x05\x01\0\0\0\0"
V6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 4660 443\r\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"


def with_program(path, name):
    return unittest.skipUnless(path and os.path.exists(path), f"{name} is not installed")


def tells_client(conn):
    """An origin that says for whom it is asked."""

    def handle(conn, head):
        conn.recv_body(head)
        conn.respond(200, [("X-Proto", head.get("X-Forwarded-Proto", "-"))], head.get("X-Forwarded-For", "-").encode())

    conn.serve(handle)


def read_header(conn):
    """The header of the PROXY protocol that a connection begins with: "source destination", or "local"."""
    start = conn.recv_exact(1)
    if start == b"P":
        words = (start + conn.recv_line()).split()
        return "local" if words[1] == b"UNKNOWN" else b"%s:%s %s:%s" % (words[2], words[4], words[3], words[5])
    rest = conn.recv_exact(15)
    assert start + rest[:11] == SIGNATURE, start + rest
    command, family, length = struct.unpack("!BBH", rest[11:])
    addresses = conn.recv_exact(length)
    if command == 0x20:
        return "local"
    assert (command, family, length) == (0x21, 0x11, 12), (command, family, length)
    source, destination, source_port, destination_port = struct.unpack("!4s4sHH", addresses)
    return b"%s:%d %s:%d" % (b".".join(b"%d" % b for b in source), source_port,
                             b".".join(b"%d" % b for b in destination), destination_port)


class ProxyProtocolCase(RunCase):
    def listening(self, extra=""):
        return f"listeners: [{{name: web, address: '127.0.0.1:{self.port}', proxy_protocol: true{extra}}}]\n"

    def serving(self, origin, extra="", route="proxy"):
        return (self.listening(extra) + f"routes: [{{{route}: {{upstream: o}}}}]\n"
                f"upstreams: {{o: {{endpoints: ['{origin}']}}}}\n")

    def client_at(self, port):
        client = Client(("127.0.0.1", port))
        self.adopt(client)
        return client

    def sent(self, data):
        client = self.client()
        client.send(data)
        return client


class In(ProxyProtocolCase):
    def test_the_client_is_the_one_in_the_header(self):
        self.run_with(self.serving(self.origin_named("o", tells_client).name))
        for header, client, proto in ((V1, "192.0.2.1:4660", "http"), (V2, "192.0.2.1:4660", "http"), (V2_TLS, "192.0.2.1:4660", "https"),
                                      (V6, "[2001:db8::1]:4660", "http")):
            with self.subTest(header):
                wire = self.sent(header + request("GET", "/a"))
                answer = wire.response()
                self.assertEqual(answer.data.decode(), client.rpartition(":")[0].strip("[]"))
                self.assertEqual(answer.head["X-Proto"], proto)
                self.log(target="/a", client=client)
                self.assertEqual(wire.exchange("GET", "/b").status, 200, "there is one header per connection")
                self.log(target="/b", client=client)
        for header in (LOCAL, UNKNOWN):
            wire = self.sent(header + request("GET", "/a"))
            self.assertEqual(wire.response().data, b"127.0.0.1")
            self.log(target="/a", client=wire.name)
        wire = self.client()
        wire.send_slowly(V2 + request("GET", "/slow"))
        self.assertEqual(wire.response().data, b"192.0.2.1")

    def test_who_does_not_begin_with_it_is_reset(self):
        self.run_with(self.serving(self.origin_named("o", tells_client).name, ", header_timeout: 300ms"))
        for data in (request("GET", "/"), b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIT\r", V2.replace(b"\x21\x11", b"\x22\x11"),
                     SIGNATURE + b"\x21\x11\xff\xff"):
            with self.subTest(data):
                wire = self.sent(data)
                self.assertEqual(wire.wait_end().kind, "reset")
                self.log(client=wire.name, end="client_protocol", status=None)
        begun = time.monotonic()
        wire = self.sent(V1[:20])
        self.assertEqual(wire.wait_end().kind, "reset")
        self.assertLess(time.monotonic() - begun, 0.3 + SLACK)
        self.log(client=wire.name, end="client_slow_header")
        wire = self.sent(V1[:20])
        wire.close()
        self.log(client=wire.name, end="client_closed")
        self.leaks.wait_idle()

    def test_only_of_trusted_proxies(self):
        origin = self.origin_named("o", tells_client).name
        self.run_with(self.serving(origin, ", trusted_proxies: [192.0.2.1]"))
        wire = self.sent(V1 + request("GET", "/"))
        self.assertEqual(wire.wait_end().kind, "reset")
        self.log(client=wire.name, end="client_denied")
        # Also the one in the header may be a proxy, and a trusted one.
        self.reload(self.serving(origin, ", trusted_proxies: [127.0.0.1, 192.0.2.1]"))
        wire = self.sent(V1 + request("GET", "/x", [("X-Forwarded-For", "198.51.100.7")]))
        self.assertEqual(wire.response().data, b"198.51.100.7, 192.0.2.1")
        self.log(target="/x", client="198.51.100.7")
        wire = self.sent(V6 + request("GET", "/", [("X-Forwarded-For", "198.51.100.7")]))
        self.assertEqual(wire.response().data, b"2001:db8::1")

    def test_policies_are_for_the_client(self):
        self.run_with(self.listening(", deny: [192.0.2.0/24]") + "routes: [{respond: {body: ok}, rate_limit: {requests: 1, per: 1h}}]\n")
        self.assert_problem(self.sent(V1 + request("GET", "/")).response(), 403)
        self.assertEqual([self.sent(V6 + request("GET", "/")).response().status for _ in range(2)], [200, 429])
        self.assertEqual(self.sent(LOCAL + request("GET", "/")).response().status, 200)

    def test_connections_count_for_the_client(self):
        self.write("server: {workers: 1, connections_per_client_max: 2}\n" + self.listening() + "routes: [{respond: {body: ok}}]\n")
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)])
        self.leaks = LeakCheck(self.gateway, 1)
        kept = [self.sent(V1 + request("GET", "/")) for _ in range(2)] + [self.sent(V6 + request("GET", "/")) for _ in range(2)]
        for wire in kept:
            self.assertEqual(wire.response().status, 200)
        wire = self.sent(V2 + request("GET", "/"))
        self.assertEqual(wire.wait_end().kind, "reset")
        self.log(client="192.0.2.1:4660", end="overloaded")
        kept[0].close()
        eventually(lambda: self.gateway.live()["connections"] == 3, 5, "one has left")
        self.assertEqual(self.sent(V2 + request("GET", "/")).response().status, 200)

    def test_before_tcp(self):
        self.run_with(self.serving(self.origin_named("o", named("o")).name, ", deny: ['2001:db8::/32']", route="tcp"))
        wire = self.sent(V1 + request("GET", "/"))
        self.assertEqual(wire.response().data, b"o")
        wire.close()
        self.log(method="tunnel", client="192.0.2.1:4660", end="complete")
        for data, end in ((V6 + b"x", "client_denied"), (b"GET / HTTP/1.1\r\n", "client_protocol")):
            self.assertEqual(self.sent(data).wait_end().kind, "reset")
            self.log(method="tunnel", end=end)

    def test_a_drain_does_not_wait_for_it(self):
        self.run_with(self.serving(self.origin_named("o", tells_client).name))
        silent = self.client()
        half = self.sent(V1[:20])
        eventually(lambda: self.gateway.live()["connections"] == 2, 5, "both are there")
        begun = time.monotonic()
        self.gateway.stop()
        self.assertLess(time.monotonic() - begun, 5)
        for wire in (silent, half):
            wire.wait_end()


class Out(ProxyProtocolCase):
    def serve_to(self, origin, version, route="proxy", listener=""):
        self.run_with(f"listeners: [{{name: web, address: '127.0.0.1:{self.port}'{listener}}}]\n"
                      f"routes: [{{{route}: {{upstream: o}}}}]\n"
                      f"upstreams: {{o: {{endpoints: ['{origin}'], proxy_protocol: {version}}}}}\n", workers=1)

    def test_each_client_has_connections_of_its_own(self):
        for version in ("v1", "v2"):
            with self.subTest(version):
                seen = []

                def script(conn, seen=seen):
                    seen.append(read_header(conn))
                    conn.serve(lambda c, head: c.respond(200, [], b"ok"))

                origin = self.origin_named("o", script)
                port = self.port
                (self.reload if self.gateway else self.run_with)(
                    self.listener() + "routes: [{proxy: {upstream: o}}]\n"
                    f"upstreams: {{o: {{endpoints: ['{origin.name}'], proxy_protocol: {version}}}}}\n")
                for client in (self.client(), self.client()):
                    for _ in range(2):
                        seen.clear()
                        self.assertEqual(client.exchange().data, b"ok")
                        self.assertEqual(seen, [f"{client.name} 127.0.0.1:{port}".encode()])
                self.assertEqual(len(origin.connections), 4, "none was used again")
                self.assertEqual(self.gateway.live()["upstream_idle"], 0)

    def test_the_client_may_be_behind_trusted_proxies(self):
        seen = []

        def script(conn):
            seen.append(read_header(conn))
            conn.serve(lambda c, head: c.respond(200, [], b"ok"))

        self.serve_to(self.origin_named("o", script).name, "v1", listener=", trusted_proxies: [127.0.0.1]")
        self.client().exchange("GET", "/", ("X-Forwarded-For", "192.0.2.1"))
        self.client().exchange("GET", "/", ("X-Forwarded-For", "2001:db8::1"))
        self.assertEqual(seen, [f"192.0.2.1:0 127.0.0.1:{self.port}".encode(), f"2001:db8::1:0 ::ffff:127.0.0.1:{self.port}".encode()])

    def test_health_checks_speak_for_the_gateway(self):
        def script(conn):
            origin.note(read_header(conn))
            conn.serve(lambda c, head: c.respond(200, [], b"ok"))

        origin = self.origin_named("o", script)
        without = self.listener() + "routes: [{respond: {}}]\n"
        self.run_with(without)
        self.reload(without + f"upstreams: {{o: {{endpoints: ['{origin.name}'], proxy_protocol: v2, "
                    "health_check: {type: http, interval: 50ms}}}\n")
        self.assertEqual({origin.wait_note() for _ in range(4)}, {"local"})
        self.reload(without)

    def test_tunnels(self):
        def script(conn):
            conn.send(b"%s\r\n" % read_header(conn))
            conn.wait_end()

        self.serve_to(self.origin_named("o", script).name, "v2", "tcp")
        client = self.client()
        self.assertEqual(client.recv_line(), f"{client.name} 127.0.0.1:{self.port}".encode())

    def test_an_upstream_that_does_not_want_it(self):
        self.serve_to(self.origin_named("o", lambda conn: conn.recv_line()).name, "v1")
        client = self.client()
        self.assert_problem(client.exchange(), 502)
        self.log(end="upstream_closed")


class Peers(ProxyProtocolCase):
    """The peers that people have."""

    @with_program(HAPROXY, "haproxy")
    def test_from_haproxy(self):
        self.run_with(self.serving(self.origin_named("o", tells_client).name, ", trusted_proxies: [127.0.0.1]"))
        for how in ("send-proxy check check-send-proxy inter 50ms", "send-proxy-v2 check check-send-proxy inter 50ms",
                    "send-proxy-v2 proxy-v2-options unique-id,crc32c"):
            with self.subTest(how):
                port = free_port()
                proxy = haproxy(f"frontend f\n mode tcp\n unique-id-format %pid\n bind 127.0.0.1:{port}\n default_backend b\n"
                                f"backend b\n mode tcp\n server s 127.0.0.1:{self.port} {how}\n", port)
                self.adopt(proxy)
                wire = self.client_at(port)
                self.assertEqual(wire.exchange("GET", "/h").data, b"127.0.0.1")
                self.log(target="/h", client=wire.name)
                wire.close()
                proxy.close()

    @with_program(NGINX_STREAM, "nginx's stream module")
    def test_from_nginx(self):
        self.run_with(self.serving(self.origin_named("o", tells_client).name))
        port = free_port()
        self.adopt(nginx(f"load_module {NGINX_STREAM};\nstream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{self.port}; "
                         "proxy_protocol on; } }\n", port))
        wire = self.client_at(port)
        self.assertEqual(wire.exchange("GET", "/n").data, b"127.0.0.1")
        self.log(target="/n", client=wire.name)
        wire.close()

    def ask(self, port, version):
        text = (self.listener() + "routes: [{proxy: {upstream: o}}]\n"
                f"upstreams: {{o: {{endpoints: ['127.0.0.1:{port}'], proxy_protocol: {version}}}}}\n")
        (self.reload if self.gateway else self.run_with)(text)
        client = self.client()
        for _ in range(2):
            answer = client.exchange()
            self.assertEqual((answer.status, answer.data.decode().split()), (200, [*client.name.split(":"), "127.0.0.1"]))

    @with_program(HAPROXY, "haproxy")
    def test_to_haproxy(self):
        port = free_port()
        self.adopt(haproxy(f"frontend f\n mode http\n bind 127.0.0.1:{port} accept-proxy\n"
                           " http-request return status 200 content-type text/plain lf-string \"%[src] %[src_port] %[dst]\"\n", port))
        for version in ("v1", "v2"):
            self.ask(port, version)

    @with_program(NGINX, "nginx")
    def test_to_nginx(self):
        port = free_port()
        self.adopt(nginx(nginx_http(f"listen 127.0.0.1:{port} proxy_protocol; default_type text/plain; "
                                    "return 200 \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr\";"), port))
        for version in ("v1", "v2"):
            self.ask(port, version)


if __name__ == "__main__":
    unittest.main()
