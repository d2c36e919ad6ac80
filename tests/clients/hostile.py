"""Raw peer-wire seeders: honest ones, and ones that lie, drop, stall and flood.

All seeders of a :class:`Swarm` run in one thread of the test process, each on a
loopback address of its own, so that a ban by address hits one of them alone.
"""

import asyncio
import random
import struct
import threading
import time
from dataclasses import dataclass, field

from . import wire
from .wire import Closed, Link


@dataclass(frozen=True)
class Behaviour:
    """What a seeder does wrong. The default is honest."""

    corrupt: float = 0.0           # share of blocks with a flipped byte
    corrupt_last_block: bool = False  # flips only blocks that end a piece
    drop: float = 0.0              # share of requests answered by closing the connection
    wrong_size: float = 0.0        # share of blocks sent one byte short
    unrequested: bool = False      # sends blocks that nobody asked for
    silent: bool = False           # unchokes, claims all, and never answers
    handshake_delay_s: float = 0.0
    block_delay_s: float = 0.0
    rate: int | None = None        # bytes/s over all connections
    fake_pex: tuple = ()           # "ip:port" pairs to gossip
    have: frozenset | None = None  # pieces it has (None: all)

    @property
    def lies(self):
        return bool(self.corrupt or self.corrupt_last_block)


@dataclass
class Counters:
    """What one seeder saw and did."""

    connections: int = 0
    requests: int = 0
    blocks: dict = field(default_factory=dict)   # (piece, begin) -> times served whole
    bad_blocks: int = 0
    bad_pieces: set = field(default_factory=set)
    drops: int = 0
    bytes_sent: int = 0
    haves: set = field(default_factory=set)      # pieces the other side said it has
    late_requests: list = field(default_factory=list)  # asked for after it said it has it
    last_connection_at: float = 0.0


class Bucket:
    """A token bucket; sleeping is left to the caller's task."""

    def __init__(self, rate):
        self.rate = rate
        self.ready_at = 0.0

    async def take(self, size):
        now = time.monotonic()
        self.ready_at = max(self.ready_at, now) + size / self.rate
        if self.ready_at - now > 0.05:
            await asyncio.sleep(self.ready_at - now)


class Seeder:
    """One listening address, one torrent, one behaviour."""

    def __init__(self, torrent, behaviour=Behaviour(), seed=0):
        self.torrent = torrent
        self.behaviour = behaviour
        self.counters = Counters()
        self.random = random.Random(seed)
        self.bucket = Bucket(behaviour.rate) if behaviour.rate else None
        self.address = None
        self._server = None
        self._links = set()

    async def listen(self, host, port):
        self._server = await asyncio.start_server(self._accepted, host, port, limit=1 << 20)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self):
        self._server.close()
        for link in list(self._links):
            link.close()

    async def _accepted(self, reader, writer):
        link = Link(reader, writer)
        self._links.add(link)
        self.counters.connections += 1
        self.counters.last_connection_at = time.monotonic()
        try:
            await self._serve(link)
        except (Closed, TimeoutError, ConnectionError, ValueError, struct.error, asyncio.CancelledError):
            pass  # asyncio reports a cancelled server task as an error of its own
        finally:
            self._links.discard(link)
            link.close()

    async def _serve(self, link):
        what = self.behaviour
        if what.handshake_delay_s:
            await asyncio.sleep(what.handshake_delay_s)
        await link.handshake(self.torrent.infohash, accept=True)
        if link.remote_reserved[5] & 0x10:
            await link.send_extended_handshake(metadata_size=len(self.torrent.info))
        await link.send(wire.BITFIELD, self.torrent.bitfield(what.have))
        await link.send(wire.UNCHOKE)
        if what.unrequested:
            await self._send_block(link, 0, 0, wire.BLOCK)
        while True:
            kind, payload = await link.message()
            if kind == wire.HAVE:
                self.counters.haves.add(int.from_bytes(payload, "big"))
            elif kind == wire.BITFIELD:
                self.counters.haves |= self.torrent.pieces_of(payload)
            elif kind == wire.EXTENDED:
                await self._extended(link, payload)
            elif kind == wire.REQUEST:
                await self._requested(link, *struct.unpack(">III", payload))

    async def _extended(self, link, payload):
        if payload[0] == 0:
            if self.behaviour.fake_pex and "ut_pex" in link.remote_extensions:
                await self._gossip(link)
        elif payload[0] == wire.EXTENSION_IDS["ut_metadata"]:
            await self._metadata(link, payload[1:])

    async def _metadata(self, link, payload):
        message, _ = wire.bencode.decode_prefix(payload)
        if message.get(b"msg_type") == 0:
            piece = message[b"piece"]
            part = self.torrent.info[piece * wire.BLOCK:(piece + 1) * wire.BLOCK]
            fields = {"msg_type": 1, "piece": piece, "total_size": len(self.torrent.info)}
            await link.send_extended(link.remote_extensions["ut_metadata"], fields, part)

    async def _gossip(self, link):
        packed = b""
        for address in self.behaviour.fake_pex[:50]:
            host, port = address.rsplit(":", 1)
            packed += bytes(map(int, host.split("."))) + int(port).to_bytes(2, "big")
        fields = {"added": packed, "added.f": bytes(len(packed) // 6), "dropped": b""}
        await link.send_extended(link.remote_extensions["ut_pex"], fields)

    async def _requested(self, link, index, begin, length):
        what, counters = self.behaviour, self.counters
        counters.requests += 1
        if index in counters.haves:
            counters.late_requests.append((index, begin))
        if what.silent:
            return
        if what.drop and self.random.random() < what.drop:
            counters.drops += 1
            raise Closed("dropped on purpose")
        if what.block_delay_s:
            await asyncio.sleep(what.block_delay_s)
        if self.bucket:
            await self.bucket.take(length)
        await self._send_block(link, index, begin, length)

    async def _send_block(self, link, index, begin, length):
        what, counters = self.behaviour, self.counters
        block = self.torrent.read(index, begin, length)
        is_last = begin + length >= self.torrent.piece_length(index)
        if (what.corrupt and self.random.random() < what.corrupt) or (what.corrupt_last_block and is_last):
            block = bytearray(block)
            block[self.random.randrange(len(block))] ^= 0x55
            counters.bad_blocks += 1
            counters.bad_pieces.add(index)
        if what.wrong_size and self.random.random() < what.wrong_size:
            block = block[:-1]
        head = struct.pack(">IBII", 9 + len(block), wire.PIECE, index, begin)
        await link.send_raw(head + block)
        counters.bytes_sent += len(block)
        counters.blocks[index, begin] = counters.blocks.get((index, begin), 0) + 1


class Swarm:
    """An event loop in a thread, for seeders and any other coroutine of a test."""

    def __init__(self):
        self.seeders = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine, timeout=60):
        """Runs a coroutine in the loop and returns its result; bounded."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def spawn(self, coroutine):
        """Starts a coroutine in the loop; returns its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def add(self, torrent, behaviour=Behaviour(), host="127.0.0.1", port=0, seed=0):
        """A listening seeder."""
        seeder = Seeder(torrent, behaviour, seed)
        self.run(seeder.listen(host, port))
        self.seeders.append(seeder)
        return seeder

    def close(self):
        async def end():
            for seeder in self.seeders:
                await seeder.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(end(), 20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
