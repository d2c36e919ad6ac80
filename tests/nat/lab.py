"""The network laboratory: hosts, homes behind NATs and carriers around an internet of our own.

    with Lab(tmp_path) as lab:
        relay = lab.host("relay")
        a = lab.home("a", nat="restricted")
        b = lab.home("b", nat="symmetric", link=Link(delay_ms=25, loss=0.01))
        server = relay.start(["..."], "relay")
        done = a.run(["...", relay.address])

Everything is in network namespaces that no cable joins to the machine's own. The
addresses look public (Peerage's address rules call them so) and lead nowhere else.

    internet (a router without a default route)
      |- host                    203.0.114.n
      |- home: router (NAT) - host      203.0.114.n | 192.168.n.2
      '- carrier (NAT) - home: router (NAT) - host    203.0.114.n | 100.64.0.n | 192.168.n.2

IPv6 (``family="6"`` or ``"46"``) is routed, with the firewall of a home router:
hosts have 2a10:feed:n::1, homes 2a10:feed:n::/64.
"""

import atexit
import os
import re
import socket
import subprocess
from pathlib import Path

from clients import tools
from clients.base import Process
from clients.netns import inside

from . import rules, wire
from .wire import PLAIN, Link  # noqa: F401 (Link is part of this module's face)

PREFIX = "peerlab"
#: what a namespace is called: the process that made it, the laboratory's number, the namespace's number
NAME = re.compile(rf"^{PREFIX}-(\d+)-\d+-\d+")
GATEWAY = "198.51.101.1"
CARRIER_GATEWAY = "100.64.0.1"
ROUTER6 = "fe80::1"
SITE6 = "fe80::2"
COMMAND_TIMEOUT_S = 20
#: On every route that a host uses, since the machine's default may be bbr, and figures are compared
#: against cubic. A kernel may forbid the same as a namespace's setting, but not this.
CUBIC = "congctl cubic"
_labs = 0


def namespaces():
    """Names of all namespaces on this machine."""
    listed = subprocess.run([*tools.system("ip"), "netns", "list"], capture_output=True, text=True, timeout=10, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]


def delete(name):
    subprocess.run([*tools.system("ip"), "netns", "delete", name], check=False, timeout=10)


def sweep():
    """Removes what laboratories of killed processes left; the names."""
    left = []
    for name in namespaces():
        found = NAME.match(name)
        if found and not Path(f"/proc/{found[1]}").exists():
            delete(name)
            left.append(name)
    return left


class Namespace:
    """A network namespace; its processes end with the laboratory."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = lab.new_namespace(name)
        self.settings({
            "ipv6/conf/default/accept_dad": "0",
            "ipv6/conf/all/accept_dad": "0",
            "ipv6/conf/default/accept_ra": "0",
            "ipv6/conf/all/accept_ra": "0",
        })
        self.ip("link set lo up")

    def settings(self, values):
        """Writes sysctls, named by their path below /proc/sys/net."""
        def write():
            for key, value in values.items():
                Path("/proc/sys/net", key).write_text(value)

        inside(self.netns, write)

    def _tool(self, command, text):
        done = inside(self.netns, lambda: subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S))
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)} failed: {done.stderr}\n{text}")

    def ip(self, *lines):
        """Runs lines of ``ip``."""
        self._tool([*tools.system("ip"), "-batch", "-"], "\n".join(lines) + "\n")

    def ip6(self, *lines):
        """The same for IPv6."""
        self._tool([*tools.system("ip"), "-6", "-batch", "-"], "\n".join(lines) + "\n")

    def tc(self, *lines):
        self._tool([*tools.system("tc"), "-batch", "-"], "\n".join(lines) + "\n")

    def nft(self, text):
        self._tool([*tools.system("nft"), "-f", "-"], text)

    def inside(self, function, *arguments):
        """Calls the function here: sockets that it makes stay here."""
        return inside(self.netns, function, *arguments)

    def run(self, command, timeout=60, check=True, **options):
        """Runs a command to its end, output captured as text."""
        command = [*tools.system("ip"), "netns", "exec", self.netns, *map(str, command)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=check, **options)

    def start(self, command, name, **options):
        """Starts a :class:`clients.base.Process`, which the laboratory ends."""
        return self.lab.adopt(Process(list(map(str, command)), self.lab.workdir, f"{self.name}-{name}",
                                      netns=self.netns, **options))


class Network(Namespace):
    """A router that sites are wired to, each with addresses of its own: the internet, or a carrier's net."""

    def __init__(self, lab, name, gateway):
        super().__init__(lab, name)
        self.gateway = gateway
        self.wires = 0
        self.settings({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})
        self.ip(f"addr add {gateway}/32 dev lo")
        self.nft(rules.LOSS_TABLE)

    def attach(self, site, address, address6, link):
        """Wires the site's ``wan`` to this network; the name of our end.

        ``address``: the site's own; ``address6``: the prefix that is routed to it.
        """
        self.wires += 1
        interface = f"w{self.wires}"
        process = wire.join(self, interface, site, "wan", link, self.lab.workdir, self.lab.next_seed())
        if process is not None:
            self.lab.adopt(process)
        if address is not None:
            self.ip(f"route add {address}/32 dev {interface}")
            site.ip(f"addr add {address}/32 dev wan", f"route add {self.gateway} dev wan scope link src {address}",
                    f"route add default via {self.gateway} dev wan src {address} {CUBIC}")
        if address6 is not None:
            self.ip6(f"addr add {ROUTER6}/64 dev {interface} nodad", f"route add {address6} via {SITE6} dev {interface}")
            site.ip6(f"addr add {SITE6}/64 dev wan nodad", f"route add default via {ROUTER6} dev wan {CUBIC}")
        if link.loss:
            self.nft(rules.loss(interface, link.loss))
        return interface

    def route(self, address, site_address, interface):
        """Leads one more address to the site that is attached by that interface."""
        self.ip(f"route add {address}/32 via {site_address} dev {interface} onlink")


class Host(Namespace):
    """A host. ``address`` is its own first one (IPv4 where it has one), ``address6`` its IPv6 one;
    ``public`` is where the internet sees what it sends, and ``home`` what it lives in (None: nothing)."""

    def __init__(self, lab, name, family):
        super().__init__(lab, name)
        self.addresses = []
        self.address6 = None
        self.public = None
        self.home = None
        if "6" not in family:
            self.settings({"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"})

    @property
    def address(self):
        return self.addresses[0] if self.addresses else self.address6

    def udp(self, port=0, address=None):
        """A bound UDP socket."""
        def make():
            sock = socket.socket(socket.AF_INET6 if ":" in (address or self.address) else socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address or self.address, port))
            return sock

        return self.inside(make)

    def listen(self, port=0, address=None):
        """A listening TCP socket, which shares its port with others that ask for it (see connect)."""
        def make():
            where = address or self.address
            sock = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((where, port))
            sock.listen()
            return sock

        return self.inside(make)

    def connect(self, target, timeout=5, port=0):
        """A connected TCP socket, from ``port`` if it is given."""
        def make():
            sock = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.settimeout(timeout)
            try:
                if port:
                    sock.bind((self.address, port))
                sock.connect(target)
            except BaseException:
                sock.close()
                raise
            return sock

        return self.inside(make)


class Home:
    """A router and the hosts behind it."""

    def __init__(self, lab, name, number, nat, router, family):
        self.lab, self.name, self.number, self.nat, self.router, self.family = lab, name, number, nat, router, family
        self.hosts = []
        #: where the internet sees its hosts (None with nat="none": each has its own)
        self.public = None
        #: the router's own address, and what leads to it
        self.uplink = None
        self.network = None
        self.interface = None
        router.ip("link add lan type bridge", "link set lan up", f"addr add 192.168.{number}.1/24 dev lan")
        if "6" in family:
            router.ip6(f"addr add {ROUTER6}/64 dev lan nodad", f"route add 2a10:feed:{number}::/64 dev lan")

    def add(self, name):
        """One more host in this home."""
        host = Host(self.lab, name, self.family)
        index = len(self.hosts) + 1
        self.hosts.append(host)
        host.home = self
        self.router.ip(f"link add lan{index} type veth peer name eth0 netns {host.netns}",
                       f"link set lan{index} master lan up")
        host.ip("link set eth0 up")
        if "4" in self.family:
            self._number4(host, index + 1)
        if "6" in self.family:
            host.address6 = f"2a10:feed:{self.number}::{index + 1}"
            host.ip6(f"addr add {host.address6}/64 dev eth0 nodad", f"route add default via {ROUTER6} dev eth0 {CUBIC}")
        host.public = host.public or host.address
        return host

    def _number4(self, host, index):
        gateway = f"192.168.{self.number}.1"
        if self.nat == "none":
            address = self.lab.next_public()
            host.ip(f"addr add {address}/32 dev eth0", f"route add {gateway} dev eth0 scope link",
                    f"route add default via {gateway} dev eth0 {CUBIC}")
            self.router.ip(f"route add {address}/32 dev lan")
            self.network.route(address, self.uplink, self.interface)
            host.public = address
        else:
            address = f"192.168.{self.number}.{index}"
            host.ip(f"addr add {address}/24 dev eth0", f"route add default via {gateway} {CUBIC}",
                    f"route replace 192.168.{self.number}.0/24 dev eth0 src {address} {CUBIC}")
            host.public = self.public
        host.addresses.append(address)


class Lab:
    """Use it as a context; what is in it ends with it, however it ends. Needs root."""

    def __init__(self, workdir):
        global _labs
        _labs += 1
        self.workdir = Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._prefix = f"{PREFIX}-{os.getpid()}-{_labs}"
        self._names = []
        self._processes = []
        self._public = 0
        self._sites = 0
        self._seed = 0
        self.internet = None

    def __enter__(self):
        sweep()
        atexit.register(self.close)
        try:
            self.internet = Network(self, "internet", GATEWAY)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends all processes, then removes all namespaces; again is harmless."""
        atexit.unregister(self.close)
        while self._processes:
            self._processes.pop().kill()
        while self._names:
            delete(self._names.pop())

    def new_namespace(self, name):
        netns = f"{self._prefix}-{len(self._names)}-{name}"
        self._names.append(netns)
        subprocess.run([*tools.system("ip"), "netns", "add", netns], check=True, timeout=10)
        return netns

    def adopt(self, process):
        """Ends the process with the laboratory."""
        self._processes.append(process)
        return process

    def next_public(self):
        self._public += 1
        assert self._public < 255, "the laboratory has 254 public addresses"
        return f"203.0.114.{self._public}"

    def next_seed(self):
        self._seed += 1
        return self._seed

    def _next_site(self):
        self._sites += 1
        return self._sites

    def host(self, name, link=PLAIN, addresses=1, family="4"):
        """A host on the internet. ``family``: "4", "6" or "46"; ``addresses``: how many IPv4 ones."""
        number = self._next_site()
        host = Host(self, name, family)
        v4 = [self.next_public() for _ in range(addresses)] if "4" in family else []
        host.address6 = f"2a10:feed:{number}::1" if "6" in family else None
        prefix6 = f"2a10:feed:{number}::/64" if host.address6 else None
        interface = self.internet.attach(host, v4[0] if v4 else None, prefix6, link)
        for address in v4[1:]:
            self.internet.route(address, v4[0], interface)
            host.ip(f"addr add {address}/32 dev wan")
        if host.address6:
            host.ip6(f"addr add {host.address6}/128 dev wan nodad",
                     f"route replace default via {ROUTER6} dev wan src {host.address6} {CUBIC}")
        host.addresses = v4
        host.public = host.address
        return host

    def carrier(self, name, nat="restricted", link=PLAIN):
        """A carrier-grade NAT, for ``home(carrier=...)``."""
        carrier = Network(self, name, CARRIER_GATEWAY)
        carrier.public = self.next_public()
        carrier.customers = 0
        self.internet.attach(carrier, carrier.public, None, link)
        carrier.nft(rules.router(nat))
        return carrier

    def home(self, name, nat, link=PLAIN, carrier=None, udp=True, tcp_ports=None, family="4"):
        """The host of a home; ``.home.router`` is its router, ``.home.add(NAME)`` adds hosts.

        ``nat``: one of rules.KINDS. ``link`` is the wire from the router to the internet or
        carrier. ``udp`` and ``tcp_ports``: see rules.router.
        """
        assert nat in rules.KINDS and not (carrier and nat == "none"), nat
        number = self._next_site()
        router = Namespace(self, f"{name}-router")
        router.settings({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})
        home = Home(self, name, number, nat, router, family)
        home.network = carrier or self.internet
        if "4" in family:
            if carrier is None:
                home.uplink = self.next_public()
            else:
                carrier.customers += 1
                home.uplink = f"100.64.0.{carrier.customers + 1}"
            home.public = None if nat == "none" else (carrier.public if carrier else home.uplink)
        home.interface = home.network.attach(router, home.uplink, f"2a10:feed:{number}::/64" if "6" in family else None, link)
        router.nft(rules.router(nat, udp, tcp_ports))
        return home.add(name)
