"""One end of a TCP connection, with messages read strictly and every end of the peer's told apart."""

import dataclasses
import hashlib
import re
import select
import socket
import struct
import threading
import time

from .message import ProtocolError, parse_fields

TIMEOUT = 10.0  # seconds that any one operation may take before the test fails


class Cut(Exception):
    """The peer ended where more was due. `kind` is "fin" or "reset"; `got` is what came of the unit that was read."""

    def __init__(self, kind, got=b""):
        super().__init__(f"{kind} after {len(got)} bytes: {bytes(got[-200:])!r}")
        self.kind, self.got = kind, bytes(got)


@dataclasses.dataclass
class End:
    """How the peer ended: "fin" or "reset", when (time.monotonic()), and how many bytes had come unread before it."""

    kind: str
    at: float
    bytes: int


@dataclasses.dataclass
class Body:
    """A body that arrived whole. `data` is empty if it was only hashed."""

    data: bytes
    length: int
    sha256: str
    trailers: object = None


class Wire:
    """A connected socket, used by one thread at a time; send() and the reading side may be in two."""

    def __init__(self, sock, timeout=TIMEOUT):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.buffer = bytearray()
        self.total_received = 0
        self.end = None  # an End, once the peer's was seen
        self.closed_at = None  # when we ended
        self.trailers = None  # of the chunked body read last
        self.failures = []
        self._background = []

    # ---- sending

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            self._ended("reset")
            raise Cut("reset") from None

    def send_slowly(self, data):
        """Byte by byte, each in a segment of its own as far as the sender can see to it."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            self.send(data[i:i + 1])

    def fill(self, block, quiet=0.2, most=256 << 20):
        """Sends `block` again and again until the peer has taken nothing for `quiet` seconds. Returns how many bytes it took.

        May stop in the middle of a block.
        """
        sent, view = 0, memoryview(block)
        self.sock.setblocking(False)
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        try:
            while sent < most:
                if not poll.poll(quiet * 1000):
                    return sent
                try:
                    sent += self.sock.send(view[sent % len(block):])
                except BlockingIOError:
                    continue
        except (ConnectionResetError, BrokenPipeError):
            self._ended("reset")
            raise Cut("reset") from None
        finally:
            self.sock.settimeout(TIMEOUT)
        raise AssertionError(f"{most} bytes were taken and still no backpressure")

    def in_background(self, work, *arguments):
        """Runs work(*arguments) on a thread; a Cut ends it quietly, another exception is kept in `failures`."""

        def run():
            try:
                work(*arguments)
            except Cut:
                pass
            except OSError as e:
                if self.closed_at is None:
                    self.failures.append(e)
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(e)

        thread = threading.Thread(target=run, daemon=True)
        self._background.append(thread)
        thread.start()
        return thread

    # ---- receiving

    def recv_some(self, most=65536):
        """At least one byte; empty at the peer's FIN. What was read ahead comes first."""
        if self.buffer:
            data = bytes(self.buffer[:most])
            del self.buffer[:len(data)]
            return data
        return self._read(most)

    def recv_exact(self, count):
        while len(self.buffer) < count:
            self._more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def recv_line(self):
        return self._recv_until(b"\r\n", 65536)[:-2]

    def recv_head_bytes(self):
        return self._recv_until(b"\r\n\r\n", 1 << 20)

    def recv_to_end(self):
        """All bytes until the peer's FIN; a reset is a Cut that has them."""
        data = bytearray(self.buffer)
        self.buffer.clear()
        while True:
            try:
                piece = self._read(65536)
            except Cut as e:
                raise Cut(e.kind, data) from None
            if not piece:
                return bytes(data)
            data += piece

    def recv_body(self, head, keep=True):
        """The body that `head` announces. A peer that ends too early is a Cut."""
        whole = Body(bytearray(), 0, hashlib.sha256())
        for piece in self.pieces(head):
            whole.length += len(piece)
            whole.sha256.update(piece)
            if keep:
                whole.data += piece
        return Body(bytes(whole.data), whole.length, whole.sha256.hexdigest(), self.trailers)

    def pieces(self, head):
        """The body in the pieces it comes in. Leaves the trailers of a chunked one in self.trailers."""
        self.trailers = None
        if head.framing == "length":
            yield from self._counted(head.length)
        elif head.framing == "close":
            while piece := self.recv_some(1 << 18):
                yield piece
        elif head.framing == "chunked":
            while size := self._chunk_size():
                yield from self._counted(size)
                if self.recv_exact(2) != b"\r\n":
                    raise ProtocolError("a chunk does not end with CRLF")
            lines = []
            while line := self.recv_line():
                lines.append(line)
            self.trailers = parse_fields(lines)

    # ---- ends

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        """FIN, if nothing is unread here; see the reset of RFC 9293, section 3.6.1, otherwise."""
        if self.closed_at is None:
            self.closed_at = time.monotonic()
            try:
                self.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that is in send() or recv()
            except OSError:
                pass
            self.sock.close()
            self._join()

    def reset(self):
        """RST, at once."""
        if self.closed_at is None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.closed_at = time.monotonic()
            self.sock.close()
            self._join()

    def wait_end(self, within=TIMEOUT):
        """Reads and drops what comes until the peer ends, and tells how it did."""
        deadline = time.monotonic() + within
        dropped = len(self.buffer)
        self.buffer.clear()
        while self.end is None:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                dropped += len(self._read(1 << 18))
            except Cut:
                pass
            except TimeoutError:
                raise AssertionError(f"the peer did not end within {within} s; {dropped} bytes came") from None
        self.sock.settimeout(TIMEOUT)
        self.end.bytes = dropped
        return self.end

    def wait_end_unread(self, within=TIMEOUT):
        """Waits until the peer has ended, without reading anything."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        if not poll.poll(within * 1000):
            raise AssertionError(f"the peer did not end within {within} s")
        return time.monotonic()

    def open_and_silent(self, seconds=0.05):
        """Whether for so long neither a byte nor an end came."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLRDHUP)
        return not self.buffer and not poll.poll(seconds * 1000)

    # ---- inside

    def _join(self):
        for thread in self._background:
            if thread is not threading.current_thread():
                thread.join(TIMEOUT)

    def _ended(self, kind):
        if self.end is None:
            self.end = End(kind, time.monotonic(), 0)

    def _read(self, most):
        try:
            data = self.sock.recv(most)
        except (ConnectionResetError, BrokenPipeError):
            self._ended("reset")
            raise Cut("reset") from None
        if not data:
            if self.end and self.end.kind == "reset":  # it was a send that was told
                raise Cut("reset")
            self._ended("fin")
        self.total_received += len(data)
        return data

    def _more(self):
        try:
            data = self._read(65536)
        except Cut as e:
            raise Cut(e.kind, self.buffer) from None
        if not data:
            raise Cut("fin", self.buffer)
        self.buffer += data

    def _recv_until(self, mark, most):
        searched = 0
        while (found := self.buffer.find(mark, searched)) < 0:
            searched = max(len(self.buffer) - len(mark) + 1, 0)
            if searched > most:
                raise ProtocolError(f"no {mark!r} in {searched} bytes")
            self._more()
        data = bytes(self.buffer[:found + len(mark)])
        del self.buffer[:len(data)]
        return data

    def _counted(self, count):
        while count:
            piece = self.recv_some(min(count, 1 << 18))
            if not piece:
                raise Cut("fin")
            count -= len(piece)
            yield piece

    def _chunk_size(self):
        line = self.recv_line()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", line):
            raise ProtocolError(f"malformed chunk size {line!r}")
        return int(line, 16)
