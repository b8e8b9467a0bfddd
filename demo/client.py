"""A client that can be told how to behave. It reads what it is told to read, and no more."""

import hashlib
import os
import socket
import struct
import time
import zlib

BLOCK = 1 << 20


class Client:
    """One connection with one request on it, sent on construction (a body: with send_body)."""

    def __init__(self, address, target, name, method="GET", body_bytes=0, receive_buffer=None, fields=""):
        self.name = name
        self.body_bytes = body_bytes
        self.body_read = 0
        self.status, self.fields = None, {}
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(address)
        length = f"Content-Length: {body_bytes}\r\n" if body_bytes else ""
        self.socket.sendall((f"{method} {target} HTTP/1.1\r\nHost: demo\r\nX-Request-Id: {name}\r\n{length}"
                             f"{fields}Connection: close\r\n\r\n").encode())
        self.first = b""

    def read_head(self):
        text = b""
        while b"\r\n\r\n" not in text:
            if not (more := self.socket.recv(4096)):
                raise ConnectionError("closed before the end of the response's head")
            text += more
        head, _, self.first = text.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        self.status = int(line.split()[1])
        self.fields = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        self.body_read += len(self.first)

    def read(self, count):
        """Reads at least so many more bytes of the body, framing included, or up to its end."""
        if self.status is None:
            self.read_head()
            count -= len(self.first)
        buffer = memoryview(bytearray(min(BLOCK, max(count, 1))))
        while count > 0 and (n := self.socket.recv_into(buffer[:count])):
            self.body_read += n
            count -= n

    def read_all(self, show=None):
        """Reads to the end; gives how many bytes the body had. Calls show with the count now and then."""
        self.read_head()
        length = int(self.fields["content-length"])
        buffer, shown = bytearray(BLOCK), 0
        while self.body_read < length and (n := self.socket.recv_into(buffer)):
            self.body_read += n
            if show and self.body_read - shown > length // 40:
                shown = self.body_read
                show(shown)
        self.close()
        return self.body_read

    def read_text(self):
        self.read_head()
        text = self.first
        length = int(self.fields["content-length"])
        while len(text) < length and (more := self.socket.recv(65536)):
            text += more
        return text.decode()

    def read_to_end(self):
        """The body as it came, framing included, up to the end of the connection."""
        self.read_head()
        text = self.first
        while more := self.socket.recv(65536):
            text += more
        self.close()
        return text

    def send_body(self, show=None):
        """Sends the request's body; gives how many bytes of it the origin says it has got."""
        block, sent, shown = os.memfd_create("upload"), 0, 0
        self.socket.settimeout(None)  # sendfile does not know of Python's timeouts
        try:
            os.write(block, bytes(BLOCK))
            while sent < self.body_bytes:
                sent += os.sendfile(self.socket.fileno(), block, 0, min(BLOCK, self.body_bytes - sent))
                if show and sent - shown > self.body_bytes // 40:
                    shown = sent
                    show(shown)
        finally:
            os.close(block)
        arrived = int(self.read_text().split()[0])
        self.close()
        return arrived

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class SlowDownload:
    """Reads a chunked response, which is a gzipped file, at so many bytes per second; knows what was in it."""

    SLICES = 20  # per second

    def __init__(self, client, rate):
        self.client, self.rate = client, rate
        self.received = 0
        self.lines = 0
        self.seconds = None
        self.trailers = {}
        self.digest = hashlib.sha256()
        self.inflate = zlib.decompressobj(31)

    def run(self):
        """After the head has been read. What goes wrong is for those who look at what has been received."""
        begun = time.monotonic()
        data = self.client.first
        while not self.take(data):
            time.sleep(max(0, begun + self.received / self.rate - time.monotonic()))
            if not (more := self.client.socket.recv(self.rate // self.SLICES)):
                break
            self.received += len(more)
            data = self.rest + more
        self.seconds = time.monotonic() - begun
        self.client.close()

    def take(self, data):
        """What is whole of these bytes; keeps the rest. True at the end of the body."""
        while True:
            self.rest = data
            size, found, after = data.partition(b"\r\n")
            if not found:
                return False
            length = int(size, 16)
            if length == 0:
                head, found, _ = data.partition(b"\r\n\r\n")
                if not found:
                    return False
                fields = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
                self.trailers = {name.lower(): value.strip() for name, _, value in fields}
                return True
            if len(after) < length + 2:
                return False
            self.digest.update(after[:length])
            self.lines += self.inflate.decompress(after[:length]).count(b"\n")
            data = after[length + 2:]
