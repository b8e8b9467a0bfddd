"""The gateway under test, as a process."""

import dataclasses
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading

from . import process
from .wait import eventually

BINARY = os.environ.get("HEADGATE_BIN", "")
SANITIZED = bool(os.environ.get("HEADGATE_SANITIZE"))

LISTENING = re.compile(r"headgate: listening on (\S+):(\d+)(?: \S+)*, .*, (\d+) workers?(?:, admin on \S+)?")
DROPPED = re.compile(r'\{"time":"[^"]+","event":"dropped","lines":(\d+)\}')
LIVE = re.compile(r"headgate: live ((?:\w+=\d+ ?)+)")
LOG = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<status>\d{3}|-) (?P<method>\S+) (?P<target>\S+) "
    r"client=(?P<client>\S+) upstream=(?P<upstream>\S+) up=(?P<up>\d+) down=(?P<down>\d+) ms=(?P<ms>\d+\.\d{3}) "
    r"end=(?P<end>[a-z_]+) id=(?P<id>\S+)")
PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/access-log.md"
PHASES = {"head", "queue", "connect", "send", "wait", "body", "linger", "tunnel"}


def documented_causes():
    """The causes as the page has them: name -> (side, phases)."""
    rows = re.findall(r"^\| `(\w+)` \| (\w*) *\| ([^|]+) \|", PAGE.read_text().split("## Causes")[1].split("\n## ")[0], re.MULTILINE)
    return {name: (side or None, PHASES if phases == "any" else set(phases.split(", "))) for name, side, phases in rows}


CAUSES = documented_causes()
KEYS = {
    "time", "event", "kind", "id", "request_id", "trace_id", "route", "listener", "client", "client_port", "upstream",
    "source", "method", "target", "status", "up_bytes", "down_bytes", "age_ms", "cause", "side", "phase", "attempts",
    "head_ms", "queue_ms", "connect_ms", "tls_ms", "send_ms", "wait_ms", "first_byte_ms", "client_ms", "hold_ms",
    "held_bytes", "held_max_bytes", "waits_ms", "stages"}
STAGE_KEYS = {"name", "direction", "items", "bytes", "held_max_bytes", "waiting_for_source_ms", "working_ms",
              "waiting_for_consumer_ms"}
SANITIZER_REPORT = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|terminate called")


@dataclasses.dataclass
class LogLine:
    time: str
    status: int  # or None
    method: str
    target: str
    client: str
    upstream: str
    up: int
    down: int
    ms: float
    end: str
    id: str
    all: dict = dataclasses.field(default=None, compare=False, repr=False)  # of a line in JSON, every key

    @classmethod
    def parse(cls, line):
        if line.startswith("{"):
            return cls.parse_json(line)
        found = LOG.fullmatch(line)
        if not found or found["end"] not in {*CAUSES, "-"}:
            raise AssertionError(f"malformed log line: {line!r}")
        values = found.groupdict()
        values["status"] = None if values["status"] == "-" else int(values["status"])
        values.update(up=int(values["up"]), down=int(values["down"]), ms=float(values["ms"]))
        return cls(**values)

    @classmethod
    def parse_json(cls, line):
        """Strictly: the keys of the page, none else, and what the page says of them."""
        line.encode("ascii")
        is_ = json.loads(line, parse_constant=lambda text: bad(f"{text} is no JSON"), object_pairs_hook=once)
        if set(is_) != KEYS:
            bad(f"keys {set(is_) ^ KEYS} of {line}")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", is_["time"]):
            bad(f"time {is_['time']}")
        if is_["event"] == "end":
            side, phases = CAUSES[is_["cause"]]
            if is_["side"] != side:
                bad(f"side of {line}")
            if is_["phase"] is not None and is_["phase"] not in phases:
                bad(f"phase of {line}")
        elif is_["event"] != "interim" or is_["cause"] is not None or is_["side"] is not None:
            bad(line)
        for key, value in is_.items():
            if key.endswith("_ms") and key != "waits_ms" and value is not None and not 0 <= value < 1e9:
                bad(f"{key} of {line}")
        phases_ms = sum(is_[key] or 0 for key in ("head_ms", "queue_ms", "connect_ms", "send_ms", "wait_ms", "client_ms"))
        if phases_ms > is_["age_ms"] + 1 or (is_["tls_ms"] or 0) > (is_["connect_ms"] or 0) + 1:
            bad(f"phases of {line}")
        for stage in is_["stages"] or ():
            if set(stage) != STAGE_KEYS or stage["direction"] not in ("up", "down"):
                bad(f"stage {stage} of {line}")
        client = is_["client"]
        if is_["client_port"]:
            client = ("[%s]:%d" if ":" in client else "%s:%d") % (client, is_["client_port"])
        return cls(time=is_["time"], status=is_["status"], method="tunnel" if is_["kind"] == "tunnel" else is_["method"] or "-",
                   target=is_["target"] or "-", client=client or "-", upstream=is_["upstream"] or is_["source"] or "-",
                   up=is_["up_bytes"], down=is_["down_bytes"], ms=is_["age_ms"], end=is_["cause"] or "-",
                   id=is_["request_id"] or "-", all=is_)


def bad(what):
    raise AssertionError("malformed log line: " + what)


def once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        bad(f"a key twice: {pairs}")
    return found


def limit(nofile, address_space, group):
    """Limits this process: descriptors (soft, hard), bytes of address space, and a control group to be in."""
    if group:
        with open(group + "/cgroup.procs", "w", encoding="ascii") as processes:
            processes.write(str(os.getpid()))
    if nofile:
        resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
    if address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


class Gateway:
    """`headgate COMMAND --to TO FLAGS`, ready for connections when constructed. stop() must be called."""

    def __init__(self, command, to, *flags, workers=1, nofile=None, address_space=None, group=None,
                 listen="127.0.0.1:0", arguments=None, program=None, environment=None, prefix=(), pass_fds=()):
        if not BINARY:
            raise RuntimeError("HEADGATE_BIN must name the gateway's program")
        self.arguments = [*prefix, program or BINARY, command, *(arguments or ["--to", to, "--listen", listen, "--workers", str(workers), *flags])]
        # Sockets of ours must not be inherited: an end would not be seen while the gateway held a copy.
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            close_fds=True, pass_fds=pass_fds, env=os.environ | (environment or {}), preexec_fn=(lambda: limit(nofile, address_space, group)) if nofile or address_space or group else None)
        self.pid = self.process.pid
        self.errors = []  # lines of stderr
        self.all_logs = []  # every access log line there ever was
        self.interim_logs = []  # of what went on
        self.malformed = []
        self.may_drop_lines = False  # for a load that writes faster than this reads; otherwise a lost line is a failure
        self._dropped = 0
        self._unseen = []  # those that wait_for_log() has not given out
        self._lives = []
        self._changed = threading.Condition()
        self._listening = None
        self._readers = [threading.Thread(target=self._read_stdout, daemon=True),
                         threading.Thread(target=self._read_stderr, daemon=True)]
        for reader in self._readers:
            reader.start()
        try:
            eventually(lambda: self._listening or self.process.poll() is not None, 30, "the gateway listens")
            if not self._listening:
                raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.stderr()}")
        except BaseException:
            self.kill()
            raise
        self.address = (self._listening[1], int(self._listening[2]))

    @property
    def name(self):
        return "%s:%d" % self.address

    def url(self, target="/"):
        return f"http://{self.name}{target}"

    # ---- what it says

    def stderr(self):
        return "\n".join(self.errors)

    def wait_for_log(self, predicate=None, within=5.0, **wanted):
        """Takes the first access log line that fits and was not taken before."""

        def fits(line):
            return all(getattr(line, name) == value for name, value in wanted.items()) and (
                predicate is None or predicate(line))

        def take():
            for i, line in enumerate(self._unseen):
                if fits(line):
                    return self._unseen.pop(i)
            return None

        with self._changed:
            found = self._changed.wait_for(lambda: (line := take()) and self._taken(line), within)
        if not found:
            raise AssertionError(f"no log line with {wanted} within {within} s; of {len(self._unseen)} the last are "
                                 f"{self._unseen[-3:]}; malformed {self.malformed[-3:]}; stderr: {self.stderr()}")
        return self._last_taken

    def unseen_logs(self):
        with self._changed:
            return list(self._unseen)

    def live(self):
        """The gateway's own count of what is alive, now."""
        with self._changed:
            before = len(self._lives)
            os.kill(self.pid, signal.SIGUSR1)
            if not self._changed.wait_for(lambda: len(self._lives) > before, 10):
                raise AssertionError(f"no answer to SIGUSR1; stderr: {self.stderr()}")
            return self._lives[-1]

    # ---- what the system says

    def descriptors(self):
        return process.descriptors(self.pid)

    def resident_bytes(self):
        return process.resident_bytes(self.pid)

    def cpu_seconds(self):
        return process.cpu_seconds(self.pid)

    # ---- its end

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, within=10.0):
        """The exit code, when all it wrote was read."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the gateway runs on after {within} s; stderr: {self.stderr()}") from None
        for reader in self._readers:
            reader.join(10)
        return code

    def stop(self, within=20.0):
        """Ends the gateway by SIGTERM and asserts that it ended well and never misbehaved."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait_exit(within)
        finally:
            self.kill()
        text = self.stderr()
        if code != 0 or SANITIZER_REPORT.search(text):
            raise AssertionError(f"the gateway ended with {code}; stderr:\n{text}")
        if self.malformed:
            raise AssertionError(f"the gateway wrote {self.malformed}")
        if self._dropped and not self.may_drop_lines:
            raise AssertionError(f"{self._dropped} lines of the log were dropped")
        if internal := [line for line in self.all_logs if line.end == "internal"]:
            raise AssertionError(f"internal errors: {internal}; stderr:\n{text}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()

    def refuses(self):
        """Whether nobody listens, and a connection is refused."""
        if process.is_listening(self.address[1]):
            return False
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(self.address) != 0

    # ---- inside

    def _taken(self, line):
        self._last_taken = line
        return True

    def _read_stdout(self):
        for text in self.process.stdout:
            text = text.rstrip("\n")
            if found := LISTENING.fullmatch(text):
                self._listening = found
                continue
            with self._changed:
                if dropped := DROPPED.fullmatch(text):
                    self._dropped += int(dropped[1])
                    continue
                try:
                    line = LogLine.parse(text)
                except (AssertionError, ValueError, KeyError) as e:
                    self.malformed.append(f"{text} ({e})")
                else:
                    (self.interim_logs if line.end == "-" else self.all_logs).append(line)
                    if line.end != "-":
                        self._unseen.append(line)
                self._changed.notify_all()

    def _read_stderr(self):
        for text in self.process.stderr:
            text = text.rstrip("\n")
            with self._changed:
                self.errors.append(text)
                if found := LIVE.fullmatch(text):
                    self._lives.append({k: int(v) for k, v in (item.split("=") for item in found[1].split())})
                self._changed.notify_all()
