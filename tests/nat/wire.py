"""Wires between two namespaces, and what they do to packets."""

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from clients.base import Process
from clients.netns import inside
from clients.tools import TESTS, MissingClient

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
#: packets that wait for the emulator at most: 100 ms of 200 Mbit/s
TUN_QUEUE = 2000


@dataclass(frozen=True)
class Link:
    """Conditions of a wire, both ways alike. All times are one way.

    Rate and independent loss are the kernel's (``tbf``, nftables ``numgen``); all
    else makes the wire a TUN device at each end with ``tests/nat/link`` between.
    """

    rate_mbit: float | None = None
    #: how long a packet may wait for its turn at that rate
    queue_ms: float = 50
    loss: float = 0
    delay_ms: float = 0
    #: the delay is uniform in delay ± jitter, in order
    jitter_ms: float = 0
    #: fraction of packets held back by reorder_by_ms
    reorder: float = 0
    reorder_by_ms: float = 0
    duplicate: float = 0
    #: Gilbert-Elliott: chances per packet that a burst of loss begins, and ends
    burst_begin: float = 0
    burst_end: float = 1

    @property
    def emulated(self):
        return any((self.delay_ms, self.jitter_ms, self.reorder, self.duplicate, self.burst_begin))

    def arguments(self, seed):
        options = {"delay": self.delay_ms, "jitter": self.jitter_ms, "reorder": self.reorder,
                   "reorder-by": self.reorder_by_ms, "duplicate": self.duplicate,
                   "burst-begin": self.burst_begin, "burst-end": self.burst_end, "seed": seed}
        return [f"--{name}={value}" for name, value in options.items()]

    def tbf(self):
        """Words of ``tc`` for the rate: a bucket of 5 ms, which the kernel's timers can refill."""
        burst = max(int(self.rate_mbit * 1e6 / 8 * 0.005), 16_000)
        return f"root tbf rate {self.rate_mbit}mbit burst {burst} latency {self.queue_ms}ms"


PLAIN = Link()


def emulator():
    """Path of the link emulator: PEERAGE_LINK, else the release build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", TESTS.parent / "target"))
    path = os.environ.get("PEERAGE_LINK", str(target / "release" / "peerage-link"))
    if not os.access(path, os.X_OK):
        raise MissingClient(f"the link emulator {path}", "cargo build --release -p peerage-link")
    return path


def _open_tun(interface):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", interface.encode(), IFF_TUN | IFF_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd


def join(a, a_interface, b, b_interface, link, workdir, seed):
    """Joins two namespaces; the emulator's process, or None without one.

    ``gso_max_segs 1``: what passes are packets of the wire's size, so that a lost
    one is one lost packet, not 64 KiB.
    """
    process = None
    if link.emulated:
        ends = []
        try:
            for name, interface in ((a.netns, a_interface), (b.netns, b_interface)):
                ends.append(inside(name, _open_tun, interface))
            process = Process([emulator(), *link.arguments(seed)], workdir, f"link-{a_interface}-{b.name}",
                              stdin=ends[0], stdout=ends[1])
        finally:
            for fd in ends:
                os.close(fd)
        setting = f"txqueuelen {TUN_QUEUE}"
    else:
        a.ip(f"link add {a_interface} type veth peer name {b_interface} netns {b.netns}")
        setting = "gso_max_segs 1"
    for end, interface in ((a, a_interface), (b, b_interface)):
        end.ip(f"link set {interface} up {setting}")
        if link.rate_mbit is not None:
            end.tc(f"qdisc add dev {interface} {link.tbf()}")
    return process
