"""The proxies that are compared: how each is configured, started and stopped.

Every proxy forwards one listening address to one origin with one worker, in one of the modes of MODES. The settings are
those that its own documentation recommends for the work; buffers for large bodies are as large as measured best, up to
1 MiB per direction of a connection.
"""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

MODES = ("small", "bulk", "tunnel")  # HTTP with small bodies, HTTP with large ones, TCP


class Unavailable(Exception):
    """A proxy cannot be measured; the text says why."""


class Proxy:
    """A program in front of the origin. Subclasses say how it is called."""

    name = ""
    package = None  # the Debian package it comes with

    def __init__(self):
        self.process = None
        self.folder = None

    def find(self):
        """The program, or Unavailable."""
        program = shutil.which(self.name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not program:
            raise Unavailable(f"not installed (apt-get install {self.package})")
        return program

    def version(self):
        raise NotImplementedError

    def command(self, mode, listen, origin):
        """The command line, after writing what it needs into self.folder. Unavailable if it has no such mode."""
        raise NotImplementedError

    def start(self, mode, listen, origin, core):
        """Starts it, pinned to `core`, and waits until it accepts connections."""
        if port_is_open(listen):
            raise Unavailable(f"{listen} is taken by another program")
        self.folder = tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-")
        try:
            command = self.command(mode, listen, origin)
            log = open(Path(self.folder.name) / "log", "wb")
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}))
            log.close()
            self.wait_until_open(listen)
        except Exception:
            self.stop()
            raise

    def wait_until_open(self, listen):
        until = time.monotonic() + 5
        while not port_is_open(listen):
            if self.process.poll() is not None or time.monotonic() > until:
                text = (Path(self.folder.name) / "log").read_text(errors="replace").strip()
                raise Unavailable("does not start: " + (text.splitlines()[-1] if text else "it says nothing"))
            time.sleep(0.02)

    def pids(self):
        """Its processes: the one that was started and those it has started."""
        found = [self.process.pid]
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    pass
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def stop(self):
        if self.process:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    os.killpg(self.process.pid, signal.SIGKILL)
                    self.process.wait()
            self.process = None
        if self.folder:
            self.folder.cleanup()
            self.folder = None

    def write(self, name, text):
        path = Path(self.folder.name) / name
        path.write_text(text)
        return str(path)


class Headgate(Proxy):
    name = "headgate"
    settings = {"small": "", "bulk": "--stream-buffer 512KiB", "tunnel": ""}

    def __init__(self, program):
        super().__init__()
        self.program = program

    def find(self):
        if not os.access(self.program, os.X_OK):
            raise Unavailable(f"not built: there is no {self.program} (./dev build)")
        return self.program

    def version(self):
        return output(self.find(), "--version").split()[-1]

    def command(self, mode, listen, origin):
        common = ["--listen", listen, "--workers", "1", "--access-log", "off"]
        if mode == "tunnel":
            return [self.find(), "tunnel", "--to", origin, *common]
        return [self.find(), "proxy", "--to", f"http://{origin}", *common, *self.settings[mode].split()]


NGINX = """
{load_stream}
daemon off; user root; pid {folder}/pid; error_log stderr crit;
worker_processes 1; worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; multi_accept on; }}
{body}
"""

NGINX_HTTP = """
http {{
    access_log off; server_tokens off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; scgi_temp_path {folder}/s; uwsgi_temp_path {folder}/u;
    client_max_body_size 0; keepalive_timeout 300s; keepalive_requests 1000000000;
    upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_request_buffering off; {settings}
        }}
    }}
}}
"""

NGINX_STREAM = """
stream {{
    upstream origin {{ server {origin}; }}
    server {{ listen {listen}; proxy_pass origin; {settings} }}
}}
"""


class Nginx(Proxy):
    name = "nginx"
    package = "nginx-light"
    stream_module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # libnginx-mod-stream

    # Its default buffers, 8 of 4 KiB, cost four times as much CPU for large bodies.
    settings = {
        "small": "proxy_buffering on;",
        "bulk": "proxy_buffering on; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k; "
                "proxy_max_temp_file_size 0; client_body_buffer_size 1m;",
        "tunnel": "proxy_buffer_size 512k;",
    }

    def version(self):
        return output(self.find(), "-v").strip().rpartition("/")[2]

    def command(self, mode, listen, origin):
        template = NGINX_STREAM if mode == "tunnel" else NGINX_HTTP
        load_stream = ""
        if mode == "tunnel" and " --with-stream " not in output(self.find(), "-V") + " ":
            if not self.stream_module.exists():
                raise Unavailable("has no stream module (apt-get install libnginx-mod-stream)")
            load_stream = f"load_module {self.stream_module};"
        folder = self.folder.name
        limit = descriptor_limit()
        body = template.format(folder=folder, listen=listen, origin=origin, settings=self.settings[mode])
        config = self.write("nginx.conf", NGINX.format(
            load_stream=load_stream, folder=folder, descriptors=limit, connections=limit // 2, body=body))
        return [self.find(), "-p", folder, "-c", config, "-e", "stderr"]


HAPROXY = """
global
    nbthread 1
    maxconn {connections}
    {global_settings}
defaults
    mode {protocol}
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    timeout http-keep-alive 300s
    {settings}
listen bench
    bind {listen}
    server origin {origin}
"""


class Haproxy(Proxy):
    name = "haproxy"
    package = "haproxy"
    splice = "option splice-auto\n    option splice-request\n    option splice-response"
    # The larger tune.bufsize is for chunked bodies, which it does not splice.
    global_settings = {"small": "", "bulk": "tune.pipesize 1048576\n    tune.bufsize 65536",
                       "tunnel": "tune.pipesize 1048576"}
    settings = {"small": "http-reuse always", "bulk": f"http-reuse always\n    {splice}", "tunnel": splice}

    def version(self):
        return re.search(r"version (\S+?)[-+ ]", output(self.find(), "-v")).group(1)

    def command(self, mode, listen, origin):
        connections = 1000  # each may have pipes
        if mode == "small":
            connections = min(8000, descriptor_limit() // 2 - 100)
        config = self.write("haproxy.cfg", HAPROXY.format(
            connections=connections, protocol="tcp" if mode == "tunnel" else "http", listen=listen, origin=origin,
            settings=self.settings[mode], global_settings=self.global_settings[mode]))
        return [self.find(), "-db", "-f", config]


def bulk_settings():
    """How they were set up for large bodies, in a line."""
    haproxy = f"{Haproxy.global_settings['bulk']}\n{Haproxy.settings['bulk']}".splitlines()
    return (f"headgate `{Headgate.settings['bulk']}`, nginx `{Nginx.settings['bulk']}`, "
            f"HAProxy `{'; '.join(line.strip() for line in haproxy)}`")


class SpliceRelay(Proxy):
    """Not a proxy to choose: the least that any of them could cost."""

    name = "splice relay"

    def __init__(self, program):
        super().__init__()
        self.program = program

    def find(self):
        return self.program

    def version(self):
        return ""

    def command(self, mode, listen, origin):
        return [self.program, listen, origin]


def output(*command):
    """What a short command prints, on either stream."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return result.stdout + result.stderr


def address_of(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def port_is_open(listen):
    try:
        socket.create_connection(address_of(listen), timeout=1).close()
        return True
    except OSError:
        return False


def descriptor_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
