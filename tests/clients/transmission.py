"""transmission-daemon, driven by its RPC: 3.00 (this Debian) and 4 (the next).

It takes 127.0.0.0/8 for "martian": it never dials a loopback peer nor takes one
from a tracker, but accepts connections from one. So peers dial it, or it lives
in a network namespace with other addresses (``netns`` and ``host``).
"""

import base64
import json
import urllib.error
import urllib.request

from . import tools
from .base import Client, ClientError, Process, Progress, START_TIMEOUT_S, Unsupported, wait_for
from .netns import opener
from .ports import free_port

SESSION_HEADER = "X-Transmission-Session-Id"
KIB = 1024


class Transmission3(Client):
    """transmission 3.00."""

    name = "transmission-3"
    can_connect = False

    def _command(self):
        return tools.system("transmission-daemon")

    def _settings(self, rpc_port):
        return {
            "rpc-bind-address": "127.0.0.1" if self.netns is None else self.host,
            "rpc-port": rpc_port,
            "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False,
            "rpc-authentication-required": False,
            "bind-address-ipv4": self.host,
            "peer-port": self.port,
            "peer-port-random-on-start": False,
            "port-forwarding-enabled": False,
            "dht-enabled": self.dht is not None,
            "lpd-enabled": self.lan,
            "utp-enabled": self.utp,
            "tcp-enabled": not self.utp,  # transmission 4 knows it
            "pex-enabled": self.limits.pex,
            "encryption": 2 if self.encryption == "require" else 0,
            "preallocation": 0,
            "rename-partial-files": False,
            "ratio-limit-enabled": False,
            "idle-seeding-limit-enabled": False,
            "speed-limit-down-enabled": self.limits.download is not None,
            "speed-limit-down": (self.limits.download or 0) // KIB,
            "speed-limit-up-enabled": self.limits.upload is not None,
            "speed-limit-up": (self.limits.upload or 0) // KIB,
            "message-level": 4,
        }

    def _start(self):
        self._session = ""
        self._hash = None
        self._rpc_port = free_port()
        settings = self._settings(self._rpc_port)
        (self.workdir / "settings.json").write_text(json.dumps(settings))
        if self.dht is not None:
            lines = "".join(f"{host} {port}\n" for host, port in self.dht)
            (self.workdir / "dht.bootstrap").write_text(lines)
        command = [*self._command(), "--foreground", "--config-dir", str(self.workdir)]
        environment = {"TR_CURL_VERBOSE": "", "EVENT_NOEPOLL": "1"}
        self.process = Process(command, self.workdir, self.name, env=environment, netns=self.netns)
        self._url = f"http://{settings['rpc-bind-address']}:{self._rpc_port}/transmission/rpc"
        self._opener = opener(self.netns)
        wait_for(self._answers, START_TIMEOUT_S, f"{self.name} answers")

    def _answers(self):
        self.process.check_alive()
        try:
            self._version = self.rpc("session-get")["version"]
            return True
        except OSError:
            return False

    def rpc(self, method, **arguments):
        """One RPC call; the first answer is 409 and carries the session id."""
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request(self._url, body, {SESSION_HEADER: self._session})
            try:
                with self._opener.open(request, timeout=10) as response:
                    answer = json.load(response)
                break
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise
                self._session = error.headers[SESSION_HEADER]
        if answer["result"] != "success":
            raise ClientError(f"{self.name}: {method}: {answer['result']}")
        return answer["arguments"]

    def _add(self, save_dir, **what):
        arguments = {"download-dir": str(save_dir), "paused": False, **what}
        answer = self.rpc("torrent-add", **arguments)
        added = answer.get("torrent-added") or answer["torrent-duplicate"]
        self._hash = added["hashString"]

    def add_torrent(self, path, save_dir, seed):
        with open(path, "rb") as file:
            self._add(save_dir, metainfo=base64.b64encode(file.read()).decode())
        if seed:
            wait_for(self.is_complete, START_TIMEOUT_S, f"{self.name} has checked the data")

    def add_magnet(self, uri, save_dir):
        self._add(save_dir, filename=uri)

    def connect_peer(self, address):
        raise Unsupported(f"{self.name} dials no peer that it is told of")

    def status(self):
        """The fields of torrent-get that the driver uses."""
        fields = ["haveValid", "sizeWhenDone", "leftUntilDone", "metadataPercentComplete", "status",
                  "uploadedEver", "downloadedEver", "corruptEver", "peers", "errorString"]
        return self.rpc("torrent-get", ids=[self._hash], fields=fields)["torrents"][0]

    def progress(self):
        status = self.status()
        total = status["sizeWhenDone"] if status["metadataPercentComplete"] == 1 else 0
        return Progress(status["haveValid"], total)

    def is_complete(self):
        status = self.status()
        return (status["metadataPercentComplete"] == 1 and status["sizeWhenDone"] > 0
                and status["leftUntilDone"] == 0 and status["status"] == 6)

    def peers(self):
        return [f"{peer['address']}:{peer['port']}" for peer in self.status()["peers"]]

    def uploaded(self):
        return self.status()["uploadedEver"]

    def version(self):
        return f"transmission {self._version.split()[0]}"


class Transmission4(Transmission3):
    """transmission 4.1."""

    name = "transmission-4"

    def _command(self):
        return tools.next_release("transmission-daemon")

    def _settings(self, rpc_port):
        return {**super()._settings(rpc_port), "preferred_transports": ["tcp"]}
