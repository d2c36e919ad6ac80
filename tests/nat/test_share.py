"""The program across the laboratory: what is shared in public arrives behind every NAT."""

import hashlib

import pytest

from clients.peerage import COMPLETE
from interop.kit import without_peers

from .lab import Link
from .rules import KINDS

ARRIVES_S = 60


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def shared(lab, peerage, public_tracker, content):
    """A file shared by a public host, announced to a public tracker."""
    return peerage(lab.host("seed")).share(content, trackers=[public_tracker.http])


@pytest.mark.parametrize("way", ["tracker", "peer"])
@pytest.mark.parametrize("nat", KINDS)
def test_a_public_share_arrives_behind_each_nat(lab, peerage, shared, content, tmp_path, nat, way):
    home = lab.home("home", nat)
    client = peerage(home, peers=[shared.address] if way == "peer" else [])
    link = without_peers(shared.link)
    if way == "peer":
        link = link.split("&tr=")[0]
    client.get(link, tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)


def test_it_arrives_behind_a_carrier_over_a_bad_line(lab, peerage, shared, content, tmp_path):
    """Two NATs, and 15 ms of delay with 0.1 % of loss, 50 Mbit/s: slower, and whole."""
    carrier = lab.carrier("carrier", "symmetric", link=Link(delay_ms=15, loss=0.001, rate_mbit=50))
    client = peerage(lab.home("home", "restricted", carrier=carrier))
    client.get(without_peers(shared.link), tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
