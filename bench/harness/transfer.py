"""One measured run: a pair, a swarm, or the floor."""

import json
import os
import resource
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree

from clients.base import ClientError, Limits, wait_for
from clients.ports import free_port
from clients.tools import MissingClient
from clients.trackers import OpenTracker
from interop.payload import Hashes

from .measure import GIB, MIB, PeakMemory, WarmPages, busy_seconds, wait_idle
from .payload import FILE_NAME

POLL_S = 0.02
FLOOR_TIMEOUT_S = 120
VERIFY_TIMEOUT_S = 15


@dataclass
class Result:
    """What one run gave; ``error`` instead of figures when it failed."""

    size: int = 0
    seconds: float = 0.0
    seed_cpu: float = 0.0
    leech_cpu: float = 0.0
    seed_anonymous: int = 0
    leech_anonymous: int = 0
    uploaded: int = 0
    leech_seconds: list = field(default_factory=list)
    #: share of the machine that neither side used but somebody did
    others: float = 0.0
    error: str = ""

    @property
    def mib_per_second(self):
        return self.size / MIB / self.seconds if self.seconds else 0.0

    @property
    def seed_cpu_per_gib(self):
        return self.seed_cpu / (self.size / GIB)

    @property
    def leech_cpu_per_gib(self):
        return self.leech_cpu / (self.size / GIB)

    @property
    def cpu_per_gib(self):
        return self.seed_cpu_per_gib + self.leech_cpu_per_gib

    @property
    def copies(self):
        """Copies of the payload that the seed sent."""
        return self.uploaded / self.size

    def note_others(self, busy):
        """``busy``: CPU seconds of all cores during the run."""
        rest = busy - self.seed_cpu - self.leech_cpu
        self.others = max(rest, 0.0) / (self.seconds * os.cpu_count()) if self.seconds else 0.0

    def as_json(self):
        return asdict(self)


class Bench:
    """The machine side of all runs: folders, warm pages, the floor program."""

    def __init__(self, memory_folder, disk_folder, floor_program, say, idle_s=0):
        self.memory = Path(memory_folder)
        self.disk = Path(disk_folder)
        self.floor_program = floor_program
        self.say = say
        self.idle_s = idle_s
        self.memory.mkdir(parents=True, exist_ok=True)
        self.disk.mkdir(parents=True, exist_ok=True)
        self.warm = WarmPages(self.memory)
        self._number = 0
        self.versions = {}

    def close(self):
        self.warm.close()
        rmtree(self.memory, ignore_errors=True)

    def _warm(self, size):
        wait_idle(self.idle_s)
        self.warm.hold(size)

    @contextmanager
    def _folders(self, on_disk):
        """A folder for logs and state, one for the data of the seed (tmpfs), one for downloads."""
        self._number += 1
        state = self.disk / f"run-{self._number}"
        data = self.memory / f"run-{self._number}"
        downloads = (state if on_disk else data) / "downloads"
        for folder in (state, data, downloads):
            folder.mkdir(parents=True)
        try:
            yield state, data, downloads
        finally:
            rmtree(data, ignore_errors=True)
            rmtree(state, ignore_errors=True)

    @contextmanager
    def _torrent(self, payload, kind, state, tracked):
        """The .torrent; with a tracker of its own for who cannot be told of peers."""
        if not tracked:
            yield payload.torrent(kind)
            return
        with OpenTracker() as tracker:
            tracker.start(state / "tracker", free_port(), [Hashes.of(payload.torrent(kind)).v1])
            yield payload.torrent(kind, announce=tracker.http)

    def pair(self, seed_by, leech_by, payload, kind, *, on_disk=False, verify=False, limit_s=120):
        """One seed to one leecher, both on loopback."""
        result = Result(payload.size)
        try:
            with self._folders(on_disk) as (state, data, downloads), ExitStack() as stack:
                payload.link_into(data / "seed")
                seed, leech = seed_by.peer(state / "seed"), leech_by.peer(state / "leech")
                stack.callback(seed.stop)
                stack.callback(leech.stop)
                tracked = not seed.dials and not leech.dials
                torrent = stack.enter_context(self._torrent(payload, kind, state, tracked))
                self._run_pair(result, seed, leech, torrent, data / "seed", downloads, limit_s)
                self._note_version(seed_by, seed)
                self._note_version(leech_by, leech)
                if verify:
                    # Some write after they have verified: give them time for it.
                    wait_for(lambda: payload.same_as(downloads / FILE_NAME), VERIFY_TIMEOUT_S, "an equal copy", 0.5)
        except (ClientError, MissingClient, OSError, subprocess.SubprocessError) as error:
            result.error = _first_line(error)
        finally:
            self.warm.release()
        return result

    def _run_pair(self, result, seed, leech, torrent, folder, downloads, limit_s):
        self._warm(result.size)
        seed.start()
        leech.start()
        seed_dials = seed.dials and not leech.dials
        if seed_dials:
            # The clock starts when the seed dials: the leecher has the torrent and waits.
            leech.fetch(torrent, downloads, [], stay=False)
            if not seed.dials_at_start:
                seed.seed(torrent, folder)
            self.warm.release()
            leech_cpu, busy = leech.cpu(), busy_seconds()
            if seed.dials_at_start:
                seed.seed(torrent, folder, dial=[leech.address])
                seed_cpu, start = seed.cpu(), time.monotonic()
            else:
                seed_cpu, start = seed.cpu(), time.monotonic()
                seed.dial(leech.address)
        else:
            seed.seed(torrent, folder)
            self.warm.release()
            seed_cpu, busy = seed.cpu(), busy_seconds()
            leech_cpu = leech.cpu() if leech.client.process else 0.0
            start = time.monotonic()
            leech.fetch(torrent, downloads, [seed.address], stay=False)
        with PeakMemory([seed.pid, leech.pid]) as memory:
            try:
                _wait_all([leech], start, limit_s, result)
            finally:
                result.seed_cpu = seed.cpu() - seed_cpu
                result.leech_cpu = leech.cpu() - leech_cpu
                result.note_others(busy_seconds() - busy)
        result.seed_anonymous, result.leech_anonymous = memory.peaks[seed.pid], memory.peaks[leech.pid]

    def swarm(self, contestant, payload, kind, leechers, upload_limit=None, limit_s=120):
        """One seed to several leechers of the same client, all knowing each other."""
        result = Result(payload.size)
        try:
            with self._folders(False) as (state, data, downloads), ExitStack() as stack:
                payload.link_into(data / "seed")
                seed = contestant.peer(state / "seed", Limits(upload=upload_limit))
                crowd = [contestant.peer(state / f"leech-{number}", number=number + 2) for number in range(leechers)]
                for peer in (seed, *crowd):
                    stack.callback(peer.stop)
                torrent = stack.enter_context(self._torrent(payload, kind, state, not seed.dials))
                self._warm(payload.size * leechers)
                for peer in (seed, *crowd):
                    peer.start()
                seed.seed(torrent, data / "seed")
                self.warm.release()
                seed_cpu, busy, start = seed.cpu(), busy_seconds(), time.monotonic()
                for number, peer in enumerate(crowd):
                    folder = downloads / str(number)
                    folder.mkdir()
                    peer.fetch(torrent, folder, [seed.address, *(other.address for other in crowd[:number])], stay=True)
                with PeakMemory([peer.pid for peer in (seed, *crowd)]) as memory:
                    _wait_all(crowd, start, limit_s, result)
                result.seed_cpu = seed.cpu() - seed_cpu
                result.leech_cpu = sum(peer.cpu() for peer in crowd)
                result.note_others(busy_seconds() - busy)
                result.seed_anonymous = memory.peaks[seed.pid]
                result.leech_anonymous = max(memory.peaks[peer.pid] for peer in crowd)
                result.uploaded = seed.uploaded()
        except (ClientError, MissingClient, OSError, subprocess.SubprocessError) as error:
            result.error = _first_line(error)
        finally:
            self.warm.release()
        return result

    def _note_version(self, contestant, peer):
        if contestant.name not in self.versions:
            self.versions[contestant.name] = peer.version()

    def floor(self, payload, *, hashed="sha1", sender="sendfile", receiver="two", on_disk=False):
        """The bare job, in the program bench/floor."""
        with self._folders(on_disk) as (_, _, downloads):
            self._warm(payload.size)
            self.warm.release()
            busy = busy_seconds()
            answer = self._floor_program(
                "transfer", "--input", payload.path, "--output", downloads / FILE_NAME,
                "--hash", hashed, "--sender", sender, "--receiver", receiver)
            busy = busy_seconds() - busy
        result = Result(payload.size, answer["seconds"], answer["seed_cpu_seconds"], answer["leech_cpu_seconds"])
        result.note_others(busy)
        return result

    def floor_hash(self, payload):
        """SHA-1 and SHA-256 of the payload on all cores."""
        return self.timed_alone(payload, lambda: self._floor_program("hash", "--input", payload.path))

    def timed_alone(self, payload, work):
        """Wall and CPU time of work in this process and children that it waits for."""
        wait_idle(self.idle_s)
        busy, cpu, start = busy_seconds(), _own_cpu(), time.monotonic()
        work()
        result = Result(payload.size, time.monotonic() - start, _own_cpu() - cpu)
        result.note_others(busy_seconds() - busy)
        return result

    def _floor_program(self, *arguments):
        done = subprocess.run([self.floor_program, *map(str, arguments)], capture_output=True, text=True,
                              timeout=FLOOR_TIMEOUT_S, check=True)
        return json.loads(done.stdout)


def _own_cpu():
    """CPU seconds of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _wait_all(leechers, start, limit_s, result):
    """Waits until all are finished, and notes when each was."""
    waiting = list(leechers)
    while waiting:
        for peer in [peer for peer in waiting if peer.finished()]:
            result.leech_seconds.append(time.monotonic() - start)
            waiting.remove(peer)
        if waiting and time.monotonic() - start > limit_s:
            parts = ", ".join(f"{peer.fraction():.0%}" for peer in waiting)
            raise ClientError(f"not done in {limit_s} s: {parts}")
        if waiting:
            time.sleep(POLL_S)
    result.seconds = max(result.leech_seconds)


def _first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
