"""nginx and HAProxy with a configuration of the test's own."""

import os
import shutil
import socket
import subprocess
import tempfile

from .wait import eventually

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
NGINX = shutil.which("nginx", path=PATH)
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
HAPROXY = shutil.which("haproxy", path=PATH)


class Peer:
    """A program that listens on `ports`. {root} in the configuration is a folder of its own."""

    def __init__(self, command, configuration, *ports):
        self._folder = tempfile.TemporaryDirectory(prefix="headgate-peer-")
        root = self._folder.name
        os.chmod(root, 0o755)  # a worker of root's nginx is another user
        file = f"{root}/configuration"
        with open(file, "w", encoding="ascii") as out:
            out.write(configuration.replace("{root}", root))
        self._process = subprocess.Popen([argument.format(root=root, file=file) for argument in command],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        eventually(lambda: self._process.poll() is not None or all(map(self._listens, ports)), 20, f"{command[0]} listens")
        if self._process.poll() is not None:
            raise AssertionError(f"{command[0]} does not start: {self._process.stderr.read().decode()}")

    def close(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
        self._process.stderr.close()
        self._folder.cleanup()

    @staticmethod
    def _listens(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


def haproxy(configuration, *ports):
    common = "global\n maxconn 200\ndefaults\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n"
    return Peer([HAPROXY, "-db", "-q", "-f", "{file}"], common + configuration, *ports)


def nginx(configuration, *ports):
    common = "daemon off;\nworker_processes 1;\npid {root}/pid;\nevents { worker_connections 100; }\n"
    return Peer([NGINX, "-p", "{root}", "-c", "{file}", "-e", "{root}/error.log"], configuration + common, *ports)


def nginx_http(server):
    """The http block for a server that says something by itself."""
    paths = " ".join(f"{kind}_temp_path {{root}}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"http {{ access_log off; client_body_temp_path {{root}}/body; {paths} server {{ {server} }} }}\n"
