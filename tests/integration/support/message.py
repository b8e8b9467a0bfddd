"""HTTP/1.1 messages as this test suite reads them: strictly. What a careful peer would refuse is a ProtocolError."""

import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([^\x00-\x08\x0a-\x1f\x7f]*)")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.1")


class ProtocolError(AssertionError):
    """The peer sent something that is not a well-formed message."""


class Fields:
    """Field lines in order; names compare without case."""

    def __init__(self, lines=()):
        self.lines = list(lines)

    def all(self, name):
        return [value for key, value in self.lines if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The value of a field that must not be there twice."""
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(f"{name} more than once: {values}")
        return values[0] if values else default

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise AssertionError(f"no field {name} in {self.lines}")
        return value

    def __contains__(self, name):
        return bool(self.all(name))

    def names(self):
        return [key.lower() for key, _ in self.lines]


def parse_fields(lines):
    fields = Fields()
    for line in lines:
        found = FIELD.fullmatch(line)
        if not found or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line):
            raise ProtocolError(f"malformed field line {line!r}")
        fields.lines.append((found[1].decode("ascii"), found[2].decode("latin-1")))
    return fields


class Head(Fields):
    """A request's or a response's head. `framing` is "none", "length", "chunked" or "close"."""

    def __init__(self, raw):
        if not raw.endswith(b"\r\n\r\n"):
            raise ProtocolError(f"a head without its end: {raw[-80:]!r}")
        first, *lines = raw[:-4].split(b"\r\n")
        super().__init__(parse_fields(lines).lines)
        self.raw = raw
        self.first_line = first

    def _framing(self):
        length, coding = self.get("Content-Length"), self.get("Transfer-Encoding")
        if length is not None and coding is not None:
            raise ProtocolError("both Content-Length and Transfer-Encoding")
        if coding is not None:
            if coding != "chunked":
                raise ProtocolError(f"Transfer-Encoding: {coding}")
            return "chunked", 0
        if length is not None:
            if not re.fullmatch("[0-9]+", length):
                raise ProtocolError(f"Content-Length: {length}")
            return "length", int(length)
        return None, 0


class RequestHead(Head):
    def __init__(self, raw):
        super().__init__(raw)
        line = REQUEST_LINE.fullmatch(self.first_line)
        if not line:
            raise ProtocolError(f"malformed request line {self.first_line!r}")
        self.method, self.target = line[1].decode(), line[2].decode()
        if len(self.all("Host")) != 1:
            raise ProtocolError(f"Host must be there once: {self.all('Host')}")
        how, self.length = self._framing()
        self.framing = how or "none"


class ResponseHead(Head):
    def __init__(self, raw, request_method="GET"):
        super().__init__(raw)
        line = STATUS_LINE.fullmatch(self.first_line)
        if not line:
            raise ProtocolError(f"malformed status line {self.first_line!r}")
        self.status, self.reason = int(line[1]), line[2].decode("latin-1")
        how, self.length = self._framing()
        if self.status // 100 == 1 or self.status == 204:
            if how:
                raise ProtocolError(f"a {self.status} must not have {how}")
        if request_method == "HEAD" or self.status // 100 == 1 or self.status in (204, 304):
            self.framing = "none"
        else:
            self.framing = how or "close"

    @property
    def interim(self):
        return self.status // 100 == 1


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def request(method, target, fields=(), body=None, chunked=False, trailers=(), host="test.example", version="1.1"):
    """The bytes of a request. A body is framed by Content-Length, or `chunked` in pieces if it is a list."""
    head = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        head.append(f"Host: {host}")
    head += [f"{name}: {value}" for name, value in fields]
    return _message(head, body, chunked, trailers)


def response(status=200, fields=(), body=None, chunked=False, trailers=(), reason="OK", version="1.1"):
    """The bytes of a response, framed as request() does."""
    head = [f"HTTP/{version} {status} {reason}"] + [f"{name}: {value}" for name, value in fields]
    return _message(head, body, chunked, trailers)


def _message(head, body, chunked, trailers):
    if chunked:
        head.append("Transfer-Encoding: chunked")
        pieces = [body] if isinstance(body, bytes) else body or []
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        coded = b"".join(chunk(piece) for piece in pieces if piece) + b"0\r\n" + lines.encode("latin-1") + b"\r\n"
    else:
        coded = body or b""
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
    return "".join(f"{line}\r\n" for line in head).encode("latin-1") + b"\r\n" + coded
