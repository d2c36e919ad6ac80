"""CPU time, anonymous memory, and warm pages."""

import os
import threading
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
GIB = 1 << 30
SAMPLE_S = 0.03


def cpu_seconds(pid):
    """User and system CPU seconds of a process so far; a zombie still has them."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def anonymous_bytes(pid):
    """Resident anonymous memory of a process now; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def busy_seconds():
    """CPU seconds that all cores together have worked since boot."""
    with open("/proc/stat", encoding="ascii") as stat:
        # user nice system idle iowait irq softirq steal; guest time is in user
        fields = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


def wait_idle(limit_s, share=0.15, window_s=0.5):
    """Waits, at most so long, until less than that share of the machine is used."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        before = busy_seconds()
        time.sleep(window_s)
        if busy_seconds() - before < share * window_s * os.cpu_count():
            return


class PeakMemory:
    """Samples the anonymous memory of processes in a thread of its own."""

    def __init__(self, pids):
        self.peaks = dict.fromkeys(pids, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while True:
            for pid, peak in self.peaks.items():
                self.peaks[pid] = max(peak, anonymous_bytes(pid))
            if self._stop.wait(SAMPLE_S):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class WarmPages:
    """Keeps memory in the guest's hands between runs.

    A virtual machine that gives idle pages back to its host pays up to 1 CPU
    second per GiB when it touches them again, and whoever runs first would pay
    it. So a file on tmpfs holds as many pages as a run writes; they are released
    the moment before the clock starts.
    """

    CHUNK = os.urandom(MIB)

    def __init__(self, folder):
        self._path = Path(folder) / "warm-pages"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def hold(self, size):
        """Fills the file with ``size`` bytes and a quarter more."""
        for number in range(size * 5 // 4 // MIB):
            os.pwrite(self._fd, self.CHUNK, number * MIB)

    def release(self):
        """Gives the pages back to the kernel, warm."""
        os.ftruncate(self._fd, 0)

    def close(self):
        os.close(self._fd)
        self._path.unlink(missing_ok=True)
