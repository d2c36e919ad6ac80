"""``kill -9`` at random points of a download: nothing verified is lost or trusted wrongly.

The seed is a raw one that sees every request, and a raw observer is told which
pieces the download says it has (``have`` and ``bitfield``). A piece that was
announced must never be asked for again, in this run or a later one.

KILLS (default 20) and KILL_MIB (default 256) set the size; the full loop is 100
and 1024.
"""

import os
import random
import time

import pytest

from clients.hostile import Behaviour
from clients.ports import free_port
from clients.rawpeers import Observer
from clients.wire import RawTorrent
from interop import payload

pytestmark = [pytest.mark.kills, pytest.mark.timeout(1500)]
KILLS = int(os.environ.get("KILLS", "20"))
SIZE = int(os.environ.get("KILL_MIB", "256")) * payload.MIB
PIECE = payload.MIB
#: the rate lets a run of average length do its share of the whole
MEAN_RUN_S = 0.8
#: what a killed run may have fetched and not yet verified, for each kill
IN_FLIGHT_MAX = 24 * payload.MIB


@pytest.fixture
def watched(peerage, raw_swarm, tmp_path):
    """Starts runs of one download, all with one state folder and one port, and an
    observer that notes what they say they have."""
    home = tmp_path / "home"
    home.mkdir()
    port = free_port()
    observers = []

    def start(torrent, raw, seeder, name, *options):
        get = peerage(peers=[seeder.address], name=name, port=port)
        get.workdir.joinpath("home").rmdir()
        get.workdir.joinpath("home").symlink_to(home)
        get.get(torrent, tmp_path / "out", *options)
        if not observers:
            observer = Observer(raw, seeder.counters.haves, "127.0.70.2")
            observers.append((observer, raw_swarm.spawn(observer.run(get.address))))
        return get

    return start


def test_kill_loop(watched, raw_swarm, record, tmp_path):
    record("behaviour", "`kill -9` loop")
    content = payload.write_file(tmp_path / "source" / "kill.bin", SIZE, seed=21)
    torrent = payload.make_torrent(content, tmp_path / "t.torrent", "v1", piece_size=PIECE)
    raw = RawTorrent(torrent, content)
    rate = int(SIZE / (KILLS * MEAN_RUN_S * 0.75))
    seeder = raw_swarm.add(raw, Behaviour(rate=max(rate, 8 * payload.MIB)))
    rng = random.Random(int(os.environ.get("KILL_SEED", "1")))
    kills = 0
    while kills < KILLS:
        get = watched(torrent, raw, seeder, f"run-{kills}", "--stall-timeout", "0")
        time.sleep(rng.uniform(0.02, 2 * MEAN_RUN_S))
        if not get.process.alive():
            break  # it was quicker than the kill
        get.process.kill()
        kills += 1
    announced = len(seeder.counters.haves)
    last = watched(torrent, raw, seeder, "last")
    last.wait_complete(180)
    assert last.wait_exit(30) == 0
    payload.assert_same(content, tmp_path / "out" / content.name)
    again = sorted({piece for piece, _ in seeder.counters.late_requests})
    sent = seeder.counters.bytes_sent
    note = (f"{kills} kills of a {SIZE >> 20} MiB download, {announced} of {raw.piece_count} pieces announced by then; "
            f"{sent / SIZE:.2f} copies fetched in all")
    assert again == [], f"verified pieces asked for again: {again[:20]} ({len(again)}); {note}"
    assert sent <= SIZE + (kills + 1) * IN_FLIGHT_MAX, note
    assert kills >= KILLS // 2 and announced >= raw.piece_count // 4, f"too little to show anything: {note}"
    record("behaviour", "`kill -9` loop", note)


def test_damaged_partial_data_is_not_trusted(watched, raw_swarm, tmp_path):
    """What changes on the disk between a kill and the next run is found, and fetched again."""
    content = payload.write_file(tmp_path / "source" / "kill.bin", 32 * payload.MIB, seed=22)
    torrent = payload.make_torrent(content, tmp_path / "t.torrent", "v1", piece_size=256 * payload.KIB)
    raw = RawTorrent(torrent, content)
    seeder = raw_swarm.add(raw, Behaviour(rate=8 * payload.MIB))
    get = watched(torrent, raw, seeder, "first", "--stall-timeout", "0")
    deadline = time.monotonic() + 20
    while len(seeder.counters.haves) < raw.piece_count // 3:
        get.process.check_alive()
        assert time.monotonic() < deadline, f"{len(seeder.counters.haves)} pieces announced in 20 s"
        time.sleep(0.05)
    get.process.kill()
    verified = sorted(seeder.counters.haves)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    data_file = max(files, key=lambda path: path.stat().st_size)
    damaged = verified[len(verified) // 2]
    with open(data_file, "r+b") as file:
        file.seek(damaged * raw.piece_size + 1000)
        file.write(b"damaged by the test")
    again = watched(torrent, raw, seeder, "second")
    again.wait_complete(60)
    assert again.wait_exit(20) == 0
    payload.assert_same(content, tmp_path / "out" / content.name)
