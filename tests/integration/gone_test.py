"""A client that has gone before its request was looked at: no work is started for it."""

import signal
import unittest

from support import process
from support.case import GatewayCase
from support.client import request
from support.wait import eventually


class GoneBefore(GatewayCase):
    def gone(self, leave, end):
        """The gateway is held while the client comes, asks and leaves; then it sees all of that at once."""
        self.start()
        warm = self.client()
        warm.send(request("GET", "/warm"))
        up = self.origin.accept()
        up.recv_head()
        up.respond(200, body=b"warm")
        warm.response()
        self.log(target="/warm", end="complete")
        warm.close()
        eventually(lambda: self.gateway.live()["connections"] == 0, 1, "the first client is gone")

        self.gateway.signal(signal.SIGSTOP)
        eventually(lambda: process.is_stopped(self.gateway.pid), 1, "the gateway is held")
        client = self.client()
        client.send(request("GET", "/gone"))
        leave(client)
        self.gateway.signal(signal.SIGCONT)
        self.log(lambda line: line.end in end and line.up == 0 and line.status is None)
        # The pooled connection has carried nothing: it is still there, and the next request is the next it sees.
        after = self.client()
        after.send(request("GET", "/after"))
        self.assertEqual(up.recv_head().target, "/after")
        up.respond(200, body=b"after")
        self.assertEqual(after.response().data, b"after")
        self.log(target="/after", end="complete")

    def test_by_fin(self):
        self.gone(lambda client: client.close(), {"client_closed"})

    def test_by_half_close(self):
        self.gone(lambda client: client.half_close(), {"client_closed"})

    def test_by_reset(self):
        self.gone(lambda client: client.reset(), {"client_closed", "client_reset"})


if __name__ == "__main__":
    unittest.main()
