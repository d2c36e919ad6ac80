"""Our own binary, behind the same interface: ``peerage share`` and ``peerage get``.

The process starts when something is added, since its peers and content are
arguments. So ``connect_peer`` comes first here: it collects addresses.
"""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import bencode, tools
from .base import Client, ClientError, Process, Progress, Unsupported, WaitTimeout, wait_for

READY_TIMEOUT_S = 60
COMPLETE, TIMED_OUT, NO_PROVIDERS, UNFINISHED = 0, 4, 5, 7


def rate(bytes_per_second):
    """A rate as peerage's options take it."""
    return str(int(bytes_per_second))


class Events:
    """The NDJSON events of one process, read by a thread, kept in order."""

    def __init__(self, stream, log_path):
        self._events = []
        self._changed = threading.Condition()
        self._ended = False
        self._stream = stream
        self._log_path = log_path
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with open(self._log_path, "ab") as log:
            for line in self._stream:
                log.write(line)
                log.flush()
                try:
                    event = json.loads(line)
                except ValueError:
                    event = {"event": "not-json", "line": line.decode(errors="replace")}
                event["at"] = time.monotonic()
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def last(self, name):
        with self._changed:
            for event in reversed(self._events):
                if event.get("event") == name:
                    return event
        return None

    def all(self, name=None):
        """A copy of the events so far (of one name)."""
        with self._changed:
            return [event for event in self._events if name in (None, event.get("event"))]

    def wait(self, name, timeout):
        """The first event of that name; None when the stream ends without one."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self._events:
                    if event.get("event") == name:
                        return event
                left = deadline - time.monotonic()
                if self._ended:
                    return None
                if left <= 0:
                    raise WaitTimeout(f"no event {name!r} within {timeout:g} s")
                self._changed.wait(left)

    def join(self, timeout=5):
        """Waits until all output of an ended process is read."""
        self._thread.join(timeout)


class Peerage(Client):
    """``extra`` goes on the command line, ``wrapper`` before it; ``allow_local`` admits loopback trackers and peers."""

    name = "peerage"

    def __init__(self, limits=None, host="127.0.0.1", netns=None, allow_local=True, extra=(), wrapper=(),
                 encryption="allow", utp=True, tls="on", dht=None):
        super().__init__(limits, host, netns, encryption, utp, dht)
        self.tls = tls
        self.wrapper = list(wrapper)
        self.extra = list(extra)
        self.allow_local = allow_local
        self.known_peers = []
        self.events = None
        self.ready = None

    def _start(self):
        (self.workdir / "home").mkdir(exist_ok=True)

    def environment(self):
        # no test leaves this machine: those of the DHT name their own nodes, and switch it on
        environment = {"PEERAGE_HOME": str(self.workdir / "home"), "NO_COLOR": "1", "PEERAGE_DHT": "off"}
        return environment if self.lan else {**environment, "PEERAGE_NO_LAN": "1"}

    def run(self, *arguments):
        """Starts ``peerage ARGUMENTS --json`` with the common options added."""
        command = [*self.wrapper, *tools.peerage(), *map(str, arguments)]
        host = f"[{self.host}]" if ":" in self.host else self.host
        command += ["--listen", f"{host}:{self.port}"]
        for host, port in self.known_peers:
            command += ["--peer", f"{host}:{port}"]
        if self.limits.upload is not None:
            command += ["--upload-limit", rate(self.limits.upload)]
        if self.limits.download is not None:
            command += ["--download-limit", rate(self.limits.download)]
        if self.allow_local:
            command.append("--allow-local")
        if self.encryption != "allow":
            command += ["--encryption", self.encryption]
        if self.tls != "on":
            command += ["--tls", self.tls]
        if not self.utp:
            command += ["--utp", "off"]
        for host, port in self.dht or []:
            command += ["--bootstrap", f"{host}:{port}"]
        if self.dht is not None:
            command += ["--dht", "on"]
        command += ["--json", *map(str, self.extra)]
        self.command = command
        self.process = Process(
            command, self.workdir, self.name, env=self.environment(), stdout=subprocess.PIPE, netns=self.netns)
        self.events = Events(self.process.popen.stdout, self.workdir / "events.ndjson")
        return self

    def share(self, content, torrent=None, trackers=(), options=()):
        """Serves content; returns when it is ready."""
        arguments = ["share", content]
        if torrent is not None:
            arguments += ["--torrent", torrent]
        for tracker in trackers:
            arguments += ["--tracker", tracker]
        self.run(*arguments, *options)
        self.ready = self.events.wait("ready", READY_TIMEOUT_S)
        if self.ready is None:
            code = self.process.wait(5)
            raise ClientError(f"peerage share ended with {code}; log ends:\n{self.process.log_tail()}")
        return self

    def key_new(self, name):
        """Makes a key to publish under."""
        command = [*tools.peerage(), "key", "new", name]
        subprocess.run(command, check=True, timeout=10, env={**os.environ, **self.environment()})

    def publish(self, content, key):
        """As ``share``, under a key."""
        self.run("publish", "--key", key, content)
        self.ready = self.events.wait("ready", READY_TIMEOUT_S)
        if self.ready is None:
            raise ClientError(f"peerage publish ended; log ends:\n{self.process.log_tail()}")
        return self

    def get(self, link, save_dir, *options):
        """Starts a download; ``wait_complete`` or ``wait_exit`` comes next."""
        return self.run("get", link, "-o", save_dir, *options)

    def daemon(self):
        """A node that serves the DHT; returns when it is ready."""
        self.run("daemon")
        self.ready = self.events.wait("daemon_ready", READY_TIMEOUT_S)
        if self.ready is None:
            raise ClientError(f"peerage daemon ended; log ends:\n{self.process.log_tail()}")
        return self

    def dht_command(self, *arguments):
        """``peerage dht ARGUMENTS --json``: exit code and document."""
        command = [*tools.peerage(), "dht", *map(str, arguments), "--listen", f"{self.host}:0", "--json"]
        for host, port in self.dht or []:
            command += ["--bootstrap", f"{host}:{port}"]
        if self.netns:
            command = ["ip", "netns", "exec", self.netns, *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              env={**os.environ, **self.environment()})
        text = done.stdout if done.returncode == 0 else done.stdout or done.stderr
        return done.returncode, json.loads(text)

    def wait_listening(self, timeout=20):
        """Until its port accepts connections (seen from outside)."""
        def listening():
            self.process.check_alive()
            try:
                socket.create_connection((self.host, self.port), 1).close()
                return True
            except OSError:
                return False

        wait_for(listening, timeout, "peerage listens")
        return self

    @property
    def link(self):
        return self.ready["link"]

    def add_torrent(self, path, save_dir, seed):
        if seed:
            with open(path, "rb") as file:
                name = bencode.decode(file.read())[b"info"][b"name"].decode()
            self.share(Path(save_dir) / name, torrent=path)
        else:
            self.get(path, save_dir)

    def add_magnet(self, uri, save_dir):
        self.get(uri, save_dir)

    def connect_peer(self, address):
        if self.process is not None:
            raise Unsupported("peerage takes peers as arguments: connect_peer comes before add_*")
        self.known_peers.append(address)

    def progress(self):
        event = self.events.last("progress")
        if event is None:
            return Progress(0, 0)
        return Progress(event["done"], event["total"])

    def is_complete(self):
        return self.events.last("complete") is not None

    def wait_complete(self, timeout):
        """Waits for the event ``complete``; fails at once when it ends otherwise."""
        def condition():
            if self.is_complete():
                return True
            if not self.process.alive():
                self.events.join()
                if not self.is_complete():
                    raise ClientError(f"peerage ended with {self.process.popen.returncode} before it was complete; "
                                      f"log ends:\n{self.process.log_tail()}")
            return False

        try:
            wait_for(condition, timeout, "peerage complete", poll=0.05)
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}; {self.progress()}; log ends:\n{self.process.log_tail()}") from None

    def wait_exit(self, timeout):
        """Exit code, with all events read."""
        code = self.process.wait(timeout)
        self.events.join()
        return code

    def peers(self):
        event = self.events.last("progress")
        return ["?"] * (event["peers"] if event else 0)

    def _stat(self, name):
        for event in ("complete", "stats"):
            found = self.events.last(event)
            if found and name in found:
                return found[name]
        return 0

    def uploaded(self):
        return self._stat("uploaded")

    def downloaded(self):
        return self._stat("downloaded")

    def banned(self):
        """Addresses of the events ``peer_banned``."""
        return [event["addr"] for event in self.events.all("peer_banned")]

    def version(self):
        out = subprocess.run([*tools.peerage(), "--version"], capture_output=True, text=True, timeout=10, check=True)
        return out.stdout.strip()


def create(content, torrent, version="hybrid", *options):
    """``peerage create``: a .torrent file made by us."""
    flags = {"v1": ["--v1"], "v2": ["--v2"], "hybrid": []}[version]
    command = [*tools.peerage(), "create", str(content), "-o", str(torrent), *flags, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ClientError(f"peerage create ended with {done.returncode}: {done.stderr[-1000:]}")
    return Path(torrent)
