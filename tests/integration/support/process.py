"""What /proc knows of a process."""

import os
import re
import resource


def descriptors(pid):
    """The open descriptors by kind: {"socket": 5, "pipe": 2, "anon_inode": 3, "other": 1}."""
    counts = {"socket": 0, "pipe": 0, "anon_inode": 0, "other": 0}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue  # closed meanwhile
        kind = link.split(":")[0]
        counts[kind if kind in counts else "other"] += 1
    return counts


def resident_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Rss: +(\d+) kB", file.read(), re.MULTILINE)[1]) * 1024


def cpu_seconds(pid):
    """User and system time of all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_stopped(pid):
    """Whether SIGSTOP has reached every thread."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii", errors="replace") as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


STATES = {"01": "established", "02": "syn_sent", "04": "fin_wait1", "05": "fin_wait2", "08": "close_wait"}


def sockets_to(port):
    """The states of this machine's IPv4 sockets whose remote end is 127.0.0.1:port and that a process still holds."""
    found = []
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            if fields[2] == f"0100007F:{port:04X}" and fields[9] != "0":
                found.append(STATES.get(fields[3], fields[3]))
    return found


def is_listening(port):
    """Whether any socket of this machine listens on 127.0.0.1:port."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A" for line in file.readlines()[1:])


def listening_inodes(port):
    """The sockets of this machine that listen on 127.0.0.1:port."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return {fields[9] for fields in lines if fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A"}


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def raise_descriptor_limit(wanted):
    """Raises this process's soft limit; returns whether `wanted` descriptors can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    return soft >= wanted
