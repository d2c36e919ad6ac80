"""The drivers themselves: each client against libtorrent, without peerage."""

import pytest

from clients.libtorrent_client import Libtorrent
from interop import matrix, payload

pytestmark = pytest.mark.drivers
TIMEOUT_S = 60


@pytest.mark.parametrize("role", matrix.ROLES)
@pytest.mark.parametrize("name", matrix.CLIENTS)
def test_driver_transfers_with_libtorrent(name, role, world, launch, tmp_path):
    client = launch(matrix.CLIENTS[name]())
    reference = launch(Libtorrent(), "reference")
    torrent = world.foreign["v1"]
    out = tmp_path / "out"
    out.mkdir()
    if role == "seed":
        payload.copy_to(world.content, tmp_path / "data")
        client.add_torrent(torrent, tmp_path / "data", seed=True)
        reference.add_torrent(torrent, out, seed=False)
        reference.connect_peer(client.address)
        reference.wait_complete(TIMEOUT_S)
    else:
        reference.add_torrent(torrent, world.content.parent, seed=True)
        reference.wait_complete(TIMEOUT_S)
        client.add_torrent(torrent, out, seed=False)
        if client.can_connect:
            client.connect_peer(reference.address)
        else:
            reference.connect_peer(client.address)
        client.wait_complete(TIMEOUT_S)
    payload.assert_same(world.content, out / world.content.name, name in matrix.NO_EMPTY_FILES)
    assert client.cpu_seconds() > 0
    assert client.anonymous_bytes() > 0
