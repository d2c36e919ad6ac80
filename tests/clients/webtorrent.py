"""webtorrent (npm) over plain TCP, a client in a node worker process."""

import json
from pathlib import Path

from . import tools
from .jsonlines import JsonLinesClient


class WebTorrent(JsonLinesClient):
    """Listens on all interfaces: it has no option for the address."""

    name = "webtorrent"

    def _start(self):
        index = tools.node_module("webtorrent/index.js")
        options = {
            "port": self.port,
            "download": self.limits.download,
            "upload": self.limits.upload,
            "pex": self.limits.pex,
            "utp": self.utp,
            "dht": None if self.dht is None else [f"{host}:{port}" for host, port in self.dht],
            "secure": ("off", "allow", "require").index(self.encryption),
        }
        worker = Path(__file__).with_name("webtorrent_worker.mjs")
        self._spawn([*tools.node(), str(worker), str(index), json.dumps(options)])
