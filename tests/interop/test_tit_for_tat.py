"""Under tit-for-tat, peers that upload get more than free riders, who get something.

The node under test is a ``peerage get`` that still lacks pieces, with its upload
capped at 400 kB/s, in the middle of a star: eight others know nobody but it
(the torrent is private, so there is no peer exchange). Four give, four do not.
"""

import concurrent.futures
import time

import pytest

from clients.base import Limits
from clients.libtorrent_client import Libtorrent
from clients.rawpeers import Trader
from clients.wire import RawTorrent
from interop import payload

pytestmark = pytest.mark.trade
CAP = 400_000
MEASURED_S = 200
FILES, FILE_SIZE = 16, 12 * payload.MIB
RATIO = 3
#: 0 reads as "no limit" in many programs; 1 KiB/s lets a program send its requests, and no content to speak of
FREE_RIDER_LIMIT = 1024


@pytest.fixture
def star(tmp_path):
    """Content of 16 files: the node holds the second half, each other one a file of the first."""
    content = tmp_path / "source" / "star"
    for number in range(FILES):
        payload.write_file(content / f"file-{number:02}", FILE_SIZE, seed=number)
    torrent = payload.make_torrent(
        content, tmp_path / "star.torrent", "v1", piece_size=256 * payload.KIB, private=True)
    return content, torrent


def give_files(launch, peerage, star, out, numbers, name):
    """Fills ``out`` with some files of the torrent, by ``get --select`` from a seed."""
    content, torrent = star
    seed = launch(Libtorrent(), f"{name}-seed")
    seed.add_torrent(torrent, content.parent, seed=True)
    seed.wait_complete(30)
    get = peerage(peers=[seed.address], name=f"{name}-first")
    options = [part for number in numbers for part in ("--select", f"file-{number:02}")]
    get.get(torrent, out, *options)
    get.wait_complete(60)
    assert get.wait_exit(20) == 0
    seed.stop()
    return get.workdir / "home"


def judge(record, case, givers, riders):
    """Each reciprocator gets at least 3 times what each free rider gets, on average;
    every free rider gets something."""
    record("behaviour", case)
    given, taken = sum(givers) / len(givers), sum(riders) / len(riders)
    note = (f"peers that upload got {given / 1e6:.1f} MB each, "
            f"free riders {taken / 1e6:.1f} MB, in {MEASURED_S} s")
    assert min(riders) > 0, f"a free rider got nothing: {riders}; {note}"
    assert given >= RATIO * taken, note
    record("behaviour", case, note)


def test_raw_peers(star, launch, peerage, raw_swarm, record, tmp_path):
    content, torrent = star
    give_files(launch, peerage, star, tmp_path / "node", range(FILES // 2, FILES), "node")
    node = peerage(limits=Limits(upload=CAP), name="node")
    node.get(torrent, tmp_path / "node", "--stall-timeout", "0", "--seed")
    node.wait_listening()
    raw = RawTorrent(torrent, content)
    half = raw.piece_count // 2
    # Together the givers upload half of the cap: the node needs minutes for the first half.
    traders = [Trader(raw, range(half) if number < 4 else (), upload=CAP // 8 if number < 4 else 0,
                      local_host=f"127.0.20.{number + 1}") for number in range(8)]
    tasks = [raw_swarm.spawn(trader.run(node.address)) for trader in traders]
    time.sleep(MEASURED_S)
    assert not node.is_complete(), "the node was done before the time was up"
    for task in tasks:
        task.cancel()
    received = [trader.received for trader in traders]
    judge(record, "tit-for-tat, raw peers around a leeching node", received[:4], received[4:])


def test_peerage_leechers(star, launch, peerage, record, tmp_path):
    """The same with eight ``peerage get``: four capped, four with an upload limit of next to nothing."""
    content, torrent = star
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(give_files, launch, peerage, star, tmp_path / "node", range(8, 16), "node")]
        jobs += [pool.submit(give_files, launch, peerage, star, tmp_path / f"peer-{number}", [number], f"peer-{number}")
                 for number in range(8)]
        for job in jobs:
            job.result(120)
    node = peerage(limits=Limits(upload=CAP), name="node")
    node.get(torrent, tmp_path / "node", "--stall-timeout", "0", "--seed")
    node.wait_listening()
    others = []
    for number in range(8):
        upload = CAP // 8 if number < 4 else FREE_RIDER_LIMIT
        other = peerage(peers=[node.address], limits=Limits(upload=upload), name=f"peer-{number}",
                        host=f"127.0.21.{number + 1}")
        other.get(torrent, tmp_path / f"peer-{number}", "--stall-timeout", "0", "--seed")
        others.append(other)
    time.sleep(MEASURED_S)
    received = [other.downloaded() for other in others]
    judge(record, "tit-for-tat, eight `peerage get` around a leeching node", received[:4], received[4:])
