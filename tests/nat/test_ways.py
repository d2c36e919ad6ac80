"""Ways that the user permits: one interface (`--bind`), relays alone (`--via relay`). Nothing leaves by another."""

import re
import time

import pytest

from clients import tools
from clients.base import WaitTimeout, wait_for
from clients.peerage import COMPLETE, Peerage
from interop.kit import without_peers

from .lab import GATEWAY
from .test_relay import roads
from .test_share import ARRIVES_S, digest

UNREACHABLE = 6
RELAY_PORT = 7842
#: threats.md W16
OUTAGE_S = 5
#: slow enough that something can happen in the middle
SLOW = ["--download-limit", "2MB/s"]
NOTICED_S = 5
#: how long it is watched whether anything leaves that should not
WATCHED_S = 8


class Tunnel:
    """A second interface of a host, ``tun``, by which the system would not go by itself: its route is the worse one."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        self.address = lab.next_public()
        host.settings({"ipv4/conf/all/rp_filter": "0", "ipv4/conf/wan/rp_filter": "0"})
        self.make()
        host.nft("table inet watch { chain out { type filter hook postrouting priority 0; "
                 'oifname "wan" counter; oifname "tun" counter; }; }')

    def make(self):
        self.lab.internet.ip(f"link add tun-{self.host.name} type veth peer name tun netns {self.host.netns}",
                             f"link set tun-{self.host.name} up", f"route add {self.address}/32 dev tun-{self.host.name}")
        self.host.settings({"ipv4/conf/tun/rp_filter": "0"})
        self.host.ip(f"addr add {self.address}/32 dev tun")
        self.up()

    def up(self):
        self.host.ip("link set tun up", f"route add {GATEWAY} dev tun scope link src {self.address} metric 200",
                     f"route add default via {GATEWAY} dev tun src {self.address} metric 200")

    def down(self):
        self.host.ip("link set tun down")

    def remove(self):
        self.host.ip("link delete tun")

    def sent(self, interface):
        """Packets that have left by an interface."""
        listed = self.host.run([*tools.system("nft"), "list", "table", "inet", "watch"]).stdout
        return int(re.search(rf'oifname "{interface}" counter packets (\d+)', listed)[1])


@pytest.fixture
def tunnelled(lab, tmp_path):
    """A host with a tunnel, and what runs peerage on it."""
    host = lab.host("home")
    tunnel = Tunnel(lab, host)
    started = []

    def make(extra, address=None):
        driver = Peerage(host=address or tunnel.address, netns=host.netns, allow_local=False, extra=extra)
        started.append(driver)
        return driver.start(tmp_path / f"client-{len(started)}", 6881)

    yield tunnel, make
    for driver in started:
        driver.stop()


@pytest.fixture
def link(lab, peerage, public_tracker, content):
    """A link whose sharer only the tracker knows, over HTTP and UDP."""
    seed = peerage(lab.host("seed")).share(content, trackers=[public_tracker.http, public_tracker.udp])
    return without_peers(seed.link)


def warned(client, part):
    return any(part in event["message"] for event in client.events.all("warning"))


@pytest.mark.parametrize("by", ["name", "address", "nothing"])
def test_everything_leaves_by_the_interface(tunnelled, link, content, tmp_path, by):
    tunnel, make = tunnelled
    bind = {"name": ["--bind", "tun"], "address": ["--bind", tunnel.address], "nothing": []}[by]
    client = make(bind, tunnel.host.address if by == "nothing" else None)
    client.get(link, tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    # Without the option it is the other way round: the counters count.
    used, unused = ("wan", "tun") if by == "nothing" else ("tun", "wan")
    assert (tunnel.sent(used) > 100, tunnel.sent(unused)) == (True, 0)


def test_while_the_interface_is_down_nothing_leaves_and_it_goes_on_after(tunnelled, link, content, tmp_path):
    tunnel, make = tunnelled
    client = make(["--bind", "tun", *SLOW])
    client.get(link, tmp_path / "got")
    wait_for(lambda: client.progress().done > 2 << 20, ARRIVES_S, "it is under way")
    tunnel.down()
    wait_for(lambda: warned(client, "tun is down"), NOTICED_S, "it is told")
    stopped = client.progress().done
    with pytest.raises(WaitTimeout):
        wait_for(lambda: tunnel.sent("wan") > 0, WATCHED_S, "a leak")
    assert client.progress().done - stopped < 1 << 20 and client.process.alive()
    tunnel.up()
    wait_for(lambda: warned(client, "tun is up again"), NOTICED_S, "it is told")
    wait_for(lambda: client.progress().done > stopped + (1 << 20), 30, "it goes on")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    assert tunnel.sent("wan") == 0


def test_an_interface_that_is_gone_ends_it_with_the_reason(tunnelled, link, tmp_path):
    tunnel, make = tunnelled
    client = make(["--bind", "tun", "--stall-timeout", "4s", *SLOW])
    client.get(link, tmp_path / "got")
    wait_for(lambda: client.progress().done > 1 << 20, ARRIVES_S, "it is under way")
    tunnel.remove()
    assert client.wait_exit(ARRIVES_S) == UNREACHABLE
    assert "E_INTERFACE" in client.process.log_tail() and "tun is down or gone" in client.process.log_tail()
    assert tunnel.sent("wan") == 0
    # And it does not even begin without.
    client = make(["--bind", "tun"], tunnel.host.address)
    client.get(link, tmp_path / "got2")
    assert client.wait_exit(20) == UNREACHABLE
    assert "there is no interface tun" in client.process.log_tail() and tunnel.sent("wan") == 0


@pytest.fixture
def relay(lab, tmp_path):
    """A relay on a public host: how it is named, and what kills and starts it."""
    return Relay(lab, tmp_path / "relay-home")


class Relay:
    def __init__(self, lab, home):
        self.host = lab.host("relay")
        self.home = home
        self.runs = 0
        self.process = None
        self.name = self.start()

    def start(self):
        self.runs += 1
        command = [*tools.peerage(), "relay", "--listen", f"{self.host.address}:{RELAY_PORT}", "--home", self.home]
        self.process = self.host.start(command, f"relay-{self.runs}")

        def named():
            self.process.check_alive()
            lines = [line for line in self.process.log_tail().splitlines() if line.startswith("https://")]
            return lines[-1] if lines else None

        return wait_for(named, 10, "the relay is ready").strip()


def watch_others(host, relay):
    """Counts what a host sends to anybody but the relay."""
    host.nft("table inet watch { chain out { type filter hook postrouting priority 0; "
             f'oifname "wan" ip daddr != {relay.host.address} counter; }}; }}')

    def sent():
        listed = host.run([*tools.system("nft"), "list", "table", "inet", "watch"]).stdout
        return int(re.search(r"counter packets (\d+)", listed)[1])

    return sent


def test_with_relays_alone_nobody_else_hears_of_either_side(lab, peerage, relay, public_tracker, content, tmp_path):
    seed, home = lab.host("seed"), lab.host("home")
    others = [watch_others(host, relay) for host in (seed, home)]
    sharer = peerage(seed, extra=["--relay", relay.name, "--via", "relay"])
    sharer.share(content, trackers=[public_tracker.http, public_tracker.udp])
    assert seed.address not in sharer.link and "x.pe=" not in sharer.link
    assert sharer.ready["listen"] == []
    client = peerage(home, extra=["--via", "relay"])
    # What else the link names is passed over, this tracker and peer among them.
    client.get(f"{sharer.link}&tr={public_tracker.http}&x.pe={seed.address}:6881", tmp_path / "got")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    assert roads(client) == ["relay"] and warned(client, "nobody but relays")
    assert [sent() for sent in others] == [0, 0]


def test_a_relay_that_dies_and_comes_back_costs_no_more_than_the_time(lab, peerage, relay, content, tmp_path):
    """threats.md W16: killed in the middle of a transfer, started again 5 s later."""
    sharer = peerage(lab.home("sharer", "symmetric"), extra=["--relay", relay.name]).share(content)
    client = peerage(lab.home("getter", "symmetric"), extra=SLOW)
    client.get(sharer.link, tmp_path / "got")
    wait_for(lambda: client.progress().done > 2 << 20, ARRIVES_S, "it is under way")
    assert roads(client) == ["relay"]
    relay.process.kill()
    done = client.progress().done
    time.sleep(OUTAGE_S)
    relay.start()
    begun = time.monotonic()
    wait_for(lambda: client.progress().done > done + (1 << 20), 30, "it goes on")
    print(f"goes on after {time.monotonic() - begun:.1f} s")
    assert client.wait_exit(ARRIVES_S) == COMPLETE, client.process.log_tail()
    assert digest(tmp_path / "got" / content.name) == digest(content)
    assert client.downloaded() < 1.1 * content.stat().st_size
