#!/usr/bin/env python3
"""A peer whose machine or network has died says nothing: no FIN, no reset. It is found out all the same."""

import os
import subprocess
import sys
import time
import unittest

from support import GatewayCase

HERE, THERE = "169.254.77.1", "169.254.77.2"
PEER = """
import socket, sys
role, port = sys.argv[1], int(sys.argv[2])
if role == "client":
    s = socket.create_connection((%r, port))
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print("ready", flush=True)
    print(s.recv(10).decode(), flush=True)
else:
    l = socket.create_server((%r, 0))
    print(l.getsockname()[1], flush=True)
    s, _ = l.accept()
    s.recv(100)
    s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\nfirst")
    print("ready", flush=True)
sys.stdin.read()
""" % (HERE, THERE)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Network:
    """A network namespace, joined to ours by a cable that can be cut."""

    def __init__(self):
        self.name, self.ours, self.theirs = (f"hg{os.getpid()}{end}" for end in ("", "a", "b"))
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs)
            ip("link", "set", self.theirs, "netns", self.name)
            ip("address", "add", HERE + "/30", "dev", self.ours)
            ip("link", "set", self.ours, "up")
            ip("-n", self.name, "address", "add", THERE + "/30", "dev", self.theirs)
            ip("-n", self.name, "link", "set", self.theirs, "up")
        except BaseException:
            self.close()
            raise

    def run(self, role, port=0):
        return subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", PEER, role, str(port)], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def die(self):
        """What is sent from now on is lost; our own end stays as it is."""
        ip("-n", self.name, "link", "set", self.theirs, "down")

    def close(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.ours], check=False, capture_output=True)


class DeadNetwork(GatewayCase):
    def setUp(self):
        super().setUp()
        try:
            self.network = Network()
        except (subprocess.CalledProcessError, FileNotFoundError) as e:
            self.skipTest(f"no network namespaces here: {getattr(e, 'stderr', e)}")
        self.peer = None

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            if self.peer:
                self.peer.kill()
                self.peer.communicate()
            self.network.close()

    FLAGS = ("--tcp-user-timeout", "1s", "--client-idle-timeout", "1h", "--upstream-idle-timeout", "1h")

    def test_a_client(self):
        self.start(*self.FLAGS, listen=HERE + ":0")
        self.peer = self.network.run("client", self.gateway.address[1])
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        self.assertEqual([self.peer.stdout.readline() for _ in range(2)], ["ready\n", "HTTP/1.1 2\n"])
        self.network.die()
        upstream.send(b"lost")
        since = time.monotonic()
        self.assertEqual(upstream.wait_end(20).kind, "reset", "nothing is left behind a client that has gone")
        self.assertGreater(time.monotonic() - since, 0.5)
        self.log(status=200, end="client_reset")

    def test_an_upstream(self):
        self.peer = self.network.run("server")
        port = int(self.peer.stdout.readline())
        self.start("--tcp-keepalive-time", "1s", *self.FLAGS, to=f"http://{THERE}:{port}")
        client = self.client()
        client.request("POST", "/", ("Content-Length", "1000000"))
        self.assertEqual(client.recv_head().status, 200)
        self.assertEqual(client.recv_exact(5), b"first")
        self.assertEqual(self.peer.stdout.readline(), "ready\n")
        self.network.die()
        client.send(b"lost")
        self.assertEqual(client.wait_end(20).kind, "reset")
        self.log(status=200, end="upstream_reset")


if __name__ == "__main__":
    unittest.main()
