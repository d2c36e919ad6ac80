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


class Libtorrent(JsonLinesClient):
    """``settings`` go over the worker's defaults (see libtorrent_worker.py)."""

    name = "libtorrent"

    def __init__(self, limits=None, host="127.0.0.1", netns=None, settings=None, encryption="off", utp=False):
        super().__init__(limits, host, netns, encryption, utp)
        self.settings = {**ENCRYPTION[encryption], **(UTP if utp else {}), **(settings or {})}

    def _start(self):
        options = {
            "host": self.host,
            "port": self.port,
            "download": self.limits.download,
            "upload": self.limits.upload,
            "pex": self.limits.pex,
            "settings": self.settings,
        }
        worker = Path(__file__).with_name("libtorrent_worker.py")
        self._spawn([*tools.python(), str(worker), json.dumps(options)])
