"""Peers found through a tracker alone: foreign trackers with us, ours with others."""

import os

import pytest

from clients.libtorrent_client import Libtorrent
from clients.netns import NetNs
from clients.ports import free_port
from clients.trackers import NpmTracker, OpenTracker, PeerageTracker
from interop import matrix, payload
from interop.kit import without_peers

pytestmark = pytest.mark.trackers
TIMEOUT_S = 60


@pytest.fixture
def track(tmp_path):
    """Starts trackers, and stops them."""
    started = []

    def start(tracker, infohashes=()):
        started.append(tracker)
        return tracker.start(tmp_path / f"tracker-{tracker.name}", free_port(), infohashes)

    yield start
    for tracker in started:
        tracker.stop()


def infohashes(torrent):
    """Both hashes as a tracker sees them: 20 bytes in hex."""
    hashes = payload.Hashes.of(torrent)
    return [value[:40] for value in (hashes.v1, hashes.v2) if value]


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("tracker_class", [OpenTracker, NpmTracker, PeerageTracker], ids=lambda t: t.name)
def test_peerage_on_both_sides(tracker_class, protocol, world, track, peerage, record, tmp_path):
    record("trackers", f"{tracker_class.name} ({protocol}), peerage on both sides")
    tracker = track(tracker_class(), infohashes(world.our_torrent("hybrid")))
    share = peerage(name="share")
    share.share(world.content, trackers=[getattr(tracker, protocol)])
    link = without_peers(share.link)
    assert "tr=" in link
    get = peerage(name="get")
    get.get(link, tmp_path / "out")
    get.wait_complete(TIMEOUT_S)
    assert get.wait_exit(20) == 0
    payload.assert_same(world.content, tmp_path / "out" / world.content.name)


CASES = [(name, role, protocol) for name, protocols in matrix.TRACKER_CLIENTS.items()
         for protocol in protocols for role in matrix.ROLES]


@pytest.mark.parametrize("name, role, protocol", CASES)
def test_our_tracker_with_foreign_clients(name, role, protocol, world, track, launch, record, tmp_path):
    """Foreign on both sides: the client with libtorrent, in both roles."""
    record("our tracker", f"{name}-{role}-{protocol}")
    tracker = track(PeerageTracker())
    torrent = payload.make_torrent(world.content, tmp_path / "t.torrent", "v1", trackers=[getattr(tracker, protocol)])
    client = launch(matrix.CLIENTS[name]())
    other = launch(Libtorrent(), "other")
    foreign_transfer(client, other, role, torrent, world, tmp_path)
    payload.assert_same(world.content, tmp_path / "out" / world.content.name,
                        role == "leech" and name in matrix.NO_EMPTY_FILES)


def foreign_transfer(client, other, role, torrent, world, tmp_path):
    """The client in ``role``, the other one in the opposite one."""
    seed, leech = (client, other) if role == "seed" else (other, client)
    payload.copy_to(world.content, tmp_path / "data")
    seed.add_torrent(torrent, tmp_path / "data", seed=True)
    seed.wait_complete(TIMEOUT_S)
    leech.add_torrent(torrent, tmp_path / "out", seed=False)
    leech.wait_complete(TIMEOUT_S)


NETNS_CASES = [(name, role, protocol) for name, protocols in matrix.NETNS_TRACKER_CLIENTS.items()
               for protocol in protocols for role in matrix.ROLES]


@pytest.mark.parametrize("name, role, protocol", NETNS_CASES)
def test_our_tracker_in_a_namespace(name, role, protocol, world, track, launch, record, tmp_path):
    """transmission takes no loopback address from a tracker: it gets others."""
    record("our tracker", f"{name}-{role}-{protocol}")
    assert os.geteuid() == 0, "needs root, to make a network namespace"
    port = free_port()
    with NetNs(f"peerage-{port}") as netns:
        tracker = PeerageTracker(host=netns.addresses[0], netns=netns.name)
        track(tracker)
        torrent = payload.make_torrent(
            world.content, tmp_path / "t.torrent", "v1", trackers=[getattr(tracker, protocol)])
        client = launch(matrix.CLIENTS[name](host=netns.addresses[1], netns=netns.name))
        other = launch(Libtorrent(host=netns.addresses[2], netns=netns.name), "other")
        foreign_transfer(client, other, role, torrent, world, tmp_path)
        payload.assert_same(world.content, tmp_path / "out" / world.content.name,
                            role == "leech" and name in matrix.NO_EMPTY_FILES)
        client.stop()
        other.stop()
        tracker.stop()
