"""Message stream encryption with every client, both roles; one side requires it."""

import pytest

from clients.base import WaitTimeout
from interop import matrix, payload

pytestmark = pytest.mark.encryption
TIMEOUT_S = 45
CASES = [(client, role, who) for client in matrix.CLIENTS for role in matrix.ROLES for who in ("client", "peerage")]


def begin(client, role, encryption, world, launch, peerage, tmp_path):
    """Starts a transfer with the client in ``role``; ``encryption``: the client's and ours.

    Returns who uploads, who fetches, and the folder it fetches into.
    """
    theirs, ours = encryption
    foreign = launch(matrix.CLIENTS[client](encryption=theirs))
    torrent, out = world.foreign["v1"], tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data", None)
        foreign.add_torrent(torrent, tmp_path / "data", seed=True)
        get = peerage(peers=[foreign.address], encryption=ours)
        get.get(torrent, out)
        return foreign, get, out
    # Who cannot dial has to know the torrent before it is dialled for it.
    share = peerage(peers=[] if foreign.can_connect else [foreign.address], encryption=ours)
    if not foreign.can_connect:
        foreign.add_torrent(torrent, out, seed=False)
    share.share(world.content, torrent=torrent)
    if foreign.can_connect:
        foreign.add_torrent(torrent, out, seed=False)
        foreign.connect_peer(share.address)
    return share, foreign, out


@pytest.mark.parametrize(("client", "role", "who"), CASES, ids=lambda part: part)
def test_required(client, role, who, world, launch, peerage, record, tmp_path):
    """A download from end to end, with RC4 required by the client or by us."""
    record("encryption", f"{client} as {role}, required by {who}")
    encryption = ("require", "allow") if who == "client" else ("allow", "require")
    _, fetcher, out = begin(client, role, encryption, world, launch, peerage, tmp_path)
    fetcher.wait_complete(TIMEOUT_S)
    if role == "seed":
        assert fetcher.wait_exit(20) == 0
    payload.assert_same(world.content, out / world.content.name, role == "leech" and client in matrix.NO_EMPTY_FILES)


@pytest.mark.parametrize("role", matrix.ROLES)
def test_no_fall_back_to_plain(role, world, launch, peerage, record, tmp_path):
    """threats.md W11: we require encryption, libtorrent refuses it: nothing is transferred."""
    record("encryption", f"libtorrent as {role} without encryption, required by peerage: no transfer")
    source, fetcher, _ = begin("libtorrent", role, ("off", "require"), world, launch, peerage, tmp_path)
    with pytest.raises(WaitTimeout):
        fetcher.wait_complete(8)
    assert source.uploaded() == 0
