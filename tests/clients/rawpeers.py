"""Raw peers that take: a checking leecher, and traders for tit-for-tat."""

import asyncio
import struct
import time

from . import wire
from .hostile import Bucket
from .wire import Closed, Link


async def open_link(address, torrent, have=frozenset(), local_host=None, extended=False):
    """Dials, shakes hands, and sends the bitfield."""
    link = await Link.dial(address, local_host)
    reserved = wire.RESERVED_EXTENDED if extended else bytes(8)
    await link.handshake(torrent.infohash, reserved=reserved)
    if extended and link.remote_reserved[5] & 0x10:
        await link.send_extended_handshake()
    if have:
        await link.send(wire.BITFIELD, torrent.bitfield(have))
    return link


class Leecher:
    """Asks one seed for pieces and checks each against its hash."""

    def __init__(self, torrent, address, local_host=None):
        self.torrent = torrent
        self.address = address
        self.local_host = local_host
        self.link = None
        self.good, self.bad, self.refused = [], [], []
        self.available = set()

    async def connect(self, timeout=30):
        """Until unchoked and the seed has said what it has."""
        self.link = await open_link(self.address, self.torrent, local_host=self.local_host)
        await self.link.send(wire.INTERESTED)
        deadline = time.monotonic() + timeout
        while True:
            kind, payload = await self.link.message(max(0.1, deadline - time.monotonic()))
            self._note(kind, payload)
            if kind == wire.UNCHOKE:
                return self

    def _note(self, kind, payload):
        if kind == wire.BITFIELD:
            self.available |= self.torrent.pieces_of(payload)
        elif kind == wire.HAVE:
            self.available.add(int.from_bytes(payload, "big"))

    async def fetch(self, index, timeout=5):
        """One piece; "good", "bad", or "refused" (no or partial answer, or closed)."""
        try:
            verdict = await asyncio.wait_for(self._fetch(index), timeout)
        except (Closed, TimeoutError, ConnectionError):
            verdict = "refused"
        getattr(self, verdict).append(index)
        return verdict

    async def _fetch(self, index):
        wanted = self.torrent.blocks(index)

        async def ask():
            for begin, length in wanted:
                await self.link.request(index, begin, length)

        await ask()
        got = {}
        while len(got) < len(wanted):
            kind, payload = await self.link.message()
            if kind == wire.PIECE:
                piece, begin = struct.unpack(">II", payload[:8])
                if piece == index:
                    got[begin] = payload[8:]
            elif kind == wire.UNCHOKE:  # after a choke, which has dropped the requests
                await ask()
            else:
                self._note(kind, payload)
        data = b"".join(got[begin] for begin, _ in wanted)
        return "good" if self.torrent.is_good(index, data) else "bad"

    async def fetch_all(self, timeout=60):
        """All pieces, a few at a time in order; returns seconds taken."""
        start = time.monotonic()
        for index in range(self.torrent.piece_count):
            if await self.fetch(index, timeout) != "good":
                raise Closed(f"piece {index} of {self.torrent.piece_count}: not served")
        return time.monotonic() - start

    def close(self):
        if self.link:
            self.link.close()


class Observer:
    """A peer that has nothing, wants nothing, and notes what the other side says it
    has. (To a seed, many clients do not say it: the seed has all of it anyway.)"""

    def __init__(self, torrent, haves, local_host):
        self.torrent = torrent
        self.haves = haves
        self.local_host = local_host
        self.connections = 0

    async def run(self, address):
        """Watches until cancelled; connects again whenever the other side comes back."""
        while True:
            link = None
            try:
                link = await open_link(address, self.torrent, local_host=self.local_host)
                self.connections += 1
                while True:
                    kind, payload = await link.message()
                    if kind == wire.BITFIELD:
                        self.haves |= self.torrent.pieces_of(payload)
                    elif kind == wire.HAVE:
                        self.haves.add(int.from_bytes(payload, "big"))
            except (Closed, OSError, TimeoutError):
                await asyncio.sleep(0.02)
            finally:
                if link:
                    link.close()


class Trader:
    """A peer that takes what it can, and gives (reciprocator) or never gives.

    It keeps asking for the pieces it lacks while it is unchoked, counts what it
    gets, and answers requests at ``upload`` bytes/s; 0 means that it never
    unchokes: a free rider.
    """

    PIPELINE = 16

    def __init__(self, torrent, have, upload, local_host):
        self.torrent = torrent
        self.have = set(have)
        self.upload = upload
        self.local_host = local_host
        self.bucket = Bucket(upload) if upload else None
        self.received = 0
        self.sent = 0
        self.unchoked_times = 0

    async def run(self, address):
        """Trades until cancelled; connects again when dropped."""
        while True:
            link = None
            try:
                link = await open_link(address, self.torrent, self.have, self.local_host)
                await self._trade(link)
            except (Closed, ConnectionError, TimeoutError):
                await asyncio.sleep(1)
            finally:
                if link:
                    link.close()

    async def _trade(self, link):
        await link.send(wire.INTERESTED)
        if self.upload:
            await link.send(wire.UNCHOKE)
        self.remote = set()
        self.choked = True
        self.asked = set()
        serving = asyncio.Queue()
        server = asyncio.create_task(self._serve(link, serving))
        try:
            while True:
                kind, payload = await link.message()
                if kind == wire.BITFIELD:
                    self.remote |= self.torrent.pieces_of(payload)
                elif kind == wire.HAVE:
                    self.remote.add(int.from_bytes(payload, "big"))
                elif kind == wire.CHOKE:
                    self.choked, self.asked = True, set()
                elif kind == wire.UNCHOKE:
                    self.choked = False
                    self.unchoked_times += 1
                elif kind == wire.REQUEST and self.upload:
                    serving.put_nowait(struct.unpack(">III", payload))
                elif kind == wire.PIECE:
                    self.received += len(payload) - 8
                    self.asked.discard(struct.unpack(">II", payload[:8]))
                await self._ask(link)
        finally:
            server.cancel()

    async def _ask(self, link):
        """Keeps the pipeline full. What was got is thrown away: a trader never
        finishes, so that the swarm stays as it is while it is measured."""
        if self.choked or len(self.asked) >= self.PIPELINE // 2:
            return
        for index in sorted(self.remote - self.have):
            for begin, length in self.torrent.blocks(index):
                if (index, begin) not in self.asked:
                    self.asked.add((index, begin))
                    await link.request(index, begin, length)
                    if len(self.asked) >= self.PIPELINE:
                        return

    async def _serve(self, link, queue):
        while True:
            index, begin, length = await queue.get()
            await self.bucket.take(length)
            block = self.torrent.read(index, begin, length)
            await link.send_raw(struct.pack(">IBII", 9 + len(block), wire.PIECE, index, begin) + block)
            self.sent += len(block)
