#!/usr/bin/env python3
"""The tunnel: bytes both ways, ends passed on as what they are, and nothing read that cannot be written."""

import hashlib
import socket
import time
import unittest

from support import SANITIZED, SLACK, GatewayCase, eventually, full_listener, process

MIB = 1 << 20
BLOCK = bytes(range(256)) * 1024  # 256 KiB

# What lies between a sender and a reader that has stopped: the kernel's buffers of two connections, and what the gateway
# holds by its own limits. Linux lets a receive buffer grow to tcp_rmem[2] and a send buffer to tcp_wmem[2].
STREAM_BUFFER = 64 * 1024
PIPE = MIB


def kernel_buffers():
    total = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as file:
            total += int(file.read().split()[2])
    return 2 * total


class TunnelCase(GatewayCase):
    command = "tunnel"

    def _close_clients(self):
        """A FIN would be passed on and leave the other direction open."""
        for client in self._clients:
            client.reset()
        super()._close_clients()

    def pair(self, *flags, **how):
        """A client and the upstream connection behind it."""
        if not self.gateway:
            self.start(*flags)
        client = self.client(**how)
        return client, self.origin.accept()

    def assert_carries(self, source, sink, data=b"still open"):
        source.send(data)
        self.assertEqual(sink.recv_exact(len(data)), data)


class Bytes(TunnelCase):
    def test_both_ways(self):
        client, up = self.pair()
        for i in range(1, 200):
            self.assert_carries(client, up, b"%d up" % i * i)
            self.assert_carries(up, client, b"%d down" % i * i)
        client.half_close()
        self.assertEqual(up.wait_end().kind, "fin")
        up.half_close()
        self.assertEqual(client.wait_end().kind, "fin")
        up_bytes = sum(len(b"%d up" % i) * i for i in range(1, 200))
        down_bytes = sum(len(b"%d down" % i) * i for i in range(1, 200))
        line = self.log(end="complete", up=up_bytes, down=down_bytes, method="tunnel", target="-", status=None,
                        client=client.name, upstream=self.origin.name)
        self.assertGreater(line.ms, 0)

    def test_the_upstream_speaks_first(self):
        client, up = self.pair()
        self.assert_carries(up, client, b"220 ready\r\n")
        self.assert_carries(client, up, b"EHLO\r\n")

    def test_each_client_has_its_own(self):
        pairs = [self.pair() for _ in range(50)]
        self.assertEqual(self.gateway.live()["requests"], 50)
        for i, (client, up) in enumerate(pairs):
            self.assert_carries(client, up, b"%d" % i)
        for client, up in pairs:
            client.reset()
            self.assertEqual(up.wait_end().kind, "reset")

    def test_ping_pong(self):
        client, up = self.pair()
        up.in_background(self.pong, up)
        begun = time.monotonic()
        for i in range(3000):
            client.send(b"ping %d" % i)
            client.recv_exact(len(b"ping %d" % i))
        self.assertLess(time.monotonic() - begun, 3 * SLACK, "a small message must not wait")
        client.half_close()
        self.assertEqual(client.wait_end().kind, "fin")

    def pong(self, up):
        while data := up.recv_some():
            up.send(data)
        up.half_close()

    def test_bulk_both_ways_at_once(self):
        """64 MiB each way, each byte in its place."""
        size = (16 if SANITIZED else 64) * MIB
        client, up = self.pair()

        def send(wire, salt):
            for i in range(size // len(BLOCK)):
                wire.send(salt + BLOCK[1:-8] + i.to_bytes(8, "big"))
            wire.half_close()

        def expected(salt):
            digest = hashlib.sha256()
            for i in range(size // len(BLOCK)):
                digest.update(salt + BLOCK[1:-8] + i.to_bytes(8, "big"))
            return digest.hexdigest()

        results = {}

        def receive(wire, name):
            digest, length = hashlib.sha256(), 0
            while data := wire.recv_some(MIB):
                digest.update(data)
                length += len(data)
            results[name] = (length, digest.hexdigest())

        threads = [client.in_background(send, client, b"u"), up.in_background(send, up, b"d"),
                   client.in_background(receive, client, "down"), up.in_background(receive, up, "up")]
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        self.assertEqual(client.failures + up.failures, [])
        self.assertEqual(results, {"up": (size, expected(b"u")), "down": (size, expected(b"d"))})
        self.log(end="complete", up=size, down=size)


class Ends(TunnelCase):
    def test_half_close_by_the_client(self):
        client, up = self.pair()
        client.send(b"all I have to say")
        client.half_close()
        self.assertEqual(up.recv_to_end(), b"all I have to say")
        self.assertTrue(client.open_and_silent())
        for _ in range(20):
            self.assert_carries(up, client, BLOCK)
        up.half_close()
        self.assertEqual(client.wait_end().kind, "fin")
        self.log(end="complete", up=17, down=20 * len(BLOCK))

    def test_half_close_by_the_upstream(self):
        client, up = self.pair()
        up.send(b"all I have to say")
        up.half_close()
        self.assertEqual(client.recv_to_end(), b"all I have to say")
        self.assertTrue(up.open_and_silent())
        for _ in range(20):
            self.assert_carries(client, up, BLOCK)
        client.half_close()
        self.assertEqual(up.wait_end().kind, "fin")
        self.log(end="complete", up=20 * len(BLOCK), down=17)

    def test_half_close_before_the_upstream_has_accepted(self):
        """All a client has to say may be said before there is anybody to say it to."""
        self.start()
        client = self.client()
        client.send(b"early")
        client.half_close()
        up = self.origin.accept()
        self.assertEqual(up.recv_to_end(), b"early")
        self.assert_carries(up, client)

    def test_end_behind_a_stalled_bulk(self):
        """A FIN comes after all bytes before it, however long they take."""
        client, up = self.pair()
        sent = client.fill(BLOCK)
        client.half_close()
        self.assertTrue(client.open_and_silent())
        self.assertEqual(up.wait_end().bytes, sent)
        self.assertEqual(up.end.kind, "fin")

    def reset_ends_both(self, victim, other, end):
        now = time.monotonic()
        victim.reset()
        self.assert_gone(other, now, "reset")
        self.log(end=end)

    def test_reset_by_the_client(self):
        client, up = self.pair()
        self.assert_carries(client, up)
        self.reset_ends_both(client, up, "client_reset")

    def test_reset_by_the_upstream(self):
        client, up = self.pair()
        self.assert_carries(client, up)
        self.reset_ends_both(up, client, "upstream_reset")

    def test_reset_after_half_close(self):
        for ender, victim in [("client", "client"), ("client", "up"), ("up", "client"), ("up", "up")]:
            with self.subTest(ender=ender, victim=victim):
                client, up = self.pair()
                ends = {"client": client, "up": up}
                others = {"client": up, "up": client}
                ends[ender].half_close()
                others[ender].recv_to_end()
                others[ender].end = None
                now = time.monotonic()
                ends[victim].reset()
                self.assert_reset_follows(others[victim], now)
                self.log(end="client_reset" if victim == "client" else "upstream_reset")
                client.close()
                up.close()

    def assert_reset_follows(self, wire, since):
        """A reset is seen though the FIN was seen before."""
        eventually(lambda: wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (104, 32), 1 * SLACK,
                   "a reset after the FIN")
        self.assertLess(time.monotonic() - since, 1 * SLACK)

    def test_reset_by_a_stalled_client(self):
        """The client does not read and then resets: noticed while the gateway writes to it."""
        client, up = self.pair()
        up.fill(BLOCK)
        now = time.monotonic()
        client.reset()
        up.wait_end_unread(2)
        self.assert_gone(up, now, "reset")
        self.log(end="client_reset")

    def test_reset_by_the_upstream_with_a_stalled_client(self):
        client, up = self.pair()
        up.fill(BLOCK)
        now = time.monotonic()
        up.reset()
        client.wait_end_unread(2)
        self.assertLess(time.monotonic() - now, 1 * SLACK)
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(end="upstream_reset")

    def test_reset_in_motion(self):
        for who in ("client", "up"):
            with self.subTest(who):
                client, up = self.pair()
                source, sink = (up, client) if who == "client" else (client, up)

                def send(source=source):
                    while True:
                        source.send(BLOCK)

                sender = source.in_background(send)
                for _ in range(40):
                    sink.recv_exact(65536)
                now = time.monotonic()
                sink.reset()
                sender.join(5)
                self.assertFalse(sender.is_alive())
                self.assertEqual(source.wait_end().kind, "reset")
                self.assertLess(source.end.at - now, 1 * SLACK)
                line = self.log(end="client_reset" if who == "client" else "upstream_reset")
                self.assertGreaterEqual(line.down if who == "client" else line.up, 40 * 65536)


class NotConnected(TunnelCase):
    def test_refused(self):
        self.start()
        self.origin.stop_listening()
        client = self.client()
        client.wait_end(2)
        self.assertEqual(client.end.bytes, 0)
        self.log(end="upstream_refused", up=0, down=0, client=client.name, upstream=self.origin.name)

    def test_unreachable(self):
        self.start(to="224.0.0.1:80")
        client = self.client()
        client.wait_end(2)
        self.log(end="upstream_unreachable")

    def test_connect_timeout(self):
        listener = full_listener(self)
        self.start("--connect-timeout", "300ms", to="%s:%d" % listener)
        client = self.client()
        client.wait_end(3)
        line = self.log(end="upstream_connect_timeout")
        self.assertGreaterEqual(line.ms, 299)
        self.assertLess(line.ms, 2000)

    def test_the_client_resets_while_connecting(self):
        listener = full_listener(self)
        self.start("--connect-timeout", "30s", to="%s:%d" % listener)
        client = self.client()
        eventually(lambda: "syn_sent" in process.sockets_to(listener[1]))
        before = self.gateway.descriptors()["socket"]
        client.reset()
        eventually(lambda: self.gateway.descriptors()["socket"] == before - 2, 1 * SLACK)
        self.log(end="client_reset")


class Clocks(TunnelCase):
    def test_idle(self):
        client, up = self.pair("--idle-timeout", "300ms")
        begun = time.monotonic()
        self.assert_carries(client, up)
        self.assertEqual(client.wait_end(3).kind, "reset")
        self.assertEqual(up.wait_end(1).kind, "reset")
        self.assertGreaterEqual(time.monotonic() - begun, 0.25)
        self.log(end="client_idle")

    def test_any_byte_keeps_it_alive(self):
        client, up = self.pair("--idle-timeout", "400ms")
        for _ in range(6):
            self.assertTrue(client.open_and_silent(0.2))
            self.assert_carries(up, client, b"x")
        for _ in range(6):
            self.assertTrue(client.open_and_silent(0.2))
            self.assert_carries(client, up, b"x")
        self.assertEqual(client.wait_end(3).kind, "reset")
        self.log(end="client_idle", up=6, down=6)

    def test_a_slow_reader_is_not_idle(self):
        """The upstream's bytes wait; the client takes some now and then, and that moves the others."""
        client, up = self.pair("--idle-timeout", "600ms")

        def send():
            while True:
                up.send(BLOCK)

        sender = up.in_background(send)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            client.recv_exact(256 * 1024)
            self.assertFalse(self.ends(up, 0.05), "it moves")
        self.assertEqual(client.wait_end_unread(3) and client.wait_end().kind, "reset", "and then it does not")
        sender.join(5)
        self.log(end="client_idle")

    def ends(self, wire, within):
        try:
            wire.wait_end_unread(within)
        except AssertionError:
            return False
        return True

    def half_closed(self, closer):
        client, up = self.pair("--half-close-timeout", "300ms")
        first, second = (client, up) if closer == "client" else (up, client)
        begun = time.monotonic()
        first.half_close()
        self.assertEqual(second.wait_end(2).kind, "fin")
        self.assertEqual(first.wait_end(3).kind, "reset")
        self.assertGreaterEqual(time.monotonic() - begun, 0.25)
        self.log(end="client_idle")

    def test_half_closed_by_the_client(self):
        self.half_closed("client")

    def test_half_closed_by_the_upstream(self):
        self.half_closed("up")

    def test_a_half_closed_one_that_moves_goes_on(self):
        client, up = self.pair("--half-close-timeout", "400ms")
        client.half_close()
        up.wait_end()
        for _ in range(6):
            self.assertTrue(client.open_and_silent(0.2))
            self.assert_carries(up, client, b"x")


class Backpressure(TunnelCase):
    def stalls(self, source, sink):
        """A sender is held up by a reader that has stopped, at a bounded number of bytes; then all of it arrives."""
        sent = source.fill(BLOCK)
        self.assertLessEqual(sent, kernel_buffers() + STREAM_BUFFER + PIPE)
        live = self.gateway.live()
        self.assertLessEqual(live["buffer_bytes"], STREAM_BUFFER)
        self.assertLessEqual(live["pipes"], 1)
        self.assertTrue(source.open_and_silent())
        source.half_close()
        end = sink.wait_end()
        self.assertEqual((end.kind, end.bytes), ("fin", sent))

    def test_slow_client(self):
        client, up = self.pair()
        self.stalls(up, client)

    def test_slow_upstream(self):
        client, up = self.pair()
        self.stalls(client, up)

    def test_slow_client_with_a_small_buffer(self):
        client, up = self.pair(receive_buffer=4096)
        self.stalls(up, client)

    def test_copied_streams_are_bounded_too(self):
        client, up = self.pair("--splice-pipes-max", "0", "--stream-buffer", "16KiB")
        sent = up.fill(BLOCK)
        self.assertLessEqual(self.gateway.live()["buffer_bytes"], 16 * 1024)
        self.assertEqual(self.gateway.live()["pipes"], 0)
        up.half_close()
        self.assertEqual(client.wait_end().bytes, sent)


if __name__ == "__main__":
    unittest.main()
