"""Fixtures of the interop suite, and the table that a run writes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from clients import peerage as peerage_driver
from clients.hostile import Swarm
from clients.peerage import Peerage
from clients.ports import free_port
from interop import payload, table


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The content, and its torrents made by libtorrent (foreign) and by peerage (ours)."""
    root = tmp_path_factory.mktemp("world")
    content = payload.make_folder(root / "source")
    foreign = {version: payload.make_torrent(content, root / f"foreign-{version}.torrent", version)
               for version in payload.VERSIONS}
    ours = {}

    def our_torrent(version):
        if version not in ours:
            ours[version] = peerage_driver.create(content, root / f"ours-{version}.torrent", version)
        return ours[version]

    return SimpleNamespace(root=root, content=content, foreign=foreign, our_torrent=our_torrent)


@pytest.fixture
def launch(tmp_path):
    """Starts clients in folders of their own below tmp_path, and stops them all."""
    started = []

    def start(client, name=None, port=None, **arguments):
        folder = tmp_path / f"{len(started)}-{name or client.name}"
        client.start(folder, port or free_port(), **arguments)
        started.append(client)
        return client

    yield start
    for client in reversed(started):
        client.stop()


@pytest.fixture
def peerage(launch):
    """Makes peerage drivers: ``peerage(peers=[...], limits=..., host=...)``."""

    def make(peers=(), name="peerage", port=None, **arguments):
        driver = Peerage(**arguments)
        for address in peers:
            driver.connect_peer(address)
        return launch(driver, name, port)

    return make


@pytest.fixture
def raw_swarm():
    """A :class:`Swarm` of raw seeders."""
    with Swarm() as swarm:
        yield swarm


@pytest.fixture
def record(request):
    """Notes facts for the table: ``record(section, key, note)``."""

    def note(section, key, text=""):
        request.node.user_properties.append(("interop", [section, key, text]))

    return note


class TableWriter:
    """Collects what the tests recorded (from all workers), and writes the table."""

    def __init__(self, config):
        self.config = config
        self.results = []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or (report.when == "setup" and report.failed):
            for name, value in report.user_properties:
                if name == "interop":
                    self.results.append((*value, report.passed))

    @pytest.hookimpl(tryfirst=True)  # before xdist waits for its workers, which may be interrupted
    def pytest_sessionfinish(self):
        table.update(self.results)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(TableWriter(config))


def pytest_collection_modifyitems(items):
    """The slowest cells first, so that no worker ends alone."""
    items.sort(key=lambda item: 0 if "transmission" in item.name else 1)


def pytest_report_header():
    return f"interop suite: {Path(__file__).parent.name}"
