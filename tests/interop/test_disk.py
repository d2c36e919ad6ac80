"""The disk: full while downloading, and files that change while they are served."""

import asyncio
import os
import random
import shutil
import subprocess
import time

import pytest

from clients.base import wait_for
from clients.rawpeers import Leecher
from clients.hostile import Behaviour
from clients.wire import Closed, RawTorrent
from interop import payload
from interop.kit import stays

pytestmark = pytest.mark.disk
MIB = payload.MIB


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 8 MiB; ``grow(size)`` gives it more room."""
    assert os.geteuid() == 0, "needs root, to mount a tmpfs"
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=True, timeout=10)

    def grow(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(mount)], check=True, timeout=10)

    mount_and_grow = (mount, grow)
    yield mount_and_grow
    subprocess.run(["umount", "-l", str(mount)], check=True, timeout=10)


def test_full_disk_pauses_and_goes_on(small_disk, peerage, raw_swarm, record, tmp_path):
    record("behaviour", "the disk is full while downloading")
    mount, grow = small_disk
    content = payload.write_file(tmp_path / "source" / "big.bin", 24 * MIB, seed=3)
    torrent = payload.make_torrent(content, tmp_path / "t.torrent", "v1", piece_size=256 * payload.KIB)
    raw = RawTorrent(torrent, content)
    seeder = raw_swarm.add(raw, Behaviour(rate=16 * MIB))
    get = peerage(peers=[seeder.address])
    get.get(torrent, mount)
    paused = get.events.wait("paused", 30)
    assert paused, f"ended instead of pausing: {get.wait_exit(5)}; {get.process.log_tail()}"
    reason = paused["reason"].lower()
    assert "space" in reason or "full" in reason or "room" in reason, f"not a clear message: {paused['reason']}"
    assert stays(get.process.alive, 3), "it ended while the disk was full"
    sent = seeder.counters.bytes_sent
    time.sleep(2)
    assert seeder.counters.bytes_sent - sent <= 4 * MIB, "it goes on fetching with nowhere to put it"
    grow("64m")
    room_at = time.monotonic()
    wait_for(lambda: seeder.counters.bytes_sent > sent + MIB or get.is_complete(), 15, "goes on when there is room")
    resumed_after = time.monotonic() - room_at
    get.wait_complete(60)
    assert get.wait_exit(20) == 0
    payload.assert_same(content, mount / content.name)
    record("behaviour", "the disk is full while downloading",
           f"pauses, and goes on {resumed_after:.0f} s after there is room")


# Ways in which a file changes. Each gets the path, and leaves it changed.
def modify(path):
    with open(path, "r+b") as file:
        for offset in range(0, path.stat().st_size, 64 * 1024):
            file.seek(offset)
            file.write(b"changed!")


def modify_and_restore_time(path):
    before = path.stat()
    modify(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path):
    os.truncate(path, path.stat().st_size // 3)


def grow_with_zeros(path):
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def delete(path):
    path.unlink()


def replace(path):
    other = path.with_name("other")
    payload.write_file(other, path.stat().st_size, seed=99)
    os.replace(other, path)


def replace_by_shorter(path):
    other = path.with_name("other")
    payload.write_file(other, 1000, seed=98)
    os.replace(other, path)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


CHANGES = [modify, modify_and_restore_time, truncate, grow_with_zeros, delete, replace, replace_by_shorter,
           replace_by_folder]
FILE_SIZE = 4 * MIB


@pytest.fixture
def shared_pair(peerage, tmp_path):
    """Two files of 4 MiB, aligned to pieces; the first one will change."""
    folder = tmp_path / "pair"
    payload.write_file(folder / "a.bin", FILE_SIZE, seed=11)
    payload.write_file(folder / "b.bin", FILE_SIZE, seed=12)
    torrent = payload.make_torrent(folder, tmp_path / "t.torrent", "v1", piece_size=128 * payload.KIB)
    raw = RawTorrent(torrent, folder)
    assert raw.files[0][0] == "a.bin"
    share = peerage().share(folder, torrent=torrent)
    return share, folder, raw


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_file_is_never_served_bad(change, shared_pair, raw_swarm, record):
    record("behaviour", "files changed while served, never a bad piece")
    share, folder, raw = shared_pair
    per_file = FILE_SIZE // raw.piece_size

    async def run():
        leecher = await Leecher(raw, share.address).connect()
        # Warm: it has served from this file, and may hold it open.
        warm = [await leecher.fetch(index) for index in range(4)]
        change(folder / "a.bin")
        for index in random.Random(5).sample(range(per_file), per_file):
            if await leecher.fetch(index, 3) == "refused":
                leecher.close()
                try:
                    await leecher.connect(3)
                except (Closed, TimeoutError, OSError):
                    break
        leecher.close()
        return warm, leecher

    warm, leecher = raw_swarm.run(run(), 200)
    assert warm == ["good"] * 4
    assert leecher.bad == [], f"served {len(leecher.bad)} bad pieces after the file changed"
    assert share.process.alive(), share.process.log_tail()

    async def other_file():
        other = await Leecher(raw, share.address, "127.0.60.2").connect(30)
        verdicts = [await other.fetch(index) for index in range(per_file, per_file + 8)]
        other.close()
        return verdicts

    # The untouched file: at worst it is not served either, but never wrongly.
    try:
        assert "bad" not in raw_swarm.run(other_file(), 60)
    except (Closed, TimeoutError):
        pass


def test_file_changed_under_a_running_transfer(shared_pair, raw_swarm):
    """What is asked for a second or more after a change is never bad."""
    share, folder, raw = shared_pair
    path = folder / "a.bin"
    original = path.read_bytes()
    per_file = FILE_SIZE // raw.piece_size

    async def run():
        bad = []
        for turn in range(4):
            leecher = Leecher(raw, share.address, f"127.0.61.{turn + 1}")
            try:
                await leecher.connect(5)
                for index in range(4):
                    await leecher.fetch(index, 2)
                modify(path)
                await asyncio.sleep(1)
                leecher.bad.clear()
                for index in range(per_file):
                    if await leecher.fetch(index, 2) == "refused":
                        break
                bad += leecher.bad
            except (Closed, TimeoutError, OSError):
                pass
            finally:
                leecher.close()
            path.write_bytes(original)
            await asyncio.sleep(1)
        return bad

    assert raw_swarm.run(run(), 150) == []
    assert share.process.alive()


def test_download_folder_that_vanishes(peerage, raw_swarm, tmp_path):
    """The target folder is deleted under a download: an end or a pause, no hang, no panic."""
    content = payload.write_file(tmp_path / "source" / "big.bin", 24 * MIB, seed=4)
    torrent = payload.make_torrent(content, tmp_path / "t.torrent", "v1", piece_size=256 * payload.KIB)
    seeder = raw_swarm.add(RawTorrent(torrent, content), Behaviour(rate=4 * MIB))
    get = peerage(peers=[seeder.address])
    get.get(torrent, tmp_path / "out", "--timeout", "30s")
    wait_for(lambda: seeder.counters.bytes_sent > 2 * MIB, 20, "the download runs")
    shutil.rmtree(tmp_path / "out")
    code = get.wait_exit(45)
    assert code in range(0, 19), f"ended with {code}; {get.process.log_tail()}"
    if code == 0:
        payload.assert_same(content, tmp_path / "out" / content.name)


#: (system call, which one fails, the exit codes that are right): threats.md C5
FAILING_CALLS = [("fdatasync", 1, (0, 1)), ("fdatasync", 3, (0, 1)), ("pwritev", 2, (1,)), ("pwritev", 40, (1,)),
                 ("ftruncate", 1, (1,)), ("renameat2", 1, (1,))]


@pytest.mark.parametrize("call, number, codes", FAILING_CALLS, ids=str)
def test_failing_disk(peerage, raw_swarm, record, tmp_path, call, number, codes):
    """The disk fails with EIO under a download: it ends with an error or goes on without trusting
    what was not kept, and the next run completes."""
    record("behaviour", f"EIO of {call} number {number} in a download")
    content = payload.write_file(tmp_path / "source" / "big.bin", 24 * MIB, seed=6)
    torrent = payload.make_torrent(content, tmp_path / "t.torrent", "v1", piece_size=256 * payload.KIB)
    seeder = raw_swarm.add(RawTorrent(torrent, content), Behaviour(rate=8 * MIB))
    strace = ["strace", "-f", "-qq", "-o", tmp_path / "strace", "-e", f"trace={call}",
              "-e", f"inject={call}:error=EIO:when={number}"]
    get = peerage(peers=[seeder.address], wrapper=map(str, strace))
    get.get(torrent, tmp_path / "out")
    code = get.wait_exit(60)
    assert "EIO" in (tmp_path / "strace").read_text(), "nothing was made to fail"
    assert code in codes, f"ended with {code}; {get.process.log_tail()}"
    if code == 0:
        warnings = [event["message"] for event in get.events.all("warning")]
        assert any("disk" in message for message in warnings), f"said nothing: {warnings}"
    again = peerage(peers=[seeder.address], name="again")
    # As the same user runs it: what was begun is known by the state, though no piece of it is whole.
    shutil.copytree(get.workdir / "home", again.workdir / "home", dirs_exist_ok=True)
    again.get(torrent, tmp_path / "out")
    assert again.wait_exit(60) == 0, again.process.log_tail()
    payload.assert_same(content, tmp_path / "out" / content.name)
    record("behaviour", f"EIO of {call} number {number} in a download", f"exit code {code}; the next run completes")
