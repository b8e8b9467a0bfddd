"""One of the suite's ends of a connection."""

import socket
import struct

from .cases import CUT, WAIT

PIECES_MAX = 400  # in which the bytes of a message are sent, when they are cut


def unread(port, peer_port):
    """Bytes that the owner of the socket 127.0.0.1:port, connected to peer_port, has not read yet. 0 if there is none."""
    wanted = f"0100007F:{port:04X} 0100007F:{peer_port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file:
            if wanted in line:
                return int(line.split()[4].partition(":")[2], 16)
    return 0


class Wire:
    """One of our ends of a connection, with what it has still to send."""

    def __init__(self, sock, peer_port, parts=(), pieces=0):
        self.sock = sock
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port, self.peer_port = sock.getsockname()[1], peer_port
        self.received = bytearray()
        self.end = None
        self.finish = "keep"  # what to do when everything was sent
        self.waited = 0  # WAITs that are over
        self.parts = []
        self.push(parts, pieces)

    def push(self, parts, pieces=0):
        for part in parts:
            if isinstance(part, bytes) and pieces:
                size = max(pieces, -(-len(part) // PIECES_MAX))
                self.parts += [part[i:i + size] for i in range(0, len(part), size)]
            else:
                self.parts.append(part)

    def send(self, may_go_on):
        """Sends what can be sent now. may_go_on(n) tells whether the WAIT after n others is over."""
        try:
            while self.parts:
                part = self.parts[0]
                if part == CUT:
                    if unread(self.peer_port, self.port):
                        return
                elif part == WAIT:
                    if not may_go_on(self.waited):
                        return
                    self.waited += 1
                elif (sent := self.sock.send(part)) < len(part):
                    self.parts[0] = part[sent:]
                    continue
                self.parts.pop(0)
            self.finish_now()
        except BlockingIOError:
            pass
        except OSError:
            self.parts.clear()

    def finish_now(self):
        if self.finish == "close":
            self.finish = "closed"
            self.sock.shutdown(socket.SHUT_WR)
        elif self.finish == "reset" and not unread(self.peer_port, self.port):
            self.finish = "closed"
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def receive(self):
        """Reads what is there. Returns whether there was anything."""
        if self.end:
            return False
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            self.end = "reset"
            return True
        self.received += data
        if not data:
            self.end = "fin"
        return True

    def waits_for_room(self):
        return bool(self.parts) and isinstance(self.parts[0], bytes)

    def waits_for_peer(self):
        """For something that no descriptor tells."""
        return bool(self.parts) and not self.waits_for_room() or self.finish == "reset"

    def close(self):
        self.end = self.end or "closed"
        self.sock.close()
