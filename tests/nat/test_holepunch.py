"""ut_holepunch (BEP 55): two homes that nothing reaches, and one peer that both have dialled."""

import time

import pytest

from clients.base import Limits, wait_for
from clients.libtorrent_client import Libtorrent
from clients.peerage import Peerage
from interop.payload import make_torrent

PORT = 6881
SLOW = Limits(upload=64 << 10)
#: The initiator hears of the target at once, and the target of it a minute later (BEP 11): until then only an
#: introduction brings them together.
MEET_S = 45
#: how soon a new connection tells of the others
FIRST_WORD_S = 4


@pytest.fixture
def torrent(content, tmp_path):
    return make_torrent(content, tmp_path / "content.torrent", "v1")


@pytest.fixture
def start(tmp_path):
    """Starts a client on a host of the laboratory."""
    started = []

    def make(kind, host, limits=None):
        options = {"allow_local": False, "tls": "off"} if kind is Peerage else {"utp": True}
        client = kind(limits=limits or Limits(), host=host.address, netns=host.netns, **options)
        client.start(tmp_path / host.name, PORT)
        started.append(client)
        return client

    yield make
    for client in reversed(started):
        client.stop()


def fetch(client, torrent, hub, folder):
    folder.mkdir()
    if isinstance(client, Peerage):
        client.connect_peer(hub)
        client.add_torrent(torrent, folder, seed=False)
    else:
        client.add_torrent(torrent, folder, seed=False)
        client.connect_peer(hub)


def meets(client, host, road=None):
    """Whether a client is connected with who is at ``host`` or behind its router."""
    if isinstance(client, Peerage):
        found = [event for event in client.events.all("peer_connected") if event["addr"].startswith(f"{host.public}:")]
        return any(road in (None, event["road"]["kind"]) for event in found)
    return any(peer.startswith(f"{host.public}:") for peer in client.peers())


@pytest.mark.parametrize("target,initiator", [
    (Peerage, Peerage), (Libtorrent, Peerage), (Peerage, Libtorrent)],
    ids=lambda kind: kind.name)
def test_homes_are_introduced(lab, start, content, torrent, tmp_path, target, initiator):
    hub_host = lab.host("hub")
    hub = start(Peerage, hub_host, SLOW)
    hub.share(content, torrent=torrent)
    at = (hub_host.address, PORT)
    homes = [lab.home("target", "restricted"), lab.home("initiator", "restricted")]
    first = start(target, homes[0])
    fetch(first, torrent, at, tmp_path / "target-files")
    wait_for(lambda: len(hub.events.all("peer_connected")) >= 1, 20, "the target is there")
    # What the hub tells the target of this one is its news for a minute.
    other_host = lab.host("other")
    fetch(start(Peerage, other_host), torrent, at, tmp_path / "other-files")
    wait_for(lambda: meets(first, other_host), 20, "the target has heard of the other")
    time.sleep(FIRST_WORD_S)
    second = start(initiator, homes[1])
    fetch(second, torrent, at, tmp_path / "initiator-files")
    wait_for(lambda: meets(first, homes[1], "utp") and meets(second, homes[0], "utp"), MEET_S, "the homes meet")
