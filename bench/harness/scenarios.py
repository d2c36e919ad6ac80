"""Which runs there are. Contestants of a scenario run interleaved, round by round."""

import shutil
import statistics
from dataclasses import dataclass, field
from typing import Callable

from clients.base import ClientError
from clients.peerage import create
from interop.payload import make_torrent

from .contestants import CONTESTANTS, PEERAGE
from .measure import MIB
from .payload import Kind, Payload
from .transfer import Result

V1, V1_LARGE = Kind("v1", 1), Kind("v1", 4)
V2, HYBRID = Kind("v2", 1), Kind("hybrid", 1)
SMALL_MIB = 512
LEECHERS = 4
CAP = 32 * MIB

FLOOR, FLOOR_BEST = "floor", "floor, read + send, threads in turn"
QUICK = ("libtorrent", "libtorrent-tuned", PEERAGE)
ONE_TO_ONE = ("libtorrent", "libtorrent-tuned", "rtorrent", "aria2", "qbittorrent-5", "rqbit", PEERAGE)
ANY_VERSION = ("libtorrent", "libtorrent-tuned", "qbittorrent-5", PEERAGE)
DISK = ("libtorrent", "aria2", "rtorrent", "rqbit", PEERAGE)
#: two nodes of ours prove who they are; the others are in plain
AUTHENTICATED = ("libtorrent", "libtorrent-tuned", PEERAGE, f"{PEERAGE}-tls")
ENCRYPTED = ("libtorrent-rc4", "rtorrent-rc4", "aria2-rc4", "qbittorrent-5-rc4", f"{PEERAGE}-rc4")
#: each road between two of ours
ROADS = (PEERAGE, f"{PEERAGE}-tls", f"{PEERAGE}-quic")
UTP = ("libtorrent-utp", "qbittorrent-5-utp", f"{PEERAGE}-utp")
SWARM = ("rtorrent", "libtorrent", "aria2", "qbittorrent-5", "rqbit", PEERAGE)
SEEDS = ("libtorrent", "libtorrent-tuned", "rtorrent", PEERAGE)
LEECHES = ("libtorrent", "rtorrent", "aria2", "qbittorrent-5")
PACED_LEECHES = ("transmission-3", "transmission-4")


@dataclass
class Row:
    """All runs of one contestant (or pair) in one scenario."""

    name: str
    results: list = field(default_factory=list)

    @property
    def good(self):
        return [result for result in self.results if not result.error]

    @property
    def error(self):
        """Why there is no figure; "" when there is one."""
        return "" if self.good else (self.results[-1].error if self.results else "not run")

    @property
    def failures(self):
        return len(self.results) - len(self.good)

    @property
    def median(self):
        """The run with the middle wall time, or None."""
        good = sorted(self.good, key=lambda result: result.seconds)
        return good[len(good) // 2] if good else None

    def middle(self, attribute):
        """Median of one figure over the runs; 0 when there is none."""
        values = [getattr(result, attribute) for result in self.good]
        return statistics.median(values) if values else 0


@dataclass
class Scenario:
    """A table of the report."""

    name: str
    title: str
    #: which table of the report shows it: transfer, swarm or create
    shape: str
    rows: list

    def row(self, name):
        return next((row for row in self.rows if row.name == name), None)

    def median(self, name):
        row = self.row(name)
        return row.median if row else None


class Plan:
    """Runs scenarios on one :class:`transfer.Bench`."""

    def __init__(self, bench, size, runs, names, skip=()):
        self.bench = bench
        self.runs = runs
        self.names = names
        self.skip = set(skip)
        self.size = size
        self._payloads = {}
        #: all scenarios so far, the one that runs now included
        self.scenarios = []

    def payload(self, size=None):
        size = size or self.size
        if size not in self._payloads:
            self.bench.say(f"making {size // MIB} MiB of payload")
            self._payloads[size] = Payload(self.bench.memory, size)
        return self._payloads[size]

    def _wanted(self, names):
        chosen = [name for name in names if name not in self.skip and (not self.names or name in self.names)]
        return [CONTESTANTS[name] for name in chosen]

    def _rounds(self, name, title, shape, jobs):
        """``jobs``: (row name, function of the round number giving a Result)."""
        rows = [Row(job_name) for job_name, _ in jobs]
        self.scenarios.append(Scenario(name, title, shape, rows))
        for number in range(self.runs):
            for row, (_, run) in zip(rows, jobs, strict=True):
                if number and not row.good:
                    continue  # failed at first: not again
                result = run(number)
                row.results.append(result)
                said = result.error or f"{result.seconds:.2f} s, {result.mib_per_second:.0f} MiB/s"
                self.bench.say(f"{name} {number + 1}/{self.runs} {row.name}: {said}")

    def one_to_one(self, name, title, kind, contestants, on_disk=False, size=None):
        payload = self.payload(size)
        hashed = "sha256" if kind.version == "v2" else "sha1"
        jobs: list[tuple[str, Callable]] = [
            (FLOOR, lambda _: self.bench.floor(payload, hashed=hashed, on_disk=on_disk)),
        ]
        if not on_disk:
            jobs.append((FLOOR_BEST, lambda _: self.bench.floor(
                payload, hashed=hashed, sender="copy", receiver="rotate")))
        for contestant in self._wanted(contestants):
            if kind.version in contestant.versions:
                jobs.append((contestant.name, lambda number, contestant=contestant: self.bench.pair(
                    contestant, contestant, payload, kind, on_disk=on_disk, verify=number == 0)))
        payload.torrent(kind)
        self._rounds(name, title, "transfer", jobs)

    def foreign(self, name, title, leeches, size, limit_s):
        """Every seed of SEEDS to each foreign leecher."""
        payload = self.payload(size)
        jobs = []
        for leech in self._wanted(leeches):
            for seed in self._wanted(SEEDS):
                jobs.append((f"{seed.name} to {leech.name}", lambda _, seed=seed, leech=leech: self.bench.pair(
                    seed, leech, payload, V1, limit_s=limit_s)))
            if PEERAGE in {seed.name for seed in self._wanted(SEEDS)}:
                ours = CONTESTANTS[PEERAGE]
                jobs.append((f"{leech.name} to {PEERAGE}", lambda _, leech=leech: self.bench.pair(
                    leech, ours, payload, V1, limit_s=limit_s)))
        payload.torrent(V1)
        self._rounds(name, title, "transfer", jobs)

    def swarm(self, name, title, upload_limit=None):
        payload = self.payload(SMALL_MIB * MIB)
        payload.torrent(V1)
        jobs = [(contestant.name, lambda _, contestant=contestant: self.bench.swarm(
            contestant, payload, V1, LEECHERS, upload_limit)) for contestant in self._wanted(SWARM)]
        self._rounds(name, title, "swarm", jobs)

    def create(self, name, title):
        """Making a hybrid torrent, against the two hashes alone."""
        payload = self.payload()
        jobs = [("two hashes, both cores", lambda _: self.bench.floor_hash(payload))]
        makers = {"libtorrent": lambda target: make_torrent(payload.path, target, "hybrid", MIB),
                  PEERAGE: lambda target: create(payload.path, target)}
        for contestant in self._wanted(tuple(makers)):
            maker = makers[contestant.name]
            jobs.append((contestant.name, lambda _, maker=maker: self._timed(payload, maker)))
        self._rounds(name, title, "create", jobs)

    def _timed(self, payload, maker):
        folder = self.bench.memory / "create"
        folder.mkdir()
        try:
            return self.bench.timed_alone(payload, lambda: maker(folder / "x.torrent"))
        except (ClientError, OSError) as error:
            return Result(payload.size, error=str(error)[:200])
        finally:
            shutil.rmtree(folder)


#: name -> function of a Plan; the order of a full run
SCENARIOS = {
    "v1": lambda plan: plan.one_to_one("v1", f"One seed to one leecher, tmpfs, {V1}", V1, ONE_TO_ONE),
    "v1-4m": lambda plan: plan.one_to_one("v1-4m", f"The same, {V1_LARGE}", V1_LARGE, ONE_TO_ONE),
    "v2": lambda plan: plan.one_to_one("v2", f"The same, {V2}", V2, ANY_VERSION),
    "hybrid": lambda plan: plan.one_to_one("hybrid", f"The same, {HYBRID}", HYBRID, ANY_VERSION),
    "disk": lambda plan: plan.one_to_one(
        "disk", f"The same, to a real disk (its page cache), {V1}", V1, DISK, on_disk=True),
    "rc4": lambda plan: plan.one_to_one(
        "rc4", f"The same, with message stream encryption (RC4), {V1}", V1, ENCRYPTED),
    "tls": lambda plan: plan.one_to_one(
        "tls", f"The same, with TLS between two of ours, {V1}", V1, AUTHENTICATED),
    "quic": lambda plan: plan.one_to_one(
        "quic", f"The same, QUIC beside the other roads of ours, {V1}", V1, ROADS),
    "utp": lambda plan: plan.one_to_one(
        "utp", f"The same over uTP, {SMALL_MIB} MiB, {V1}", V1, UTP, size=SMALL_MIB * MIB),
    "foreign": lambda plan: plan.foreign(
        "foreign", "Foreign leechers, by seed", LEECHES, None, 60),
    "paced": lambda plan: plan.foreign(
        "paced", f"transmission as leecher ({SMALL_MIB} MiB), by seed", PACED_LEECHES, SMALL_MIB * MIB, 150),
    "swarm": lambda plan: plan.swarm("swarm", f"One seed to {LEECHERS} leechers at once, {SMALL_MIB} MiB"),
    "swarm-capped": lambda plan: plan.swarm(
        "swarm-capped", f"The same, the seed capped at {CAP // MIB} MiB/s (ideal {SMALL_MIB * MIB // CAP} s)", CAP),
    "create": lambda plan: plan.create("create", "Creating a hybrid torrent, 1 MiB pieces"),
}


def quick(plan):
    """The one scenario of ``--quick``."""
    plan.one_to_one("v1", f"One seed to one leecher, tmpfs, {V1}", V1, QUICK)
