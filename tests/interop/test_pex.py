"""Peers learned by peer exchange alone, with peerage in the middle and at the end.

Each test has three clients: a seed, a middle one that is held back so far that
it cannot have passed the content on, and one that is told of the middle one
only. It completes, so it learned of the seed by peer exchange. The seed itself
has peer exchange off, so that it cannot be the one who dials.
"""

import pytest

from clients.base import Limits, wait_for
from clients.libtorrent_client import Libtorrent
from clients.ports import free_port
from clients.trackers import NpmTracker
from interop import matrix, payload

pytestmark = [pytest.mark.pex, pytest.mark.timeout(390)]
TIMEOUT_S = 120
RTORRENT_TIMEOUT_S = 260
#: the middle one's download limit: the content would take it minutes
TRICKLE = 16 * 1024
SETTLED_S = 20
#: an address for each: rtorrent keeps one peer for each address
SEED, MIDDLE, LAST = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def start_seed(launch, torrent, world):
    seed = launch(Libtorrent(limits=Limits(pex=False), host=SEED), "seed")
    seed.add_torrent(torrent, world.content.parent, seed=True)
    seed.wait_complete(SETTLED_S)
    return seed


@pytest.mark.parametrize("name", matrix.PEX_CLIENTS)
def test_client_learns_of_the_seed_from_peerage(name, world, launch, peerage, record, tmp_path):
    record("pex", f"{name} learns of a seed from peerage", "seed: libtorrent; in the middle: peerage")
    torrent = world.foreign["v1"]
    seed = start_seed(launch, torrent, world)
    client = launch(matrix.CLIENTS[name](host=LAST))
    client.add_torrent(torrent, tmp_path / "out", seed=False)
    middle = peerage(peers=[seed.address] + ([] if client.can_connect else [client.address]),
                     limits=Limits(download=TRICKLE, upload=TRICKLE), host=MIDDLE)
    middle.get(torrent, tmp_path / "middle", "--stall-timeout", "0")
    if client.can_connect:
        middle.wait_listening()
        client.connect_peer(middle.address)
    client.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, tmp_path / "out" / world.content.name, name in matrix.NO_EMPTY_FILES)
    assert not middle.is_complete(), "the middle one may have passed the content on"


@pytest.mark.parametrize("name", matrix.PEX_TELLERS)
def test_peerage_learns_of_the_seed_from_client(name, world, launch, peerage, record, tmp_path):
    record("pex", f"peerage learns of a seed from {name}", f"seed: libtorrent; in the middle: {name}")
    # The middle one learns of the seed by a tracker, as all can. Peerage gets the
    # same torrent without the tracker.
    port = free_port()
    with NpmTracker().start(tmp_path / "tracker", port) as tracker:
        tracked = payload.make_torrent(world.content, tmp_path / "tracked.torrent", "v1", trackers=[tracker.http])
        start_seed(launch, tracked, world)
        middle = launch(matrix.CLIENTS[name](limits=Limits(download=TRICKLE, upload=TRICKLE), host=MIDDLE), "middle")
        middle.add_torrent(tracked, tmp_path / "middle", seed=False)
        wait_for(lambda: f"{SEED}:" in str(middle.peers()), SETTLED_S, "the middle one knows the seed")
        get = peerage(peers=[middle.address], host=LAST)
        get.get(world.foreign["v1"], tmp_path / "out", "--stall-timeout", "0")
        get.wait_complete(RTORRENT_TIMEOUT_S if name == "rtorrent" else TIMEOUT_S)
        assert get.wait_exit(20) == 0
        payload.assert_same(world.content, tmp_path / "out" / world.content.name)
        assert not middle.is_complete(), "the middle one may have passed the content on"
