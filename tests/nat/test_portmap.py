"""Port mapping: a router that grants it makes a home's share reachable, and is left as it was."""

import re
import signal
import socket
from urllib.parse import quote

import pytest

from clients import bencode
from clients.base import Limits, wait_for
from clients.netns import opener
from clients.peerage import COMPLETE
from interop.kit import without_peers

from .mapper import PortMapper
from .probe import can_connect
from .test_share import ARRIVES_S, digest

MAPPED_S = 20


@pytest.fixture
def tracked(lab, peerage, public_tracker):
    """Shares a file from a host in a home; what an outsider gets who knows the tracker alone."""

    def share(host, content, **options):
        seed = peerage(host, **options)
        return seed.share(content, trackers=[public_tracker.http])

    return share


def mapped(seed):
    event = seed.events.wait("port_mapped", MAPPED_S)
    assert event is not None, seed.process.log_tail()
    return event


def interrupt(seed):
    """Ends it as a user does; its exit code."""
    seed.process.popen.send_signal(signal.SIGINT)
    return seed.wait_exit(20)


def announced(host, tracker, link):
    """Addresses that the tracker gives to somebody who asks from that host."""
    infohash = quote(bytes.fromhex(re.search(r"urn:btih:([0-9a-f]{40})", link)[1]))
    query = f"info_hash={infohash}&peer_id={'-XX0000-' + 12 * 'x'}&port=1&uploaded=0&downloaded=0&left=1&compact=1"
    with opener(host.netns).open(f"{tracker.http}?{query}", timeout=5) as answer:
        peers = bencode.decode(answer.read())[b"peers"]
    return [(socket.inet_ntoa(peers[at:at + 4]), int.from_bytes(peers[at + 4:at + 6])) for at in range(0, len(peers), 6)]


def gets(peerage, host, seed, folder):
    """Whether a stranger gets what is shared, whom only the tracker helps."""
    client = peerage(host)
    client.get(without_peers(seed.link), folder)
    return client.wait_exit(ARRIVES_S)


@pytest.mark.parametrize(("methods", "name"), [(("upnp",), "UPnP"), (("pcp",), "PCP"), (("upnp", "pcp"), "PCP")],
                         ids=["upnp", "pcp", "both"])
def test_a_mapped_share_is_reached_from_outside(lab, peerage, tracked, content, tmp_path, methods, name):
    home = lab.home("home", "restricted")
    mapper = PortMapper(home.home, methods)
    stranger = lab.host("stranger")
    seed = tracked(home, content)
    event = mapped(seed)
    assert (event["external"], event["method"]) == (f"{home.public}:6881", name)
    assert mapper.mappings() == [(6881, home.address, 6881)]
    assert gets(peerage, stranger, seed, tmp_path / "got") == COMPLETE
    assert digest(tmp_path / "got" / content.name) == digest(content)
    assert interrupt(seed) == 0
    assert mapper.mappings() == []
    assert not can_connect(stranger, (home.public, 6881))


def test_trackers_are_told_the_outer_port(lab, peerage, tracked, public_tracker, content, tmp_path):
    """Two hosts of a home listen on the same port: the second is reached at another one.

    Its first announce may come before the router's answer; that of its complete download comes after.
    """
    first_host = lab.home("home", "restricted")
    second_host = first_host.home.add("second")
    mapper = PortMapper(first_host.home)
    other = tmp_path / "other.bin"
    other.write_bytes(b"another file, so that each is alone in its swarm")
    mapped(tracked(first_host, other))
    seed = tracked(lab.host("seed"), content)
    second = peerage(second_host, limits=Limits(download=8 << 20))
    second.get(without_peers(seed.link), tmp_path / "got", "--seed")
    port = int(mapped(second)["external"].rpartition(":")[2])
    assert port != 6881
    assert mapper.mappings() == sorted([(6881, first_host.address, 6881), (port, second_host.address, 6881)])
    second.wait_complete(ARRIVES_S)
    stranger = lab.host("stranger")
    wait_for(lambda: (second_host.public, port) in announced(stranger, public_tracker, seed.link), 10, "announced")
    stranger.connect((second_host.public, port)).close()


def test_nothing_is_asked_where_the_user_says_so(lab, tracked, content):
    home = lab.home("home", "restricted")
    mapper = PortMapper(home.home)
    silent = tracked(home, content, extra=["--port-mapping", "off"])
    assert interrupt(silent) == 0
    assert mapper.asked() == 0
    # The same without the option asks: the counter counts.
    mapped(tracked(home, content))
    assert mapper.asked() > 0


def test_a_home_without_a_mapper_shares_as_ever(lab, tracked, content):
    """No answer is no failure, and delays no exit."""
    seed = tracked(lab.home("home", "restricted"), content)
    assert interrupt(seed) == 0
    assert not seed.events.all("port_mapped")
