"""The interface of all drivers, and the process handling they share."""

import abc
import ctypes
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 5
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ClientError(Exception):
    """A client did something other than what it was told, or died."""


class Unsupported(ClientError):
    """The client has no way to do this (see the table in interop/matrix.py)."""


class WaitTimeout(ClientError):
    """Something did not happen within its time limit."""


def wait_for(condition, timeout, what, poll=0.1):
    """Calls ``condition`` until it is true, and returns its value; bounded."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"{what}: not within {timeout:g} s")
        time.sleep(poll)


def _die_with_parent():
    """In the child: be killed when the test runner dies, however it dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child process in a session of its own, its output in a log file."""

    def __init__(self, command, workdir, name, env=None, stdin=None, stdout=None, netns=None):
        self.name = name
        self.log_path = Path(workdir) / f"{name}.log"
        if netns:
            command = ["ip", "netns", "exec", netns, *command]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(workdir), **(env or {})}
        self._log = open(self.log_path, "ab")
        self.popen = subprocess.Popen(
            [str(part) for part in command],
            cwd=workdir,
            env=environment,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=self._log if stdout is None else stdout,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def check_alive(self):
        if not self.alive():
            raise ClientError(f"{self.name} exited with {self.popen.returncode}; log ends:\n{self.log_tail()}")

    def log_tail(self, size=2000):
        try:
            return self.log_path.read_bytes()[-size:].decode(errors="replace")
        except OSError:
            return ""

    def wait(self, timeout):
        """Exit code, once the process ended by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitTimeout(f"{self.name}: still running after {timeout:g} s") from None

    def kill(self):
        """SIGKILL to the whole process group, and reap."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(STOP_TIMEOUT_S)
        self._log.close()

    def stop(self, sig=signal.SIGTERM, timeout=STOP_TIMEOUT_S):
        """Asks it to end, then kills what is left of the group."""
        if self.alive():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return self.popen.returncode


@dataclass(frozen=True)
class Progress:
    """Bytes verified and bytes wanted; ``total`` is 0 before metadata is known."""

    done: int
    total: int

    @property
    def fraction(self):
        return self.done / self.total if self.total else 0.0


@dataclass
class Limits:
    """Rate limits in bytes/s, and peer exchange; None leaves the client's default."""

    download: int | None = None
    upload: int | None = None
    pex: bool = True


class Client(abc.ABC):
    """One client process with one torrent.

    Order of calls: ``start``, then ``add_torrent`` or ``add_magnet``, then
    ``connect_peer``; ``stop`` in the end, always (or use ``with``).
    """

    #: name in test ids and in the table
    name = "?"
    #: whether connect_peer works
    can_connect = True

    def __init__(self, limits=None, host="127.0.0.1", netns=None, encryption="off", utp=False, dht=None):
        #: addresses at which its DHT begins; None: it has none
        self.dht = dht
        #: speaks uTP, and no TCP where the client has a switch for that
        self.utp = utp
        #: message stream encryption: "off" where the client can, "allow", or "require" (with RC4)
        self.encryption = encryption
        #: announces itself on the local network (BEP 14); set it before ``start``
        self.lan = False
        self.limits = limits or Limits()
        self.host = host
        self.netns = netns
        self.port = 0
        self.workdir = None
        self.process = None

    def start(self, workdir, port):
        """Starts the process; its logs and state stay in ``workdir``."""
        self.workdir = Path(workdir).resolve()
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.port = port
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    @abc.abstractmethod
    def _start(self):
        """Starts the process and waits until it answers."""

    @abc.abstractmethod
    def add_torrent(self, path, save_dir, seed):
        """Adds a .torrent file. ``seed``: the data is in save_dir already."""

    @abc.abstractmethod
    def add_magnet(self, uri, save_dir):
        """Adds a magnet link, to be downloaded."""

    def connect_peer(self, address):
        """Dials ``(host, port)`` for the torrent added last."""
        raise Unsupported(f"{self.name} cannot be told of a peer")

    @abc.abstractmethod
    def progress(self):
        """:class:`Progress` of the torrent added last."""

    @abc.abstractmethod
    def is_complete(self):
        """Whether all of it is there and verified (and, where shown, seeding)."""

    @abc.abstractmethod
    def peers(self):
        """Addresses of connected peers, as ``ip:port``."""

    @abc.abstractmethod
    def uploaded(self):
        """Payload bytes sent to peers."""

    @abc.abstractmethod
    def version(self):
        """Version as the client itself says it."""

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def wait_complete(self, timeout):
        """Waits until complete; the error tells how far it came."""
        def condition():
            self.process.check_alive()
            return self.is_complete()

        try:
            wait_for(condition, timeout, f"{self.name} complete")
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}; {self.progress()}, peers {self.peers()}") from None

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def pid(self):
        """Process id of the client itself (for CPU and memory)."""
        return self.process.pid

    def cpu_seconds(self):
        """User and system CPU seconds so far."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def anonymous_bytes(self):
        """Resident anonymous memory now."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
