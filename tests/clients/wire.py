"""The plain BitTorrent v1 peer wire for asyncio: enough to seed, leech and lie."""

import asyncio
import hashlib
import mmap
import os
import struct
from pathlib import Path

from . import bencode

PROTOCOL = b"\x13BitTorrent protocol"
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, PORT = range(10)
EXTENDED = 20
BLOCK = 16 * 1024
RESERVED_EXTENDED = bytes([0, 0, 0, 0, 0, 0x10, 0, 0])
MESSAGE_MAX = 4 << 20
EXTENSION_IDS = {"ut_metadata": 1, "ut_pex": 2}


class Closed(Exception):
    """The other side closed or reset the connection."""


class RawTorrent:
    """Geometry, hashes and (where given) bytes of a v1 or hybrid torrent."""

    def __init__(self, torrent, content=None):
        metainfo = bencode.decode(Path(torrent).read_bytes())
        info = metainfo[b"info"]
        self.info = bencode.encode(info)
        self.infohash = hashlib.sha1(self.info).digest()
        self.piece_size = info[b"piece length"]
        hashes = info[b"pieces"]
        self.hashes = [hashes[at:at + 20] for at in range(0, len(hashes), 20)]
        self.files = self._files(info)
        self.total = sum(size for _, size, _ in self.files)
        self.data = None if content is None else self._load(Path(content), b"files" in info)

    @staticmethod
    def _files(info):
        if b"files" not in info:
            return [(info[b"name"].decode(), info[b"length"], False)]
        return [("/".join(part.decode() for part in file[b"path"]), file[b"length"], b"p" in file.get(b"attr", b""))
                for file in info[b"files"]]

    def _load(self, content, is_folder):
        if not is_folder:
            with open(content, "rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return b"".join(bytes(size) if pad else (content / path).read_bytes() for path, size, pad in self.files)

    @property
    def piece_count(self):
        return len(self.hashes)

    def piece_length(self, index):
        return min(self.piece_size, self.total - index * self.piece_size)

    def blocks(self, index):
        """(begin, length) of each block of a piece."""
        length = self.piece_length(index)
        return [(begin, min(BLOCK, length - begin)) for begin in range(0, length, BLOCK)]

    def read(self, index, begin, length):
        start = index * self.piece_size + begin
        return self.data[start:start + length]

    def is_good(self, index, data):
        return hashlib.sha1(data).digest() == self.hashes[index]

    def bitfield(self, have=None):
        """Bitfield of a set of pieces (None: all)."""
        bits = bytearray((self.piece_count + 7) // 8)
        for index in range(self.piece_count) if have is None else have:
            bits[index // 8] |= 0x80 >> index % 8
        return bytes(bits)

    def pieces_of(self, bitfield):
        return {index for index in range(self.piece_count) if bitfield[index // 8] & 0x80 >> index % 8}


class Link:
    """One peer-wire connection, after the TCP connection is made."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.address = writer.get_extra_info("peername")
        self.remote_extensions = {}
        self.remote_handshake = {}

    @classmethod
    async def dial(cls, address, local_host=None, timeout=10):
        local = (local_host, 0) if local_host else None
        connecting = asyncio.open_connection(*address, local_addr=local, limit=1 << 20)
        return cls(*await asyncio.wait_for(connecting, timeout))

    async def handshake(self, infohash, peer_id=None, reserved=RESERVED_EXTENDED, accept=None, timeout=15):
        """Exchanges handshakes. With ``accept`` (a server), reads first."""
        peer_id = peer_id or b"-XX0001-" + os.urandom(12)
        mine = PROTOCOL + reserved + infohash + peer_id
        if not accept:
            await self.send_raw(mine)
        theirs = await asyncio.wait_for(self.read_exactly(68), timeout)
        if theirs[:20] != PROTOCOL or theirs[28:48] != infohash:
            raise Closed("handshake of something else")
        if accept:
            await self.send_raw(mine)
        self.remote_reserved = theirs[20:28]
        self.remote_id = theirs[48:68]
        return theirs

    async def send_extended_handshake(self, **fields):
        await self.send_extended(0, {"m": EXTENSION_IDS, "reqq": 2000, "v": "raw test peer", **fields})

    async def send_extended(self, extension, fields, trailer=b""):
        await self.send(EXTENDED, bytes([extension]) + bencode.encode(fields) + trailer)

    async def read_exactly(self, size):
        try:
            return await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Closed(str(error)) from None

    async def send_raw(self, data):
        if self.writer.is_closing():
            raise Closed("closed")
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Closed(str(error)) from None

    async def send(self, kind, payload=b""):
        await self.send_raw(struct.pack(">IB", len(payload) + 1, kind) + payload)

    async def request(self, index, begin, length):
        await self.send(REQUEST, struct.pack(">III", index, begin, length))

    async def message(self, timeout=None):
        """(kind, payload) of the next message that is no keep-alive."""
        while True:
            size = int.from_bytes(await asyncio.wait_for(self.read_exactly(4), timeout), "big")
            if size > MESSAGE_MAX:
                raise Closed(f"message of {size} bytes")
            if size:
                body = await asyncio.wait_for(self.read_exactly(size), timeout)
                if body[0] == EXTENDED and len(body) > 1 and body[1] == 0:
                    self._learn(body[2:])
                return body[0], body[1:]

    def _learn(self, payload):
        self.remote_handshake, _ = bencode.decode_prefix(payload)
        self.remote_extensions = {
            name.decode(): value for name, value in self.remote_handshake.get(b"m", {}).items() if value}

    def close(self):
        """Closes at once, with a reset: nothing lingers."""
        self.writer.transport.abort()
