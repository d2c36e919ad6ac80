"""The command line of ``bench/run``."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from clients import tools

from . import no_tcp, report, rqbit
from .contestants import CONTESTANTS, PEERAGE, have_peerage
from .measure import MIB
from .scenarios import SCENARIOS, Plan, quick
from .transfer import Bench

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
RESULTS = BENCH / "RESULTS.md"
BUILD_TIMEOUT_S = 1800


def _names(text, known, what):
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such {what}: {', '.join(unknown)} (there are {', '.join(known)})")
    return names


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="bench/run", description="Benchmarks BitTorrent clients beside Peerage.")
    parser.add_argument("--quick", action="store_true", help="one to one only: floor, libtorrent, peerage")
    parser.add_argument("--only", default=[], type=lambda text: _names(text, SCENARIOS, "scenario"),
                        metavar="A,B", help=f"scenarios, of: {', '.join(SCENARIOS)}")
    parser.add_argument("--clients", default=[], type=lambda text: _names(text, CONTESTANTS, "client"),
                        metavar="A,B", help=f"clients, of: {', '.join(CONTESTANTS)}")
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument("--size", type=int, default=2048, metavar="MIB", help="payload (2048)")
    parser.add_argument("--tmpfs", default="/dev/shm", metavar="DIR", help="a folder in memory (/dev/shm)")
    parser.add_argument("--work", default=BENCH / ".work", type=Path, metavar="DIR",
                        help="a folder on a real disk (bench/.work)")
    parser.add_argument("--wait-idle", type=int, default=0, metavar="S",
                        help="before each run, wait at most so long until the machine is idle (0)")
    parser.add_argument("--with-rqbit", action="store_true", help="build rqbit, which takes long")
    parser.add_argument("--no-install", action="store_true", help="take the clients as they are")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="where to write the report (bench/RESULTS.md in a full run)")
    return parser.parse_args(arguments)


def _say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def _target_folder():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def _build_floor():
    """Builds bench/floor; returns the program."""
    _say("building the floor program")
    # Stand-alone it has a target folder of its own; as a workspace member it shares one.
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(BENCH / "floor" / "Cargo.toml"),
                    "--target-dir", str(_target_folder())], check=True, timeout=BUILD_TIMEOUT_S)
    return _target_folder() / "release" / "peerage-bench-floor"


def _build_peerage():
    """Builds our own binary, unless PEERAGE_BIN names one; it may be missing."""
    if "PEERAGE_BIN" not in os.environ:
        _say("building peerage")
        done = subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "peerage"], cwd=ROOT,
                              check=False, timeout=BUILD_TIMEOUT_S, capture_output=True, text=True)
        if done.returncode:
            _say(f"peerage does not build: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else '?'}")
    if not have_peerage():
        _say("no peerage binary: foreign clients only")


def _skipped():
    """Contestants that are not on this machine; said, not failed."""
    skipped = []
    if rqbit.find() is None:
        skipped.append("rqbit")
        _say("rqbit is not here; --with-rqbit builds it")
    if not have_peerage():
        skipped.append(PEERAGE)
    return skipped


def _own_folder(parent, prefix):
    """A folder named after this process; those of processes that were killed go."""
    for folder in parent.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix)
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
    folder = parent / f"{prefix}{os.getpid()}"
    folder.mkdir()
    return folder


def _end(*_):
    raise KeyboardInterrupt


def main(arguments=None):
    options = _arguments(arguments)
    signal.signal(signal.SIGTERM, _end)
    options.work.mkdir(parents=True, exist_ok=True)
    rqbit.search_path = f"{options.work / 'rqbit' / 'bin'}:{tools.SYSTEM_PATH}"
    floor = _build_floor()
    _build_peerage()
    memory = _own_folder(Path(options.tmpfs), "peerage-bench-")
    disk = _own_folder(options.work, "run-")
    bench = plan = None
    interrupted = False
    try:
        bench = Bench(memory, disk, floor, _say, options.wait_idle)
        plan = Plan(bench, options.size * MIB, options.runs, options.clients, _skipped())
        jobs = [quick] if options.quick else [SCENARIOS[name] for name in options.only or SCENARIOS]
        for job in jobs:
            job(plan)
    except KeyboardInterrupt:
        interrupted = True
        _say("interrupted; what there is:")
    finally:
        if bench:
            bench.close()
        no_tcp.remove()
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)
    scenarios = plan.scenarios if plan else []
    text = report.render(scenarios, options.size * MIB, options.runs, bench.versions if bench else {})
    print(text)
    raw = [{"scenario": scenario.name, "rows": {row.name: [result.as_json() for result in row.results]
                                                for row in scenario.rows}} for scenario in scenarios]
    (options.work / "results.json").write_text(json.dumps(raw, indent=1))
    full = not (interrupted or options.quick or options.only or options.clients)
    output = options.output or (RESULTS if full else None)
    if output:
        output.write_text(text)
        _say(f"written: {output}")
    return 130 if interrupted else 0
