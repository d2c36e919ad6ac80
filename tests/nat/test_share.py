"""The program across the laboratory: what is shared in public arrives behind every NAT."""

import hashlib

import pytest

from clients.peerage import COMPLETE, Peerage
from clients.trackers import PeerageTracker
from interop.kit import without_peers
from interop.payload import write_file

from .lab import Link
from .rules import KINDS

SIZE = 16 << 20
ARRIVES_S = 60


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def peerage(lab, tmp_path):
    """Makes peerage drivers on hosts of the laboratory; they end before it does."""
    started = []

    def make(host, peers=()):
        driver = Peerage(host=host.address, netns=host.netns, allow_local=False)
        for peer in peers:
            driver.connect_peer(peer)
        driver.start(tmp_path / f"{host.name}-{len(started)}", 6881)
        started.append(driver)
        return driver

    yield make
    for driver in reversed(started):
        driver.stop()


@pytest.fixture
def shared(lab, peerage, tmp_path):
    """A file shared by a public host, announced to a public tracker."""
    tracker_host, seed_host = lab.host("tracker"), lab.host("seed")
    content = write_file(tmp_path / "content.bin", SIZE, 11)
    with PeerageTracker(host=tracker_host.address, netns=tracker_host.netns).start(tmp_path / "tracker", 80) as tracker:
        seed = peerage(seed_host).share(content, trackers=[tracker.http])
        yield seed, content


@pytest.mark.parametrize("way", ["tracker", "peer"])
@pytest.mark.parametrize("nat", KINDS)
def test_a_public_share_arrives_behind_each_nat(lab, peerage, shared, tmp_path, nat, way):
    seed, content = shared
    home = lab.home("home", nat)
    client = peerage(home, peers=[seed.address] if way == "peer" else [])
    link = without_peers(seed.link)
    if way == "peer":
        link = link.split("&tr=")[0]
    client.get(link, tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)


def test_it_arrives_behind_a_carrier_over_a_bad_line(lab, peerage, shared, tmp_path):
    """Two NATs, and 15 ms of delay with 0.1 % of loss, 50 Mbit/s: slower, and whole."""
    seed, content = shared
    carrier = lab.carrier("carrier", "symmetric", link=Link(delay_ms=15, loss=0.001, rate_mbit=50))
    client = peerage(lab.home("home", "restricted", carrier=carrier))
    client.get(without_peers(seed.link), tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
