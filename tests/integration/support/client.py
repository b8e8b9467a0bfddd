"""A client that sends exactly the bytes it is told to."""

import dataclasses
import json
import socket

from .message import ResponseHead, request
from .wire import TIMEOUT, Cut, Wire


@dataclasses.dataclass
class Response:
    head: ResponseHead
    body: object
    interim: list

    @property
    def status(self):
        return self.head.status

    @property
    def data(self):
        return self.body.data


class Client(Wire):
    def __init__(self, address, receive_buffer=None, timeout=TIMEOUT):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        reset = False
        try:
            sock.connect(address)
        except ConnectionResetError:
            reset = True  # accepted, and at once reset
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, timeout)
        if reset:
            self._ended("reset")
        self.name = "%s:%d" % sock.getsockname()  # as the gateway's log calls it

    def request(self, method="GET", target="/", *fields, **how):
        """Sends a request; see message.request()."""
        self.send(request(method, target, fields, **how))

    def recv_head(self, method="GET"):
        return ResponseHead(self.recv_head_bytes(), method)

    def response(self, method="GET", keep=True):
        """A whole response; interim ones before it are kept apart."""
        interim = []
        while (head := self.recv_head(method)).interim:
            interim.append(head)
        return Response(head, self.recv_body(head, keep), interim)

    def exchange(self, method="GET", target="/", *fields, **how):
        self.request(method, target, *fields, **how)
        return self.response(method)

    def is_closed(self, within=TIMEOUT):
        """Whether the peer ends with a FIN, and not one byte before it."""
        end = self.wait_end(within)
        return end.kind == "fin" and end.bytes == 0


def problem(response):
    """The members of a problem body (RFC 9457), which must be one."""
    kind = response.head["Content-Type"]
    if kind.split(";")[0].strip() != "application/problem+json":
        raise AssertionError(f"Content-Type of a problem: {kind}")
    members = json.loads(response.data)
    for name in ("type", "title", "status", "detail"):
        if name not in members:
            raise AssertionError(f"no {name} in {members}")
    if members["status"] != response.status or not members["title"] or not members["detail"]:
        raise AssertionError(f"a problem of {response.status}: {members}")
    return members


__all__ = ["Client", "Cut", "Response", "problem"]
