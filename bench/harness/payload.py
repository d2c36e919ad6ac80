"""The files that are transferred, and their torrents."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from clients import bencode
from interop.payload import make_torrent

from .measure import MIB

FILE_NAME = "payload.bin"


@dataclass(frozen=True)
class Kind:
    """What sort of torrent: format and piece size."""

    version: str  # v1, v2 or hybrid
    piece_mib: int

    def __str__(self):
        return f"{self.version}, {self.piece_mib} MiB pieces"


class Payload:
    """One file of incompressible bytes on tmpfs, hard-linked to every seed."""

    def __init__(self, folder, size):
        self.size = size
        self.folder = Path(folder) / f"payload-{size // MIB}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / FILE_NAME
        self.creation_s = {}
        if not self.path.exists() or self.path.stat().st_size != size:
            with open(self.path, "wb") as file:
                for _ in range(size // MIB):
                    file.write(os.urandom(MIB))

    def torrent(self, kind, announce=None):
        """Path of the .torrent, made at the first call by libtorrent."""
        path = self.folder / f"{kind.version}-{kind.piece_mib}.torrent"
        if not path.exists():
            start = time.monotonic()
            make_torrent(self.path, path, kind.version, kind.piece_mib * MIB)
            self.creation_s[kind] = time.monotonic() - start
        if announce is None:
            return path
        metainfo = bencode.decode(path.read_bytes())
        metainfo[b"announce"] = announce
        tracked = path.with_suffix(".tracked.torrent")
        tracked.write_bytes(bencode.encode(metainfo))
        return tracked

    def link_into(self, folder):
        """Gives a seed its own name for the same file; no byte is copied."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).hardlink_to(self.path)

    def same_as(self, path):
        """Whether the file at ``path`` has the same bytes."""
        with open(self.path, "rb") as ours, open(path, "rb") as theirs:
            while True:
                left, right = ours.read(4 * MIB), theirs.read(4 * MIB)
                if left != right:
                    return False
                if not left:
                    return True
