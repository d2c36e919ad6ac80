"""Two homes and a relay between them (threats.md W14): what is shared behind one NAT arrives behind another."""

import itertools

import pytest

from clients import tools
from clients.base import wait_for
from clients.peerage import COMPLETE

from .rules import KINDS
from .test_share import digest

PORT = 7842
CONNECTED_S = 30
ARRIVES_S = 60
#: so that a transfer lasts long enough to see its road change
RATE = "2MB/s"
#: where no packet of either side can meet a hole of the other's
RELAYED = {("restricted", "symmetric"), ("symmetric", "restricted"), ("symmetric", "symmetric")}


@pytest.fixture
def relay(lab, tmp_path):
    """How ``peerage relay`` on a public host is named."""
    host = lab.host("relay")
    home = tmp_path / "relay-home"
    command = [*tools.peerage(), "relay", "--listen", f"{host.address}:{PORT}", "--home", home]
    process = host.start(command, "relay")

    def named():
        process.check_alive()
        lines = [line for line in process.log_tail().splitlines() if "https://" in line]
        return lines[-1] if lines else None

    line = wait_for(named, 10, "the relay is ready")
    yield line.strip()
    process.stop()


def roads(client):
    """The roads of a download, each once, in order: ``tls``, ``quic``, ``relay``."""
    seen = [event["road"] for event in client.events.all("progress") if event.get("road")]
    return [key for key, _ in itertools.groupby("relay" if road["relay"] else road["kind"] for road in seen)]


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_what_is_shared_behind_one_nat_arrives_behind_another(
        lab, peerage, relay, content, tmp_path, ours, theirs):
    sharer = peerage(lab.home("sharer", ours), extra=["--relay", relay]).share(content)
    assert "relay/" in sharer.link
    client = peerage(lab.home("getter", theirs), extra=["--download-limit", RATE])
    client.get(sharer.link, tmp_path / "got")
    assert client.events.wait("peer_connected", CONNECTED_S), client.process.log_tail()
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    way = roads(client)
    print(f"{ours} to {theirs}: {' then '.join(way)}")
    assert (way[-1] == "relay") == ((ours, theirs) in RELAYED), way
