"""rtorrent, driven by XML-RPC over SCGI on a UNIX socket."""

import hashlib
import os
import re
import socket
import tempfile
import xmlrpc.client
from pathlib import Path

from . import bencode, tools
from .base import Client, ClientError, Process, Progress, START_TIMEOUT_S, Unsupported, wait_for
from .ports import free_port

CONFIG = """\
system.daemon.set = true
session.path.set = {session}
directory.default.set = {session}
network.bind_address.set = {host}
network.port_range.set = {port}-{port}
network.port_random.set = no
network.scgi.open_local = {socket}
dht.mode.set = auto
dht.port.set = {dht_port}
protocol.pex.set = {pex}
protocol.encryption.set = {encryption}
trackers.use_udp.set = yes
throttle.global_down.max_rate.set = {download}
throttle.global_up.max_rate.set = {upload}
system.umask.set = 0022
pieces.hash.on_completion.set = yes
log.open_file = "all", {log}
log.add_output = "info", "all"
log.add_output = "torrent_info", "all"
"""
ENCRYPTION = {
    "off": "allow_incoming",
    "allow": "allow_incoming,try_outgoing",
    "require": "require,require_RC4,allow_incoming,try_outgoing",
}
NO_TRACKER = b"http://127.0.0.1:9/announce"


class RTorrent(Client):
    """rtorrent drops .torrent files without ``announce``: a copy gets a dead one."""

    name = "rtorrent"

    def _start(self):
        self._hash = None
        session = self.workdir / "session"
        session.mkdir(exist_ok=True)
        # A UNIX socket's path is short: not below a test's deep folder.
        self._socket_dir = Path(tempfile.mkdtemp(prefix="rt-"))
        self._socket = self._socket_dir / "rpc"
        (self.workdir / "rtorrent.rc").write_text(CONFIG.format(
            session=session,
            host=self.host,
            port=self.port,
            dht_port=free_port(),
            socket=self._socket,
            encryption=ENCRYPTION[self.encryption],
            pex="yes" if self.limits.pex else "no",
            download=self.limits.download or 0,
            upload=self.limits.upload or 0,
            log=self.workdir / "rtorrent-full.log",
        ))
        command = [*tools.system("rtorrent"), "-n", "-o", f"import={self.workdir / 'rtorrent.rc'}"]
        self.process = Process(command, self.workdir, self.name, env={"TERM": "dumb"}, netns=self.netns)
        wait_for(self._answers, START_TIMEOUT_S, "rtorrent answers")

    def _answers(self):
        self.process.check_alive()
        try:
            self._version = self.rpc("system.client_version")
            return True
        except OSError:
            return False

    def rpc(self, method, *params):
        """One XML-RPC call as an SCGI request."""
        body = xmlrpc.client.dumps(params, method).encode()
        headers = b"".join(key + b"\0" + value + b"\0" for key, value in
                           ((b"CONTENT_LENGTH", b"%d" % len(body)), (b"SCGI", b"1")))
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect(str(self._socket))
            stream.sendall(b"%d:%b,%b" % (len(headers), headers, body))
            answer = b""
            while chunk := stream.recv(65536):
                answer += chunk
        _, _, content = answer.partition(b"\r\n\r\n")
        try:
            (value,), _ = xmlrpc.client.loads(content)
        except xmlrpc.client.Fault as fault:
            raise ClientError(f"rtorrent: {method}: {fault.faultString}") from None
        return value

    def _load(self, command, what, save_dir, infohash):
        self._hash = infohash
        Path(save_dir).mkdir(parents=True, exist_ok=True)  # without it, it stays inactive and says nothing
        self.rpc("directory.default.set", "", str(save_dir))
        self.rpc(command, "", what)
        wait_for(self._knows, START_TIMEOUT_S, "rtorrent has loaded the torrent")

    def _knows(self):
        self.process.check_alive()
        try:
            return self.rpc("d.hash", self._hash)
        except ClientError:
            return False

    def add_torrent(self, path, save_dir, seed):
        with open(path, "rb") as file:
            metainfo = bencode.decode(file.read())
        if b"announce" not in metainfo:
            metainfo[b"announce"] = NO_TRACKER
        metainfo.pop(b"creation date", None)
        infohash = hashlib.sha1(bencode.encode(metainfo[b"info"])).hexdigest().upper()
        self._load("load.raw_start", xmlrpc.client.Binary(bencode.encode(metainfo)), save_dir, infohash)
        if seed:
            wait_for(self.is_complete, START_TIMEOUT_S, "rtorrent has checked the data")

    def add_magnet(self, uri, save_dir):
        found = re.search(r"urn:btih:([0-9a-fA-F]{40})", uri)
        if found is None:
            raise Unsupported("rtorrent: no v1 hash in hex in the link")
        self._load("load.start", uri, save_dir, found.group(1).upper())

    def connect_peer(self, address):
        self.rpc("add_peer", self._hash, f"{address[0]}:{address[1]}")

    def _is_metadata(self):
        return bool(self.rpc("d.is_meta", self._hash))

    def progress(self):
        if self._is_metadata():
            return Progress(0, 0)
        return Progress(int(self.rpc("d.completed_bytes", self._hash)), int(self.rpc("d.size_bytes", self._hash)))

    def is_complete(self):
        try:
            return (not self._is_metadata() and self.rpc("d.complete", self._hash) == 1
                    and self.rpc("d.hashing", self._hash) == 0 and self.rpc("d.is_active", self._hash) == 1)
        except ClientError:
            return False  # between the metadata and the torrent itself there is no such download

    def peers(self):
        rows = self.rpc("p.multicall", self._hash, "", "p.address=", "p.port=")
        return [f"{address}:{port}" for address, port in rows]

    def uploaded(self):
        return int(self.rpc("d.up.total", self._hash))

    def version(self):
        return f"rtorrent {self._version}"

    def stop(self):
        super().stop()
        if getattr(self, "_socket_dir", None) is not None:
            self._socket.unlink(missing_ok=True)
            os.rmdir(self._socket_dir)
            self._socket_dir = None
