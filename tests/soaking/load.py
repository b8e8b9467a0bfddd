"""The clients: how many of each kind, and what they do. Each is a coroutine that goes on until it is cancelled."""

import asyncio
import random
import socket
import time

from .client import Check, Connection, Cut, WrongBody, head, receive, upload
from .pattern import pieces

KIB, MIB = 1 << 10, 1 << 20
ENDLESS = 120  # seconds after which an exchange that has not ended is taken for one that never will


class Load:
    """`proxy` and `tunnel` are the addresses of the two gateways."""

    # kind -> how many at once; 242 connections in all
    CROWD = {
        "small": 24, "large": 4, "chunked": 10, "drip": 12, "upload": 8, "echo": 6, "slow": 50, "holding": 16,
        "vanishing": 40, "tunnel_small": 16, "tunnel_large": 4, "tunnel_slow": 24, "tunnel_vanishing": 28}

    def __init__(self, proxy, tunnel, tally, seed):
        self.proxy, self.tunnel, self.tally = proxy, tunnel, tally
        self.chance = random.Random(seed)
        self._clients = []

    def start(self):
        for kind, count in self.CROWD.items():
            self._clients += [asyncio.create_task(self.repeat(kind)) for _ in range(count)]

    async def stop(self):
        """All clients leave at once, in whatever they are doing."""
        for client in self._clients:
            client.cancel()
        ends = await asyncio.gather(*self._clients, return_exceptions=True)
        broken = [end for end in ends if isinstance(end, Exception)]
        if broken:
            raise broken[0]

    async def repeat(self, kind):
        await asyncio.sleep(self.chance.random())
        while True:
            begin = time.monotonic()
            connection = Connection()
            try:
                async with asyncio.timeout(ENDLESS):
                    await getattr(self, kind)(connection)
            except WrongBody as e:
                self.tally.is_wrong(kind, e)
            except Cut as e:
                self.cut(kind, e, begin)
            except TimeoutError:
                self.tally.has_failed(kind, f"not over in {ENDLESS} s")
            finally:
                connection.close()
            # Those who found the origin gone do not come again at once.
            await asyncio.sleep(self.chance.uniform(0, 1 if self.tally.upstream.explains(begin, begin) else 0.4))

    def cut(self, kind, cut, begin):
        if cut.kind == "fin" and cut.where == "in a body" and not kind.startswith("tunnel"):
            self.tally.is_wrong(kind, "a body that was cut ended with a FIN")
        self.tally.has_failed(kind, str(cut), begin)

    # ---- clients of the proxy

    def any_key(self):
        return self.chance.randrange(1 << 30)

    def size(self, least, most):
        """Small ones are the more likely."""
        return int(least * (most / least) ** self.chance.random())

    async def get(self, connection, kind, how, length, pace=None):
        """False when the connection is not to be used any more."""
        key, begin = self.any_key(), time.monotonic()
        await connection.send(head(b"GET", how, key, length) + b"\r\n")
        response = await receive(connection, Check(key, length), pace)
        return self.judge(kind, response, begin, length)

    def judge(self, kind, response, begin, count):
        if response.status == 200:
            self.tally.succeeded(kind, count, time.monotonic() - begin if kind == "small" else None)
        elif response.status == 422:
            self.tally.is_wrong(kind, "what the origin got was not what was sent")
        else:
            self.tally.has_failed(kind, str(response.status), begin)
        return not response.closes

    async def small(self, connection):
        await connection.open(self.proxy)
        for _ in range(self.size(1, 200)):
            how = self.chance.choice((b"length", b"length", b"chunked"))
            begin = time.monotonic()
            try:
                if not await self.get(connection, "small", how, self.size(1, 4 * KIB) - 1):
                    return
            except Cut as e:
                return self.cut("small", e, begin)
            await asyncio.sleep(self.chance.uniform(0, 0.2))

    async def large(self, connection):
        await connection.open(self.proxy)
        await self.get(connection, "large", b"length", self.size(2 * MIB, 64 * MIB))
        await asyncio.sleep(self.chance.uniform(0, 8))

    async def chunked(self, connection):
        await connection.open(self.proxy)
        await self.get(connection, "chunked", b"chunked", self.size(10 * KIB, 2 * MIB))
        await asyncio.sleep(self.chance.uniform(0, 2))

    async def drip(self, connection):
        """An upstream that takes its time."""
        await connection.open(self.proxy)
        await self.get(connection, "drip", b"drip", self.size(1 * KIB, 60 * KIB))

    async def upload(self, connection):
        await connection.open(self.proxy)
        await self.send_body(connection, "upload", b"PUT", b"take", self.size(1 * KIB, 4 * MIB), 0)
        await asyncio.sleep(self.chance.uniform(0, 2))

    async def echo(self, connection):
        await connection.open(self.proxy)
        length = self.size(1 * KIB, 4 * MIB)
        await self.send_body(connection, "echo", b"POST", b"echo", length, length)
        await asyncio.sleep(self.chance.uniform(0, 2))

    async def send_body(self, connection, kind, method, how, length, answer_length):
        """Sends and receives at the same time; an answer may come before all was sent."""
        key, begin = self.any_key(), time.monotonic()
        sending = asyncio.create_task(
            upload(connection, head(method, how, key, length), key, length, self.chance.random() < 0.5))
        try:
            response = await receive(connection, Check(key, answer_length))
            if response.status == 200:
                await sending
            self.judge(kind, response, begin, length)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def slow(self, connection):
        """A reader on a slow network."""
        await connection.open(self.proxy, receive_buffer=16 * KIB)
        how = self.chance.choice((b"length", b"chunked"))
        await self.get(connection, "slow", how, self.size(200 * KIB, 1 * MIB), self.pace())

    def pace(self):
        rate = self.size(30 * KIB, 200 * KIB)

        async def wait(count):
            await asyncio.sleep(count / rate)

        return wait

    async def holding(self, connection):
        """A connection that is kept and hardly used."""
        await connection.open(self.proxy)
        for _ in range(3):
            begin = time.monotonic()
            try:
                if not await self.get(connection, "holding", b"length", 100):
                    return
            except Cut as e:
                return self.cut("holding", e, begin)
            await asyncio.sleep(self.chance.uniform(0, 8))

    async def vanishing(self, connection):
        """Leaves at some moment of any exchange."""
        await connection.open(self.proxy)
        what = self.chance.randrange(6)
        if what == 0:  # in its head, or before it
            whole = head(b"GET", b"length", 1, 1) + b"\r\n"
            await connection.send(whole[:self.chance.randrange(len(whole))])
            return await self.leave(connection, asyncio.sleep(ENDLESS))
        if what == 1:
            doing = self.send_body(connection, "vanishing", b"PUT", b"take", 2 * MIB, 0)
        elif what == 2:
            doing = self.send_body(connection, "vanishing", b"POST", b"echo", 2 * MIB, 2 * MIB)
        else:
            how = (b"length", b"chunked", b"drip")[what - 3]
            pace = self.pace() if what < 5 else None
            doing = self.get(connection, "vanishing", how, self.size(1 * KIB, 8 * MIB), pace)
        await self.leave(connection, doing)

    async def leave(self, connection, doing):
        """Does it for a while, and is gone."""
        doing = asyncio.ensure_future(doing)
        try:
            await asyncio.wait([doing], timeout=self.chance.random() ** 2 * 2)
        finally:
            doing.cancel()
            (ended,) = await asyncio.gather(doing, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended
        self.tally.left += 1
        how = self.chance.randrange(3)
        if how == 0:
            connection.reset()
        elif how == 1 and connection.sock:
            try:
                connection.sock.shutdown(socket.SHUT_WR)  # and stays until the gateway has ended too
                async with asyncio.timeout(5):
                    while await connection.read_to_end():
                        pass
            except (OSError, Cut, TimeoutError):
                pass

    # ---- clients of the tunnel

    async def tunnel_small(self, connection):
        """Says something and waits for the answer, twenty times."""
        await connection.open(self.tunnel)
        key, count = self.any_key(), 20
        check = Check(key, count * 100)
        await connection.send(b"%d %d\n" % (key, check.length))
        for data in pieces(key, check.length, 100):
            await connection.send(data)
            due = check.got + len(data)
            while check.got < due:
                check.feed(await connection.read())
            await asyncio.sleep(self.chance.uniform(0, 0.2))
        self.tally.succeeded("tunnel_small", check.length)

    async def tunnel_large(self, connection):
        await self.through(connection, "tunnel_large", self.size(1 * MIB, 32 * MIB))
        await asyncio.sleep(self.chance.uniform(0, 8))

    async def tunnel_slow(self, connection):
        await self.through(connection, "tunnel_slow", self.size(100 * KIB, 1 * MIB), self.pace())

    async def tunnel_vanishing(self, connection):
        pace = self.pace() if self.chance.random() < 0.5 else None
        await self.leave(connection, self.through(connection, "tunnel_vanishing", self.size(1 * KIB, 2 * MIB), pace))

    async def through(self, connection, kind, length, pace=None):
        """Sends a body, ends its own direction and receives the body until the other end."""
        await connection.open(self.tunnel, receive_buffer=16 * KIB if pace else None)
        key = self.any_key()
        check = Check(key, length)
        sending = asyncio.create_task(self.send_through(connection, key, length))
        try:
            while data := await connection.read_to_end():
                check.feed(data)
                if pace:
                    await pace(len(data))
            if check.got < length:
                raise Cut("fin", "before the end of the tunnel")
            await sending
            self.tally.succeeded(kind, 2 * length)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def send_through(self, connection, key, length):
        await connection.send(b"%d %d\n" % (key, length))
        for data in pieces(key, length, 60_000):
            await connection.send(data)
        connection.sock.shutdown(socket.SHUT_WR)
