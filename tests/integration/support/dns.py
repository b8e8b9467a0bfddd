"""A DNS server with a few names, over UDP on 127.0.0.1: as much of RFC 1035 as a stub resolver asks for."""

import ipaddress
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".")) + b"\0"


class Dns:
    """`names` maps a lower-case name to its addresses, and `services` one to its (priority, weight, port, target); each
    with the TTL of all answers, `ttl` in seconds. A name that is in neither does not exist. `broken` answers SERVFAIL."""

    def __init__(self, ttl=1):
        self.names, self.services, self.ttl, self.broken = {}, {}, ttl, False
        self.asked = []  # (name, type) of every question
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return "%s:%d" % self._socket.getsockname()

    def close(self):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()

    def _serve(self):
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        name, kind = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])[0]
        self.asked.append((name, kind))
        records = self._records(name, kind)
        known = name in self.names or name in self.services
        code = 2 if self.broken else 0 if known else 3
        if self.broken:
            records = []
        flags = 0x8180 | code
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data for data in records)
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + body

    def _records(self, name, kind):
        if kind == SRV:
            return [struct.pack("!HHH", priority, weight, port) + encode_name(target)
                    for priority, weight, port, target in self.services.get(name, [])]
        version = {A: 4, AAAA: 6}.get(kind)
        addresses = map(ipaddress.ip_address, self.names.get(name, []))
        return [address.packed for address in addresses if address.version == version]
