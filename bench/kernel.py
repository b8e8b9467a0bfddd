"""What the kernel accounts to processes and sockets, and the network that measurements run in."""

import contextlib
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess
from pathlib import Path


def cpu_of(pids):
    """Seconds of CPU used so far by all threads of these processes; the kernel counts nanoseconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def cpu_of_ended(pid):
    """Seconds of CPU of the children of this process that it has waited for, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def softirq_thread(core):
    """The kernel thread that takes over network work when there is much of it. None if it cannot be seen."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.joinpath("comm").read_text().strip() == f"ksoftirqd/{core}":
                    return int(entry.name)
    return None


def core_busy(core):
    """Seconds this core has been busy."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq = map(int, line.split()[1:8])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0


def memory_of(pids):
    """Proportional set size in bytes."""
    return sum(int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
               for pid in pids) * 1024


def socket_memory(listen, origin):
    """Bytes that the kernel holds for a proxy's sockets: those with clients, and those with the origin."""
    ports = [address.rpartition(":")[2] for address in (listen, origin)]
    text = subprocess.run(["ss", "-tmnH", f"( sport = :{ports[0]} or dport = :{ports[1]} )"], capture_output=True,
                          text=True, check=True).stdout
    total = 0
    for received, forward, queued in re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+)", text):
        total += int(received) + int(forward) + int(queued)
    return total


def children_of(pid):
    """Its processes: this one and those it has started."""
    found = [pid]
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


# ---- where it runs ---------------------------------------------------------------------------------------------------


def enter_own_network():
    """Goes on in a network namespace of its own, so that no port is taken and TCP has no unusual settings. Gives what
    the network is, for the report."""
    clone_newuser, clone_newnet = 0x10000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(clone_newnet if user == 0 else clone_newuser | clone_newnet) != 0:
        return f"this machine's loopback ({congestion_control()})"
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, siocgifflags, request))[1]
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", flags | iff_up))
    for name in ("cubic", "reno"):  # not one that paces, such as bbr: its timers cost more than the relaying
        if congestion_control() in ("cubic", "reno"):
            break
        with contextlib.suppress(OSError):
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(name)
    with contextlib.suppress(OSError):  # for ten thousand connections on both sides of a proxy
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("10000 65000")
    return f"the loopback of a network namespace of its own ({congestion_control()})"


def congestion_control():
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"
