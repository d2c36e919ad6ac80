"""qBittorrent-nox, driven by its web API: 4.5 (this Debian) and 5 (the next)."""

import json
import urllib.parse
import urllib.request
import uuid

from . import tools
from .base import Client, ClientError, Process, Progress, START_TIMEOUT_S, wait_for
from .netns import opener
from .ports import free_port

CONFIG = r"""[LegalNotice]
Accepted=true

[BitTorrent]
Session\Port={port}
Session\Interface=lo
Session\InterfaceAddress={host}
Session\DHTEnabled={dht}
Session\DHTBootstrapNodes={seeds}
Session\LSDEnabled=false
Session\PeXEnabled={pex}
Session\BTProtocol={protocol}
Session\Encryption={encryption}
Session\MultiConnectionsPerIp=true
Session\QueueingSystemEnabled=false
Session\GlobalDLSpeedLimit={download}
Session\GlobalUPSpeedLimit={upload}
Session\IncludeOverheadInLimits=false
Session\IgnoreLimitsOnLAN=false
Session\AnnounceToAllTrackers=true
Session\AnnounceToAllTiers=true
Session\SSRFMitigation=false
Session\BlockPeersOnPrivilegedPorts=false
Session\GlobalMaxRatio=-1

[Network]
PortForwardingEnabled=false

[Preferences]
WebUI\Enabled=true
WebUI\Address={web_host}
WebUI\LocalHostAuth=false
WebUI\AuthSubnetWhitelistEnabled=true
WebUI\AuthSubnetWhitelist=127.0.0.0/8, 10.77.0.0/24
WebUI\CSRFProtection=false
WebUI\HostHeaderValidation=false
WebUI\UseUPnP=false
"""
ENCRYPTION = {"allow": 0, "require": 1, "off": 2}
KIB = 1024


class QBittorrent4(Client):
    """qBittorrent-nox 4.5."""

    name = "qbittorrent-4"

    def _command(self):
        return tools.system("qbittorrent-nox")

    def _start(self):
        self._torrent = None
        web_port = free_port()
        web_host = "127.0.0.1" if self.netns is None else self.host
        config = self.workdir / "qBittorrent" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "qBittorrent.conf").write_text(CONFIG.format(
            port=self.port,
            dht="false" if self.dht is None else "true",
            seeds='"' + ", ".join(f"{host}:{port}" for host, port in self.dht or []) + '"',
            host=self.host,
            web_host=web_host,
            pex="true" if self.limits.pex else "false",
            encryption=ENCRYPTION[self.encryption],
            protocol="UTP" if self.utp else "TCP",
            download=(self.limits.download or 0) // KIB,
            upload=(self.limits.upload or 0) // KIB,
        ))
        self._url = f"http://{web_host}:{web_port}/api/v2/"
        self._opener = opener(self.netns)
        command = [*self._command(), f"--profile={self.workdir}", f"--webui-port={web_port}"]
        self.process = Process(command, self.workdir, self.name, netns=self.netns)
        wait_for(self._answers, START_TIMEOUT_S, f"{self.name} answers")

    def _answers(self):
        self.process.check_alive()
        try:
            self._version = self.api("app/version")
            return True
        except OSError:
            return False

    def api(self, path, **form):
        """GET without a form, POST with one; returns the text."""
        body = urllib.parse.urlencode(form).encode() if form else None
        with self._opener.open(self._url + path, body, timeout=10) as response:
            return response.read().decode()

    def _add(self, save_dir, name, content, filename=None):
        """POST torrents/add as multipart, then wait until the torrent is listed."""
        fields = [("savepath", str(save_dir)), ("contentLayout", "Original"), ("paused", "false"),
                  ("stopped", "false"), ("autoTMM", "false"), ("skip_checking", "false")]
        boundary = uuid.uuid4().hex
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                 for key, value in fields]
        suffix = f'; filename="{filename}"\r\nContent-Type: application/x-bittorrent' if filename else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{suffix}\r\n\r\n'.encode()
        body = b"".join(parts) + head + content + f"\r\n--{boundary}--\r\n".encode()
        request = urllib.request.Request(
            self._url + "torrents/add", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        with self._opener.open(request, timeout=10) as response:
            answer = response.read().decode()
        if "Fails" in answer:
            raise ClientError(f"{self.name}: torrents/add: {answer}")
        wait_for(self._info, START_TIMEOUT_S, f"{self.name} lists the torrent")

    def add_torrent(self, path, save_dir, seed):
        with open(path, "rb") as file:
            self._add(save_dir, "torrents", file.read(), "x.torrent")
        if seed:
            wait_for(self.is_complete, START_TIMEOUT_S, f"{self.name} has checked the data")

    def add_magnet(self, uri, save_dir):
        self._add(save_dir, "urls", uri.encode())

    def _info(self):
        listed = json.loads(self.api("torrents/info"))
        return listed[0] if listed else None

    def connect_peer(self, address):
        self.api("torrents/addPeers", hashes=self._info()["hash"], peers=f"{address[0]}:{address[1]}")

    def progress(self):
        info = self._info()
        if info["state"] == "metaDL" or info["size"] <= 0:
            return Progress(0, 0)
        return Progress(info["completed"], info["size"])

    def is_complete(self):
        info = self._info()
        return info["progress"] == 1 and info["state"] in ("uploading", "stalledUP", "forcedUP")

    def peers(self):
        answer = json.loads(self.api(f"sync/torrentPeers?hash={self._info()['hash']}"))
        return list(answer.get("peers", {}))

    def uploaded(self):
        return self._info()["uploaded"]

    def version(self):
        return f"qBittorrent {self._version.lstrip('v')}"


class QBittorrent5(QBittorrent4):
    """qBittorrent-nox 5.1."""

    name = "qbittorrent-5"

    def _command(self):
        return tools.next_release("qbittorrent-nox")
