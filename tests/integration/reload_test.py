#!/usr/bin/env python3
"""What a reload does to what goes on: routes that stay keep their streams, those that go have a deadline."""

import time
import unittest

from support import SLACK, Origin, RunCase, eventually, free_port, request

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
DRAIN = 0.4


class Streams(RunCase):
    """A WebSocket, a download and a tunnel, and what becomes of them."""

    def setUp(self):
        super().setUp()
        self.up = Origin()
        self._origins.append(self.up)
        self.tunnel_port = free_port()

    def config(self, chat="{upstream: chat, upgrades: [websocket]}", big="{upstream: chat}", tcp="chat", more="", path="/chat",
               chat_name="", tunnel=True):
        listeners = f"- {{name: web, address: '127.0.0.1:{self.port}'}}\n"
        routes = (f"- {{{chat_name}match: {{path_prefix: {path}}}, proxy: {chat}}}\n- {{match: {{path_prefix: /big}}, proxy: {big}}}\n" + more)
        if tunnel:
            listeners += f"- {{name: raw, address: '127.0.0.1:{self.tunnel_port}'}}\n"
            routes += f"- {{listeners: [raw], tcp: {{upstream: {tcp}}}}}\n"
        return (f"listeners:\n{listeners}routes:\n{routes}"
                f"upstreams: {{chat: {{endpoints: ['{self.up.name}']}}, other: {{endpoints: ['{self.up.name}']}}}}\n")

    def begin(self):
        self.run_with(self.config(), more=f", drain_timeout: {int(DRAIN * 1000)}ms")
        chat = self.client()
        chat.send(request("GET", "/chat", ASK))
        chat_up = self.up.accept()
        chat_up.recv_head()
        chat_up.send(AGREE)
        self.assertEqual(chat.recv_head().status, 101)
        big = self.client()
        big.request("GET", "/big")
        big_up = self.up.accept()
        big_up.recv_head()
        big_up.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n12345")
        big.recv_head()
        self.assertEqual(big.recv_exact(5), b"12345")
        address, self.gateway.address = self.gateway.address, ("127.0.0.1", self.tunnel_port)
        raw = self.client()
        self.gateway.address = address
        raw_up = self.up.accept()
        self.pairs = {"chat": (chat, chat_up), "big": (big, big_up), "raw": (raw, raw_up)}
        for name in self.pairs:
            self.assert_alive(name)

    def assert_alive(self, name):
        client, up = self.pairs[name]
        up.send(b"ping")
        self.assertEqual(client.recv_exact(4), b"ping", name)

    def assert_ended(self, since, *names):
        for name in names:
            client, up = self.pairs.pop(name)
            end = client.wait_end(10)
            self.assertEqual(end.kind, "reset", name)
            self.assertGreaterEqual(end.at - since, DRAIN - 0.05, name)
            self.assertLess(end.at - since, DRAIN + 1 * SLACK, name)
            self.assertEqual(up.wait_end(1).kind, "reset", name)
            self.log(end="drained")

    def finish(self):
        for client, up in self.pairs.values():
            client.reset()
            up.wait_end(5)

    def test_routes_that_stay_keep_their_streams(self):
        self.begin()
        same = [
            {"chat": "{upstream: chat, upgrades: [websocket], first_byte_timeout: 3s, request_headers: {set: {X-A: b}}}"},
            {"more": "- {match: {path: /new}, respond: {}}\n"},
            {"chat_name": "name: renamed, "},
            {"big": "{upstreams: [{upstream: chat, weight: 7}]}"},
        ]
        for change in same:
            self.reload(self.config(**change))
            time.sleep(DRAIN + 0.2)  # the deadline that must not be theirs has passed
            for name in self.pairs:
                self.assert_alive(name)
        self.finish()

    def test_those_that_go_have_a_deadline(self):
        self.begin()
        since = time.monotonic()
        self.reload(self.config(path="/other", tcp="other"))
        for name in self.pairs:
            self.assert_alive(name)
        self.assert_ended(since, "chat", "raw")
        self.assert_alive("big")
        self.finish()

    def test_a_change_of_the_action_or_the_upstreams_ends_them(self):
        self.begin()
        self.reload(self.config(more="- {match: {path: /new}, respond: {}}\n"))
        since = time.monotonic()
        self.reload(self.config(big="{upstreams: [chat, other]}").replace("proxy: {upstream: chat, upgrades: [websocket]}", "respond: {}"))
        self.assert_ended(since, "chat", "big")
        self.assert_alive("raw")
        self.finish()

    def test_a_listener_that_goes(self):
        self.begin()
        since = time.monotonic()
        self.reload(self.config(tunnel=False))
        self.assert_ended(since, "raw")
        self.assert_alive("chat")
        self.reload(self.config())  # at rest there are two
        self.finish()

    def test_a_route_that_comes_back_does_not_save_what_was_to_end(self):
        self.begin()
        since = time.monotonic()
        self.reload(self.config(path="/other"))
        self.reload(self.config())
        self.assert_ended(since, "chat")
        self.assert_alive("big")
        self.finish()


class Requests(RunCase):
    def test_a_request_on_its_way_when_its_listener_goes(self):
        a = self.origin_named("a")
        text = self.listener() + f"routes: [{{proxy: {{upstream: x}}}}]\nupstreams: {{x: {{endpoints: ['{a.name}']}}}}\n"
        self.run_with(text)
        client = self.client()
        client.send(b"GET /late HTTP/1.1\r\nHost: te")
        eventually(lambda: self.gateway.live()["connections"] == 1)
        self.reload(text.replace(str(self.port), str(free_port())))
        client.send(b"st.example\r\n\r\n")
        self.assertEqual(client.response().data, b"a")
        self.assertTrue(client.is_closed(5))


if __name__ == "__main__":
    unittest.main()
