"""The description of a cell, and its form in a manifest, job by job."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.engine.protocol import Settled
from benchmarks.store.schema import check, fields_of
from problems.problem import Scale

SCHEMA = 2  # version of cells and manifests; other versions are not read
SKIPPED = "-skipped"  # the end of the key of a cell that was not run


@dataclass(frozen=True)
class CellInfo:
    """The description of a cell: one optimizer on one problem at one rung.

    job: a name that all rungs of a problem and an optimizer share.
    role: the optimizer's: "ranked", "oracle" or "control".
    dial_name, dial_column: the dial's name, and its column in the tables.
    scale, falling: the dial's scale of interpolation; True if the problem gets harder as it falls.
    settings: by column, the fields of the problem and of its modifiers, without the dial.
    unranked: the reason why the problem does not rank optimizers; empty if it does.
    predicted_share: the share of runs that any local method solves; None if the problem does not state it.
    theory: by share of the budget, the breaking point that a theorem predicts.
    searched: by name, the width in decades of the range of each searched hyperparameter; None for a linear range.
    error: the reason if there are no numbers; traceback: the file with the traceback.
    """

    job: str
    problem: str
    dial: float
    optimizer: str
    role: str
    dial_name: str
    dial_column: str
    scale: Scale
    falling: bool
    settings: Mapping[str, Any]
    noisy: bool
    floor_is_minimum: bool
    floor_attained: bool | None
    target: float
    unranked: str
    predicted_share: float | None
    theory: Mapping[str, float]
    protocol: Settled
    searched: Mapping[str, float | None] = field(default_factory=dict)  # earlier versions lack it
    error: str = ""
    traceback: str = ""

    @property
    def ladder(self) -> tuple[str, ...]:
        """Return what is the same for all rungs, and for any code that runs them."""
        settings = json.dumps(self.settings, sort_keys=True, default=str)
        return self.problem, self.dial_column, settings, self.optimizer

    def plain(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> CellInfo:
        """Return the description that `plain` returned. Raises TypeError or KeyError for anything else."""
        protocol = stated["protocol"]
        check("protocol", protocol, dict)
        made = {**stated, "protocol": Settled(**protocol)}
        for values, owner, path in ((made, cls, ""), (protocol, Settled, "protocol.")):
            for name, kind in fields_of(owner).items():
                if name in values:
                    check(f"{path}{name}", values[name], kind)
        return cls(**made)


def ordered(infos: Mapping[str, CellInfo]) -> dict[str, CellInfo]:
    """Return cells ordered by problem, optimizer and dial, independent of when each was run."""

    def place(item: tuple[str, CellInfo]) -> tuple[Any, ...]:
        info = item[1]
        return info.problem, info.optimizer, info.dial, info.job

    return dict(sorted(infos.items(), key=place))


def by_job(infos: Mapping[str, CellInfo]) -> list[dict[str, Any]]:
    """Return one entry per job: the fields that its cells share, and in "cells", by key, the others."""
    jobs: dict[str, dict[str, dict[str, Any]]] = {}
    for key, info in infos.items():
        jobs.setdefault(info.job, {})[key] = info.plain()
    return [_entry(cells) for cells in jobs.values()]


def cells_of(jobs: Iterable[Mapping[str, Any]]) -> dict[str, CellInfo]:
    """Return the cells of the entries of `by_job`. Raises TypeError or KeyError for anything else."""
    found = {}
    for job in jobs:
        check("an entry of jobs", job, dict)
        check("cells in jobs", job["cells"], dict)
        shared = {name: value for name, value in job.items() if name != "cells"}
        for key, own in job["cells"].items():
            check(f"cell {key} in jobs", own, dict)
            found[key] = CellInfo.of({**shared, **own})
    return ordered(found)


def _entry(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    first = next(iter(cells.values()))
    shared = {
        name: value
        for name, value in first.items()
        if all(each[name] == value for each in cells.values())
    }
    own = {
        key: {name: value for name, value in each.items() if name not in shared}
        for key, each in cells.items()
    }
    return {**shared, "cells": own}
