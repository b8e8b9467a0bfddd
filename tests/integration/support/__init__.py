"""What the integration tests share. Standard library only."""

from . import process
from .case import GONE, SLACK, GatewayCase, HeldCase, LeakCheck
from .client import Client, Response, problem
from .gateway import BINARY, SANITIZED, Gateway, LogLine
from .listener import full_listener
from .message import ProtocolError, RequestHead, ResponseHead, chunk, request, response
from .origin import Connection, Origin
from .ports import free_port
from .run_case import RunCase, named
from .swarm import Crowd, Swarm
from .wait import eventually
from .wire import Body, Cut, End, Wire

__all__ = [
    "BINARY", "GONE", "SANITIZED", "SLACK", "Body", "Client", "Connection", "Crowd", "Cut", "End", "Gateway",
    "GatewayCase", "HeldCase", "LeakCheck", "LogLine", "Origin", "ProtocolError", "RequestHead", "Response", "ResponseHead",
    "RunCase", "Swarm", "Wire", "chunk", "eventually", "free_port", "full_listener", "named", "problem", "process",
    "request", "response"]
