"""libtorrent (newest on PyPI), a session in a worker process."""

import json
from pathlib import Path

from . import tools
from .jsonlines import JsonLinesClient

#: settings of a fast session, for the benchmark
TUNED = {
    "send_buffer_watermark": 4 << 20,
    "send_buffer_low_watermark": 1 << 20,
    "max_out_request_queue": 2000,
    "hashing_threads": 2,
    "aio_threads": 2,
}

#: pe_enabled; pe_forced with pe_rc4 alone; "off" is the worker's own default
ENCRYPTION = {
    "off": {},
    "allow": {"in_enc_policy": 1, "out_enc_policy": 1},
    "require": {"in_enc_policy": 0, "out_enc_policy": 0, "allowed_enc_level": 2, "prefer_rc4": True},
}

#: no TCP, so that nothing else can have carried what arrives
UTP = {
    "enable_incoming_utp": True,
    "enable_outgoing_utp": True,
    "enable_incoming_tcp": False,
    "enable_outgoing_tcp": False,
}


#: a DHT of few nodes with nearby addresses; TCP and uTP as they come
DHT = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_enforce_node_id": False,
    "dht_prefer_verified_node_ids": False,
}


class Libtorrent(JsonLinesClient):
    """``settings`` go over the worker's defaults (see libtorrent_worker.py)."""

    name = "libtorrent"

    def __init__(self, limits=None, host="127.0.0.1", netns=None, settings=None, encryption="off", utp=False, dht=None):
        super().__init__(limits, host, netns, encryption, utp, dht)
        self.settings = {**ENCRYPTION[encryption], **(UTP if utp else {}), **(settings or {})}
        if dht is not None:
            self.settings.update(DHT, dht_bootstrap_nodes=",".join(f"{host}:{port}" for host, port in dht))

    def _start(self):
        options = {
            "host": self.host,
            "port": self.port,
            "download": self.limits.download,
            "upload": self.limits.upload,
            "pex": self.limits.pex,
            "dht": self.dht is not None,
            "lan": self.lan,
            "settings": self.settings,
        }
        worker = Path(__file__).with_name("libtorrent_worker.py")
        self._spawn([*tools.python(), str(worker), json.dumps(options)])

    def dht_joined(self):
        """Whether it has found its place in the network."""
        return self.call("dht_joined")

    def dht_put(self, text, key=None, salt=""):
        """Stores a text; ``key``: seed and public key in hex, for a mutable item. Returns where, in hex."""
        seed, public = key or (None, None)
        return self.call("dht_put", text=text, seed=seed, public=public, salt=salt)

    def dht_get(self, target, salt=""):
        """What is stored under a hash (40 digits) or a public key (64); None when nothing comes."""
        return self.call("dht_get", target=target, salt=salt)
