#!/usr/bin/env python3
"""Who a client is, and who may come in: trusted proxies, and lists of addresses."""

import pathlib
import re
import subprocess
import tempfile
import unittest

from support import BINARY, RunCase, named

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-IP")


def shows_forwarded(conn):
    """An origin whose answer has the fields it was sent that speak of earlier hops, and its request's trailers."""

    def handle(conn, head):
        trailers = conn.recv_body(head).trailers
        lines = [(name, value) for name, value in head.lines if name in FORWARDED]
        lines += [("Trailer-" + name, value) for name, value in (trailers.lines if trailers else [])]
        conn.respond(200, [("Seen-" + name, value) for name, value in lines], b"ok")

    conn.serve(handle)


class EdgeCase(RunCase):
    def serve(self, listener="", route="", origin=None):
        """Serves an origin, and /moved and /gate without one."""
        self.origin = self.origin or self.origin_named("o", origin or shows_forwarded)
        return (f"listeners: [{{name: web, address: '127.0.0.1:{self.port}'{listener}}}]\n"
                f"routes:\n- {{proxy: {{upstream: o}}{route}}}\n"
                f"- {{match: {{path: /moved}}, redirect: {{replace_path: /new}}{route}}}\n"
                f"- {{match: {{path: /gate}}, respond: {{body: gate}}{route}}}\n"
                f"upstreams: {{o: {{endpoints: ['{self.origin.name}']}}}}\n")

    def run_edge(self, *arguments, **how):
        self.run_with(self.serve(*arguments), **how)

    def seen(self, *fields, target="/"):
        answer = self.client().exchange("GET", target, *fields)
        self.assertEqual(answer.status, 200)
        return {name[5:]: answer.head[name] for name, _ in answer.head.lines if name.startswith("Seen-")}


CLAIMS = [("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("X-Forwarded-For", "192.0.2.3"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "example.org:8443"), ("X-Forwarded-Prefix", "/x"), ("X-Real-IP", "192.0.2.9"),
          ("Forwarded", "for=192.0.2.8;proto=https")]


class TrustedProxies(EdgeCase):
    def test_nobody_is_believed_who_is_not_trusted(self):
        own = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "test.example", "X-Forwarded-Proto": "http"}
        for trusted in ("", ", trusted_proxies: ['192.0.2.0/24', '::1']"):
            with self.subTest(trusted):
                (self.reload if self.gateway else self.run_with)(self.serve(trusted))
                self.assertEqual(self.seen(*CLAIMS), own)
                client = self.client()
                client.exchange("GET", "/x", *CLAIMS)
                self.log(target="/x", client=client.name)

    def test_a_trusted_proxy_is_believed(self):
        self.run_edge(", trusted_proxies: [127.0.0.0/8, 192.0.2.3]")
        self.assertEqual(self.seen(*CLAIMS), {
            "X-Forwarded-For": "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1", "X-Forwarded-Host": "example.org:8443",
            "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/x", "X-Real-IP": "192.0.2.9"})
        self.log(client="192.0.2.2", end="complete")
        answer = self.client().exchange("GET", "/moved", *CLAIMS)
        self.assertEqual(answer.head["Location"], "https://example.org:8443/new")
        self.assertEqual(self.seen(), {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "test.example",
                                       "X-Forwarded-Proto": "http"})

    def test_forwarded(self):
        self.run_edge(", trusted_proxies: [127.0.0.1], forwarded: forwarded")
        own = 'for=127.0.0.1;host="test.example";proto=http'
        self.assertEqual(self.seen(*CLAIMS), {"Forwarded": "for=192.0.2.8;proto=https, " + own, "X-Real-IP": "192.0.2.9"})
        self.log(client="192.0.2.8")
        self.assertEqual(self.seen(("Forwarded", 'for="[2001:db8::1]:81"')),
                         {"Forwarded": 'for="[2001:db8::1]:81", ' + own})
        self.log(client="[2001:db8::1]:81")
        self.assertEqual(self.seen(), {"Forwarded": own})
        client = self.client()
        self.assert_problem(client.exchange("GET", "/", ("Forwarded", 'for="192.0.2.1')), 400)
        self.log(end="client_protocol", status=400)
        self.assertEqual(client.exchange().status, 200, "the connection was kept")
        self.reload(self.serve(", forwarded: forwarded"))
        self.assertEqual(self.seen(*CLAIMS), {"Forwarded": own})

    def test_trust_is_that_of_the_request(self):
        """A connection that lives through a reload is judged anew."""
        self.run_edge(", trusted_proxies: [127.0.0.1]")
        client = self.client()
        claim = ("X-Forwarded-For", "192.0.2.1")
        self.assertEqual(client.exchange("GET", "/", claim).head["Seen-X-Forwarded-For"], "192.0.2.1, 127.0.0.1")
        self.reload(self.serve())
        self.assertEqual(client.exchange("GET", "/", claim).head["Seen-X-Forwarded-For"], "127.0.0.1")

    def test_the_hash_is_of_the_client(self):
        a, b = self.origin_named("a"), self.origin_named("b")
        self.run_with(f"listeners: [{{name: web, address: '127.0.0.1:{self.port}', trusted_proxies: [127.0.0.1]}}]\n"
                      "routes: [{proxy: {upstream: o}}]\n"
                      f"upstreams: {{o: {{endpoints: ['{a.name}', '{b.name}'], balancing: {{policy: consistent_hash}}}}}}\n")
        origins = [{self.client().exchange("GET", "/", ("X-Forwarded-For", f"192.0.2.{i}")).data for _ in range(2)}
                   for i in range(30)]
        self.assertTrue(all(len(one) == 1 for one in origins), "the same client, the same origin")
        self.assertEqual({name for one in origins for name in one}, {b"a", b"b"})

    def test_trailers_cannot_say_who_the_client_is(self):
        self.run_edge(", trusted_proxies: [127.0.0.1]")
        client = self.client()
        client.request("POST", "/", body=[b"data"], chunked=True, trailers=[
            ("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1"), ("x-forwarded-prefix", "/x"),
            ("X-Client-Certificate-Subject", "CN=root"), ("X-Real-IP", "192.0.2.1"), ("X-Sum", "1")])
        head = client.response().head
        self.assertEqual([name for name, _ in head.lines if name.startswith("Seen-Trailer")], ["Seen-Trailer-X-Sum"])


class Addresses(EdgeCase):
    def assert_denied(self, answer):
        self.assertEqual(self.assert_problem(answer, 403)["detail"], "this client's address is not allowed here")
        self.log(status=403, end="client_denied")

    def test_lists_of_a_listener(self):
        client = None
        for lists, welcome in ((", deny: [127.0.0.1]", False), (", deny: [10.0.0.0/8]", True), (", allow: [127.0.0.0/8]", True),
                               (", allow: [10.0.0.0/8, '::/0']", False), (", allow: [127.0.0.0/8], deny: [127.0.0.1]", False),
                               (", allow: [127.0.0.1], deny: ['::/0']", True), (", allow: [unix]", False)):
            with self.subTest(lists):
                (self.reload if self.gateway else self.run_with)(self.serve(lists))
                client = client or self.client()
                for target in ("/", "/moved", "/gate"):
                    answer = client.exchange("GET", target)
                    if welcome:
                        self.assertNotEqual(answer.status, 403)
                    else:
                        self.assert_denied(answer)

    def test_lists_of_a_route(self):
        self.run_edge(", trusted_proxies: [127.0.0.1], deny: [192.0.2.0/28]", ", allow: [192.0.2.0/24], deny: ['192.0.2.77']")
        client = self.client()
        for address, status in (("192.0.2.1", 403), ("192.0.2.16", 200), ("192.0.2.77", 403), ("192.0.3.1", 403),
                                ("192.0.2.1, 192.0.2.16", 200), ("192.0.2.16, 192.0.2.1", 403)):
            with self.subTest(address):
                answer = client.exchange("GET", "/gate", ("X-Forwarded-For", address))
                self.assertEqual(answer.status, status)
        self.assert_denied(client.exchange())  # the proxy itself
        answer = client.exchange("POST", "/", body=b"x" * 100)
        self.assert_denied(answer)
        self.assertEqual(answer.head["Connection"], "close", "with a body that nobody reads")
        self.assertFalse(self.origin.connections, "nothing of them reached the origin")

    def test_tcp(self):
        self.origin = self.origin_named("o", named("o"))

        def of(listener, route):
            return (f"listeners: [{{name: t, address: '127.0.0.1:{self.port}'{listener}}}]\n"
                    f"routes: [{{tcp: {{upstream: o}}{route}}}]\nupstreams: {{o: {{endpoints: ['{self.origin.name}']}}}}\n")

        self.run_with(of("", ""))
        self.assertEqual(self.client().exchange().data, b"o")
        for lists in ((", deny: [127.0.0.1]", ""), ("", ", deny: [127.0.0.1]"), ("", ", allow: ['::1']")):
            with self.subTest(lists):
                self.reload(of(*lists))
                self.assertEqual(self.client().wait_end().kind, "reset")
                self.log(method="tunnel", end="client_denied", upstream="-")
        self.reload(of(", allow: [127.0.0.1]", ", allow: [127.0.0.0/8]"))
        self.assertEqual(self.client().exchange().data, b"o")
        self.assertEqual(len(self.origin.connections), 2)


class Page(unittest.TestCase):
    def test_the_examples_are_right(self):
        page = (pathlib.Path(__file__).resolve().parents[2] / "docs/edge.md").read_text()
        examples = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        self.assertTrue(examples)
        for example in examples:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(example)
                file.flush()
                done = subprocess.run([BINARY, "validate", "-c", file.name], capture_output=True, text=True, check=False, timeout=20)
                self.assertEqual((done.returncode, done.stderr), (0, ""), example)


if __name__ == "__main__":
    unittest.main()
