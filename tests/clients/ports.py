"""Ports for test processes: no two runs on this machine get the same one."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 20000, 31999  # below the range from which the kernel takes ephemeral ports


def _is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


def free_port():
    """The next free port of a counter that all processes share."""
    path = Path(tempfile.gettempdir()) / f"peerage-test-ports-{os.getuid()}"
    with open(path, "a+", encoding="ascii") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        text = counter.read().strip()
        port = int(text) if text.isdigit() else FIRST
        for _ in range(LAST - FIRST):
            port = port + 1 if FIRST <= port < LAST else FIRST
            if _is_free(port):
                counter.truncate(0)
                counter.write(str(port))
                return port
    raise OSError("no free port")
