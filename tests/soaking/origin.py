"""The origin behind both gateways: a process of its own, so that it can be killed at any moment.

    GET  /length/KEY/N   the body KEY of N bytes, with Content-Length
    GET  /chunked/KEY/N  the same, chunked
    GET  /drip/KEY/N     the same, chunked, some bytes at a time with pauses
    PUT  /take/KEY/N     takes the body, and says 422 if it is not the one
    POST /echo/KEY/N     sends back what comes, as it comes

The port for tunnels takes a line "KEY N", then body KEY, which it sends back, and ends when the peer has.
"""

import asyncio
import contextlib
import re
import signal
import socket
import sys

from .pattern import PIECE, Check, WrongBody, pieces

TARGET = re.compile(rb"(GET|PUT|POST) /(length|chunked|drip|take|echo)/(\d+)/(\d+) HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
GONE = (ConnectionError, asyncio.IncompleteReadError)
DRIP_BYTES, DRIP_PAUSE = 700, 0.05


async def request_body(head, reader):
    """The body in the pieces it comes in."""
    if found := LENGTH.search(head):
        left = int(found[1])
        while left:
            data = await reader.read(min(left, PIECE))
            if not data:
                raise ConnectionResetError
            left -= len(data)
            yield data
    elif b"chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)


async def send_body(writer, how, key, length):
    if how == b"length":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for data in pieces(key, length):
            writer.write(data)
            await writer.drain()
        return
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for data in pieces(key, length, DRIP_BYTES if how == b"drip" else 50_000):
        writer.write(b"%x\r\n" % len(data))
        writer.write(data)
        writer.write(b"\r\n")
        await writer.drain()
        if how == b"drip":
            await asyncio.sleep(DRIP_PAUSE)
    writer.write(b"0\r\n\r\n")


async def take(writer, head, reader, check):
    problem = b""
    async for data in request_body(head, reader):
        try:
            if not problem:
                check.feed(data)
        except WrongBody as e:
            problem = str(e).encode()
    try:
        if not problem:
            check.end()
    except WrongBody as e:
        problem = str(e).encode()
    status = b"422 Wrong Body" if problem else b"200 OK"
    writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(problem), problem))


async def serve_http(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        found = TARGET.match(head)
        if not found:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        how, key, length = found[2], int(found[3]), int(found[4])
        if how == b"take":
            await take(writer, head, reader, Check(key, length))
        elif how == b"echo":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            async for data in request_body(head, reader):
                writer.write(data)
                await writer.drain()
        else:
            await send_body(writer, how, key, length)
        await writer.drain()


async def serve_echo(reader, writer):
    await reader.readuntil(b"\n")
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()


def quietly(serve):
    """The peers of a soak come and go as they like."""

    async def connection(reader, writer):
        with contextlib.suppress(*GONE):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(*GONE):
            await writer.wait_closed()

    return connection


async def main(http_port, echo_port):
    for serve, port in ((serve_http, http_port), (serve_echo, echo_port)):
        await asyncio.start_server(quietly(serve), "127.0.0.1", port, family=socket.AF_INET, backlog=1024, limit=PIECE)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ended by who started it
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
