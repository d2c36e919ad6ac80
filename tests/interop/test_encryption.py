"""Message stream encryption with every client, both roles; one side requires it."""

import pytest

from clients.base import WaitTimeout
from interop import matrix, payload
from interop.test_cells import add

pytestmark = pytest.mark.encryption
TIMEOUT_S = 45
CASES = [(client, role, who) for client in matrix.CLIENTS for role in matrix.ROLES for who in ("client", "peerage")
         if (client, who) not in matrix.NO_ENCRYPTION]


@pytest.mark.parametrize(("client", "role", "who"), CASES, ids=lambda part: part)
def test_required(client, role, who, world, launch, peerage, record, tmp_path):
    """A download from end to end, with RC4 required by the client or by us."""
    record("encryption", f"{client} as {role}, required by {who}")
    foreign = launch(matrix.CLIENTS[client](encryption="require" if who == "client" else "allow"))
    ours = {"encryption": "require" if who == "peerage" else "allow"}
    torrent, out = world.foreign["v1"], tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data", None)
        foreign.add_torrent(torrent, tmp_path / "data", seed=True)
        get = peerage(peers=[foreign.address], **ours)
        get.get(torrent, out)
        get.wait_complete(TIMEOUT_S)
        assert get.wait_exit(20) == 0
    elif foreign.can_connect:
        share = peerage(**ours)
        share.share(world.content, torrent=torrent)
        foreign.add_torrent(torrent, out, seed=False)
        foreign.connect_peer(share.address)
        foreign.wait_complete(TIMEOUT_S)
    else:
        foreign.add_torrent(torrent, out, seed=False)
        share = peerage(peers=[foreign.address], **ours)
        share.share(world.content, torrent=torrent)
        foreign.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, out / world.content.name, role == "leech" and client in matrix.NO_EMPTY_FILES)


@pytest.mark.parametrize("role", matrix.ROLES)
def test_no_fall_back_to_plain(role, world, launch, peerage, record, tmp_path):
    """threats.md W11: we require encryption, libtorrent refuses it: nothing is transferred."""
    record("encryption", f"libtorrent as {role} without encryption, required by peerage: no transfer")
    foreign = launch(matrix.CLIENTS["libtorrent"](encryption="off"))
    ours = {"encryption": "require"}
    torrent, out = world.foreign["v1"], tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data", None)
        foreign.add_torrent(torrent, tmp_path / "data", seed=True)
        get = peerage(peers=[foreign.address], **ours)
        get.get(torrent, out)
        with pytest.raises(WaitTimeout):
            get.wait_complete(8)
        assert foreign.uploaded() == 0
    else:
        share = peerage(**ours)
        share.share(world.content, torrent=torrent)
        foreign.add_torrent(torrent, out, seed=False)
        foreign.connect_peer(share.address)
        with pytest.raises(WaitTimeout):
            foreign.wait_complete(8)
        assert share.uploaded() == 0
