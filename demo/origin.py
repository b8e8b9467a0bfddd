"""A small HTTP origin with good and bad manners: what stands behind the gateway in the demonstration.

One thread per connection. Large bodies are sent from a file in memory (sendfile), so a gigabyte costs a megabyte. A
request that names itself (?id=NAME) is watched: how much was sent, and when its connection was lost.
"""

import contextlib
import os
import re
import select
import socket
import struct
import threading
import time
from urllib.parse import parse_qs, urlsplit

BLOCK = 1 << 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
FIRST_CHUNK = b"14\r\ndata: the only one\n\n\r\n"  # of /events

PATHS = """\
/hello                 a short text
/big?size=1GiB         a body of that size; &chunked=1 sends it in chunks
/slow                  a line per second, ten times
/stall                 no answer at all
/die                   cut in the middle by a reset; &how=close by an early end, &chunked=1 in chunks
/echo                  sends back what it is sent (POST)
"""


class Gone(Exception):
    """The other side has closed the connection, or is not there any more."""


class Flow:
    """What the origin knows of one request that is watched. Times are of time.monotonic()."""

    def __init__(self):
        self.sent = 0  # bytes of the body that the system has taken from the origin
        self.gone_at = None  # when the connection was lost
        self.ended = threading.Event()


class Origin:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.flows = {}
        self.block = os.memfd_create("body")
        line = b"All work and no play makes a dull body.\n"
        os.write(self.block, (line * (BLOCK // len(line) + 1))[:BLOCK])
        threading.Thread(target=self.accept, daemon=True).start()

    def flow(self, name):
        """The record of the request with this id; made by whoever asks first."""
        return self.flows.setdefault(name, Flow())

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, Gone):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A bound on what waits here, so that "sent" means "out of our hands".
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)
            received = bytearray()
            while request := Request.read(connection, received):
                Exchange(self, connection, request).run()


class Request:
    def __init__(self, head, connection, received):
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ", 2)
        url = urlsplit(target)
        self.path = url.path
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.fields = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        self.connection, self.received = connection, received

    @staticmethod
    def read(connection, received):
        while b"\r\n\r\n" not in received:
            if not (more := connection.recv(65536)):
                return None
            received += more
        head, _, rest = bytes(received).partition(b"\r\n\r\n")
        received[:] = rest
        return Request(head, connection, received)

    def size(self, default):
        """The size asked for, like 64KiB, 1G or 1000; ValueError if it cannot be read."""
        text = self.query.get("size", default)
        found = re.fullmatch(r"(\d{1,15})([KMG]?)(i?B)?", text)
        if not found:
            raise ValueError(f"not a size: {text}")
        return int(found[1]) * UNITS[found[2]]

    def body(self):
        """The pieces of the request's body."""
        if "chunked" in self.fields.get("transfer-encoding", "").lower():
            while size := int(self.line().split(b";")[0], 16):
                yield from self.take(size)
                self.line()
            while self.line():
                pass
        else:
            yield from self.take(int(self.fields.get("content-length", 0)))

    def line(self):
        while b"\r\n" not in self.received:
            self.fill()
        line, _, rest = bytes(self.received).partition(b"\r\n")
        self.received[:] = rest
        return line

    def take(self, size):
        while size:
            if not self.received:
                self.fill(min(size, BLOCK))
            piece = bytes(self.received[:size])
            del self.received[:size]
            size -= len(piece)
            yield piece

    def fill(self, size=65536):
        if not (more := self.connection.recv(size)):
            raise Gone
        self.received += more


class Exchange:
    """One request and its answer."""

    def __init__(self, origin, connection, request):
        self.origin, self.connection, self.request = origin, connection, request
        self.flow = origin.flow(request.query["id"]) if "id" in request.query else Flow()

    def run(self):
        answers = {"/hello": self.hello, "/big": self.big, "/slow": self.slow, "/events": self.events,
                   "/stall": self.stall, "/die": self.die, "/echo": self.echo, "/upload": self.upload}
        try:
            if self.request.method == "HEAD":
                self.head(0)
            else:
                answers.get(self.request.path, self.paths)()
        except ValueError as problem:
            self.text(f"{problem}\n", "400 Bad Request")
        except (OSError, Gone):
            self.flow.gone_at = time.monotonic()
            raise
        finally:
            self.flow.ended.set()

    def head(self, length=None, kind="text/plain", status="200 OK"):
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self.connection.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode())

    def text(self, text, status="200 OK"):
        self.head(len(text.encode()), status=status)
        self.connection.sendall(text.encode())

    def drop_body(self):
        return sum(map(len, self.request.body()))

    def chunk(self, data):
        self.connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def send_block(self, size):
        """So many bytes, a block at most, without copying them."""
        start = 0
        while start < size:
            n = os.sendfile(self.connection.fileno(), self.origin.block, start, size - start)
            start += n
            self.flow.sent += n

    def send_body(self, size, chunked):
        for start in range(0, size, BLOCK):
            n = min(BLOCK, size - start)
            if chunked:
                self.connection.sendall(b"%x\r\n" % n)
            self.send_block(n)
            if chunked:
                self.connection.sendall(b"\r\n")

    def wait_gone(self, seconds=None):
        """Waits, raising Gone at once when the other side leaves."""
        poller = select.poll()
        poller.register(self.connection, select.POLLRDHUP)  # hang-ups and errors are reported always
        if poller.poll(None if seconds is None else seconds * 1000):
            raise Gone

    def hello(self):
        self.drop_body()
        self.text("Hello from behind the gateway.\n")

    def paths(self):
        self.drop_body()
        self.text(PATHS)

    def big(self):
        self.drop_body()
        size, chunked = self.request.size("1GiB"), "chunked" in self.request.query
        self.head(None if chunked else size)
        self.send_body(size, chunked)
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")

    def slow(self):
        self.drop_body()
        self.head()
        for i in range(10):
            self.chunk(f"{i + 1} of 10\n".encode())
            self.wait_gone(1)
        self.connection.sendall(b"0\r\n\r\n")

    def events(self):
        """One event, and then silence for as long as the other side stays."""
        self.drop_body()
        self.head(kind="text/event-stream")
        self.connection.sendall(FIRST_CHUNK)
        self.wait_gone()

    def stall(self):
        self.drop_body()
        self.wait_gone()

    def die(self):
        self.drop_body()
        chunked, size = "chunked" in self.request.query, self.request.size("16MiB")
        self.head(None if chunked else size)
        self.send_body(size // 2, chunked)
        if self.request.query.get("how") != "close":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def echo(self):
        self.head(kind=self.request.fields.get("content-type", "text/plain"))
        for piece in self.request.body():
            self.chunk(piece)
        self.connection.sendall(b"0\r\n\r\n")

    def upload(self):
        self.text(f"{self.drop_body()} bytes\n")
