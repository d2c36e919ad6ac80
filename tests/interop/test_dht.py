"""Peers and items found by the mainline DHT alone: no tracker, no link with addresses, a sealed network.

Every program has an address of its own in a network namespace, since several take
no loopback address from the DHT, or one node of an address only.
"""

import os

import pytest

from clients.base import wait_for
from clients.bittorrent_dht import BittorrentDht
from clients.libtorrent_client import Libtorrent
from clients.netns import NetNs
from clients.peerage import Peerage
from clients.ports import free_port
from interop import matrix, payload

pytestmark = pytest.mark.dht
#: transmission announces up to two minutes after its start
TIMEOUT_S = 180
BOOTSTRAPS = ("peerage", "libtorrent")
#: transmission believes in a DHT of nine nodes or more: so many stand beside the bootstrap node
EXTRAS = 10
#: a secret key's seed and its public half (RFC 8032, section 7.1, test 1)
SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


@pytest.fixture
def sealed():
    """A namespace with addresses and no way out."""
    assert os.geteuid() == 0, "needs root, to make a network namespace"
    with NetNs(f"peerage-dht-{free_port()}", count=4 + EXTRAS) as netns:
        yield netns


@pytest.fixture
def network(sealed, launch):
    """``network(kind)``: starts the bootstrap node; ``member(client class, n)``: a program that begins there."""

    class Network:
        def bootstrap(self, kind, extras=0):
            where = {"host": sealed.addresses[0], "netns": sealed.name, "dht": []}
            first = launch(Peerage(**where) if kind == "peerage" else Libtorrent(**where), f"bootstrap-{kind}")
            if kind == "peerage":
                first.daemon()
            self.seeds = [first.address]
            for number in range(4, 4 + extras):
                self.member(Peerage, number).daemon()
            return first

        def member(self, client, number, **arguments):
            return launch(client(host=sealed.addresses[number], netns=sealed.name, dht=self.seeds, **arguments))

    return Network()


def announced(share):
    return any(event["announced"] for event in share.events.all("dht"))


def infohash(torrent):
    return payload.Hashes.of(torrent).v1


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
@pytest.mark.parametrize("role", matrix.ROLES)
@pytest.mark.parametrize("name", matrix.DHT_CLIENTS)
def test_a_bare_infohash_is_fetched(name, role, bootstrap, world, network, record, tmp_path):
    """The client in ``role``, peerage in the other."""
    record("dht", f"{name} as {role}, bootstrap {bootstrap}")
    network.bootstrap(bootstrap, EXTRAS if "transmission" in name else 0)
    ours = network.member(Peerage, 1)
    theirs = network.member(matrix.CLIENTS[name], 2)
    torrent, out = world.foreign["v1"], tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data")
        theirs.add_torrent(torrent, tmp_path / "data", seed=True)
        ours.get(infohash(torrent), out, "--wait")
        ours.wait_complete(TIMEOUT_S)
        assert ours.events.last("complete")["sources"]["dht"] >= 1
        assert ours.wait_exit(20) == 0
    else:
        ours.share(world.content, torrent=torrent)
        # Some look once, at the start, and not again for a quarter of an hour.
        wait_for(lambda: announced(ours), 30, "the share is announced")
        theirs.add_magnet(f"magnet:?xt=urn:btih:{infohash(torrent)}", out)
        theirs.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, out / world.content.name, role == "leech" and name in matrix.NO_EMPTY_FILES)


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
def test_peerage_on_both_sides(bootstrap, world, network, record, tmp_path):
    record("dht", f"peerage on both sides, bootstrap {bootstrap}")
    network.bootstrap(bootstrap)
    share = network.member(Peerage, 1)
    share.share(world.content)
    get = network.member(Peerage, 2)
    get.get(share.ready["infohash_v1"], tmp_path / "out", "--wait")
    get.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, tmp_path / "out" / world.content.name)


def test_a_private_torrent_is_not_looked_up(world, network, record, tmp_path):
    """BEP 27: neither the share nor the get of the torrent file says a word of it."""
    record("dht", "a private torrent stays out of the DHT")
    network.bootstrap("peerage")
    torrent = payload.make_torrent(world.content, tmp_path / "private.torrent", "v1", private=True)
    share = network.member(Peerage, 1)
    share.share(world.content, torrent=torrent)
    get = network.member(Peerage, 2)
    get.get(torrent, tmp_path / "out", "--stall-timeout", "15s")
    assert get.wait_exit(60) == 5
    assert not get.events.all("dht") and not share.events.all("dht")
    code, found = network.member(Peerage, 3).dht_command("lookup", infohash(torrent))
    assert code == 5 and found["peers"] == []


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
def test_npm_finds_what_we_announce_and_we_what_it_does(bootstrap, world, network, record):
    record("dht", f"bittorrent-dht (npm) both ways, bootstrap {bootstrap}")
    network.bootstrap(bootstrap)
    share = network.member(Peerage, 1)
    share.share(world.content)
    npm = network.member(BittorrentDht, 2)
    wait_for(npm.dht_joined, 30, "npm has joined")
    address = "{}:{}".format(*share.address)
    wait_for(lambda: address in npm.lookup(share.ready["infohash_v1"]), 30, "npm finds the share")
    npm.announce("ab" * 20, 7000)
    code, found = network.member(Peerage, 3).dht_command("lookup", "ab" * 20)
    assert (code, found["peers"]) == (0, [f"{npm.host}:7000"]), found


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
@pytest.mark.parametrize("client", [Libtorrent, BittorrentDht], ids=lambda client: client.name)
def test_items_are_read_by_the_other(client, bootstrap, network, record, tmp_path):
    """BEP 44, immutable and mutable, with and without salt, both ways."""
    record("dht", f"items with {client.name}, bootstrap {bootstrap}")
    network.bootstrap(bootstrap)
    theirs, ours = network.member(client, 1), network.member(Peerage, 2)
    wait_for(theirs.dht_joined, 30, "theirs has joined")
    key = tmp_path / "secret.key"
    key.write_bytes(bytes.fromhex("18" * 32))

    def ours_reads(target, text, salt=""):
        def read():
            code, item = ours.dht_command("get", target, *(["--salt", salt] if salt else []))
            return code == 0 and item["text"] == text
        wait_for(read, 30, f"ours reads {text}")

    def theirs_reads(target, text, salt=""):
        # libtorrent also asks the nodes of our commands, which are gone: that takes its time.
        wait_for(lambda: theirs.dht_get(target, salt) == text, 60, f"theirs reads {text[:20]}")

    target = theirs.dht_put("theirs, immutable")
    ours_reads(target, "theirs, immutable")
    for salt in ("", "salt"):
        assert theirs.dht_put(f"theirs, mutable {salt}", key=(SECRET, PUBLIC), salt=salt) == PUBLIC
        ours_reads(PUBLIC, f"theirs, mutable {salt}", salt)
    # A long one, for which a node wants to know where we are.
    for text in ("ours, immutable", "long " + "x" * 900):
        code, stored = ours.dht_command("put", text)
        assert code == 0, stored
        theirs_reads(stored["target"], text)
        ours_reads(stored["target"], text)
    for salt in ("", "salt"):
        options = ["--key", key, *(["--salt", salt] if salt else [])]
        for version in (1, 2):
            code, stored = ours.dht_command("put", f"ours, {version} {salt}", *options)
            assert code == 0 and stored["seq"] == version, stored
        theirs_reads(stored["public_key"], f"ours, 2 {salt}", salt)


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
def test_names_that_update_are_read_by_the_other(bootstrap, world, network, record, tmp_path):
    """BEP 46: libtorrent reads what we publish, and we get what npm publishes, and what we do ourselves."""
    record("dht", f"BEP 46 with libtorrent and bittorrent-dht, bootstrap {bootstrap}")
    network.bootstrap(bootstrap)
    ours = network.member(Peerage, 1)
    ours.key_new("news")
    ours.publish(world.content, "news")
    published = ours.events.last("published")
    expected = repr({b"ih": bytes.fromhex(ours.ready["infohash_v1"])})
    theirs = network.member(Libtorrent, 2)
    wait_for(theirs.dht_joined, 30, "libtorrent has joined")
    wait_for(lambda: theirs.dht_get(published["public_key"]) == expected, 60, "libtorrent reads ours")
    npm = network.member(BittorrentDht, 3)
    wait_for(npm.dht_joined, 30, "npm has joined")
    npm.dht_publish(ours.ready["infohash_v1"], (SECRET, PUBLIC))
    for number, link in enumerate([f"magnet:?xs=urn:btpk:{PUBLIC}", published["link"]]):
        client = network.member(Peerage, 4 + number)
        client.get(link, tmp_path / f"got-{number}")
        client.wait_complete(60)


@pytest.mark.parametrize("bootstrap", BOOTSTRAPS)
def test_status_and_ping(bootstrap, network, record):
    record("dht", f"`dht status` and `dht ping`, bootstrap {bootstrap}")
    first = network.bootstrap(bootstrap)
    ours = network.member(Peerage, 1)
    code, status = ours.dht_command("status")
    assert code == 0 and status["nodes"] >= 1, status
    code, answer = ours.dht_command("ping", "{}:{}".format(*first.address))
    assert code == 0 and len(answer["node_id"]) == 40
    code, failure = ours.dht_command("ping", f"{first.host}:9")
    assert code == 6, failure
