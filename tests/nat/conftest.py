"""Fixtures of the network laboratory's suite."""

import os
from pathlib import Path

import pytest

from clients.peerage import Peerage
from clients.trackers import PeerageTracker
from interop.payload import write_file

from .lab import Lab
from .probe import EchoServer


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("the network laboratory needs root: it makes network namespaces")
    if not Path("/dev/net/tun").exists():
        raise pytest.UsageError("the network laboratory needs /dev/net/tun")


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path / "lab") as made:
        yield made


@pytest.fixture
def echo(lab):
    """A public host with two addresses, and the probes' server on it."""
    with EchoServer(lab.host("echo", addresses=2)) as server:
        yield server


@pytest.fixture
def peerage(lab, tmp_path):
    """Makes peerage drivers on hosts of the laboratory; they end before it does."""
    started = []

    def make(host, peers=(), **options):
        driver = Peerage(host=host.address, netns=host.netns, allow_local=False, **options)
        for peer in peers:
            driver.connect_peer(peer)
        driver.start(tmp_path / f"{host.name}-{len(started)}", 6881)
        started.append(driver)
        return driver

    yield make
    for driver in reversed(started):
        driver.stop()


@pytest.fixture
def public_tracker(lab, tmp_path):
    """``peerage tracker`` on a host of its own."""
    host = lab.host("tracker")
    with PeerageTracker(host=host.address, netns=host.netns).start(tmp_path / "tracker", 80) as tracker:
        yield tracker


@pytest.fixture
def content(tmp_path):
    """A file of 16 MiB."""
    return write_file(tmp_path / "content.bin", 16 << 20, 11)
