"""Every client in both roles against peerage, by each way and each version.

In the role of leecher, a client that can be told of a peer dials us; the others
are dialled. As seeds, all are dialled. So both directions of connecting occur.
"""

import shutil

import pytest

from clients.base import wait_for
from interop import matrix, payload

pytestmark = pytest.mark.cells
TIMEOUT_S = 45


@pytest.mark.parametrize("cell", matrix.possible_cells(), ids=str)
def test_cell(cell, world, launch, peerage, record, tmp_path):
    record("cells", str(cell))
    client = launch(matrix.CLIENTS[cell.client]())
    record("versions", cell.client, client.version())
    out = tmp_path / "out"
    out.mkdir()
    if cell.role == "seed":
        client_seeds(cell, client, world, peerage, out)
    else:
        client_leeches(cell, client, world, peerage, out)
    lacks_empty = cell.role == "leech" and cell.client in matrix.NO_EMPTY_FILES
    payload.assert_same(world.content, out / world.content.name, lacks_empty)


def client_seeds(cell, client, world, peerage, out):
    """``peerage get`` from the client, by a torrent that libtorrent made."""
    torrent = world.foreign[cell.version]
    pads_of = torrent if cell.version == "hybrid" and cell.client in matrix.HYBRID_AS_V1 else None
    data = out.parent / "data"
    payload.copy_to(world.content, data, pads_of)
    client.add_torrent(torrent, data, seed=True)
    get = peerage(peers=[client.address])
    get.get(torrent if cell.way == "torrent" else payload.magnet(torrent), out)
    get.wait_complete(TIMEOUT_S)
    assert get.wait_exit(20) == 0
    content_bytes = sum(path.stat().st_size for path in world.content.rglob("*") if path.is_file())
    assert get.downloaded() >= content_bytes


def client_leeches(cell, client, world, peerage, out):
    """The client fetches from ``peerage share``, by a torrent that peerage made."""
    torrent = world.our_torrent(cell.version)
    # Without a torrent, share makes a hybrid one of its own.
    given = None if cell.way == "printed" and cell.version == "hybrid" else torrent
    share = peerage(peers=[] if client.can_connect else [client.address])
    if client.can_connect:
        share.share(world.content, torrent=given)
        add(cell, client, share.link if cell.way == "printed" else None, torrent, out)
        client.connect_peer(share.address)
    else:
        # The client has to know the torrent before it is dialled for it.
        link = printed_link(peerage, share, world, given) if cell.way == "printed" else None
        add(cell, client, link, torrent, out)
        share.share(world.content, torrent=given)
        assert link in (None, share.link), "the same content and address give another link"
    client.wait_complete(TIMEOUT_S)
    wait_for(lambda: share.uploaded() > 0, 5, "share tells what it uploaded")


def add(cell, client, link, torrent, out):
    if cell.way == "torrent":
        client.add_torrent(torrent, out, seed=False)
    elif cell.way == "magnet":
        client.add_magnet(payload.magnet(torrent), out)
    else:
        client.add_magnet(link, out)


def printed_link(peerage, share, world, torrent):
    """The link as a first run on the same address prints it."""
    first = peerage(name="first", port=share.port)
    first.share(world.content, torrent=torrent)
    first.stop()
    # It is the same peer again, with the key that the link names.
    shutil.copytree(first.workdir / "home", share.workdir / "home", dirs_exist_ok=True)
    return first.link
