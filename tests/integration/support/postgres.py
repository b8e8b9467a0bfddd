"""A PostgreSQL of the test's own: in a folder and on a port of its own, gone after it."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from .ports import free_port

PROGRAMS = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), default=None)


def as_owner(*command):
    """It refuses to run as root."""
    return [*(["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []), *map(str, command)]


class Postgres:
    def __init__(self, settings=""):
        """`settings` are more options of the server, like "-c name=value"."""
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.port = free_port()
        self.source = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.data = self.folder / "data"
        self._run("initdb", "--no-sync", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.data)
        self._run("pg_ctl", "-w", "-D", self.data, "-l", self.folder / "log", "-o",
                  f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c jit=off {settings}", "start")

    def _run(self, program, *arguments):
        done = subprocess.run(as_owner(PROGRAMS / program, *arguments), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stdout}")

    def sql(self, text, data=None):
        """What psql prints for it, without decoration."""
        done = subprocess.run([PROGRAMS / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, self.source], check=False,
                              input=data or b"", capture_output=True)
        if done.returncode != 0:
            raise AssertionError(f"{text}: {done.stderr.decode()}")
        return done.stdout.decode()

    def log_size(self):
        return (self.folder / "log").stat().st_size

    def durations(self, part, since=0):
        """Seconds that each statement with this part took, of those logged since the log had this size: what the client did not
        take in time included. For a server with log_min_duration_statement=0."""
        with open(self.folder / "log", encoding="utf-8") as log:
            log.seek(since)
            found = re.findall(r"duration: ([0-9.]+) ms +(?:statement|execute [^:]*): (.*)", log.read())
        return [float(milliseconds) / 1000 for milliseconds, statement in found if part in statement]

    def restart(self):
        """As if the machine had failed."""
        self._run("pg_ctl", "-w", "-D", self.data, "-l", self.folder / "log", "-m", "immediate", "restart")

    def close(self):
        self._run("pg_ctl", "-w", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder)
