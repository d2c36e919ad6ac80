"""The targets of the project, judged on the figures of one run."""

from dataclasses import dataclass

from .contestants import CONTESTANTS, PEERAGE
from .measure import MIB
from .scenarios import CAP, ENCRYPTED, FLOOR, LEECHES, PACED_LEECHES, SEEDS, SMALL_MIB, UTP


@dataclass(frozen=True)
class Judgement:
    """One target: what was asked, what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


def _figure(scenario, name, attribute="mib_per_second"):
    """Median of a row; 0 when all its runs failed, None when it did not take part."""
    row = scenario.row(name)
    return row.middle(attribute) if row else None


def _fastest(scenario, names):
    """(name, MiB/s) of the fastest of those that finished; (None, 0) if none did."""
    figures = {name: _figure(scenario, name) for name in names}
    figures = {name: figure for name, figure in figures.items() if figure}
    return max(figures.items(), key=lambda item: item[1]) if figures else (None, 0.0)


def _judge(what, ours, reference, of, at_least=None, at_most=None):
    """None when one side did not take part; not met when our runs failed."""
    if ours is None or not reference:
        return None
    wanted = f"at least {at_least:g} x {of}" if at_most is None else f"at most {at_most:g} x {of}"
    if not ours:
        return Judgement(what, wanted, "failed", False)
    ratio = ours / reference
    met = ratio >= at_least if at_most is None else ratio <= at_most
    return Judgement(what, wanted, f"{ratio:.2f}", met)


def _pair(scenario):
    ours, title = _figure(scenario, PEERAGE), scenario.title
    defaults = [row.name for row in scenario.rows if row.name in CONTESTANTS and CONTESTANTS[row.name].default]
    name, fastest = _fastest(scenario, defaults)
    speed = f"{title}: speed"
    yield _judge(speed, ours, fastest, f"the fastest with defaults ({name})", at_least=1.3)
    yield _judge(speed, ours, _figure(scenario, "libtorrent-tuned"), "libtorrent tuned", at_least=1.0)
    yield _judge(speed, ours, _figure(scenario, FLOOR), "the floor", at_least=0.85)
    if ours:
        cpu = "cpu_per_gib"
        yield _judge(f"{title}: CPU of both sides", _figure(scenario, PEERAGE, cpu), _figure(scenario, FLOOR, cpu),
                     "the floor's", at_most=1.15)
        peak = max(_figure(scenario, PEERAGE, side) for side in ("seed_anonymous", "leech_anonymous")) / MIB
        yield Judgement(f"{title}: anonymous memory of either side", "at most 64 MiB", f"{peak:.0f} MiB", peak <= 64)


def _swarms(found):
    if free := found.get("swarm"):
        others = {row.name: row.middle("seconds") for row in free.rows if row.name != PEERAGE and row.good}
        if others:
            name = min(others, key=others.get)
            yield _judge(free.title, _figure(free, PEERAGE, "seconds"), others[name], f"the fastest ({name})",
                         at_most=1.0)
    if capped := found.get("swarm-capped"):
        # The leechers' own bandwidth has no limit here: the fluid bound is F/us.
        bound = SMALL_MIB * MIB / CAP
        yield _judge(capped.title, _figure(capped, PEERAGE, "seconds"), bound, f"the fluid bound ({bound:g} s)",
                     at_most=1.15)
        copies = _figure(capped, PEERAGE, "copies")
        if copies:
            yield Judgement(f"{capped.title}: copies sent by the seed", "at most 1.2", f"{copies:.2f}", copies <= 1.2)


def _foreign(found):
    for name, leeches in (("foreign", LEECHES), ("paced", PACED_LEECHES)):
        if scenario := found.get(name):
            for leech in leeches:
                best, fastest = _fastest(scenario, [f"{seed} to {leech}" for seed in SEEDS if seed != PEERAGE])
                yield _judge(f"{leech} as leecher", _figure(scenario, f"{PEERAGE} to {leech}"), fastest,
                             f"its fastest foreign seed ({best})", at_least=1.0)


def judge(scenarios):
    """All judgements that the scenarios allow."""
    found = {scenario.name: scenario for scenario in scenarios}
    judgements = []
    for name in ("v1", "v1-4m"):
        if name in found:
            judgements += _pair(found[name])
    if "v1" in found:
        base = _figure(found["v1"], PEERAGE)
        for name, factor in (("v2", 0.9), ("hybrid", 1.0), ("disk", 0.85)):
            if name in found:
                judgements.append(_judge(found[name].title, _figure(found[name], PEERAGE), base,
                                         "our v1 on tmpfs", at_least=factor))
    if rc4 := found.get("rc4"):
        name, fastest = _fastest(rc4, [name for name in ENCRYPTED if not name.startswith(PEERAGE)])
        judgements.append(_judge(rc4.title, _figure(rc4, f"{PEERAGE}-rc4"), fastest, f"the fastest ({name})",
                                 at_least=1.2))
    if tls := found.get("tls"):
        ours = _figure(tls, f"{PEERAGE}-tls")
        judgements.append(_judge(tls.title, ours, _figure(tls, PEERAGE), "our plain TCP", at_least=0.7))
        judgements.append(_judge(tls.title, ours, _figure(tls, "libtorrent"), "libtorrent's plain TCP", at_least=1.5))
    if utp := found.get("utp"):
        name, fastest = _fastest(utp, [name for name in UTP if not name.startswith(PEERAGE)])
        judgements.append(_judge(utp.title, _figure(utp, f"{PEERAGE}-utp"), fastest, f"the fastest ({name})",
                                 at_least=2.0))
    judgements += _swarms(found)
    judgements += _foreign(found)
    if create := found.get("create"):
        judgements.append(_judge(create.title, _figure(create, PEERAGE), create.rows[0].middle("mib_per_second"),
                                 "the two hashes alone", at_least=0.9))
    return [judgement for judgement in judgements if judgement]
