"""bittorrent-dht (npm): a node of the DHT in a node worker process, and no client of torrents."""

import json
from pathlib import Path

from . import tools
from .jsonlines import JsonLinesClient


class BittorrentDht(JsonLinesClient):
    """Looks up, announces, puts and gets; ``dht`` names where it begins."""

    name = "bittorrent-dht"

    def _start(self):
        index = tools.node_module("bittorrent-dht/index.js")
        bootstrap = [f"{host}:{port}" for host, port in self.dht] if self.dht else None
        options = {"host": self.host, "port": self.port, "bootstrap": bootstrap}
        worker = Path(__file__).with_name("bittorrent_dht_worker.mjs")
        self._spawn([*tools.node(), str(worker), str(index), json.dumps(options)])

    def announce(self, infohash, port):
        self.call("announce", infohash=infohash, port=port)

    def lookup(self, infohash):
        """Addresses of peers, as ``ip:port``."""
        return self.call("lookup", infohash=infohash)

    def dht_joined(self):
        """As :meth:`Libtorrent.dht_joined`."""
        return self.call("dht_joined")

    def dht_put(self, text, key=None, salt=""):
        """As :meth:`Libtorrent.dht_put`."""
        return self.call("dht_put", text=text, seed=key and key[0], salt=salt)

    def dht_publish(self, infohash, key):
        """Makes a torrent the newest under a key (BEP 46)."""
        return self.call("dht_put", text="", seed=key[0], infohash=infohash)

    def dht_get(self, target, salt=""):
        """As :meth:`Libtorrent.dht_get`."""
        return self.call("dht_get", target=target, salt=salt)
