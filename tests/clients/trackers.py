"""Trackers behind one interface: opentracker, npm bittorrent-tracker, and ours."""

import socket
import subprocess
from pathlib import Path

from . import tools
from .base import Process, START_TIMEOUT_S, wait_for
from .netns import connect_in
from .peerage import Events


class Tracker:
    """A tracker process. ``http`` and ``udp`` are its announce URLs."""

    name = "?"

    def __init__(self, host="127.0.0.1", netns=None):
        self.host = host
        self.netns = netns
        self.process = None
        self.http = self.udp = None

    def start(self, workdir, port, infohashes=()):
        """``infohashes`` (hex): the torrents that a whitelist tracker is to serve."""
        self.workdir = Path(workdir).resolve()
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.http = f"http://{self.host}:{port}/announce"
        self.udp = f"udp://{self.host}:{port}/announce"
        self._start(infohashes)
        return self

    def _start(self, infohashes):
        raise NotImplementedError

    def _wait_listening(self):
        def listening():
            self.process.check_alive()
            try:
                if self.netns:
                    connect_in(self.netns, (self.host, self.port), 1).close()
                else:
                    socket.create_connection((self.host, self.port), 1).close()
                return True
            except OSError:
                return False

        wait_for(listening, START_TIMEOUT_S, f"{self.name} listens")

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class OpenTracker(Tracker):
    """Debian's opentracker: a whitelist build, chrooted into its folder as nobody."""

    name = "opentracker"

    def _start(self, infohashes):
        root = self.workdir / "root"
        root.mkdir(exist_ok=True)
        (root / "whitelist").write_text("".join(f"{value[:40]}\n" for value in infohashes))
        for folder in (root, *root.parents):
            if self.workdir in (folder, *folder.parents):
                folder.chmod(0o755)
        command = [*tools.system("opentracker"), "-i", self.host, "-p", self.port, "-P", self.port,
                   "-d", root, "-w", "whitelist"]
        self.process = Process(command, self.workdir, self.name, netns=self.netns)
        self._wait_listening()


class NpmTracker(Tracker):
    """bittorrent-tracker of npm."""

    name = "bittorrent-tracker"

    def _start(self, infohashes):
        script = tools.node_module("bittorrent-tracker/bin/cmd.js")
        command = [*tools.node(), script, "--http", "--udp", "--port", self.port,
                   "--http-hostname", self.host, "--udp-hostname", self.host, "--interval", "5000"]
        self.process = Process(command, self.workdir, self.name, netns=self.netns)
        self._wait_listening()


class PeerageTracker(Tracker):
    """``peerage tracker``."""

    name = "peerage"

    def _start(self, infohashes):
        command = [*tools.peerage(), "tracker", "--listen", f"{self.host}:{self.port}", "--json"]
        environment = {"PEERAGE_HOME": str(self.workdir / "home")}
        self.process = Process(
            command, self.workdir, "peerage-tracker", env=environment, stdout=subprocess.PIPE, netns=self.netns)
        self.events = Events(self.process.popen.stdout, self.workdir / "tracker.ndjson")
        ready = self.events.wait("tracker_ready", START_TIMEOUT_S)
        if ready is None:
            self.process.wait(5)
            self.process.check_alive()
        self.http, self.udp = ready["http"], ready["udp"]


ALL = {tracker.name: tracker for tracker in (OpenTracker, NpmTracker, PeerageTracker)}
