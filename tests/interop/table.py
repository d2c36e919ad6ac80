"""Writes docs/interop.md from what a test run recorded.

Results are kept in interop.json beside the logs, so that groups that run one
after another fill one table; those of another version of peerage are dropped.
``tests/run-interop`` clears them at the start of a full run. By PEERAGE_INTEROP_RESULTS
and PEERAGE_INTEROP_TABLE a run keeps its results and its table to itself.
"""

import fcntl
import json
import os
import subprocess
from pathlib import Path

from clients.peerage import Peerage
from clients.tools import MissingClient

from . import matrix

TESTS = Path(__file__).resolve().parent.parent
RESULTS = Path(os.environ.get("PEERAGE_INTEROP_RESULTS", TESTS / ".results")) / "interop.json"
TITLES = {"torrent": ".torrent", "magnet": "magnet link", "printed": "the link as `share` prints it"}


def _peerage_version():
    try:
        return Peerage().version()
    except (MissingClient, OSError, subprocess.SubprocessError):
        return None


def update(results):
    """Merges (section, key, note, passed) and writes the table anew."""
    version = _peerage_version()
    if not results or version is None:
        return
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with open(RESULTS, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = json.loads(file.read() or "{}")
        if known.get("versions", {}).get("peerage", [True, version])[1] != version:
            known = {}
        known.setdefault("versions", {})["peerage"] = [True, version]
        for section, key, note, passed in results:
            known.setdefault(section, {})[key] = [bool(passed), note]
        file.truncate(0)
        json.dump(known, file, indent=1, sort_keys=True)
    path = Path(os.environ.get("PEERAGE_INTEROP_TABLE", TESTS.parent / "docs" / "interop.md"))
    path.parent.mkdir(exist_ok=True)
    path.write_text(render(known), encoding="utf-8")


def _verdict(result):
    if result is None:
        return "not run"
    return "yes" if result[0] else "**no**"


class _Footnotes:
    """Numbers reasons in the order of their first use."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def lines(self):
        return [f"{number}. {text}" for number, text in enumerate(self.texts, 1)]


def _cells(known, notes):
    results = known.get("cells", {})
    versions = known.get("versions", {})
    for role, title in (("leech", "The client leeches from `peerage share`"),
                        ("seed", "The client seeds for `peerage get`")):
        ways = [way for way in matrix.WAYS if not (role == "seed" and way == "printed")]
        head = "| client | " + " | ".join(f"{TITLES[way]}, {v}" for way in ways for v in matrix.VERSIONS) + " |"
        yield f"## {title}"
        yield ""
        yield head
        yield "|" + "---|" * (1 + len(ways) * len(matrix.VERSIONS))
        for client in matrix.CLIENTS:
            row = []
            for way in ways:
                for version in matrix.VERSIONS:
                    cell = matrix.Cell(client, role, way, version)
                    reason = cell.impossible
                    if reason == matrix.NO_V2:
                        row.append(f"n/a {notes.mark(reason)}")
                    elif reason:
                        row.append(f"no {notes.mark(reason)}")
                    else:
                        row.append(_verdict(results.get(str(cell))))
            name = versions.get(client, [True, client])[1]
            yield f"| {name} | " + " | ".join(row) + " |"
        yield ""


def _our_tracker(known):
    results = known.get("our tracker")
    if not results:
        return
    yield "## Our tracker with foreign clients on both sides"
    yield ""
    yield "The client with libtorrent, peers found through `peerage tracker` alone (transmission in a network"
    yield "namespace, since it takes no loopback address from a tracker)."
    yield ""
    columns = [(role, protocol) for protocol in ("http", "udp") for role in matrix.ROLES]
    yield "| client | " + " | ".join(f"{role}, {protocol.upper()}" for role, protocol in columns) + " |"
    yield "|---" * (1 + len(columns)) + "|"
    clients = {**matrix.TRACKER_CLIENTS, **matrix.NETNS_TRACKER_CLIENTS}
    for client in matrix.CLIENTS:
        row = [_verdict(results.get(f"{client}-{role}-{protocol}")) if protocol in clients[client] else "n/a"
               for role, protocol in columns]
        yield f"| {client} | " + " | ".join(row) + " |"
    yield ""
    yield "`n/a`: aria2 announces to UDP trackers only with its DHT on."
    yield ""


def _section(known, section, title, explanation, impossible=()):
    results = known.get(section)
    if not results:
        return
    yield f"## {title}"
    yield ""
    yield explanation
    yield ""
    yield "| case | result | note |"
    yield "|---|---|---|"
    for key in sorted(results):
        passed, note = results[key]
        yield f"| {key} | {'yes' if passed else '**no**'} | {note} |"
    for case, reason in impossible:
        yield f"| {case} | n/a | {reason} |"
    yield ""


def render(known):
    """The whole document."""
    notes = _Footnotes()
    lines = [
        "# Interoperability",
        "",
        f"Of {known['versions']['peerage'][1]}.",
        "Written by `tests/run-interop` (do not edit). Each cell is one transfer of a folder with",
        "nested folders, an empty file, a 1-byte file and unicode names over plain TCP, checked to be",
        "byte-identical. `yes`: it ran and passed. `no`: the client cannot, for the reason given.",
        "`**no**`: it ran and failed. `n/a`: the client does not speak that version of the protocol.",
        "",
        *_cells(known, notes),
    ]
    if notes.texts:
        lines += ["Reasons:", "", *notes.lines(), ""]
    lines += _section(known, "pex", "Peer exchange",
                      "Three clients; the one that completes could know the seed only by peer exchange.",
                      matrix.PEX_IMPOSSIBLE)
    lines += _section(known, "encryption", "Message stream encryption",
                      "One side requires RC4, the other is as it comes (`peerage` with `--encryption allow`).")
    lines += _section(known, "utp", "uTP",
                      "The client has TCP switched off where it can (`peerage` has both, and prefers TCP).")
    lines += _section(known, "dht", "The mainline DHT",
                      "A sealed network with one bootstrap node, `peerage daemon` or libtorrent: a bare infohash is found and"
                      " fetched; items (BEP 44) put by one program are read by another.")
    lines += _section(known, "trackers", "Trackers", "`share` and `get` find each other through the tracker alone.")
    lines += _our_tracker(known)
    lines += _section(known, "behaviour", "Behaviour", "Measured in the same run.")
    return "\n".join(lines).rstrip() + "\n"
