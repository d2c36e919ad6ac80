"""Fixtures of the network laboratory's suite."""

import os
from pathlib import Path

import pytest

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
