"""Tables: on the terminal, and as bench/RESULTS.md."""

import datetime
import os
import platform
import re
import statistics
from pathlib import Path

from .contestants import CONTESTANTS
from .measure import GIB, MIB
from .scenarios import FLOOR
from .targets import judge

#: share of the machine that the harness itself and the kernel may use
QUIET = 0.08

NOTES = """\
How it is measured: `bench/run` runs every client of a table in turn, round by
round, in one session; figures are medians over the rounds. A seed and a leecher
are separate processes on one machine, joined by plain TCP on loopback. Wall time
runs from adding the torrent on a running leecher to the last piece verified
(where the client can only be dialled, from the moment its seed dials); for
Peerage, from the start of the `get` process to its end. CPU is user and
system time of that wall time. Memory is the peak of resident anonymous memory;
libtorrent's includes about 8 MiB of the Python interpreter that drives it. Every
seed has checked its data before. The memory that a run writes to is touched
before it, since the host takes idle pages back. The copy is compared byte by
byte in the first round.

"floor" is the bare job as a small program does it (bench/floor): sendfile to
a thread that receives and writes, and another one that hashes. The second floor
line is the fastest arrangement known here: read and send, threads that take
turns with the socket.
"""


def machine():
    """What the figures were measured on, without naming the machine."""
    model = "unknown processor"
    memory = 0
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) * 1024
    flags = Path("/proc/cpuinfo").read_text()
    known = (("SHA", "sha_ni"), ("AVX-512", "avx512f"))
    extensions = [name for name, flag in known if re.search(rf"\b{flag}\b", flags)]
    kernel = ".".join(platform.release().split(".")[:2])
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return (f"{os.cpu_count()} cores of an {model} ({', '.join(extensions) or 'no'} extensions), "
            f"{memory / GIB:.0f} GiB, Linux {kernel}, congestion control {congestion}")


def _table(head, rows):
    """A Markdown table, columns padded so that it reads on a terminal too."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
             for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _ratio(figure, reference):
    return f"{figure / reference:.2f}" if figure and reference else "-"


def _spread(row, attribute, digits=0):
    values = sorted(getattr(result, attribute) for result in row.good)
    if len(values) < 2:
        return ""
    return f" ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


def _failed(row, columns):
    return [row.name, f"failed: {row.error}", *["-"] * (columns - 2)]


def _best_default(scenario):
    speeds = [row.middle("mib_per_second") for row in scenario.rows
              if row.name in CONTESTANTS and CONTESTANTS[row.name].default and row.good]
    return max(speeds, default=0.0)


def _transfer_table(scenario):
    head = ["pair", "MiB/s", "of the floor", "of the fastest default", "CPU s/GiB seed + leecher", "CPU of the floor",
            "anonymous MiB seed / leecher", "failed runs"]
    floor = scenario.row(FLOOR)
    floor_speed = floor.middle("mib_per_second") if floor else 0
    floor_cpu = floor.middle("cpu_per_gib") if floor else 0
    best = _best_default(scenario)
    rows = []
    for row in scenario.rows:
        if not row.good:
            rows.append(_failed(row, len(head)))
            continue
        speed = row.middle("mib_per_second")
        seed_memory, leech_memory = row.middle("seed_anonymous"), row.middle("leech_anonymous")
        rows.append([
            row.name,
            f"{speed:.0f}{_spread(row, 'mib_per_second')}",
            _ratio(speed, floor_speed),
            _ratio(speed, best),
            f"{row.middle('seed_cpu_per_gib'):.2f} + {row.middle('leech_cpu_per_gib'):.2f}",
            _ratio(row.middle("cpu_per_gib"), floor_cpu),
            f"{seed_memory / MIB:.0f} / {leech_memory / MIB:.0f}" if seed_memory else "-",
            str(row.failures or "-"),
        ])
    kept = [column for column in range(len(head)) if column < 2 or any(row[column] != "-" for row in rows)]
    return _table([head[column] for column in kept], [[row[column] for column in kept] for row in rows])


def _swarm_table(scenario):
    head = ["client", "all done, s", "first done, s", "copies sent by the seed", "CPU s seed + leechers",
            "anonymous MiB seed / worst leecher", "failed runs"]
    rows = []
    for row in scenario.rows:
        if not row.good:
            rows.append(_failed(row, len(head)))
            continue
        rows.append([
            row.name,
            f"{row.middle('seconds'):.1f}{_spread(row, 'seconds', 1)}",
            f"{row.median.leech_seconds[0]:.1f}",
            f"{row.middle('copies'):.2f}",
            f"{row.middle('seed_cpu'):.1f} + {row.middle('leech_cpu'):.1f}",
            f"{row.middle('seed_anonymous') / MIB:.0f} / {row.middle('leech_anonymous') / MIB:.0f}",
            str(row.failures or "-"),
        ])
    return _table(head, rows)


def _create_table(scenario):
    head = ["creator", "s", "MiB/s", "of the two hashes alone", "CPU s"]
    reference = scenario.rows[0].middle("mib_per_second")
    rows = []
    for row in scenario.rows:
        if not row.good:
            rows.append(_failed(row, len(head)))
            continue
        speed = row.middle("mib_per_second")
        rows.append([row.name, f"{row.middle('seconds'):.2f}", f"{speed:.0f}", _ratio(speed, reference),
                     f"{row.middle('seed_cpu'):.2f}"])
    return _table(head, rows)


def _others(scenario):
    """A warning when other programs took part of the machine."""
    shares = [result.others for row in scenario.rows for result in row.good]
    if not shares or max(shares) < QUIET:
        return ""
    return (f"\nOther programs used {statistics.median(shares):.0%} of the machine during the median run, "
            f"{max(shares):.0%} at worst.\n")


TABLES = {"transfer": _transfer_table, "swarm": _swarm_table, "create": _create_table}


def _targets(scenarios):
    judgements = judge(scenarios)
    if not judgements:
        return ""
    rows = [[judgement.what, judgement.wanted, judgement.measured, "yes" if judgement.met else "**no**"]
            for judgement in judgements]
    missed = sum(not judgement.met for judgement in judgements)
    said = f"{len(rows) - missed} of {len(rows)} targets met."
    return f"## Targets\n\n{said}\n\n{_table(['what', 'target', 'measured', 'met'], rows)}\n"


def render(scenarios, size, runs, versions):
    """The whole report as Markdown."""
    date = datetime.date.today().isoformat()
    clients = ", ".join(sorted(set(versions.values())))
    parts = [
        "# Benchmark results\n",
        f"Written by `bench/run` on {date}. Machine: {machine()}.",
        f"Payload {size // MIB} MiB unless a table says otherwise, {runs} runs each. Clients: {clients or 'none'}.",
        "Absolute figures drift with the machine; compare within one table.\n",
        NOTES,
    ]
    if targets := _targets(scenarios):
        parts.append(targets)
    for scenario in scenarios:
        parts.append(f"## {scenario.title}\n\n{TABLES[scenario.shape](scenario)}\n{_others(scenario)}")
    return "\n".join(parts)
