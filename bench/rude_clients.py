"""Clients that hold a server up, and clients that just want an answer. Used by bench/rude.py and by the tests."""

import math
import socket
import time
from dataclasses import dataclass

HEAD = b"GET %s HTTP/1.1\r\nHost: test.example\r\n"

# Refused by any server, each for another reason.
MALFORMED = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 20000 + b"\r\n\r\n",
]


@dataclass
class Rudeness:
    """What each of many clients does: what it sends at first, and then, at each turn, sends or reads."""

    title: str
    count: int
    begin: tuple  # requests, of which the clients take turns
    send: bytes = b""
    read: int = 0  # bytes at a turn; 0: none, -1: until the server ends the connection
    receive_buffer: int = 0
    polite: bool = False  # waits for the answer to what it sends at first
    pause: float = 0.5  # seconds between turns


RUDENESSES = {
    "heads": Rudeness("heads, a byte at a time", 1000, (HEAD % b"/small" + b"A: ",), send=b"x"),
    "bodies": Rudeness("request bodies, a byte at a time", 500,
                       (b"POST /small HTTP/1.1\r\nHost: test.example\r\nContent-Length: 1000000\r\n\r\n",), send=b"x"),
    "readers": Rudeness("responses of 64 MiB, read 1 KiB at a time", 500, (HEAD % b"/bytes/67108864" + b"\r\n",), read=1024,
                        receive_buffer=4096),
    "idle": Rudeness("connections that wait after one request", 5000, (HEAD % b"/small" + b"\r\n",), polite=True),
    "flood": Rudeness("malformed requests, as many as there can be", 64, tuple(MALFORMED), read=-1, pause=0),
}


class Rude:
    """All clients of one rudeness. The caller gives them their turns; who is cut off comes again."""

    def __init__(self, address, rudeness, count=None):
        self.address, self.rudeness = address, rudeness
        self.cut = 0  # connections that the server ended or did not take
        self.opened = 0
        self.clients = [self.open() for _ in range(count or rudeness.count)]

    def open(self):
        """A new client, or None if it was not taken."""
        sock = socket.socket()
        try:
            if self.rudeness.receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rudeness.receive_buffer)
            sock.settimeout(5)
            sock.connect(self.address)
            self.opened += 1
            sock.sendall(self.rudeness.begin[self.opened % len(self.rudeness.begin)])
            if self.rudeness.polite and not sock.recv(65536):
                raise ConnectionResetError
            if self.rudeness.read >= 0:
                sock.setblocking(False)
            return sock
        except OSError:
            sock.close()
            self.cut += 1
            return None

    def turn(self):
        for i, sock in enumerate(self.clients):
            if sock is None or not self.act(sock):
                if sock is not None:
                    sock.close()
                    self.cut += 1
                self.clients[i] = self.open()

    def act(self, sock):
        """One client's turn. False if its connection has ended."""
        try:
            if self.rudeness.read < 0:
                while sock.recv(65536):
                    pass
                return False
            if not self.rudeness.read:
                while data := sock.recv(65536):
                    if b" 408 " in data[:20]:
                        return False
                return False
            return bool(sock.recv(self.rudeness.read))
        except BlockingIOError:
            pass
        except OSError:
            return False
        if self.rudeness.send:
            try:
                sock.send(self.rudeness.send)
            except BlockingIOError:
                pass
            except OSError:
                return False
        return True

    def close(self):
        for sock in self.clients:
            if sock is not None:
                sock.close()
        self.clients = []


class Good:
    """A client that asks for something small, again and again: every other time on a new connection."""

    def __init__(self, address, target=b"/small"):
        self.address = address
        self.request = HEAD % target + b"\r\n"
        self.kept = None
        self.statuses = {}  # status, or what went wrong, and how often

    def ask(self, fresh=False):
        """Seconds until the answer was there, whatever it was."""
        begun = time.monotonic()
        try:
            sock = None if fresh else self.kept
            if sock is None:
                sock = socket.create_connection(self.address, timeout=10)
            status, stays = self.exchange(sock)
            if not fresh:
                self.kept = sock if stays else None
            if fresh or not stays:
                sock.close()
        except (OSError, ValueError) as e:
            self.kept = None
            status = type(e).__name__
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return time.monotonic() - begun

    def exchange(self, sock):
        sock.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in [*lines, b"content-length:0"] if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self.receive(sock)
        return int(head.split()[1]), b"connection: close" not in lines

    @staticmethod
    def receive(sock):
        data = sock.recv(65536)
        if not data:
            raise ConnectionError
        return data

    def close(self):
        if self.kept:
            self.kept.close()


def be_rude(address, name, seconds):
    """All of one rudeness for so long. Gives how often the server has cut somebody off."""
    rude = Rude(address, RUDENESSES[name])
    begun = time.monotonic()
    print("ready", flush=True)
    turn = begun
    while time.monotonic() < begun + seconds:
        rude.turn()
        turn += rude.rudeness.pause
        time.sleep(max(0, turn - time.monotonic()))
    opened, cut = rude.opened, rude.cut
    rude.close()
    return {"opened": opened, "cut": cut}


def be_good(address, rate, seconds):
    """Asks at a steady rate. A late answer counts from when it should have been asked for, so that a server that stands
    still is not asked less often."""
    good, begun, taken = Good(address), time.monotonic(), []
    for number in range(math.floor(rate * seconds)):
        due = begun + number / rate
        time.sleep(max(0, due - time.monotonic()))
        late = time.monotonic() - due
        taken.append(good.ask(fresh=number % 2 == 1) + late)
    good.close()
    taken.sort()
    return {"median": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)], "most": taken[-1],
            "statuses": good.statuses}
