#!/usr/bin/env python3
"""Who a client is, and who may come in: trusted proxies, and lists of addresses."""

import pathlib
import re
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import BINARY, SLACK, HeldCase, RunCase, eventually, named, response

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


class Rates(EdgeCase):
    def test_who_asks_too_often_is_told_when_to_come_back(self):
        self.run_edge("", ", rate_limit: {requests: 1, per: 20s, burst: 3}")
        clients = [self.client() for _ in range(3)]  # on two workers
        for client in clients:
            answer = client.exchange()
            self.assertEqual((answer.status, answer.head.get("RateLimit")), (200, None))
        for client in clients:
            answer = client.exchange("GET", "/")
            self.assert_problem(answer, 429)
            self.assertEqual(answer.head["Retry-After"], "20")
            self.assertEqual(answer.head["RateLimit-Policy"], '"default";q=1;w=20')
            self.assertRegex(answer.head["RateLimit"], '^"default";r=0;t=(60|59)$')
            self.log(status=429, end="client_rate")
        answer = clients[0].exchange("POST", "/", body=b"x" * 1000)
        self.assertEqual((answer.status, answer.head["Connection"]), (429, "close"))

    def test_a_token_comes_back(self):
        self.run_edge("", ", rate_limit: {requests: 5, per: 1s, burst: 1, headers: true}", workers=1)
        client = self.client()
        begun = time.monotonic()
        answer = client.exchange()
        self.assertEqual((answer.status, answer.head["RateLimit"], answer.head["RateLimit-Policy"]),
                         (200, '"default";r=0;t=1', '"default";q=5;w=1'))
        refused = eventually_other(client, 200, begun)
        self.assertGreaterEqual(time.monotonic() - begun, 0.2)
        self.assertGreater(refused, 0)

    def test_the_key(self):
        self.run_edge(", trusted_proxies: [127.0.0.1]", ", rate_limit: {requests: 1, per: 1h}")
        client = self.client()

        def status(address, target="/gate"):
            return client.exchange("GET", target, ("X-Forwarded-For", address)).status

        self.assertEqual([status("192.0.2.1"), status("192.0.2.1"), status("192.0.2.2")], [200, 429, 200])
        self.assertEqual([status("2001:db8::1"), status("2001:db8::2"), status("2001:db8:0:1::")], [200, 429, 200])
        self.assertEqual(status("192.0.2.1", "/moved"), 302, "another route has another limit")
        self.reload(self.serve("", ", rate_limit: {requests: 1, per: 1h, key: header, header: X-Api-Key}"))
        keys = ["a", "b", "a", "", "b"]
        self.assertEqual([client.exchange("GET", "/gate", ("X-API-KEY", key)).status for key in keys], [200, 200, 429, 200, 429])
        self.assertEqual(client.exchange("GET", "/gate").status, 429, "without one is one, too")

    def test_a_reload_forgets_nothing(self):
        limit = ", rate_limit: {requests: 1, per: 1h}"
        self.run_edge("", limit)
        self.assertEqual([self.client().exchange("GET", "/gate").status for _ in range(2)], [200, 429])
        self.reload(self.serve(", keep_alive_timeout: 30s", limit))
        self.assertEqual(self.client().exchange("GET", "/gate").status, 429)
        self.reload(self.serve("", limit.replace("requests: 1", "requests: 2")))
        self.assertEqual([self.client().exchange("GET", "/gate").status for _ in range(3)], [200, 200, 429])

    def test_many_keys_are_bounded(self):
        self.run_edge("", ", rate_limit: {requests: 1, per: 1h, key: header, header: X-Api-Key, keys_max: 16}", workers=1)
        client = self.client()
        for i in range(100):
            self.assertEqual(client.exchange("GET", "/gate", ("X-Api-Key", str(i))).status, 200)


def eventually_other(client, status, begun):
    """Asks until the answer is this one. Returns how many others came before."""
    for tries in range(10_000):
        if client.exchange().status == status:
            return tries
        if time.monotonic() - begun > 20:
            break
    raise AssertionError(f"no {status}")


class AtATime(EdgeCase, HeldCase):
    def busy(self):
        answer = self.client().exchange()
        if answer.status == 503:
            self.assert_problem(answer, 503)
            self.assertRegex(answer.head["Retry-After"], "^[1-9]")
            self.log(status=503, end="route_busy")
        return answer.status == 503

    def test_requests_of_a_route_are_bounded_over_all_workers(self):
        self.run_with(self.serve("", ", requests_max: 3", self.hold))
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.request()
        eventually(lambda: self.gateway.live()["requests"] == 3, 5, "three are in progress")
        for _ in range(4):
            self.assertTrue(self.busy())
        self.assertEqual(self.client().exchange("GET", "/gate").status, 200, "another route has a bound of its own")
        # However one of them ends, its place is free.
        clients[0].reset()
        clients[1].close()
        eventually(lambda: self.gateway.live()["requests"] == 1, 5, "two are gone")
        for _ in range(2):
            client = self.client()
            clients.append(client)
            client.request()
        eventually(lambda: self.gateway.live()["requests"] == 3, 5, "three are in progress again")
        self.assertTrue(self.busy())
        # A reload does not forget those that are in progress.
        self.reload(self.serve(", keep_alive_timeout: 30s", ", requests_max: 3"))
        self.assertTrue(self.busy())
        self.reload(self.serve("", ", requests_max: 4"))
        fourth = self.client()
        fourth.request()
        eventually(lambda: self.gateway.live()["requests"] == 4, 5, "there is one place more")
        self.assertTrue(self.busy())
        self.release.set()
        for client in (*clients[2:], fourth):
            self.assertEqual(client.response().status, 200)
            self.assertEqual(client.exchange().status, 200)

    def test_an_upstream_that_breaks_leaves_no_place_taken(self):
        self.run_edge("", ", requests_max: 1", lambda conn: conn.reset())
        client = self.client()
        for _ in range(5):
            self.assert_problem(client.exchange(), 502)
        self.origin.stop_listening()
        for _ in range(5):
            self.assert_problem(client.exchange(), 502)


def of_bytes(count, chunked=False):
    """An origin that answers with so many bytes and the length of the request's body, and never waits."""

    def script(conn):
        def handle(conn, head):
            length = conn.recv_body(head, keep=False).length
            body = b"d" * count
            conn.send(response(200, [("X-Length", str(length))], [body] if chunked else body, chunked=chunked))

        conn.serve(handle)

    return script


class Bandwidth(EdgeCase):
    """A limit on the rate, and one on how slow the peers may be that is just below: our own pauses are not theirs."""

    SLOW = "rate_grace: 50ms, client_rate_min: {0}, upstream_rate_min: {0}, client_idle_timeout: 500ms, upstream_idle_timeout: 500ms"

    def run_limited(self, rates, origin):
        self.origin = self.origin_named("o", origin)
        self.run_with(f"listeners: [{{name: web, address: '127.0.0.1:{self.port}'}}]\n"
                      f"routes: [{{proxy: {{upstream: o, {rates}, {self.SLOW.format(100_000)}}}}}]\n"
                      f"upstreams: {{o: {{endpoints: ['{self.origin.name}']}}}}\n", workers=1)

    def took(self, bytes_each, rate, exchange):
        begun = time.monotonic()
        exchange()
        seconds = time.monotonic() - begun
        # A sixteenth of a second goes at once, and what came with the head.
        self.assertGreaterEqual(seconds, (bytes_each - 20_000) / rate - 0.15)  # two slices of a sixteenth
        self.assertLess(seconds, bytes_each / rate + SLACK)

    def download(self, chunked):
        self.run_limited("response_rate_max: 2000000", of_bytes(2_000_000, chunked))
        before = self.gateway.cpu_seconds()
        self.took(2_000_000, 2_000_000, lambda: self.assertEqual(len(self.client().exchange().data), 2_000_000))
        self.assertLess(self.gateway.cpu_seconds() - before, 0.5 * SLACK, "it sleeps in between")

    def test_responses(self):
        self.download(chunked=False)

    def test_chunked_responses(self):
        self.download(chunked=True)

    def test_requests(self):
        self.run_limited("request_rate_max: 2000000", of_bytes(0))

        def upload():
            answer = self.client().exchange("POST", "/", body=b"u" * 1_500_000)
            self.assertEqual(answer.head["X-Length"], "1500000")

        self.took(1_500_000, 2_000_000, upload)

    def test_each_request_has_the_rate_for_itself(self):
        self.run_limited("response_rate_max: 1000000", of_bytes(500_000))
        clients = [self.client() for _ in range(8)]

        def download():
            for client in clients:
                client.request()
            with ThreadPoolExecutor(len(clients)) as readers:
                for answer in readers.map(lambda client: client.response(), clients):
                    self.assertEqual(len(answer.data), 500_000)

        self.took(500_000, 1_000_000, download)

    def test_who_leaves_meanwhile(self):
        self.run_limited("response_rate_max: 100000", of_bytes(2_000_000))
        for leave, end in (("close", "client_closed"), ("reset", "client_reset")):
            client = self.client()
            client.request()
            client.recv_head()
            getattr(client, leave)()
            self.log(end=end, within=2.0 * SLACK)
            self.leaks.wait_idle()

    def test_who_is_slow_is_still_told(self):
        self.run_limited("response_rate_max: 100000000", of_bytes(50_000_000))
        client = self.client(receive_buffer=4096)
        client.request()
        self.log(end="client_idle", within=20)


def says_cors(conn):
    """An origin with opinions of its own."""

    def handle(conn, head):
        conn.recv_body(head)
        conn.respond(200, [("Access-Control-Allow-Origin", "https://evil"), ("Access-Control-Allow-Credentials", "true"),
                           ("Vary", "Accept")], b"ok")

    conn.serve(handle)


class Cors(EdgeCase):
    CORS = ", cors: {allow_origins: ['https://a.example', 'https://*.b.example'], allow_methods: [GET, PUT], max_age: 1h"
    ASKS = ("Access-Control-Request-Method", "PUT")

    def test_a_preflight_is_answered_here(self):
        self.run_edge("", self.CORS + "}", says_cors)
        client = self.client()
        for origin in ("https://a.example", "https://x.b.example"):
            answer = client.exchange("OPTIONS", "/", ("Origin", origin), self.ASKS)
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.head["Access-Control-Allow-Origin"], origin)
            self.assertEqual(answer.head["Access-Control-Allow-Methods"], "GET, PUT")
            self.assertEqual(answer.head["Access-Control-Max-Age"], "3600")
            self.assertEqual(answer.head["Vary"], "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        answer = client.exchange("OPTIONS", "/", ("Origin", "https://b.example"), self.ASKS)
        self.assertEqual((answer.status, answer.head.get("Access-Control-Allow-Origin")), (204, None))
        self.assertFalse(self.origin.connections)
        self.assertEqual(client.exchange("OPTIONS", "/", ("Origin", "https://a.example")).data, b"ok", "no preflight")
        self.log(method="OPTIONS", status=204, end="complete", upstream="-")

    def test_other_answers(self):
        self.run_edge("", self.CORS + ", allow_credentials: true, expose_headers: [X-A]}, rate_limit: {requests: 4, per: 1h}", says_cors)
        client = self.client()
        head = client.exchange("GET", "/", ("Origin", "https://a.example")).head
        self.assertEqual(head.all("Access-Control-Allow-Origin"), ["https://a.example"])
        self.assertEqual(head.all("Access-Control-Allow-Credentials"), ["true"])
        self.assertEqual(head.all("Access-Control-Expose-Headers"), ["X-A"])
        self.assertEqual(head.all("Vary"), ["Accept", "Origin"])
        for fields in ([("Origin", "https://c.example")], []):
            head = client.exchange("GET", "/", *fields).head
            self.assertEqual(head.all("Access-Control-Allow-Origin"), [], "the origin's word does not count")
            self.assertEqual(head.all("Access-Control-Allow-Credentials"), [])
            self.assertEqual(head.all("Vary"), ["Accept", "Origin"])
        self.assertEqual(client.exchange("GET", "/gate", ("Origin", "https://a.example")).head["Access-Control-Allow-Origin"],
                         "https://a.example")
        client.exchange()
        answer = client.exchange("GET", "/", ("Origin", "https://a.example"))
        self.assert_problem(answer, 429)
        self.assertEqual(answer.head["Access-Control-Allow-Origin"], "https://a.example", "a script may read why")

    def test_a_preflight_finds_the_route_of_what_is_to_follow(self):
        self.run_with(self.listener() + """
routes:
- {match: {path: /x, methods: [PUT]}, respond: {body: put}, cors: {allow_origins: ["*"], allow_methods: ["*"]}}
- {match: {path: /x}, respond: {body: any}}
""")
        client = self.client()
        answer = client.exchange("OPTIONS", "/x", ("Origin", "https://a"), ("Access-Control-Request-Method", "PUT"))
        self.assertEqual((answer.status, answer.head["Access-Control-Allow-Methods"]), (204, "PUT"))
        answer = client.exchange("OPTIONS", "/x", ("Origin", "https://a"), ("Access-Control-Request-Method", "GET"))
        self.assertEqual((answer.status, answer.data), (200, b"any"))


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
