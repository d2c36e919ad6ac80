"""One local network, and nothing but multicast: no tracker, no DHT, no address in the link (BEP 14)."""

import json
import socket
import struct
import time

import pytest

from clients import tools
from clients.aria2 import Aria2
from clients.base import wait_for
from clients.libtorrent_client import Libtorrent
from clients.peerage import COMPLETE, NO_PROVIDERS, Peerage, create
from clients.transmission import Transmission3

from .test_share import digest

GROUP, GROUP6, PORT = "239.192.152.143", "ff15::efc0:988f", 6771
#: linux/in.h; this Python does not name it
IP_RECVTTL = 12
FOUND_S = 20
QUIET_S = 8


@pytest.fixture
def lan(lab):
    """Two hosts of one home."""
    def make(family="4"):
        first = lab.home("first", "restricted", family=family)
        return first, first.home.add("second")

    return make


@pytest.fixture
def on(tmp_path):
    """Makes drivers on hosts of a local network, with local discovery."""
    started = []

    def make(host, client=Peerage, lan=True, **options):
        if client is Peerage:
            options.setdefault("allow_local", False)
        driver = client(host=host.address, netns=host.netns, **options)
        driver.lan = lan
        driver.start(tmp_path / f"{host.name}-{len(started)}", 6881)
        started.append(driver)
        return driver

    yield make
    for driver in reversed(started):
        driver.stop()


class Listener:
    """Hears what is said on a host's local network."""

    def __init__(self, host):
        def join():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((GROUP, PORT))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                            struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(host.address)))
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            return sock

        self.sock = host.inside(join)

    def heard(self, seconds):
        """The datagrams of so many seconds, each with its time to live."""
        found, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                data, ancillary, _, _ = self.sock.recvmsg(2000, 64)
            except TimeoutError:
                break
            found.append((data.decode(), struct.unpack("i", ancillary[0][2])[0]))
        return found


def infohash(share):
    return share.ready["infohash_v1"]


@pytest.mark.parametrize("family", ["4", "6"])
def test_a_bare_infohash_is_found_and_fetched(lan, on, content, tmp_path, family):
    first, second = lan(family)
    share = on(first).share(content)
    client = on(second).get(infohash(share), tmp_path / "got")
    assert client.wait_exit(FOUND_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    sources = client.events.last("complete")["sources"]
    assert sources["lan"] + sources["incoming"] >= 1 and sources["dht"] == sources["tracker"] == 0, sources


def test_who_comes_later_is_found_too(lan, on, content, tmp_path):
    """The one who lacks it waits; the one who has it comes."""
    first, second = lan()
    torrent = create(content, tmp_path / "content.torrent")
    hashes = json.loads(first.run([*tools.peerage(), "inspect", torrent, "--json"],
                                  env={"PEERAGE_HOME": str(tmp_path / "inspect")}).stdout)
    client = on(second).get(hashes["infohash_v1"], tmp_path / "got", "--wait")
    time.sleep(QUIET_S)
    on(first).share(content, torrent=torrent)
    assert client.wait_exit(FOUND_S) == COMPLETE, client.process.log_tail()


def test_off_means_nothing_is_said_and_nobody_found(lan, on, content, tmp_path):
    first, second = lan()
    listener = Listener(second)
    share = on(first, lan=False).share(content)
    client = on(second, extra=["--no-lan"]).get(infohash(share), tmp_path / "got", "--stall-timeout", "3s")
    assert client.wait_exit(FOUND_S) == NO_PROVIDERS
    assert listener.heard(2) == []
    # The control: with it, both are heard.
    on(second).get(infohash(share), tmp_path / "other", "--stall-timeout", "3s")
    (text, ttl), *_ = listener.heard(3)
    assert f"Infohash: {infohash(share)}" in text and ttl == 1, text


def test_a_private_torrent_is_never_announced(lan, on, content, tmp_path):
    first, second = lan()
    listener = Listener(second)
    torrent = create(content, tmp_path / "private.torrent", "hybrid", "--private", "--tracker", "http://192.0.2.1/announce")
    on(first).share(content, torrent=torrent)
    assert listener.heard(QUIET_S) == []


def test_nothing_is_said_by_another_interface_than_the_one_named(lab, lan, on, content, tmp_path):
    """The host has a second network; it is told to use the first alone."""
    first, second = lan()
    other = lab.home("other", "restricted")
    first.home.router.ip(f"link add wire type veth peer name eth1 netns {first.netns}", f"link set wire netns {other.netns}")
    first.ip("link set eth1 up", "addr add 192.168.77.1/24 dev eth1")
    other.ip("link set wire up", "addr add 192.168.77.2/24 dev wire")
    other.addresses.insert(0, "192.168.77.2")
    there, here = Listener(other), Listener(second)
    driver = Peerage(host="0.0.0.0", netns=first.netns, allow_local=False, extra=["--bind", "eth0"])
    driver.lan = True
    with driver.start(tmp_path / "bound", 6881):
        driver.share(content)
        assert here.heard(QUIET_S) and there.heard(1) == []
    driver = Peerage(host="0.0.0.0", netns=first.netns, allow_local=False)
    driver.lan = True
    with driver.start(tmp_path / "unbound", 6881):
        driver.share(content)
        assert there.heard(3), "the control: else it is heard there"


@pytest.mark.parametrize("role", ["seeds", "fetches"])
@pytest.mark.parametrize("client", [Libtorrent, Transmission3, Aria2], ids=lambda client: client.name)
def test_other_clients_are_found_and_find_us(lan, on, content, tmp_path, client, role):
    first, second = lan()
    torrent = create(content, tmp_path / "content.torrent", "v1")
    if role == "seeds":
        on(first, client).add_torrent(torrent, content.parent, seed=True)
        ours = on(second).get(torrent, tmp_path / "got")
        assert ours.wait_exit(FOUND_S) == COMPLETE, ours.process.log_tail()
    else:
        on(first).share(content, torrent=torrent)
        (tmp_path / "got").mkdir()
        theirs = on(second, client)
        theirs.add_torrent(torrent, tmp_path / "got", seed=False)
        wait_for(theirs.is_complete, 2 * FOUND_S, f"{client.name} has it")
    assert digest(tmp_path / "got" / content.name) == digest(content)


def test_why_tells_of_the_local_network(lan, on, content, tmp_path):
    first, second = lan()
    share = on(first).share(content)
    done = second.run([*tools.peerage(), "why", infohash(share), "--json", "--dht", "off", "--listen", f"{second.address}:6881"],
                      env={"PEERAGE_HOME": str(tmp_path / "why"), "PATH": "/usr/bin:/bin"}, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["verdict"]["code"] == "OK", report
    assert any(source["kind"] == "lan" for source in report["sources"])
