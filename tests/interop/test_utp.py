"""uTP with every client that can speak it, both roles."""

import pytest

from clients.base import WaitTimeout
from interop import matrix, payload

pytestmark = pytest.mark.utp
TIMEOUT_S = 60
#: transmission 3.00 cannot be without TCP, which we prefer; webtorrent neither, but dials uTP first
CASES = [(client, role) for client in ("libtorrent", "qbittorrent-4", "qbittorrent-5") for role in matrix.ROLES]
CASES += [("webtorrent", "leech")]


def begin(client, role, world, launch, peerage, tmp_path, encryption=("off", "allow"), utp=True):
    """Starts a transfer with the client in ``role``; ``encryption``: the client's and ours.

    Returns our side, who fetches, and the folder it fetches into.
    """
    theirs, ours = encryption
    foreign = launch(matrix.CLIENTS[client](encryption=theirs, utp=True))
    torrent, out = world.foreign["v1"], tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data", None)
        foreign.add_torrent(torrent, tmp_path / "data", seed=True)
        get = peerage(peers=[foreign.address], encryption=ours, utp=utp)
        get.get(torrent, out)
        return get, get, out
    share = peerage(encryption=ours, utp=utp)
    share.share(world.content, torrent=torrent)
    foreign.add_torrent(torrent, out, seed=False)
    foreign.connect_peer(share.address)
    return share, foreign, out


def carry(ours, fetcher, out, client, world):
    """Waits for the end of a transfer, and sees that uTP carried it."""
    fetcher.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, out / world.content.name, fetcher is not ours and client in matrix.NO_EMPTY_FILES)
    assert ours.events.wait("peer_connected", 1)["road"]["kind"] == "utp"


@pytest.mark.parametrize(("client", "role"), CASES, ids=lambda part: part)
def test_alone(client, role, world, launch, peerage, record, tmp_path):
    """A download from end to end over uTP."""
    record("utp", f"{client} as {role}")
    ours, fetcher, out = begin(client, role, world, launch, peerage, tmp_path)
    carry(ours, fetcher, out, client, world)


@pytest.mark.parametrize("role", matrix.ROLES)
def test_encrypted(role, world, launch, peerage, record, tmp_path):
    """The same with RC4 required."""
    record("utp", f"libtorrent as {role}, RC4 required")
    ours, fetcher, out = begin("libtorrent", role, world, launch, peerage, tmp_path, ("require", "allow"))
    carry(ours, fetcher, out, "libtorrent", world)


@pytest.mark.parametrize("role", matrix.ROLES)
def test_off(role, world, launch, peerage, record, tmp_path):
    """Without uTP here, a client that speaks nothing else is not reached, nor does it reach us."""
    record("utp", f"libtorrent as {role}, `--utp off`: no transfer")
    ours, fetcher, _ = begin("libtorrent", role, world, launch, peerage, tmp_path, utp=False)
    with pytest.raises(WaitTimeout):
        fetcher.wait_complete(8)
    assert ours.events.last("peer_connected") is None
