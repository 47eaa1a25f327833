"""The leaderboard of a reference: how far each optimizer gets, which are told apart, and where they are absent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas

from benchmarks.analysis.columns import WITHOUT_NUMBERS
from benchmarks.analysis.folder import Results, read_table
from benchmarks.analysis.groups import climbed, duels, groups
from benchmarks.catalog.defaults import TWINS, family_of
from benchmarks.catalog.subsections import families
from benchmarks.display.unjudged import WHY_UNJUDGED
from benchmarks.engine.status import UNJUDGED
from benchmarks.store.cell_info import CellInfo

YARDSTICK = "adam"  # with which each optimizer is compared problem by problem


@dataclass(frozen=True)
class Leaderboard:
    """The tables of a reference, without optimizers with a decaying rate, which run only on noisy problems."""

    cells: Mapping[str, CellInfo]
    runs: pandas.DataFrame
    summary: pandas.DataFrame
    points: pandas.DataFrame

    @classmethod
    def of(cls, results: Results) -> Leaderboard:
        """Return the leaderboard of a reference, or of a part of one."""
        bare = {key: info for key, info in results.cells.items() if info.optimizer not in TWINS}
        tables = (results.runs, results.summary, read_table(results.folder, "breaking_points"))
        return cls(bare, *(each[~each["optimizer"].isin(TWINS)] for each in tables))

    def on(self, problems: Collection[str]) -> Leaderboard:
        """Return the leaderboard of these problems alone, for means over different problems cannot be compared."""
        cells = {key: info for key, info in self.cells.items() if info.problem in problems}
        tables = (self.runs, self.summary, self.points)
        return Leaderboard(cells, *(each[each["problem"].isin(problems)] for each in tables))

    def joined(self, other: Leaderboard) -> Leaderboard:
        """Return both as one; an optimizer that both have is the other's."""
        names = {info.optimizer for info in other.cells.values()}
        mine = {key: info for key, info in self.cells.items() if info.optimizer not in names}
        pairs = (
            (getattr(self, name), getattr(other, name)) for name in ("runs", "summary", "points")
        )
        tables = (
            pandas.concat([one[~one["optimizer"].isin(names)], two], ignore_index=True)
            for one, two in pairs
        )
        return Leaderboard({**mine, **other.cells}, *tables)

    @cached_property
    def climbed(self) -> pandas.DataFrame:
        """How far up each ladder each optimizer gets, problems × optimizers."""
        return climbed(self.points, self.cells.values())

    @cached_property
    def table(self) -> pandas.DataFrame:
        """What `groups` returns, with the family."""
        found = groups(self.climbed, families())
        return found.assign(family=found["optimizer"].map(family_of))

    def duels(self, first: str) -> pandas.DataFrame:
        """Return on which problems all others are better or worse than one optimizer, of those that both climb."""
        noisy = {info.problem for info in self.cells.values() if info.noisy}
        found = duels(self.runs, self.summary, first, noisy)
        known = set(self.climbed.stack(future_stack=True).dropna().index)
        pairs = zip(found["problem"], found["optimizer"], strict=True)
        both = [{(problem, name), (problem, first)} <= known for problem, name in pairs]
        return found[np.array(both, dtype=bool)]

    def against(self, first: str) -> dict[str, str]:
        """Return by optimizer on how many problems it is better and worse than one, and not told apart, as text."""
        found = {}
        for name, of_pair in self.duels(first).groupby("optimizer"):
            counts = [int((of_pair["sign"] == sign).sum()) for sign in (1, -1, 0)]
            found[str(name)] = " : ".join(map(str, counts))
        return found

    @property
    def absent(self) -> dict[str, dict[str, list[str]]]:
        """By optimizer and reason, the problems on which it has no breaking point."""
        pairs = ["problem", "optimizer"]
        without = self.runs[self.runs["status"].isin(WITHOUT_NUMBERS)]
        why = without.drop_duplicates(pairs).set_index(pairs)["error"].to_dict()
        unjudged = self.points[
            self.points["unjudged"].isin(UNJUDGED) & (self.points["budget"] == 1)
        ]
        reasons = unjudged.drop_duplicates(pairs).set_index(pairs)["unjudged"].map(WHY_UNJUDGED)
        why |= reasons.to_dict()
        problems, names = ({getattr(info, each) for info in self.cells.values()} for each in pairs)
        scores = self.climbed.reindex(index=sorted(problems), columns=sorted(names))
        found: dict[str, dict[str, list[str]]] = {}
        for name in scores:
            for problem in scores.index[scores[name].isna()]:
                reason = str(why.get((problem, name), "not run"))
                found.setdefault(str(name), {}).setdefault(reason, []).append(str(problem))
        return found
