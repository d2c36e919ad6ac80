"""What moves in the middle of a transfer (threats.md W15): an interface, an address, a NAT's mapping; on either side."""

import time

import pytest

from clients.base import wait_for
from clients.peerage import COMPLETE, Peerage

from .lab import CUBIC, GATEWAY
from .test_relay import roads
from .test_share import ARRIVES_S, digest
from .test_ways import SLOW, Relay

GOES_ON_S = 30
#: an interface is away for so long
AWAY_S = 3


def routes(host):
    """Leads the host's packets to its router again."""
    gateway = f"192.168.{host.home.number}.1"
    scope = [f"route replace {gateway} dev eth0 scope link"] if host.home.nat == "none" else []
    host.ip(*scope, f"route replace default via {gateway} dev eth0 {CUBIC}")


def interface(lab, host):
    """The cable is pulled, and put in again."""
    host.ip("link set eth0 down")
    time.sleep(AWAY_S)
    host.ip("link set eth0 up")
    routes(host)


def address(lab, host):
    """Another one: a new lease, another network."""
    old, home = host.address, host.home
    if home.nat == "none":
        new, bits = lab.next_public(), 32
        home.router.ip(f"route add {new}/32 dev lan")
        home.network.route(new, home.uplink, home.interface)
    else:
        new, bits = f"192.168.{home.number}.77", 24
    # In this order: with the first address of a network its others go too.
    host.ip(f"addr del {old}/{bits} dev eth0", f"addr add {new}/{bits} dev eth0")
    routes(host)


def mapping(lab, host):
    """The NAT forgets: its outer address goes and comes, and with it all mappings go."""
    uplink, router = host.home.uplink, host.home.router
    router.ip(f"addr del {uplink}/32 dev wan")
    router.ip(f"addr add {uplink}/32 dev wan", f"route replace {GATEWAY} dev wan scope link src {uplink}",
              f"route replace default via {GATEWAY} dev wan src {uplink} {CUBIC}")


CASES = [(move, nat) for move in (interface, address) for nat in ("none", "restricted", "symmetric")]
CASES += [(mapping, nat) for nat in ("easy", "restricted", "symmetric")]


@pytest.mark.parametrize("side", ["sharer", "getter"])
@pytest.mark.parametrize(("move", "nat"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_a_transfer_goes_on(lab, content, tmp_path, move, nat, side):
    """The one that moves is behind this NAT, the other one in a home as most are."""
    relay = Relay(lab, tmp_path / "relay-home")
    hosts = {name: lab.home(name, nat if name == side else "restricted") for name in ("sharer", "getter")}
    # On every address: that is what may change.
    clients = {name: Peerage(host="0.0.0.0", netns=host.netns, allow_local=False, extra=extra)
               for (name, host), extra in zip(hosts.items(), (["--relay", relay.name], SLOW))}
    sharer, client = clients["sharer"], clients["getter"]
    try:
        sharer.start(tmp_path / "sharer", 6881).share(content)
        client.start(tmp_path / "getter", 6881).get(sharer.link, tmp_path / "got")
        wait_for(lambda: client.progress().done > 2 << 20, ARRIVES_S, "it is under way")
        move(lab, hosts[side])
        done, begun = client.progress().done, time.monotonic()
        wait_for(lambda: client.progress().done > done + (2 << 20), GOES_ON_S, "it goes on")
        print(f"{move.__name__} of the {side} behind {nat}: {time.monotonic() - begun:.1f} s, {' then '.join(roads(client))}")
        assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
        assert digest(tmp_path / "got" / content.name) == digest(content)
        assert client.downloaded() < 1.1 * content.stat().st_size
    finally:
        sharer.stop()
        client.stop()
