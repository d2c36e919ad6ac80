"""The laboratory itself: each kind of NAT behaves as its row of rules.py says, and nothing leaks."""

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from clients.base import wait_for

from . import lab as laboratory
from .probe import (
    ADDRESS_AND_PORT_DEPENDENT,
    ENDPOINT_INDEPENDENT,
    SWALLOWED_S,
    ask,
    can_connect,
    tcp_mapping,
    tcp_seen,
    udp_filtering,
    udp_mapping,
)

# (kind, kind of the carrier): (mapping, filtering) by RFC 4787, sections 4.1 and 5
BEHAVIOUR = {
    ("none", None): (ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT),
    ("easy", None): (ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT),
    ("restricted", None): (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("symmetric", None): (ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("easy", "easy"): (ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT),
    ("easy", "restricted"): (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("restricted", "easy"): (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("restricted", "restricted"): (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("restricted", "symmetric"): (ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
    ("symmetric", "restricted"): (ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT),
}


def home(lab, nat, carrier):
    return lab.home("home", nat, carrier=lab.carrier("carrier", carrier) if carrier else None)


@pytest.mark.parametrize(("nat", "carrier"), BEHAVIOUR, ids=str)
def test_each_nat_maps_and_filters_as_its_kind_does(lab, echo, nat, carrier):
    host = home(lab, nat, carrier)
    mapping, filtering = BEHAVIOUR[nat, carrier]
    found, seen = udp_mapping(host, echo)
    assert found == mapping, seen
    assert {address for address, _ in seen} == {host.public}
    assert udp_filtering(host, echo) == filtering
    found, seen = tcp_mapping(host, echo)
    assert found == mapping, seen
    assert {address for address, _ in seen} == {host.public}


@pytest.mark.parametrize("nat", ["none", "easy", "restricted"])
def test_a_friendly_nat_keeps_the_port(lab, echo, nat):
    host = lab.home("home", nat)
    with host.udp() as sock:
        assert ask(sock, echo.endpoints[0]) == (host.public, sock.getsockname()[1])


def test_a_second_host_of_a_home_gets_another_port(lab, echo):
    first = lab.home("home", "restricted")
    second = first.home.add("second")
    with first.udp(4000) as a, second.udp(4000) as b:
        seen = [ask(sock, echo.endpoints[0]) for sock in (a, b)]
    assert {address for address, _ in seen} == {first.public}
    assert seen[0][1] != seen[1][1]
    with first.listen() as listener:
        assert can_connect(second, listener.getsockname())


@pytest.mark.parametrize(("nat", "before", "after"), [
    ("none", True, True), ("easy", False, True), ("restricted", False, False), ("symmetric", False, False)])
def test_a_stranger_connects_where_the_filtering_permits(lab, echo, nat, before, after):
    """Before and after the host connected to somebody else from the port that it listens on."""
    host = lab.home("home", nat)
    stranger = lab.host("stranger")
    with host.listen() as listener:
        port = listener.getsockname()[1]
        assert can_connect(stranger, (host.public, port)) == before
        outer = tcp_seen(host, echo.endpoints[0], port)
        assert can_connect(stranger, outer) == after


def test_unasked_packets_do_not_change_the_mapping(lab, echo):
    """Hole punching rests on it: the peer's first packet may come before ours."""
    host = lab.home("home", "restricted")
    stranger = lab.host("stranger")
    with host.udp(5000) as sock, stranger.udp(5001) as other:
        other.sendto(b"early", (host.public, 5000))
        sock.sendto(b"late", other.getsockname())
        other.settimeout(5)
        assert other.recvfrom(16) == (b"late", (host.public, 5000))
        other.sendto(b"answer", (host.public, 5000))
        sock.settimeout(5)
        assert sock.recv(16) == b"answer"


def test_homes_cannot_reach_each_others_private_addresses(lab):
    a, b = lab.home("a", "easy"), lab.home("b", "easy")
    with b.listen() as listener:
        port = listener.getsockname()[1]
        assert can_connect(b, (b.address, port))
        assert not can_connect(a, (b.address, port))
        # Nor by routing around the own router's table: the internet has no way to it.
        a.home.router.ip("route add 192.168.0.0/16 via 198.51.101.1 dev wan")
        assert not can_connect(a, (b.address, port))


def test_there_is_no_hairpin(lab, echo):
    """A home's own outer address does not lead back into it, even where strangers may come in."""
    host = lab.home("home", "easy")
    with host.listen() as listener:
        outer = tcp_seen(host, echo.endpoints[0], listener.getsockname()[1])
        assert can_connect(lab.host("stranger"), outer)
        assert not can_connect(host, outer)
        assert not can_connect(host.home.add("second"), outer)


def test_udp_may_be_blocked_and_tcp_be_few_ports(lab):
    server = lab.host("server")
    office = lab.home("office", "restricted", udp=False, tcp_ports=(443,))
    with server.udp(443) as sock, server.listen(443) as https, server.listen(6881) as other:
        with office.udp() as client:
            client.sendto(b"lost", (server.address, 443))
        assert can_connect(office, https.getsockname())
        assert not can_connect(office, other.getsockname())
        sock.settimeout(SWALLOWED_S)
        with pytest.raises(TimeoutError):
            sock.recv(16)
        # The same from a home without the rule arrives: the path is good.
        with lab.home("free", "restricted").udp() as client:
            client.sendto(b"here", (server.address, 443))
            assert sock.recv(16) == b"here"


def test_tcp_may_be_blocked_whole(lab, echo):
    host = lab.home("home", "restricted", tcp_ports=())
    assert not can_connect(host, echo.endpoints[0])
    with host.udp() as sock:
        assert ask(sock, echo.endpoints[0])


def test_a_home_may_have_ipv6_alone(lab):
    server, host = lab.host("server", family="6"), lab.home("home", "restricted", family="6")
    assert not host.addresses and host.address == host.public
    with server.listen() as listener, host.listen() as own:
        with host.connect(listener.getsockname()[:2]) as sock:
            assert listener.accept()[1][0] == host.address == sock.getsockname()[0]
        # No translation, but the firewall of a home.
        assert not can_connect(server, own.getsockname()[:2])
    with pytest.raises(OSError) as error:
        host.inside(socket.create_connection, ("203.0.114.1", 80), 1)
    assert error.value.errno == errno.ENETUNREACH


def test_a_host_may_have_both_families(lab):
    server, host = lab.host("server", family="46"), lab.home("home", "restricted", family="46")
    for address in (server.address, server.address6):
        with server.listen(address=address) as listener:
            assert can_connect(host, listener.getsockname()[:2])


def test_nothing_leads_out_of_the_laboratory(lab):
    host = lab.home("home", "none")
    for address in ("192.0.2.1", "9.9.9.9", "127.0.0.2"):
        assert not can_connect(host, (address, 80))
    assert "default" not in lab.internet.run(["ip", "route"]).stdout
    # Every interface but the loopback one has its other end in a namespace of this laboratory.
    own = {name.split()[0] for name in laboratory.namespaces() if name.startswith(f"{laboratory.PREFIX}-{os.getpid()}-")}
    listed = [line for line in lab.internet.run(["ip", "-o", "link"]).stdout.splitlines() if "link-netns" in line]
    assert listed and all(line.split("link-netns ")[1].split()[0] in own for line in listed)


@pytest.mark.parametrize("family", ["4", "6"])
def test_congestion_control_is_cubic_everywhere(lab, family):
    server, host = lab.host("server", family=family), lab.home("home", "restricted", family=family)
    with server.listen() as listener, host.connect(listener.getsockname()[:2]) as dialled, listener.accept()[0] as accepted:
        for sock in (dialled, accepted):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"cubic"


MAKES_A_LAB = """
import signal, sys, time
from nat.lab import Lab
# Who runs this in the background may have made it deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Lab(sys.argv[1]) as lab:
    host = lab.home("home", "easy")
    host.start(["sleep", "60"], "sleep")
    print("made", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_laboratory_leaves_nothing(tmp_path, sent):
    child = subprocess.Popen([sys.executable, "-c", MAKES_A_LAB, tmp_path / "lab"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, cwd=os.getcwd(), env={**os.environ, "PYTHONPATH": "."})
    assert child.stdout.readline() == b"made\n"
    mine = f"{laboratory.PREFIX}-{child.pid}-"
    assert any(name.startswith(mine) for name in laboratory.namespaces())
    child.send_signal(sent)
    child.wait(20)
    child.stdout.close()
    if sent == signal.SIGKILL:
        # The next laboratory removes what is left.
        assert len(laboratory.sweep()) >= 3
    wait_for(lambda: not any(name.startswith(mine) for name in laboratory.namespaces()), 5, "namespaces gone")
