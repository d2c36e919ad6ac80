"""What each client can do: the one data table behind the cells and docs/interop.md.

A cell that a client cannot do by its own limits is declared in IMPOSSIBLE with
the reason. Every other cell is run, and a failure is a failure of the suite.
"""

from dataclasses import dataclass
from fnmatch import fnmatch

from clients.aria2 import Aria2, Aria2Next
from clients.libtorrent_client import Libtorrent
from clients.qbittorrent import QBittorrent4, QBittorrent5
from clients.rtorrent import RTorrent
from clients.transmission import Transmission3, Transmission4
from clients.webtorrent import WebTorrent

CLIENTS = {
    client.name: client
    for client in (Libtorrent, QBittorrent4, QBittorrent5, Transmission3, Transmission4,
                   Aria2, Aria2Next, RTorrent, WebTorrent)
}
ROLES = ("seed", "leech")
WAYS = ("torrent", "magnet", "printed")
VERSIONS = ("v1", "hybrid", "v2")

#: take a hybrid torrent for a v1 torrent: want its pad files on disk to seed it
HYBRID_AS_V1 = {"transmission-4", "aria2-1.37", "rtorrent", "webtorrent"}

#: do not create files of zero bytes
NO_EMPTY_FILES = {"transmission-3", "webtorrent"}

NO_V2 = "speaks v1 only"
#: (client, role, way, version) patterns -> reason; the first that fits counts
IMPOSSIBLE = [
    (("transmission-*", "*", "*", "v2"), NO_V2),
    (("aria2-*", "*", "*", "v2"), NO_V2),
    (("rtorrent", "*", "*", "v2"), NO_V2),
    (("webtorrent", "*", "*", "v2"), NO_V2),
    (("transmission-3", "*", "*", "hybrid"), "transmission 3.00 refuses hybrid torrents (`create --v1` makes one that it takes)"),
    (("aria2-1.36", "*", "*", "hybrid"), "aria2 1.36 fails on hybrid torrents (`create --v1` makes one that it takes; 1.37 takes hybrids)"),
    (("rtorrent", "leech", "magnet", "hybrid"), "rtorrent fails on a magnet link that names two hashes (the link that `share` prints names one)"),
]


@dataclass(frozen=True)
class Cell:
    """One transfer between a foreign client in ``role`` and peerage in the other."""

    client: str
    role: str
    way: str
    version: str

    def __str__(self):
        return f"{self.client}-{self.role}-{self.way}-{self.version}"

    @property
    def impossible(self):
        """Why the client cannot do it; None when it can."""
        for patterns, reason in IMPOSSIBLE:
            if all(map(fnmatch, (self.client, self.role, self.way, self.version), patterns)):
                return reason
        return None


def all_cells():
    """Every cell, the impossible ones too. The printed link is only for leechers."""
    return [Cell(client, role, way, version)
            for client in CLIENTS for role in ROLES for way in WAYS for version in VERSIONS
            if not (way == "printed" and role == "seed")]


def possible_cells():
    return [cell for cell in all_cells() if cell.impossible is None]


#: clients that dial loopback peers that they learn of by peer exchange
PEX_CLIENTS = ("libtorrent", "qbittorrent-5", "rtorrent", "webtorrent", "aria2-1.37")
#: clients that tell others of peers; webtorrent only listens to what it is told
#: (rtorrent tells up to four minutes after the connection, and leaves "added.f" out)
PEX_TELLERS = ("libtorrent", "qbittorrent-5", "rtorrent", "aria2-1.37")
#: what stands in the table for the rest: (case, reason)
PEX_IMPOSSIBLE = [
    ("peerage learns of a seed from webtorrent", "webtorrent 3.0 takes peer exchange but sends none"),
    ("transmission learns of a seed from peerage", "transmission takes loopback addresses for martian, and dials none"),
]

#: clients that find peers by the DHT in a sealed network
DHT_CLIENTS = ("libtorrent", "qbittorrent-5", "transmission-3", "transmission-4", "webtorrent", "aria2-1.37")

#: clients for our tracker on loopback, and the protocols that they announce by
TRACKER_CLIENTS = {
    "libtorrent": ("http", "udp"),
    "qbittorrent-4": ("http", "udp"),
    "qbittorrent-5": ("http", "udp"),
    "rtorrent": ("http", "udp"),
    "webtorrent": ("http", "udp"),
    "aria2-1.36": ("http",),
    "aria2-1.37": ("http",),
}
#: clients that need addresses other than loopback: run in a network namespace
NETNS_TRACKER_CLIENTS = {"transmission-3": ("http", "udp"), "transmission-4": ("http", "udp")}
