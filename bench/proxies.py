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

from kernel import children_of

# HTTP with small bodies, with large ones, with large ones for slow clients, with streams of events, with ROUTES routes; TCP.
# In "tls" and "tls-bulk" clients speak TLS.
MODES = ("small", "bulk", "slow", "events", "routes", "tls", "tls-bulk", "tunnel")
ROUTES = 10_000


class Unavailable(Exception):
    """A proxy cannot be measured; the text says why."""


class Proxy:
    """A program in front of the origin. Subclasses say how it is called."""

    name = ""
    package = None  # the Debian package it comes with
    modes = MODES
    settings = {}  # what is added for a mode
    tls = None  # the files of certificate and key

    def __init__(self):
        self.process = None
        self.folder = None

    def find(self):
        """The program, or Unavailable."""
        program = shutil.which(self.program_name(), path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not program:
            raise Unavailable(f"not installed (apt-get install {self.package})")
        return program

    def program_name(self):
        return self.name

    def environment(self):
        return {}

    def version(self):
        raise NotImplementedError

    def settings_of(self, mode):
        return self.settings.get(plain(mode), "")

    def command(self, mode, listen, origin):
        """The command line, after writing what it needs into self.folder. Unavailable if it has no such mode."""
        raise NotImplementedError

    def start(self, mode, listen, origin, *cores):
        """Starts it, pinned to `cores`, and waits until it accepts connections."""
        if mode not in self.modes:
            raise Unavailable("does not do this")
        if port_is_open(listen):
            raise Unavailable(f"{listen} is taken by another program")
        self.folder = tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-")
        try:
            command = self.command(mode, listen, origin)
            log = open(Path(self.folder.name) / "log", "wb")
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | self.environment(),
                preexec_fn=lambda: os.sched_setaffinity(0, cores))
            log.close()
            self.wait_until_open(listen)
        except Exception:
            self.stop()
            raise

    def wait_until_open(self, listen):
        until = time.monotonic() + 20  # ten thousand routes take some a while
        while not port_is_open(listen):
            if self.process.poll() is not None or time.monotonic() > until:
                text = (Path(self.folder.name) / "log").read_text(errors="replace").strip()
                raise Unavailable("does not start: " + (text.splitlines()[-1] if text else "it says nothing"))
            time.sleep(0.02)

    def pids(self):
        """Its processes: the one that was started and those it has started."""
        return children_of(self.process.pid)

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


def plain(mode):
    """The mode without TLS."""
    return {"tls": "small", "tls-bulk": "bulk"}.get(mode, mode)


HEADGATE = """
server: {{workers: {workers}, access_log: false, connections_max: {connections}, {settings}}}
listeners:
  - name: web
    address: "{listen}"
    requests_per_connection_max: 10000000
    keep_alive_timeout: 5m
    {tls}
upstreams:
  origin: {{endpoints: ["{origin}"], idle_max: 256}}
routes:
"""


class Headgate(Proxy):
    name = "headgate"
    settings = {"bulk": "stream_buffer: 512KiB"}

    def __init__(self, program, name="headgate", workers=1):
        super().__init__()
        self.program, self.name, self.workers = program, name, workers

    def find(self):
        if not os.access(self.program, os.X_OK):
            raise Unavailable(f"not built: there is no {self.program} (./dev build)")
        return self.program

    def version(self):
        return output(self.find(), "--version").split()[-1]

    def command(self, mode, listen, origin):
        if mode == "tunnel":
            return [self.find(), "tunnel", "--to", origin, "--listen", listen, "--workers", "1", "--access-log", "off"]
        tls = ""
        if mode.startswith("tls"):
            tls = f"tls: {{certificates: [{{certificate: {self.tls[0]}, key: {self.tls[1]}}}]}}"
        matches = [f"match: {{path_prefix: /r/{i}/}}, " for i in range(ROUTES)] if mode == "routes" else [""]
        text = HEADGATE.format(workers=self.workers, connections=connections_max(), settings=self.settings_of(mode), listen=listen,
                               origin=origin, tls=tls)
        text += "".join(f"  - {{{match}proxy: {{upstream: origin}}}}\n" for match in matches)
        return [self.find(), "run", "-c", self.write("headgate.yaml", text)]


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
        listen {listen}{tls};
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; {settings}
        {locations}
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
        "routes": "proxy_buffering on;",
        "events": "proxy_buffering off;",
        "slow": "proxy_buffering on; proxy_max_temp_file_size 0;",  # not to the disk
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
        tls = ""
        if mode.startswith("tls"):
            tls = (f" ssl; ssl_certificate {self.tls[0]}; ssl_certificate_key {self.tls[1]}; "
                   "ssl_session_cache shared:SSL:10m")
        paths = [f"/r/{i}/" for i in range(ROUTES)] if mode == "routes" else ["/"]
        body = template.format(
            folder=folder, listen=listen, origin=origin, settings=self.settings_of(mode), tls=tls,
            locations="\n".join(f"location {path} {{ proxy_pass http://origin; }}" for path in paths))
        config = self.write("nginx.conf", NGINX.format(
            load_stream=load_stream, folder=folder, descriptors=limit, connections=limit, body=body))
        return [self.find(), "-p", folder, "-c", config, "-e", "stderr"]


HAPROXY = """
global
    nbthread 1
    no strict-limits
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
frontend bench
    bind {listen}{tls}
    {choice}
backend origin
    server origin {origin}
"""


class Haproxy(Proxy):
    name = "haproxy"
    package = "haproxy"
    splice = "option splice-auto\n    option splice-request\n    option splice-response"
    # The larger tune.bufsize is for chunked bodies, which it does not splice.
    global_settings = {"bulk": "tune.pipesize 1048576\n    tune.bufsize 65536",
                       "tunnel": "tune.pipesize 1048576"}
    settings = {"small": "http-reuse always", "routes": "http-reuse always", "slow": "http-reuse always",
                "events": "http-reuse always\n    option http-no-delay", "bulk": f"http-reuse always\n    {splice}",
                "tunnel": splice}

    def version(self):
        return re.search(r"version (\S+?)[-+ ]", output(self.find(), "-v")).group(1)

    def command(self, mode, listen, origin):
        connections = 1000  # each may have pipes
        if plain(mode) != "bulk" and mode != "tunnel":
            connections = connections_max()
        tls = f" ssl crt {self.write('both.pem', both(self.tls))}" if mode.startswith("tls") else ""
        choice = "default_backend origin"
        if mode == "routes":
            routes = self.write("routes.map", "".join(f"/r/{i}/ origin\n" for i in range(ROUTES)))
            choice = f"use_backend %[path,map_beg({routes})]"
        config = self.write("haproxy.cfg", HAPROXY.format(
            connections=connections, protocol="tcp" if mode == "tunnel" else "http", listen=listen, origin=origin,
            settings=self.settings_of(mode), global_settings=self.global_settings.get(plain(mode), ""), tls=tls,
            choice=choice))
        return [self.find(), "-db", "-f", config]


CADDY = """
{{
    admin off
    auto_https off
}}
:{port} {{
    bind {host}
    {tls}
    {handlers}
}}
"""


class Caddy(Proxy):
    name = package = "caddy"
    modes = tuple(mode for mode in MODES if mode != "tunnel")
    settings = {"events": "flush_interval -1"}

    def version(self):
        return output(self.find(), "version").split()[0].removeprefix("v")

    def environment(self):
        return {"GOMAXPROCS": "1", "HOME": self.folder.name, "XDG_DATA_HOME": self.folder.name,
                "XDG_CONFIG_HOME": self.folder.name}

    def command(self, mode, listen, origin):
        host, port = address_of(listen)
        proxy = f"reverse_proxy {origin} {{\n{self.settings_of(mode)}\ntransport http {{\nkeepalive_idle_conns_per_host 256\n}}\n}}"
        handlers = [proxy]
        if mode == "routes":
            handlers = [f"handle /r/{i}/* {{\nreverse_proxy {origin}\n}}" for i in range(ROUTES)]
        tls = f"tls {self.tls[0]} {self.tls[1]}" if mode.startswith("tls") else ""
        config = self.write("Caddyfile", CADDY.format(host=host, port=port, tls=tls, handlers="\n".join(handlers)))
        return [self.find(), "run", "--config", config, "--adapter", "caddyfile"]


H2O = """
user: root
num-threads: 1
max-connections: {connections}
error-log: {folder}/errors
pid-file: {folder}/pid
temp-buffer-path: {folder}
http1-request-timeout: 300
proxy.timeout.io: 300000
proxy.timeout.keepalive: 300000
proxy.preserve-host: ON
listen:
  host: {host}
  port: {port}
{tls}
hosts:
  default:
    paths:
{paths}
"""


class H2o(Proxy):
    name = package = "h2o"
    modes = tuple(mode for mode in MODES if mode != "tunnel")

    def version(self):
        return output(self.find(), "--version").split()[2]

    def command(self, mode, listen, origin):
        host, port = address_of(listen)
        paths = [f"/r/{i}" for i in range(ROUTES)] if mode == "routes" else ["/"]
        tls = ""
        if mode.startswith("tls"):
            tls = f"  ssl:\n    certificate-file: {self.tls[0]}\n    key-file: {self.tls[1]}"
        text = H2O.format(connections=connections_max(), folder=self.folder.name, host=host, port=port, tls=tls,
                          paths="\n".join(f'      "{path}":\n        proxy.reverse.url: "http://{origin}{path}"'
                                          for path in paths))
        return [self.find(), "-m", "worker", "-c", self.write("h2o.conf", text)]


class Node(Proxy):
    """A small proxy of our own (bench/node/proxy.js), as one writes it with what Node brings."""

    name = "node"
    package = "nodejs"
    modes = tuple(mode for mode in MODES if mode not in ("tunnel", "routes"))

    def version(self):
        return output(self.find(), "--version").strip().removeprefix("v")

    def environment(self):
        return {"CERTIFICATE": self.tls[0], "KEY": self.tls[1]} if self.secure else {}

    def command(self, mode, listen, origin):
        self.secure = mode.startswith("tls")
        return [self.find(), str(Path(__file__).resolve().parent / "node" / "proxy.js"), listen, origin]


class Relay(Proxy):
    """Not a proxy to choose: the least that any of them could cost."""

    def __init__(self, program, how):
        super().__init__()
        self.program, self.how = program, how
        self.name = f"{how} relay"

    def find(self):
        return self.program

    def version(self):
        return ""

    def command(self, mode, listen, origin):
        return [self.program, self.how, listen, origin]


PEERS = {"nginx": Nginx, "haproxy": Haproxy, "caddy": Caddy, "h2o": H2o, "node": Node}


def bulk_settings():
    """How they were set up for large bodies, in a line."""
    haproxy = f"{Haproxy.global_settings['bulk']}\n{Haproxy.settings['bulk']}".splitlines()
    return (f"headgate `{Headgate.settings['bulk']}`, nginx `{Nginx.settings['bulk']}`, "
            f"HAProxy `{'; '.join(line.strip() for line in haproxy)}`")


def make_certificate(folder):
    """A certificate of its own for all of them: ECDSA with P-256. Gives the files of certificate and key."""
    files = str(Path(folder) / "certificate.pem"), str(Path(folder) / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,IP:127.0.0.1", "-out", files[0],
                    "-keyout", files[1]], check=True, capture_output=True)
    os.chmod(files[1], 0o600)
    return files


def both(files):
    return "".join(Path(file).read_text() for file in files)


def connections_max():
    """Of clients. There is not always an upstream connection for each: most of many wait."""
    return min(12_000, descriptor_limit() - 1000)


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
