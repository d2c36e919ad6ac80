"""Peers that break the rules of the wire: rows W5 to W8 and P4 of the threat table.

A raw peer dials a ``peerage share``. After each case the share still runs and
still serves an honest peer.
"""

import asyncio
import os
import random
import resource
import socket
import struct
import time

import psutil
import pytest

from clients import wire
from clients.hostile import Behaviour
from clients.ports import free_port
from clients.rawpeers import Leecher, open_link
from clients.wire import Closed, Link, RawTorrent
from interop import payload
from interop.kit import sampled_memory, stays

pytestmark = pytest.mark.hostile
MIB = payload.MIB
RSS_MAX = 256 * MIB
#: the time for a handshake (threat table, limits)
HANDSHAKE_S = 10


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """One file of 8 MiB and its torrent."""
    root = tmp_path_factory.mktemp("wire")
    content = payload.write_file(root / "wire.bin", 8 * MIB + 4321, seed=7)
    torrent = payload.make_torrent(content, root / "wire.torrent", "v1", piece_size=256 * payload.KIB)
    return content, torrent, RawTorrent(torrent, content)


@pytest.fixture
def served(target, peerage):
    content, torrent, raw = target
    return peerage().share(content, torrent=torrent), raw


def message(kind, body=b""):
    return struct.pack(">IB", len(body) + 1, kind) + body


def block(index, begin, length):
    return struct.pack(">III", index, begin, length)


def cases(raw):
    """name -> (bytes after the handshake, verdict). "closed": the connection ends;
    "kept": it stays usable; "any": either, but no bad effect."""
    count, size = raw.piece_count, raw.piece_size
    bitfield = raw.bitfield()
    spare = bytes(bitfield[:-1]) + bytes([bitfield[-1] | 1])
    last = raw.piece_length(count - 1)
    return {
        "keep-alives": (bytes(4) * 50, "kept"),
        "length 0xffffffff": (b"\xff\xff\xff\xff", "closed"),
        "length 3 MiB": (struct.pack(">I", 3 * MIB) + b"\x07" + bytes(64), "closed"),
        "choke with a payload": (message(wire.CHOKE, b"x"), "any"),
        "interested with a payload": (message(wire.INTERESTED, bytes(9)), "any"),
        "have too short": (message(wire.HAVE, bytes(3)), "closed"),
        "have too long": (message(wire.HAVE, bytes(5)), "closed"),
        "have beyond the last piece": (message(wire.HAVE, struct.pack(">I", count)), "closed"),
        "have 0xffffffff": (message(wire.HAVE, b"\xff" * 4), "closed"),
        "have twice": (message(wire.HAVE, bytes(4)) * 2, "kept"),
        "bitfield too short": (message(wire.BITFIELD, bitfield[:-1]), "closed"),
        "bitfield too long": (message(wire.BITFIELD, bitfield + b"\0"), "closed"),
        "bitfield empty": (message(wire.BITFIELD), "closed"),
        "bitfield with spare bits": (message(wire.BITFIELD, spare), "closed"),
        "bitfield late": (message(wire.HAVE, bytes(4)) + message(wire.BITFIELD, bytes(len(bitfield))), "any"),
        "request too short": (message(wire.REQUEST, bytes(11)), "closed"),
        "request while choked": (message(wire.REQUEST, block(0, 0, wire.BLOCK)), "any"),
        "request beyond the last piece": (message(wire.REQUEST, block(count, 0, wire.BLOCK)), "any"),
        "request beyond the piece": (message(wire.REQUEST, block(0, size - 100, wire.BLOCK)), "any"),
        "request begins beyond the piece": (message(wire.REQUEST, block(0, 0xFFFFFFF0, wire.BLOCK)), "any"),
        "request of the short last piece whole": (message(wire.REQUEST, block(count - 1, last - 1, 2)), "any"),
        "request of 0 bytes": (message(wire.REQUEST, block(0, 0, 0)), "any"),
        "request of 4 GiB": (message(wire.REQUEST, block(0, 0, 0xFFFFFFFF)), "any"),
        "request of 1 MiB": (message(wire.REQUEST, block(0, 0, MIB)), "any"),
        "cancel of nothing": (message(wire.CANCEL, block(0, 0, wire.BLOCK)), "kept"),
        "piece unasked for": (message(wire.PIECE, bytes(8) + bytes(wire.BLOCK)), "any"),
        "piece without a block": (message(wire.PIECE, bytes(8)), "any"),
        "piece too short": (message(wire.PIECE, bytes(7)), "closed"),
        "unknown message 99": (message(99, b"what"), "any"),
        "extended without an id": (message(wire.EXTENDED), "any"),
        "extended handshake that is no bencode": (message(wire.EXTENDED, b"\0" + b"x" * 100), "any"),
        "extended handshake nested 100,000 deep": (message(wire.EXTENDED, b"\0" + b"d1:a" * 100_000), "any"),
        "metadata request of piece 2^31": (
            message(wire.EXTENDED, b"\0d1:md11:ut_metadatai1eee")
            + message(wire.EXTENDED, b"\x02d8:msg_typei0e5:piecei2147483647ee"), "any"),
        "metadata request of a negative piece": (
            message(wire.EXTENDED, b"\0d1:md11:ut_metadatai1eee")
            + message(wire.EXTENDED, b"\x02d8:msg_typei0e5:piecei-1ee"), "any"),
    }


async def is_closed(link, within):
    """Whether the other side closes in that time."""
    deadline = time.monotonic() + within
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await link.message(left)
    except (Closed, ConnectionError):
        return True
    except TimeoutError:
        return False


async def honest_fetch(raw, address, local_host, pieces=2):
    leecher = await Leecher(raw, address, local_host).connect()
    try:
        verdicts = [await leecher.fetch(index, 10) for index in range(pieces)]
    finally:
        leecher.close()
    return verdicts


def test_table_of_rule_breakers(served, raw_swarm):
    share, raw = served
    wrong = []
    table = cases(raw)
    memory = {}

    async def run(number, data, verdict):
        link = await open_link(share.address, raw, local_host=f"127.0.30.{number}", extended=True)
        try:
            try:
                await link.send_raw(data)
            except Closed:
                return "closed"
            return "closed" if await is_closed(link, 3.0 if verdict == "closed" else 0.5) else "kept"
        finally:
            link.close()

    async def all_cases():
        names = list(table)
        results = await asyncio.gather(*(run(number, *table[name]) for number, name in enumerate(names, 1)))
        return dict(zip(names, results))

    with sampled_memory(share.pid, memory):
        results = raw_swarm.run(all_cases(), 60)
        assert share.process.alive(), share.process.log_tail()
        assert raw_swarm.run(honest_fetch(raw, share.address, "127.0.31.1")) == ["good", "good"]
    for name, (_, verdict) in table.items():
        if verdict != "any" and results[name] != verdict:
            wrong.append(f"{name}: {results[name]}, not {verdict}")
    assert not wrong, "; ".join(wrong)
    assert memory["rss"] <= RSS_MAX


def test_never_sends_what_is_not_there(served, raw_swarm):
    """Requests outside the content are refused or end the connection: nothing comes."""
    share, raw = served
    count, size = raw.piece_count, raw.piece_size

    async def ask(index, begin, length, number):
        leecher = await Leecher(raw, share.address, f"127.0.32.{number}").connect()
        try:
            await leecher.link.request(index, begin, length)
            deadline = time.monotonic() + 2
            while (left := deadline - time.monotonic()) > 0:
                kind, _ = await leecher.link.message(left)
                if kind == wire.PIECE:
                    return "sent"
            return "nothing"
        except (Closed, TimeoutError):
            return "nothing"
        finally:
            leecher.close()

    async def run():
        asked = [(count, 0, 16384), (0, size - 1, 2), (0, size, 1), (count - 1, raw.piece_length(count - 1) - 1, 2),
                 (0xFFFFFFFF, 0, 16384), (0, 0xFFFFFFF0, 16384), (0, 0, 0xFFFFFFFF), (0, 0, MIB)]
        answers = await asyncio.gather(*(ask(*one, number) for number, one in enumerate(asked, 1)))
        return [one for one, answer in zip(asked, answers) if answer == "sent"]

    assert raw_swarm.run(run(), 60) == []


async def unfinished_handshakes(address, count):
    """Connections that send a part of a handshake and then nothing."""
    links = []
    for number in range(count):
        try:
            link = await Link.dial(address, f"127.0.{40 + number // 250}.{1 + number % 250}", timeout=2)
            await link.send_raw(wire.PROTOCOL[:1 + number % 20])
            links.append(link)
        except (OSError, Closed, TimeoutError):
            pass
    return links


async def still_open(links):
    """How many of the connections the other side has not closed."""
    async def is_open(link):
        try:
            return await asyncio.wait_for(link.reader.read(1), 0.2) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False

    return sum(await asyncio.gather(*map(is_open, links)))


async def newcomer(raw, address, local_host, within):
    """Seconds until a peer that tries each second is served."""
    start = time.monotonic()
    while True:
        try:
            if await honest_fetch(raw, address, local_host) == ["good", "good"]:
                return time.monotonic() - start
        except (Closed, OSError, TimeoutError):
            pass
        if time.monotonic() - start > within:
            raise AssertionError(f"a newcomer is not served within {within} s")
        await asyncio.sleep(1)


def test_flood_of_handshakes_never_finished(served, raw_swarm, record):
    """W5: a flood of unfinished handshakes holds up no peer that is there, and none
    that comes for longer than the handshake's time; all are dropped soon after it."""
    case = "500 unfinished handshakes"
    record("behaviour", case)
    share, raw = served
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    memory = {}

    async def run():
        there = await Leecher(raw, share.address, "127.0.45.1").connect()
        links = await unfinished_handshakes(share.address, 500)
        start = time.monotonic()
        try:
            assert [await there.fetch(index, 10) for index in range(16)] == ["good"] * 16
            waited = await newcomer(raw, share.address, "127.0.45.2", HANDSHAKE_S + 5)
            while (left := await still_open(links)) and time.monotonic() - start < HANDSHAKE_S + 15:
                await asyncio.sleep(1)
            return waited, left, time.monotonic() - start
        finally:
            there.close()
            for link in links:
                link.close()

    with sampled_memory(share.pid, memory):
        waited, left, seconds = raw_swarm.run(run(), 120)
    assert left == 0, f"{left} unfinished handshakes are still open after {seconds:.0f} s"
    assert memory["rss"] <= RSS_MAX
    record("behaviour", case, f"a peer that is there goes on; a newcomer waits {waited:.0f} s; all dropped in {seconds:.0f} s")


def test_flood_of_requests(served, raw_swarm):
    """W6: a peer that asks for a million blocks and reads none holds up nobody."""
    share, raw = served
    memory = {}
    rng = random.Random(1)
    flood = b"".join(message(wire.REQUEST, block(rng.randrange(raw.piece_count - 1), 0, wire.BLOCK))
                     for _ in range(50_000))

    async def run():
        leecher = await Leecher(raw, share.address, "127.0.46.1").connect()
        try:
            async def pour():
                for _ in range(20):
                    await leecher.link.send_raw(flood)

            pouring = asyncio.create_task(pour())
            await asyncio.sleep(1)
            verdicts = await honest_fetch(raw, share.address, "127.0.46.2", 16)
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
            return verdicts
        finally:
            leecher.close()

    with sampled_memory(share.pid, memory):
        assert raw_swarm.run(run(), 60) == ["good"] * 16
    assert share.process.alive()
    assert memory["rss"] <= RSS_MAX


def test_choke_flapping(served, raw_swarm):
    """W7: interest and choke that flap a thousand times a second cost little."""
    share, raw = served

    async def flap():
        link = await open_link(share.address, raw, local_host="127.0.47.1")
        flips = (message(wire.INTERESTED) + message(wire.UNCHOKE)
                 + message(wire.NOT_INTERESTED) + message(wire.CHOKE)) * 25
        try:
            for _ in range(50):
                await link.send_raw(flips)
                await asyncio.sleep(0.1)
        except Closed:
            pass
        finally:
            link.close()

    before = share.cpu_seconds()
    start = time.monotonic()
    raw_swarm.run(flap(), 30)
    used = (share.cpu_seconds() - before) / max(1.0, time.monotonic() - start)
    assert share.process.alive()
    assert used <= 0.25, f"{used:.0%} of a core"


def test_gossip_of_forbidden_addresses(target, peerage, raw_swarm, record, tmp_path):
    """W8: addresses from peer exchange on special ranges are not dialled.

    Without --allow-local, and listening on every address: one that is told to
    listen on loopback lives there, and may well dial others there. Only addresses
    that cannot leave this machine are named, in case they are dialled.
    """
    record("behaviour", "peer exchange with loopback and private addresses")
    content, torrent, raw = target
    port = free_port()
    canary = socket.create_server(("0.0.0.0", port))
    canary.settimeout(0.2)
    fakes = (f"127.0.48.9:{port}", f"127.0.0.1:{port}", "0.0.0.0:1", f"0.0.0.0:{port}", "127.0.48.9:0")
    seeder = raw_swarm.add(raw, Behaviour(fake_pex=fakes, block_delay_s=0.1), host="127.0.48.1")
    get = peerage(peers=[seeder.address], allow_local=False, host="0.0.0.0")
    get.get(torrent, tmp_path / "out", "--download-limit", str(64 * 1024), "--stall-timeout", "0")

    def nobody_called():
        try:
            canary.accept()[0].close()
            return False
        except TimeoutError:
            return True

    assert stays(nobody_called, 15), "an address from peer exchange on loopback was dialled"
    canary.close()
    assert get.process.alive(), get.process.log_tail()
    assert seeder.counters.connections >= 1
    connections = psutil.Process(get.pid).net_connections(kind="tcp")
    others = [c.raddr for c in connections if c.raddr and c.raddr.ip != "127.0.48.1"]
    assert not others, f"connections to {others}"
    record("behaviour", "peer exchange with loopback and private addresses", "none dialled")


def test_random_bytes(served, raw_swarm):
    """Noise before and after the handshake: no crash, and service goes on."""
    share, raw = served

    async def noise(number):
        try:
            link = await Link.dial(share.address, f"127.0.49.{1 + number % 250}", timeout=5)
            if number % 2:
                await link.handshake(raw.infohash)
            await link.send_raw(os.urandom(2000))
            await asyncio.sleep(0.2)
            link.close()
        except (Closed, OSError, TimeoutError):
            pass

    async def run():
        for start in range(0, 200, 20):
            await asyncio.gather(*(noise(number) for number in range(start, start + 20)))

    raw_swarm.run(run(), 60)
    assert share.process.alive(), share.process.log_tail()
    assert raw_swarm.run(honest_fetch(raw, share.address, "127.0.50.1")) == ["good", "good"]
