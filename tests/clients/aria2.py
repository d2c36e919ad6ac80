"""aria2, driven by its JSON-RPC: 1.36 (this Debian) and 1.37 (the next).

It has no way to be told of a peer: others dial it, or it learns of them from an
HTTP tracker or by peer exchange.
"""

import base64
import json
import secrets

from . import tools
from .base import Client, ClientError, Process, Progress, START_TIMEOUT_S, wait_for
from .netns import opener
from .ports import free_port


class Aria2(Client):
    """aria2 1.36."""

    name = "aria2-1.36"
    can_connect = False

    def _command(self):
        return tools.system("aria2c")

    def _dht(self):
        if self.dht is None:
            return ["--enable-dht=false"]
        entry = [f"--dht-entry-point={host}:{port}" for host, port in self.dht[:1]]
        return ["--enable-dht=true", f"--dht-listen-port={self.port}", *entry,
                f"--dht-file-path={self.workdir / 'dht.dat'}"]

    def _start(self):
        self._gid = None
        self._secret = secrets.token_hex(8)
        rpc_port = free_port()
        command = [
            *self._command(),
            "--no-conf=true",
            "--enable-rpc=true",
            f"--rpc-listen-port={rpc_port}",
            f"--rpc-listen-all={'false' if self.netns is None else 'true'}",
            f"--rpc-secret={self._secret}",
            f"--listen-port={self.port}",
            f"--interface={self.host}",
            "--disable-ipv6=true",
            *self._dht(),
            "--enable-dht6=false",
            *(["--bt-enable-lpd=true", f"--bt-lpd-interface={self.host}"] if self.lan else ["--bt-enable-lpd=false"]),
            f"--enable-peer-exchange={'true' if self.limits.pex else 'false'}",
            *(["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"] if self.encryption == "require" else []),
            "--seed-ratio=0.0",
            "--file-allocation=none",
            "--check-integrity=true",
            "--allow-overwrite=true",
            "--bt-save-metadata=false",
            "--follow-torrent=mem",
            f"--max-overall-download-limit={self.limits.download or 0}",
            f"--max-overall-upload-limit={self.limits.upload or 0}",
            "--summary-interval=0",
            f"--log={self.workdir / 'aria2-full.log'}",
            "--log-level=info",
        ]
        self.process = Process(command, self.workdir, self.name, netns=self.netns)
        rpc_host = "127.0.0.1" if self.netns is None else self.host
        self._url = f"http://{rpc_host}:{rpc_port}/jsonrpc"
        self._opener = opener(self.netns)
        wait_for(self._answers, START_TIMEOUT_S, f"{self.name} answers")

    def _answers(self):
        self.process.check_alive()
        try:
            self._version = self.rpc("getVersion")["version"]
            return True
        except OSError:
            return False

    def rpc(self, method, *params):
        """One JSON-RPC call of the aria2 namespace."""
        body = json.dumps({"jsonrpc": "2.0", "id": "t", "method": f"aria2.{method}",
                           "params": [f"token:{self._secret}", *params]}).encode()
        with self._opener.open(self._url, body, timeout=10) as response:
            answer = json.load(response)
        if "error" in answer:
            raise ClientError(f"{self.name}: {method}: {answer['error']}")
        return answer["result"]

    def add_torrent(self, path, save_dir, seed):
        with open(path, "rb") as file:
            metainfo = base64.b64encode(file.read()).decode()
        self._gid = self.rpc("addTorrent", metainfo, [], {"dir": str(save_dir)})
        if seed:
            wait_for(self.is_complete, START_TIMEOUT_S, f"{self.name} has checked the data")

    def add_magnet(self, uri, save_dir):
        self._gid = self.rpc("addUri", [uri], {"dir": str(save_dir)})

    def status(self):
        """Status of the torrent; a magnet's metadata download leads to it."""
        status = self.rpc("tellStatus", self._gid)
        while status.get("followedBy"):
            self._gid = status["followedBy"][0]
            status = self.rpc("tellStatus", self._gid)
        if status["status"] == "error":
            raise ClientError(f"{self.name}: {status.get('errorMessage')}")
        return status

    def _has_metadata(self, status):
        return "info" in status.get("bittorrent", {})

    def progress(self):
        status = self.status()
        if not self._has_metadata(status):
            return Progress(0, 0)
        return Progress(int(status["completedLength"]), int(status["totalLength"]))

    def is_complete(self):
        status = self.status()
        return self._has_metadata(status) and status.get("seeder") == "true"

    def peers(self):
        if self.status()["status"] != "active":
            return []
        return [f"{peer['ip']}:{peer['port']}" for peer in self.rpc("getPeers", self._gid)]

    def uploaded(self):
        return int(self.status()["uploadLength"])

    def version(self):
        return f"aria2 {self._version}"

    def stop(self):
        if self.process is not None:
            self.process.kill()  # its orderly end waits for trackers
            self.process = None


class Aria2Next(Aria2):
    """aria2 1.37."""

    name = "aria2-1.37"

    def _command(self):
        return tools.next_release("aria2c")
