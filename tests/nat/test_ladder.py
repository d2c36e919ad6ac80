"""The ladder of bad lines (threats.md W13): what is shared behind one NAT arrives behind another, over worse and worse lines.

Levels 0 to 5 are those of iroh's own ladder (iroh/tests/patchbay/degrade.rs), where a ping passes. Levels 6 to 8 are
ours: lines as radio has them, slow, with bursts of loss. Independent loss of 5 % and more leaves QUIC's congestion
control (CUBIC) some 20 KB/s, so that 16 MiB do not arrive in any time that a test may take: there, something does.
"""

import time

import pytest

from clients.peerage import COMPLETE

from .lab import Link
from .test_relay import relay, roads  # noqa: F401 (a fixture)
from .test_share import digest

#: of a packet that is held back
REORDER_MS = 10
LEVELS = [
    Link(delay_ms=10, jitter_ms=5, loss=0.005),
    Link(delay_ms=100, jitter_ms=30, loss=0.03, reorder=0.03, reorder_by_ms=REORDER_MS),
    Link(delay_ms=200, jitter_ms=60, loss=0.05, reorder=0.05, reorder_by_ms=REORDER_MS),
    Link(delay_ms=300, jitter_ms=80, loss=0.08, reorder=0.08, reorder_by_ms=REORDER_MS),
    Link(delay_ms=500, jitter_ms=100, loss=0.12, reorder=0.12, reorder_by_ms=REORDER_MS),
    Link(delay_ms=800, jitter_ms=200, loss=0.20, reorder=0.20, reorder_by_ms=REORDER_MS),
    Link(delay_ms=100, jitter_ms=30, rate_mbit=2, burst_begin=0.01, burst_end=0.25),
    Link(delay_ms=400, jitter_ms=50, rate_mbit=0.5, burst_begin=0.02, burst_end=0.2),
    Link(delay_ms=800, jitter_ms=100, rate_mbit=0.256, burst_begin=0.07, burst_end=0.2),
]
#: levels over which all of it arrives in this time; over the others something does in the shorter one
WHOLE = {0, 1, 6}
WHOLE_S = 500
PART_S = 100
CONNECTED_S = 60


@pytest.mark.timeout(WHOLE_S + 60)
@pytest.mark.parametrize("side", ["sharer", "getter"])
@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_the_ladder(lab, peerage, relay, content, tmp_path, level, side):  # noqa: F811
    lines = {side: LEVELS[level]}
    homes = {name: lab.home(name, "restricted", link=lines.get(name, Link())) for name in ("sharer", "getter")}
    sharer = peerage(homes["sharer"], extra=["--relay", relay]).share(content)
    limit = WHOLE_S if level in WHOLE else PART_S
    client = peerage(homes["getter"])
    began = time.monotonic()
    client.get(sharer.link, tmp_path / "got", "--timeout", f"{limit}s")
    connected = client.events.wait("peer_connected", CONNECTED_S)
    assert connected, client.process.log_tail()
    ended = client.wait_exit(limit + 20)
    last = client.events.last("progress")
    print(f"level {level}, {side}: connected after {connected['at'] - began:.1f} s, "
          f"{last['done'] / (16 << 20):.1%} after {time.monotonic() - began:.0f} s, {' then '.join(roads(client))}")
    if level in WHOLE:
        assert ended == COMPLETE, client.process.log_tail()
        assert digest(tmp_path / "got" / content.name) == digest(content)
    else:
        assert last["done"] > 0, client.process.log_tail()
