"""The servers that the cases are sent to: headgate, and those it is compared with, each as a reverse proxy."""

import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path += [str(ROOT / "tests" / "integration"), str(ROOT / "bench")]

from proxies import Haproxy, Nginx, Unavailable, address_of, output  # noqa: E402
from support.gateway import BINARY, Gateway  # noqa: E402

SECONDS = 2  # what a client may take for its head, and for each part of its body
LINE, HEAD, FIELDS = 8192, 16384, 100  # limits, in bytes and fields


class HeadgateServer:
    name = "headgate"
    patience = 20  # seconds until a case that does nothing has failed

    def __init__(self, origin):
        limit = f"{SECONDS}s"
        self.gateway = Gateway("proxy", f"http://{origin}", "--access-log", "off", "--header-timeout", limit,
                               "--client-idle-timeout", limit, "--upstream-idle-timeout", limit)
        self.address = self.gateway.address

    @classmethod
    def version(cls):
        return output(BINARY, "--version").split()[-1]

    def stop(self):
        self.gateway.stop()


class Peer:
    """A server that bench/proxies.py knows how to start, with a configuration of ours."""

    patience = SECONDS + 1

    def __init__(self, origin):
        for _ in range(5):  # the port may be taken meanwhile
            listen = free_address()
            try:
                self.start("small", listen, origin, sorted(os.sched_getaffinity(0))[-1])
                break
            except Unavailable:
                continue
        else:
            raise Unavailable(f"{self.name} does not start")
        self.address = address_of(listen)


NGINX = """
daemon off; user root; pid {folder}/pid; error_log stderr crit;
worker_processes 1;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; scgi_temp_path {folder}/s; uwsgi_temp_path {folder}/u;
    client_header_timeout {seconds}s; client_body_timeout {seconds}s;
    upstream origin {{ server {origin}; keepalive 16; }}
    client_max_body_size 0;
    server {{
        listen {listen}; server_name a.example;
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client {seconds}s
    timeout http-request {seconds}s
    timeout server {seconds}s
    timeout http-keep-alive 60s
    option forwardfor
listen conformance
    bind {listen}
    server origin {origin}
"""


class NginxServer(Peer, Nginx):
    def __init__(self, origin):
        Nginx.__init__(self)
        Peer.__init__(self, origin)

    @classmethod
    def version(cls):
        return Nginx().version()

    def command(self, mode, listen, origin):
        folder = self.folder.name
        config = self.write("nginx.conf", NGINX.format(folder=folder, listen=listen, origin=origin, seconds=SECONDS))
        return [self.find(), "-p", folder, "-c", config, "-e", "stderr"]


class HaproxyServer(Peer, Haproxy):
    def __init__(self, origin):
        Haproxy.__init__(self)
        Peer.__init__(self, origin)

    @classmethod
    def version(cls):
        return Haproxy().version()

    def command(self, mode, listen, origin):
        config = self.write("haproxy.cfg", HAPROXY.format(listen=listen, origin=origin, seconds=SECONDS))
        return [self.find(), "-db", "-f", config]


SERVERS = {server.name: server for server in (HeadgateServer, NginxServer, HaproxyServer)}


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
