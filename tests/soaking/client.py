"""A client's connection, which tells a FIN from a reset and can leave by either."""

import asyncio
import re
import socket
import struct

from .pattern import Check, WrongBody, pieces

RECEIVE = 1 << 18


class Cut(Exception):
    """The peer ended where more was due; by "fin" or "reset"."""

    def __init__(self, kind, where):
        super().__init__(f"{kind} {where}")
        self.kind, self.where = kind, where


class Connection:
    def __init__(self):
        self.sock = None
        self.buffer = bytearray()

    async def open(self, address, receive_buffer=None):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(self.sock, address)
        except (ConnectionError, OSError):
            raise Cut("reset", "at once") from None
        return self

    # ---- both directions

    async def send(self, data):
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except ConnectionError:
            raise Cut("reset", "while sending") from None

    async def read(self, most=RECEIVE, where="in a body"):
        """At least one byte, or a Cut."""
        data = await self.read_to_end(most, where)
        if not data:
            raise Cut("fin", where)
        return data

    async def read_to_end(self, most=RECEIVE, where="in a body"):
        """At least one byte, or none at the peer's FIN."""
        if self.buffer:
            data = bytes(self.buffer[:most])
            del self.buffer[:most]
            return data
        try:
            return await asyncio.get_running_loop().sock_recv(self.sock, most)
        except ConnectionError:
            raise Cut("reset", where) from None

    async def until(self, mark, where):
        while (found := self.buffer.find(mark)) < 0:
            data = await self.more(where)
            if not data:
                raise Cut("fin", where)
            self.buffer += data
        found += len(mark)
        data = bytes(self.buffer[:found])
        del self.buffer[:found]
        return data

    async def more(self, where):
        try:
            return await asyncio.get_running_loop().sock_recv(self.sock, RECEIVE)
        except ConnectionError:
            raise Cut("reset", where) from None

    # ---- ends

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def reset(self):
        if self.sock:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()


class Response:
    def __init__(self, raw):
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", raw)
        if not status:
            raise WrongBody(f"not a response: {raw[:60]!r}")
        self.status = int(status[1])
        found = re.search(rb"\r\ncontent-length: *(\d+)\r\n", raw, re.IGNORECASE)
        self.length = int(found[1]) if found else None
        self.chunked = re.search(rb"\r\ntransfer-encoding: *chunked\r\n", raw, re.IGNORECASE) is not None
        self.closes = re.search(rb"\r\nconnection: *close\r\n", raw, re.IGNORECASE) is not None


async def receive(connection, check, pace=None):
    """One response. A good one has the body that `check` knows; the body of another is dropped. `pace(bytes)` is
    awaited for every piece of a body, for those who take their time.
    """
    response = Response(await connection.until(b"\r\n\r\n", "before a head"))
    good = response.status == 200
    if good and response.length is not None and response.length != check.length:
        raise WrongBody(f"Content-Length: {response.length} for body {check.key} of {check.length} bytes")
    if good and response.length is None and not response.chunked:
        raise WrongBody("a body with no framing")
    async for data in body(connection, response):
        if good:
            check.feed(data)
        if pace:
            await pace(len(data))
    if good:
        check.end()
    return response


async def body(connection, response):
    if not response.chunked:
        async for data in counted(connection, response.length or 0):
            yield data
        return
    while size := chunk_size(await connection.until(b"\r\n", "in a body")):
        async for data in counted(connection, size):
            yield data
        if await connection.until(b"\r\n", "in a body") != b"\r\n":
            raise WrongBody("a chunk of the wrong size")
    if await connection.until(b"\r\n", "in a body") != b"\r\n":
        raise WrongBody("surplus after the last chunk")


def chunk_size(line):
    if not re.fullmatch(rb"[0-9a-f]{1,16}\r\n", line, re.IGNORECASE):
        raise WrongBody(f"not the size of a chunk: {line[:60]!r}")
    return int(line, 16)


async def counted(connection, left):
    while left:
        data = await connection.read(min(left, RECEIVE))
        left -= len(data)
        yield data


async def upload(connection, head, key, length, chunked):
    """Sends a request with body `key`."""
    framing = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % length
    await connection.send(head + framing)
    for data in pieces(key, length, 60_000):
        await connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
    if chunked:
        await connection.send(b"0\r\n\r\n")


def head(method, kind, key, length):
    return b"%s /%s/%d/%d HTTP/1.1\r\nHost: soak.test\r\n" % (method, kind, key, length)


__all__ = ["Check", "Connection", "Cut", "Response", "WrongBody", "head", "receive", "upload"]
