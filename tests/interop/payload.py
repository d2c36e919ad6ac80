"""Test content: a folder with the awkward cases, its torrents and magnet links."""

import hashlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import libtorrent as lt

KIB, MIB = 1 << 10, 1 << 20
VERSIONS = ("v1", "v2", "hybrid")


def random_bytes(size, seed):
    """Reproducible incompressible bytes."""
    return random.Random(seed).randbytes(size)


def write_file(path, size, seed):
    """A file of random bytes, written in steps so that size may be large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)
    with open(path, "wb") as file:
        while size > 0:
            step = min(size, 4 * MIB)
            file.write(source.randbytes(step))
            size -= step
    return path


def make_folder(parent, name="holiday", size=12 * MIB, seed=1):
    """A folder with nested folders, an empty file, a 1-byte file, unicode names,
    and sizes that leave pieces and blocks unaligned."""
    root = Path(parent) / name
    write_file(root / "large.bin", size - 2 * MIB, seed)
    write_file(root / "nested" / "deeper" / "inner.bin", MIB + 12_345, seed + 1)
    write_file(root / "nested" / "grüße – 写真 📷.jpg", MIB - 54_321, seed + 2)
    write_file(root / "one byte", 1, seed + 3)
    write_file(root / "empty.txt", 0, seed + 4)
    write_file(root / "block.bin", 16 * KIB, seed + 5)
    return root


def make_torrent(content, path, version, piece_size=32 * KIB, trackers=(), private=False):
    """A .torrent of ``content`` made by libtorrent (a foreign creator)."""
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    storage = lt.file_storage()
    lt.add_files(storage, str(content))
    creator = lt.create_torrent(storage, piece_size, flags)
    for tier, tracker in enumerate(trackers):
        creator.add_tracker(tracker, tier)
    creator.set_priv(private)
    lt.set_piece_hashes(creator, str(Path(content).parent))
    Path(path).write_bytes(lt.bencode(creator.generate()))
    return Path(path)


@dataclass(frozen=True)
class Hashes:
    """Infohashes in hex; None for one that the torrent has not."""

    v1: str | None
    v2: str | None

    @classmethod
    def of(cls, torrent):
        hashes = lt.torrent_info(str(torrent)).info_hashes()
        return cls(str(hashes.v1) if hashes.has_v1() else None, str(hashes.v2) if hashes.has_v2() else None)


def magnet(torrent, trackers=(), peers=()):
    """The standard magnet link: btih, btmh, or both for a hybrid."""
    hashes = Hashes.of(torrent)
    parts = []
    if hashes.v1:
        parts.append(f"xt=urn:btih:{hashes.v1}")
    if hashes.v2:
        parts.append(f"xt=urn:btmh:1220{hashes.v2}")
    parts.append("dn=" + quote(lt.torrent_info(str(torrent)).name()))
    parts += [f"tr={quote(tracker, safe='')}" for tracker in trackers]
    parts += [f"x.pe={host}:{port}" for host, port in peers]
    return "magnet:?" + "&".join(parts)


def tree(root):
    """Relative path -> SHA-256 of every file below root (or of the one file)."""
    root = Path(root)
    if root.is_file():
        return {".": hashlib.sha256(root.read_bytes()).hexdigest()}
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        # Pad files of hybrid torrents are no content; no client needs to keep them.
        if path.is_file() and relative.parts[0] not in (".pad", ".____padding_file"):
            with open(path, "rb") as file:
                found[str(relative)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


EMPTY = hashlib.sha256(b"").hexdigest()


def assert_same(original, copy, may_lack_empty_files=False):
    """Byte-identical, name for name."""
    want, have = tree(original), tree(copy)
    if may_lack_empty_files:
        want = {path: digest for path, digest in want.items() if digest != EMPTY}
        have = {path: digest for path, digest in have.items() if digest != EMPTY}
    missing = sorted(set(want) - set(have))
    extra = sorted(set(have) - set(want))
    differ = sorted(path for path in set(want) & set(have) if want[path] != have[path])
    assert not (missing or extra or differ), f"missing {missing}, extra {extra}, differ {differ}"


def copy_to(content, folder, pads_of=None):
    """A private copy of the content, for a client that seeds it.

    A client that takes a hybrid torrent for a v1 torrent wants the pad files on
    disk as well: ``pads_of`` names the torrent whose pad files to write.
    """
    target = Path(folder) / Path(content).name
    if Path(content).is_dir():
        shutil.copytree(content, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(content, target)
    if pads_of is not None:
        files = lt.torrent_info(str(pads_of)).files()
        for index in range(files.num_files()):
            if files.file_flags(index) & lt.file_storage.flag_pad_file:
                pad = Path(folder) / files.file_path(index)
                pad.parent.mkdir(exist_ok=True)
                pad.write_bytes(bytes(files.file_size(index)))
    return target
