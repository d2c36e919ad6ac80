"""Who takes part, behind one interface: :class:`Peer`.

All clients are driven through tests/clients. Peerage is a process per role, so
its process starts where the others are told to add a torrent.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from clients import base, tools
from clients.aria2 import Aria2, Aria2Next
from clients.base import ClientError, Limits
from clients.libtorrent_client import TUNED
from clients.peerage import Peerage
from clients.ports import free_port
from clients.qbittorrent import QBittorrent4, QBittorrent5
from clients.rtorrent import RTorrent
from clients.transmission import Transmission3, Transmission4

from . import no_tcp
from .libtorrent_limited import LimitedLibtorrent
from .measure import cpu_seconds
from .payload import FILE_NAME
from .rqbit import Rqbit

# The drivers' waits poll each 0.1 s, which would count as the client's time.
base.wait_for.__defaults__ = (0.01,)


class Peer:
    """One process in one run: ``start``, then ``seed`` or ``fetch``; ``stop`` always."""

    def __init__(self, client, workdir):
        self.client = client
        self.workdir = workdir
        self.port = free_port()
        #: whether it can be told of a peer; who cannot is dialled, or uses a tracker
        self.dials = client.can_connect
        #: whether a seed has to know whom to dial before it starts
        self.dials_at_start = False

    @property
    def address(self):
        return (self.client.host, self.port)

    @property
    def pid(self):
        return self.client.pid

    def start(self):
        self.client.start(self.workdir, self.port)

    def seed(self, torrent, folder, dial=()):
        """Adds the torrent, waits until its data is checked, and dials."""
        self.client.add_torrent(torrent, folder, seed=True)
        self.client.wait_complete(base.START_TIMEOUT_S)
        for address in dial:
            self.client.connect_peer(address)

    def dial(self, address):
        self.client.connect_peer(address)

    def fetch(self, torrent, folder, peers, stay):
        """Begins to download. ``stay``: go on as a seed when complete."""
        del stay  # every client but ours stays
        self.client.add_torrent(torrent, folder, seed=False)
        if not self.dials:
            return
        if isinstance(self.client, Rqbit):
            self.client.connect_peers(peers)
            return
        for address in peers:
            self.client.connect_peer(address)

    def finished(self):
        """Whether every piece is there and verified."""
        self.client.process.check_alive()
        if isinstance(self.client, RTorrent):
            # It hashes all a second time at the end, which no other client does.
            return self.client.progress().fraction >= 1
        return self.client.is_complete()

    def fraction(self):
        """How far it came, for the message of a run that failed."""
        try:
            return self.client.progress().fraction
        except (ClientError, OSError):
            return 0.0

    def cpu(self):
        return cpu_seconds(self.pid)

    def uploaded(self):
        """Payload bytes sent. The run is over: the client may end."""
        return self.client.uploaded()

    def stop(self):
        # Nothing of the client's state is wanted: no orderly end.
        if self.client.process is not None:
            self.client.process.kill()
        self.client.stop()

    def version(self):
        return self.client.version()


class PeeragePeer(Peer):
    """``peerage share`` or ``peerage get``; the wall time of ``get`` is that of its process."""

    def __init__(self, client, workdir):
        super().__init__(client, workdir)
        self.dials_at_start = True
        self.stay = False

    def seed(self, torrent, folder, dial=()):
        self.client.known_peers = list(dial)
        self.client.share(Path(folder) / FILE_NAME, torrent=torrent)

    def fetch(self, torrent, folder, peers, stay):
        self.stay = stay
        self.client.known_peers = list(peers)
        self.client.get(torrent, folder, *(["--seed"] if stay else []))

    def finished(self):
        if self.stay:
            self.client.process.check_alive()
            return self.client.is_complete()
        # Not reaped here, so that /proc still has its CPU time.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None and ended.si_status != 0:
            raise ClientError(f"peerage get ended with {ended.si_status}: {self.client.process.log_tail()}")
        return ended is not None

    def uploaded(self):
        """From the ``stats`` that it prints as it ends."""
        process, self.client.process = self.client.process, None
        process.stop(timeout=10)
        self.client.events.join()
        return self.client.uploaded()


class QuicPeer(PeeragePeer):
    """A leecher that knows of its seed the key and where it takes QUIC, and nothing else."""

    @property
    def address(self):
        key = re.search(r"x\.pg=([a-z2-7]{52})", self.client.link).group(1)
        return (f"{key},udp/{self.client.host}", self.port)


@dataclass(frozen=True)
class Contestant:
    """A client, and the settings it takes part with."""

    name: str
    driver: Callable
    #: a foreign client as it comes, one of those that the first target is about
    default: bool = True
    #: torrent formats that it speaks
    versions: tuple = ("v1",)
    #: options of the driver
    options: tuple = ()
    #: runs where TCP does not open
    no_tcp: bool = False
    #: two of ours meet by QUIC
    quic: bool = False

    def peer(self, workdir, limits=None, number=1):
        """``number``: of its loopback address; some take one connection from each only."""
        options = dict(self.options)
        if self.no_tcp:
            options["netns"] = no_tcp.namespace()
        client = self.driver(limits=limits or Limits(), host=f"127.0.0.{number}", **options)
        if self.driver is Peerage:
            return (QuicPeer if self.quic else PeeragePeer)(client, workdir)
        return Peer(client, workdir)


ALL_VERSIONS = ("v1", "v2", "hybrid")
#: message stream encryption on both sides
RC4 = (("encryption", "require"),)
PEERAGE = "peerage"
#: two of ours would go over TLS
PLAIN = (("tls", "off"),)
UTP = (("utp", True),)
_LIST = [
    Contestant(PEERAGE, Peerage, default=False, versions=ALL_VERSIONS, options=PLAIN),
    Contestant(f"{PEERAGE}-tls", Peerage, default=False, options=(("tls", "require"),)),
    Contestant("libtorrent", LimitedLibtorrent, versions=ALL_VERSIONS),
    Contestant("libtorrent-tuned", LimitedLibtorrent, default=False, versions=ALL_VERSIONS,
               options=(("settings", TUNED),)),
    Contestant("rtorrent", RTorrent),
    Contestant("aria2", Aria2),
    Contestant("aria2-1.37", Aria2Next),
    Contestant("qbittorrent-4", QBittorrent4, versions=ALL_VERSIONS),
    Contestant("qbittorrent-5", QBittorrent5, versions=ALL_VERSIONS),
    Contestant("transmission-3", Transmission3),
    Contestant("transmission-4", Transmission4),
    Contestant("rqbit", Rqbit),
    Contestant(f"{PEERAGE}-rc4", Peerage, default=False, options=RC4 + PLAIN),
    Contestant("libtorrent-rc4", LimitedLibtorrent, default=False, options=RC4),
    Contestant("rtorrent-rc4", RTorrent, default=False, options=RC4),
    Contestant("aria2-rc4", Aria2, default=False, options=RC4),
    Contestant("qbittorrent-5-rc4", QBittorrent5, default=False, options=RC4),
    Contestant(f"{PEERAGE}-quic", Peerage, default=False, quic=True),
    Contestant(f"{PEERAGE}-utp", Peerage, default=False, options=PLAIN + UTP, no_tcp=True),
    Contestant("libtorrent-utp", LimitedLibtorrent, default=False, options=UTP),
    Contestant("qbittorrent-5-utp", QBittorrent5, default=False, options=UTP),
]
CONTESTANTS = {contestant.name: contestant for contestant in _LIST}


def have_peerage():
    """Whether our own binary is there."""
    try:
        return bool(tools.peerage())
    except tools.MissingClient:
        return False
