"""The targets of the project, judged on the figures of one run."""

from dataclasses import dataclass

from .contestants import CONTESTANTS, PEERAGE
from .measure import MIB
from .scenarios import CAP, FLOOR, LEECHERS, PACED_LEECHES, LEECHES, SEEDS


@dataclass(frozen=True)
class Judgement:
    """One target: what was asked, what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


def _speed(scenario, name):
    row = scenario.row(name)
    return row.middle("mib_per_second") if row else 0.0


def _fastest(scenario, names, attribute="mib_per_second"):
    """(name, figure) of the fastest of those that finished; (None, 0) if none did."""
    figures = {name: scenario.row(name).middle(attribute) for name in names if scenario.row(name)}
    figures = {name: figure for name, figure in figures.items() if figure}
    return max(figures.items(), key=lambda item: item[1]) if figures else (None, 0.0)


def _at_least(what, ours, reference, factor, of):
    if not ours or not reference:
        return None
    ratio = ours / reference
    return Judgement(what, f"at least {factor:g} x {of}", f"{ratio:.2f}", ratio >= factor)


def _at_most(what, ours, reference, factor, of):
    if not ours or not reference:
        return None
    ratio = ours / reference
    return Judgement(what, f"at most {factor:g} x {of}", f"{ratio:.2f}", ratio <= factor)


def _pair(scenario):
    ours = _speed(scenario, PEERAGE)
    defaults = [row.name for row in scenario.rows if row.name in CONTESTANTS and CONTESTANTS[row.name].default]
    name, fastest = _fastest(scenario, defaults)
    title = scenario.title
    yield _at_least(f"{title}: speed", ours, fastest, 1.3, f"the fastest with defaults ({name})")
    yield _at_least(f"{title}: speed", ours, _speed(scenario, "libtorrent-tuned"), 1.0, "libtorrent tuned")
    yield _at_least(f"{title}: speed", ours, _speed(scenario, FLOOR), 0.85, "the floor")
    row, floor = scenario.row(PEERAGE), scenario.row(FLOOR)
    if row and row.good and floor:
        yield _at_most(f"{title}: CPU of both sides", row.middle("cpu_per_gib"), floor.middle("cpu_per_gib"),
                       1.15, "the floor's")
        peak = max(row.middle("seed_anonymous"), row.middle("leech_anonymous")) / MIB
        yield Judgement(f"{title}: anonymous memory of either side", "at most 64 MiB", f"{peak:.0f} MiB", peak <= 64)


def _swarms(found):
    if free := found.get("swarm"):
        ours = free.row(PEERAGE)
        others = {row.name: row.middle("seconds") for row in free.rows if row.name != PEERAGE and row.good}
        if ours and ours.good and others:
            name = min(others, key=others.get)
            yield _at_most(free.title, ours.middle("seconds"), others[name], 1.0, f"the fastest ({name})")
    if capped := found.get("swarm-capped"):
        ours = capped.row(PEERAGE)
        if ours and ours.good:
            median = ours.median
            # The leechers' own bandwidth has no limit here: the fluid bound is F/us.
            bound = median.size / CAP
            yield _at_most(capped.title, ours.middle("seconds"), bound, 1.15, f"the fluid bound ({bound:g} s)")
            yield Judgement(f"{capped.title}: copies sent by the seed", "at most 1.2",
                            f"{ours.middle('copies'):.2f}", ours.middle("copies") <= 1.2)


def _foreign(found):
    for name, leeches in (("foreign", LEECHES), ("paced", PACED_LEECHES)):
        scenario = found.get(name)
        if scenario is None:
            continue
        for leech in leeches:
            ours = _speed(scenario, f"{PEERAGE} to {leech}")
            best, fastest = _fastest(scenario, [f"{seed} to {leech}" for seed in SEEDS if seed != PEERAGE])
            yield _at_least(f"{leech} as leecher", ours, fastest, 1.0, f"its fastest foreign seed ({best})")


def judge(scenarios):
    """All judgements that the scenarios allow."""
    found = {scenario.name: scenario for scenario in scenarios}
    judgements = []
    for name in ("v1", "v1-4m"):
        if name in found:
            judgements += _pair(found[name])
    if "v1" in found:
        base = _speed(found["v1"], PEERAGE)
        for name, factor in (("v2", 0.9), ("hybrid", 1.0), ("disk", 0.85)):
            if name in found:
                judgements.append(_at_least(found[name].title, _speed(found[name], PEERAGE), base, factor,
                                            "our v1 on tmpfs"))
    judgements += _swarms(found)
    judgements += _foreign(found)
    if create := found.get("create"):
        judgements.append(_at_least(create.title, _speed(create, PEERAGE),
                                    create.rows[0].middle("mib_per_second"), 0.9, "the two hashes alone"))
    return [judgement for judgement in judgements if judgement]


#: said with the swarm's figures
LEECHERS_NOTE = f"{LEECHERS} leechers, all told of each other"
