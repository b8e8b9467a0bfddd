"""What was seen on the wire, read strictly: what a careful peer would refuse is a ProtocolError."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "integration"))

from support.message import Fields, ProtocolError, parse_fields  # noqa: E402

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) [!-~]+ HTTP/1\.[01]")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")


@dataclass
class Message:
    line: bytes
    fields: Fields
    framing: str = "none"  # none, length, chunked, close
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    complete: bool = False
    end: int = 0  # where it ends in the bytes it was read from
    method: str = ""  # of a request
    status: int = 0  # of a response
    interim: list = field(default_factory=list)  # 1xx responses before this one

    @property
    def closes(self):
        """Whether the connection ends after it (RFC 9112, section 9.3)."""
        options = ",".join(self.fields.all("Connection")).lower()
        return "close" in options or self.framing == "close" or (
            b"HTTP/1.0" in self.line and "keep-alive" not in options)


def read_head(data, at, pattern, what):
    """(Message, offset of what follows), or None if there is more to come."""
    stop = data.find(b"\r\n\r\n", at)
    if stop < 0:
        if b"\n" in data[at:].replace(b"\r\n", b""):
            raise ProtocolError(f"bare LF in a {what}: {data[at:at + 80]!r}")
        return None
    line, *lines = data[at:stop].split(b"\r\n")
    found = pattern.fullmatch(line)
    if not found:
        raise ProtocolError(f"malformed {what} line {line[:80]!r}")
    message = Message(line, parse_fields(lines))
    return message, found, stop + 4


def read_framing(message):
    lengths, codings = message.fields.all("Content-Length"), message.fields.all("Transfer-Encoding")
    if len(lengths) + len(codings) > 1:
        raise ProtocolError(f"more than one framing: Content-Length {lengths}, Transfer-Encoding {codings}")
    if codings:
        if codings[0].lower() != "chunked":
            raise ProtocolError(f"Transfer-Encoding: {codings[0]}")
        return "chunked", 0
    if lengths:
        if not re.fullmatch("[0-9]+", lengths[0]):
            raise ProtocolError(f"Content-Length: {lengths[0]}")
        return "length", int(lengths[0])
    return None, 0


def read_body(message, data, at, length):
    """Fills in the body as far as it is there."""
    if message.framing == "none":
        message.complete, message.end = True, at
    elif message.framing == "length":
        message.body = data[at:at + length]
        message.complete, message.end = len(message.body) == length, at + len(message.body)
    elif message.framing == "chunked":
        read_chunks(message, data, at)
    else:
        message.body, message.end = data[at:], len(data)


def read_chunks(message, data, at):
    body = bytearray()
    while (stop := data.find(b"\r\n", at)) >= 0:
        size = CHUNK_SIZE.fullmatch(data[at:stop])
        if not size:
            raise ProtocolError(f"malformed chunk size {data[at:stop][:40]!r}")
        count = int(size[1], 16)
        at = stop + 2
        if count == 0:
            read_trailers(message, data, at)
            break
        body += data[at:at + count]
        if len(data) < at + count + 2:
            break
        if data[at + count:at + count + 2] != b"\r\n":
            raise ProtocolError("a chunk does not end with CRLF")
        at += count + 2
    message.body = bytes(body)


def read_trailers(message, data, at):
    lines = []
    while (stop := data.find(b"\r\n", at)) >= 0:
        line, at = data[at:stop], stop + 2
        if not line:
            message.trailers, message.complete, message.end = parse_fields(lines), True, at
            return
        lines.append(line)


def read_request(data, at):
    """The request that begins at `at`; None if its head is not all there."""
    head = read_head(data, at, REQUEST_LINE, "request")
    if head is None:
        return None
    message, found, at = head
    message.method = found[1].decode()
    if len(message.fields.all("Host")) != 1 and message.line.endswith(b"1.1"):
        raise ProtocolError(f"Host must be there once: {message.fields.all('Host')}")
    framing, length = read_framing(message)
    message.framing = framing or "none"
    read_body(message, data, at, length)
    return message


def read_responses(data, methods, end):
    """The final responses in `data`, which answer requests with these methods, the last perhaps incomplete. `end` is
    how the connection ended: None, "fin" or "reset"."""
    responses, interim, at = [], [], 0
    while at < len(data):
        head = read_head(data, at, STATUS_LINE, "status")
        if head is None:
            responses.append(Message(data[at:at + 80], Fields(), end=len(data), interim=interim))
            break
        message, found, at = head
        message.status = int(found[1])
        framing, length = read_framing(message)
        method = methods[len(responses)] if len(responses) < len(methods) else "GET"
        if message.status == 101:  # what follows is another protocol
            message.complete, message.end = True, len(data)
            responses.append(message)
            break
        if message.status < 200:
            if framing:
                raise ProtocolError(f"a {message.status} with {framing}")
            interim.append(message)
            continue
        if message.status == 204 and framing:
            raise ProtocolError(f"a 204 with {framing}")
        bodiless = method == "HEAD" or message.status in (204, 304)
        message.framing = "none" if bodiless else framing or "close"
        message.interim, interim = interim, []
        read_body(message, data, at, length)
        if message.framing == "close":
            message.complete = end == "fin"
        responses.append(message)
        if not message.complete:
            break
        at = message.end
    if interim:
        responses.append(Message(b"", Fields(), interim=interim))
    return responses
