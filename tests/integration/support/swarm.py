"""Origins and clients by the thousand, on one thread each."""

import random
import select
import socket
import struct
import threading
import time

from .process import raise_descriptor_limit

BLOCK = b"0123456789abcdef" * 4096


class Swarm:
    """An origin that answers every request with the bytes `begin` and goes on with `more` bytes of body, as fast as they
    are taken: -1 never ends, 0 is silent from then on. In chunks if `chunked`, with the last chunk if it `ends`. Counts
    what it sees; any thread may read the counts.
    """

    def __init__(self, begin, more=0, chunked=False, ends=True, send_buffer=None):
        self.begin, self.more = begin, more
        self.block = b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n" if chunked else BLOCK
        self.end = b"0\r\n\r\n" if chunked and ends else b""
        self.chunked = chunked
        self.opened = self.requests = self.ended = self.resets = self.completed = self.sent = 0
        self.last_end = 0.0
        self.failures = []
        self._live = {}
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(4096)
        self._listener.setblocking(False)
        self.address = self._listener.getsockname()
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._wake, self._waken = socket.socketpair()
        self._poll.register(self._waken, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def name(self):
        return "%s:%d" % self.address

    def url(self):
        return f"http://{self.name}"

    @property
    def open(self):
        return self.opened - self.ended

    def close(self):
        self._wake.send(b"x")
        self._thread.join(10)
        for sock, _ in self._live.values():
            sock.close()
        for thing in (self._listener, self._poll, self._wake, self._waken):
            thing.close()

    def _run(self):
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor == self._waken.fileno():
                    return
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor in self._live:
                    self._serve(descriptor, events)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            self._live[sock.fileno()] = (sock, {"head": bytearray(), "out": memoryview(b""), "left": 0, "answering": False})
            self._poll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
            self.opened += 1

    def _serve(self, descriptor, events):
        sock, state = self._live[descriptor]
        try:
            if events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                data = sock.recv(65536)
                if not data:
                    return self._ended(descriptor, False)
                state["head"] += data
            if not state["answering"] and b"\r\n\r\n" in state["head"]:
                state["head"] = state["head"].partition(b"\r\n\r\n")[2]
                state.update(answering=True, out=memoryview(self.begin), left=self.more)
                self.requests += 1
            self._send(sock, state)
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            return self._ended(descriptor, True)
        wanted = select.EPOLLIN | select.EPOLLRDHUP | (select.EPOLLOUT if state["answering"] and state["out"] else 0)
        self._poll.modify(sock, wanted)
        return None

    def _send(self, sock, state):
        while state["answering"]:
            while state["out"]:
                n = sock.send(state["out"])
                self.sent += n
                state["out"] = state["out"][n:]
            if self.more == 0:
                return
            if state["left"] == 0:
                state["answering"] = False
                self.completed += 1
            elif 0 < state["left"] <= len(BLOCK):
                last = BLOCK[:state["left"]]
                coded = b"%x\r\n" % len(last) + last + b"\r\n" + self.end if self.chunked else last
                state.update(out=memoryview(coded), left=0)
            else:
                state.update(out=memoryview(self.block), left=state["left"] - (len(BLOCK) if state["left"] > 0 else 0))

    def _ended(self, descriptor, reset):
        sock, _ = self._live.pop(descriptor)
        sock.close()
        self.resets += reset
        self.ended += 1
        self.last_end = time.monotonic()


class Crowd:
    """Many clients, driven by the test's own thread."""

    def __init__(self, address, count, request, receive_buffer=None):
        assert raise_descriptor_limit(3 * count + 200), "this test needs more descriptors than the system gives"
        self.socks = []
        for _ in range(count):
            sock = socket.socket()
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(20)
            sock.connect(address)
            sock.sendall(request)
            self.socks.append(sock)

    def receive(self, least):
        """Waits until each has received so many bytes."""
        for sock in self.socks:
            got = 0
            while got < least:
                data = sock.recv(least - got)
                if not data:
                    raise AssertionError(f"an end after {got} bytes")
                got += len(data)

    def vanish(self, seed):
        """All leave at once, half by FIN and half by RST, in a random order. Returns when the last one did."""
        order = list(self.socks)
        random.Random(seed).shuffle(order)
        for i, sock in enumerate(order):
            if i % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                sock.shutdown(socket.SHUT_RDWR)
        for sock in order:
            sock.close()
        self.socks = []
        return time.monotonic()

    def close(self):
        for sock in self.socks:
            sock.close()
