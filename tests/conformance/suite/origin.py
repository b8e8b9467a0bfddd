"""The upstream: it records exactly what it gets, and answers as the case says."""

import select
import socket
import time

from .messages import ProtocolError, read_request
from .wire import Wire

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Origin:
    """Answers each whole request: with the case's bytes, or in an ordinary way that tells which request it was."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.reset(None, 0)

    def reset(self, case, pieces):
        self.case, self.pieces = case, pieces
        self.wires, self.used, self.continued = [], {}, set()
        self.requests, self.malformed = [], None

    def accept(self):
        try:
            sock, peer = self.listener.accept()
            self.wires.append(Wire(sock, peer[1]))
            return True
        except BlockingIOError:
            return False

    def read(self, wire):
        """Takes the whole requests off what came on this connection, and answers them."""
        while self.malformed is None and self.used.get(wire, 0) < len(wire.received):
            try:
                request = read_request(bytes(wire.received), self.used.get(wire, 0))
            except ProtocolError as e:
                self.malformed = str(e)
                wire.push([b"HTTP/1.1 400 Malformed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
                wire.finish = "close"
                return
            if request is None:
                return
            if not request.complete:
                if request.fields.all("Expect") and wire not in self.continued:
                    self.continued.add(wire)
                    wire.push([CONTINUE])
                return
            self.used[wire] = request.end
            self.requests.append(request)
            self.answer(wire, request)

    def answer(self, wire, request):
        probe = b"/probe " in request.line
        if self.case and self.case.upstream is not None and not probe:
            wire.push(self.case.upstream, self.pieces)
            wire.finish = self.case.end
            return
        body = b"answer to the probe" if probe else b"answer %d" % len(self.requests)
        status = b"405 Not here" if request.method == "CONNECT" else b"200 OK"
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        wire.push([head + (b"" if request.method == "HEAD" else body)])

    def partial(self):
        return any(len(wire.received) > self.used.get(wire, 0) for wire in self.wires if not wire.end)

    def end_all(self, within):
        """Ends all connections, and waits until the server has ended them, too: it must not use them again."""
        for wire in self.wires:
            if not wire.end:
                try:
                    wire.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # it has ended meanwhile
        deadline = time.monotonic() + within
        while (alive := [wire for wire in self.wires if not wire.end]) and time.monotonic() < deadline:
            poll = select.poll()
            for wire in alive:
                poll.register(wire.sock, select.POLLIN)
            poll.poll(100)
            for wire in alive:
                wire.receive()
        while self.accept():
            pass
        for wire in self.wires:
            wire.sock.close()
