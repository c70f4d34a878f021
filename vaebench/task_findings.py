"""What variants by tasks say, in sentences for people: which is best for what, and where the ranks disagree.

As in `vaebench.findings`, only what intervals over seeds support is claimed: a row leads where no other lies ahead of it,
and is best where all others lie behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from vaebench.metrics import Metric
from vaebench.ranking import Rank, ranks
from vaebench.trade_offs import EVIDENCE, TradeOffs
from vaebench.wording import counted, listed, named, varying

# More names in a row nobody reads.
MOST_NAMES = 4


class Standing(NamedTuple):
    """How rows stand by one metric. ranks: by the row's name, of those that have a number."""

    metric: Metric
    ranks: dict[str, Rank]

    @property
    def leaders(self) -> tuple[str, ...]:
        """Those that no row lies ahead of; none where that is so of all. One alone lies ahead of all others."""
        first = tuple(name for name, rank in self.ranks.items() if rank.first == 1)
        return () if len(first) == len(self.ranks) else first


def sentences(found: TradeOffs) -> list[str]:
    """Who leads by which task, how the best evidence does there, and the largest disagreement; none without a ranking."""
    standings = list(_standings(found))
    tasks = [standing for standing in standings if standing.metric not in EVIDENCE]
    if not tasks:
        return []
    if not any(standing.leaders for standing in tasks):
        return [f"No task tells the variants apart: in {_tasks(tasks)} no interval over seeds lies apart from another."]
    return [*_leaders(tasks), *_of_best_evidence(standings, tasks), *_disagreement(standings)]


def _standings(found: TradeOffs) -> Iterator[Standing]:
    place = varying(found.rows, found.keys)
    names = [named(row, place) for _, row in found.rows.iterrows()]
    for metric in found.ranked:
        places = zip(names, ranks(found.rows, metric), strict=True)
        yield Standing(metric, {name: rank for name, rank in places if rank})


def _leaders(tasks: list[Standing]) -> Iterator[str]:
    """A sentence for all tasks that the same rows lead."""
    by_leaders: dict[tuple[str, ...], list[Standing]] = {}
    for standing in tasks:
        by_leaders.setdefault(standing.leaders, []).append(standing)
    undecided = by_leaders.pop((), [])
    for leaders, led in by_leaders.items():
        if len(leaders) > 1:
            some = listed(leaders) if len(leaders) <= MOST_NAMES else f"{len(leaders)} of {len(led[0].ranks)} rows"
            yield f"{some} lead in {_tasks(led)}, and intervals leave open which of them is ahead."
        else:
            yield f"{leaders[0]} is best in {_tasks(led)}."
    if undecided:
        yield f"In {_tasks(undecided)} no variant is told apart from any other."


def _of_best_evidence(standings: list[Standing], tasks: list[Standing]) -> Iterator[str]:
    """Whether the row with the best evidence leads by the tasks too."""
    evidence = standings[0]
    if evidence.metric not in EVIDENCE:
        return
    label = evidence.metric.label
    if len(evidence.leaders) != 1:
        yield f"{_starting(label)} does not tell one variant apart as the best."
        return
    [best] = evidence.leaders
    placed = [standing for standing in tasks if best in standing.ranks and standing.leaders]
    behind = [standing for standing in placed if standing.ranks[best].first > 1]
    leading = [standing for standing in placed if standing not in behind]
    if not behind and leading:
        yield f"{best}, with the best {label}, is behind no other in {_tasks(leading)}."
    elif behind:
        places = listed(f"{_place(standing.ranks[best])} in {standing.metric.label}" for standing in behind)
        also = f"; in {_tasks(leading)} none is ahead of it" if leading else ""
        yield f"The best {label} is no best model for all: {best}, which has it, is {places}{also}."


def _disagreement(standings: list[Standing]) -> Iterator[str]:
    """Between two rankings of the same rows: the row whose places lie furthest apart, as far as intervals tell."""
    gaps = [
        (low.ranks[name].first - high.ranks[name].last, name, high, low)
        for pair in combinations(standings, 2)
        for high, low in (pair, pair[::-1])
        if high.ranks.keys() == low.ranks.keys()
        for name in high.ranks
    ]
    if not gaps:
        return
    gap, name, high, low = max(gaps, key=lambda each: each[0])
    if gap < 1:
        yield "No row has a rank in one of these that intervals tell apart from its rank in another."
        return
    yield (
        f"Ranks disagree most for {name}: {_place(high.ranks[name])} in {high.metric.label}, but "
        f"{_place(low.ranks[name])} in {low.metric.label}, of {counted(low.ranks[name].n, 'row')}."
    )


def _place(rank: Rank) -> str:
    """ "rank 3", or "rank 3 to 5"."""
    return f"rank {rank.first}" if rank.first == rank.last else f"rank {rank.first} to {rank.last}"


def _tasks(standings: list[Standing]) -> str:
    return listed(standing.metric.label for standing in standings)


def _starting(text: str) -> str:
    """A label at the start of a sentence, in which "ELBO" stays as it is."""
    return text[:1].upper() + text[1:]
