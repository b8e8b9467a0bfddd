#!/usr/bin/env python3
"""`headgate run`: routes of a file, and changing them while requests run."""

import hashlib
import os
import socket
import subprocess
import threading
import time
import unittest

from support import SANITIZED, Origin, RunCase, eventually, free_port, request


class Routes(RunCase):
    def test_the_shortest_file(self):
        a, b = self.origin_named("a"), self.origin_named("b")
        self.run_with(self.listener() + "routes: [{match: {path_prefix: /api/}, proxy: {upstream: api}}]\n"
                      f"upstreams: {{api: {{endpoints: ['{a.name}', '{b.name}']}}}}\n")
        answers = [self.client().exchange("GET", f"/api/{i}") for i in range(60)]
        self.assertEqual({answer.data for answer in answers}, {b"a", b"b"}, "both endpoints have their share")
        client = self.client()
        for target in ("/", "/apis"):
            answer = client.exchange("GET", target)
            self.assert_problem(answer, 404)
            self.log(target=target, status=404, end="no_route")

    def test_the_most_specific_wins(self):
        origins = {name: self.origin_named(name) for name in ("all", "host", "exact", "canary", "post")}
        upstreams = "".join(f"  {name}: {{endpoints: ['{o.name}']}}\n" for name, o in origins.items())
        self.run_with(self.listener() + """
routes:
  - {match: {path_prefix: /}, proxy: {upstream: all}}
  - {match: {hosts: ["*.example.org"], path_prefix: /}, proxy: {upstream: host}}
  - {match: {path: /exact}, proxy: {upstream: exact}}
  - {match: {path_prefix: /, headers: [{name: X-Canary, value: "yes"}]}, proxy: {upstream: canary}}
  - {match: {path_prefix: /, methods: [POST]}, proxy: {upstream: post}}
upstreams:
""" + upstreams)
        client = self.client()

        def origin_of(method="GET", target="/", *fields, host="test.example"):
            client.send(request(method, target, fields, host=host, body=b"x" if method == "POST" else None))
            return client.response().head["X-Origin"]

        self.assertEqual(origin_of(), "all")
        self.assertEqual(origin_of(host="www.EXAMPLE.org:8080"), "host")
        self.assertEqual(origin_of(target="/exact"), "exact")
        self.assertEqual(origin_of(target="/x/%2e%2e//exact?q"), "exact")
        self.assertEqual(origin_of("GET", "/", ("x-canary", "yes")), "canary")
        self.assertEqual(origin_of("POST"), "post")

    def test_what_a_route_changes(self):
        a = self.origin_named("a")
        self.run_with(self.listener() + f"""
routes:
  - match: {{path_prefix: /old/api}}
    proxy:
      upstream: a
      replace_prefix: /v2
      host: inner.example
      request_headers: {{remove: [X-Old], set: {{X-Team: blue, X-Forwarded-Proto: https}}}}
      response_headers: {{remove: [X-Secret], add: {{X-Served-By: gate}}}}
upstreams: {{a: {{endpoints: ['{a.name}']}}}}
""")
        client = self.client()
        answer = client.exchange("GET", "/old/api/x/../y?q=1", ("X-Old", "1"), ("X-Team", "red"))
        head = answer.head
        self.assertEqual((head["X-Target"], head["X-Host"]), ("/v2/y?q=1", "inner.example"))
        self.assertEqual((head["X-Seen-X-Team"], head.get("X-Seen-X-Old"), head["X-Seen-X-Forwarded-Proto"]), ("blue", None, "https"))
        self.assertEqual((head.get("X-Secret"), head["X-Served-By"]), (None, "gate"))
        self.assertEqual(client.exchange("GET", "/old/api").head["X-Target"], "/v2")

    def test_answers_without_an_upstream(self):
        self.run_with(self.listener() + """
routes:
  - {match: {path: /health}, respond: {status: 200, body: "fine\\n"}}
  - {match: {path: /gone}, respond: {status: 410, headers: {set: {Cache-Control: no-store}}}}
  - {match: {path_prefix: /new}, redirect: {status: 308, scheme: https, host: www.example.org, replace_prefix: /newer}}
""")
        client = self.client()
        answer = client.exchange("GET", "/health")
        self.assertEqual((answer.status, answer.data, answer.head["Content-Type"]), (200, b"fine\n", "text/plain; charset=utf-8"))
        self.assertEqual(client.exchange("HEAD", "/health").head["Content-Length"], "5")
        answer = client.exchange("GET", "/gone")
        self.assertEqual((answer.status, answer.data, answer.head["Cache-Control"]), (410, b"", "no-store"))
        answer = client.exchange("GET", "/new/x?y=1")
        self.assertEqual((answer.status, answer.head["Location"]), (308, "https://www.example.org/newer/x?y=1"))
        self.assertEqual(self.gateway.live()["connections"], 1, "all on one connection")
        answer = client.exchange("POST", "/health", body=b"ignored")
        self.assertEqual((answer.status, answer.head["Connection"]), (200, "close"))

    def test_shares_of_several_upstreams(self):
        a, b = self.origin_named("a"), self.origin_named("b")
        self.run_with(self.listener() + f"""
routes: [{{proxy: {{upstreams: [{{upstream: a, weight: 90}}, {{upstream: b, weight: 10}}]}}}}]
upstreams: {{a: {{endpoints: ['{a.name}']}}, b: {{endpoints: ['{b.name}']}}}}
""", workers=1)
        client = self.client()
        share = [client.exchange().data for _ in range(200)].count(b"b")
        self.assertTrue(15 <= share <= 25, share)

    def test_tcp(self):
        a = self.origin_named("a")
        self.run_with(self.listener() + f"routes: [{{tcp: {{upstream: a}}}}]\nupstreams: {{a: {{endpoints: ['{a.name}']}}}}\n")
        client = self.client()
        self.assertEqual(client.exchange().data, b"a")
        client.close()
        self.log(method="tunnel", end="complete")

    def test_an_endpoint_that_is_down_is_not_felt(self):
        a = self.origin_named("a")
        self.run_with(self.listener() + "routes: [{proxy: {upstream: x}}]\n"
                      f"upstreams: {{x: {{endpoints: ['127.0.0.1:{free_port()}', '{a.name}']}}}}\n")
        client = self.client()
        self.assertEqual({client.exchange().data for _ in range(50)}, {b"a"})


class Reload(RunCase):
    def one(self, origin, extra=""):
        return (self.listener() + f"routes: [{{proxy: {{upstream: x}}}}]\n"
                f"upstreams: {{x: {{endpoints: ['{origin.name}']{extra}}}}}\n")

    def test_new_requests_have_the_new_routes(self):
        a, b = self.origin_named("a"), self.origin_named("b")
        self.run_with(self.one(a))
        client = self.client()
        self.assertEqual(client.exchange().data, b"a")
        self.reload(self.one(b))
        self.assertEqual(client.exchange().data, b"b", "on the same connection")
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)

    def test_a_bad_file_changes_nothing_and_says_why(self):
        a = self.origin_named("a")
        self.run_with(self.one(a))
        for bad, why in [("listeners: [\n", "headgate.yaml:"), (self.one(a).replace("upstream: x", "upstream: y"), "'y'"),
                         (self.one(a) + "colour: red\n", "colour")]:
            said = "\n".join(self.reload(bad, good=False))
            self.assertIn(why, said)
            self.assertEqual(self.client().exchange().data, b"a")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assertIn(str(port), "\n".join(self.reload(self.one(a).replace(str(self.port), str(port)), good=False)))
        self.assertEqual(self.client().exchange().data, b"a")

    def test_listeners_come_and_go(self):
        a = self.origin_named("a")
        self.run_with(self.one(a))
        idle = self.client()
        self.assertEqual(idle.exchange().data, b"a")
        other = free_port()
        self.reload(self.one(a).replace(str(self.port), str(other)))
        self.assertTrue(idle.is_closed(), "an idle connection of a listener that is gone")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port))
        self.gateway.address = ("127.0.0.1", other)
        self.assertEqual(self.client().exchange().data, b"a")
        self.reload(self.one(a))
        self.gateway.address = ("127.0.0.1", self.port)
        self.assertEqual(self.client().exchange().data, b"a")

    def test_what_began_goes_on(self):
        """A download and a WebSocket of routes that are removed, and of a listener that is."""
        size = 40 << 20
        data = os.urandom(1 << 20) * 40

        def big(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            conn.send(data)

        slow, a = self.origin_named("slow", big), self.origin_named("a")
        sockets = Origin()
        self._origins.append(sockets)
        self.run_with(self.listener() + f"""
routes:
  - {{match: {{path_prefix: /big}}, proxy: {{upstream: slow}}}}
  - {{match: {{path_prefix: /chat}}, proxy: {{upstream: chat, upgrades: [websocket]}}}}
upstreams: {{slow: {{endpoints: ['{slow.name}']}}, chat: {{endpoints: ['{sockets.name}']}}}}
""")
        loading, chatting = self.client(receive_buffer=64 * 1024), self.client()
        loading.request("GET", "/big")
        head = loading.recv_head()
        chatting.send(request("GET", "/chat", [("Connection", "Upgrade"), ("Upgrade", "websocket")]))
        upstream = sockets.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(chatting.recv_head().status, 101)
        self.reload(self.one(a).replace(str(self.port), str(free_port())))
        chatting.send(b"still there?")
        self.assertEqual(upstream.recv_exact(12), b"still there?")
        self.assertEqual(loading.recv_body(head).sha256, hashlib.sha256(data).hexdigest())
        upstream.close()

    def test_under_load_not_one_request_fails(self):
        a, b = self.origin_named("a"), self.origin_named("b")
        self.run_with(self.one(a) + "\n")
        stop, results = threading.Event(), []

        def load():
            client = self.client()
            while not stop.is_set():
                answer = client.exchange()
                results.append((answer.status, answer.data))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        rounds = 20 if SANITIZED else 100
        try:
            for i in range(rounds):
                self.reload(self.one((a, b)[i % 2], extra=f", idle_max: {i + 1}"))
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        self.assertEqual({status for status, _ in results}, {200})
        self.assertEqual({data for _, data in results}, {b"a", b"b"})
        self.assertGreater(len(results), rounds)


class WithWrk(RunCase):
    def test_reload_under_wrk(self):
        """Clients as fast as they can be, and connections that are new all the time."""
        self.run_with(self.listener() + "routes: [{respond: {body: one}}]\n", more=", access_log: false")
        wrk = subprocess.Popen(["wrk", "-t1", "-c20", "-d4s", f"http://127.0.0.1:{self.port}/"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        rounds = 0
        while wrk.poll() is None:
            self.reload(self.listener() + f"routes: [{{respond: {{body: 'round {rounds}'}}}}]\n")
            rounds += 1
            time.sleep(0.02)
        said = wrk.communicate()[0]
        self.assertNotIn("Socket errors", said)
        self.assertNotIn("Non-2xx", said)
        self.assertGreater(rounds, 10)


if __name__ == "__main__":
    unittest.main()
