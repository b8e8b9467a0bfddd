"""nginx as an upstream that serves files."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import tempfile

from .ports import free_port
from .wait import eventually

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {root}/pid;
error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    types {{ text/plain txt; }}
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
    gzip on;
    gzip_min_length 100;
    gzip_proxied any;
    gzip_types text/plain;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {root}/files;
        location /empty {{ return 204; }}
        location /moved {{ return 301 /small.txt; }}
    }}
}}
"""


class Nginx:
    """Serves /small.txt (1,000 bytes), /text.txt (100 kB of words), /big.bin (10 MiB of noise), /huge.bin (1 GiB of nothing)."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="headgate-nginx-")
        root = self.folder.name
        os.chmod(root, 0o755)  # a worker of root's nginx is another user
        os.mkdir(f"{root}/files")
        self.files = {}
        words = random.Random(1)
        self._write("small.txt", b"0123456789" * 100)
        self._write("text.txt", b" ".join(words.choice([b"gate", b"head", b"stream", b"flow"]) for _ in range(20_000)))
        self._write("big.bin", words.randbytes(10 << 20))
        with open(f"{root}/files/huge.bin", "wb") as file:
            file.truncate(1 << 30)
        for _ in range(5):
            self.port = free_port()
            with open(f"{root}/nginx.conf", "w", encoding="ascii") as file:
                file.write(CONFIGURATION.format(root=root, port=self.port))
            self.process = subprocess.Popen([PROGRAM, "-p", root, "-c", f"{root}/nginx.conf", "-e", f"{root}/error.log"],
                                            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda: self.process.poll() is not None or self._listens(), 20, "nginx listens")
            if self.process.poll() is None:
                return
        raise AssertionError(f"nginx does not start: {self._errors()}")

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.folder.cleanup()

    def digest(self, name):
        return hashlib.sha256(self.files[name]).hexdigest()

    def _write(self, name, data):
        self.files[name] = data
        with open(f"{self.folder.name}/files/{name}", "wb") as file:
            file.write(data)

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _errors(self):
        with open(f"{self.folder.name}/error.log", encoding="utf-8") as file:
            return file.read()[-2000:]
