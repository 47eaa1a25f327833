"""Read the profile of each optimizer from the published reference: by rung, the share that it solves, or its cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas

from benchmarks.analysis.folder import read_table
from benchmarks.study.plan import Plan, in_profile

REFERENCE = Path("results/reference")
SKIPPED = "skipped"  # harder than a rung that no trial solves, which counts as not solved


def read_profile(root: Path, choice: str = "tuned") -> pandas.DataFrame:
    """Return the solved shares, (problem, dial) × optimizers by their names in the reference.

    NaN where an optimizer cannot be used, or was not run.

    Args:
        root: The folder of the checkout.
        choice: How the trial was chosen, as in the column `choice`.
    """
    rows = _rows(root, choice)
    return _by_rung(rows, (rows["solved"] / rows["runs"]).where(rows["status"] != SKIPPED, 0.0))


def read_costs(root: Path) -> pandas.DataFrame:
    """Return minus the median number of gradients that tuned runs need, so that more is better as in a profile.

    It is −inf where most runs do not solve the problem.

    Args:
        root: The folder of the checkout.
    """
    rows = _rows(root, "tuned")
    return -_by_rung(rows, rows["cost_to_target"].where(rows["status"] != SKIPPED, np.inf))


def _rows(root: Path, choice: str) -> pandas.DataFrame:
    """Return a row for each rung and optimizer of the reference."""
    table = read_table(root / REFERENCE, "summary")
    skipped = table["status"] == SKIPPED
    return table[(table["choice"] == choice) | skipped].drop_duplicates(
        ["problem", "dial", "optimizer"]
    )


def _by_rung(rows: pandas.DataFrame, values: pandas.Series) -> pandas.DataFrame:
    return rows.assign(value=values).pivot(
        index=["problem", "dial"], columns="optimizer", values="value"
    )


def lacking(profile: pandas.DataFrame, plan: Plan) -> list[str]:
    """Return the optimizers of the plan that the reference does not have yet.

    Args:
        profile: What `read_profile` returns.
        plan: The plan.
    """
    return [word for word in plan.kind if in_profile(word) not in profile.columns]


def of_plan(profile: pandas.DataFrame, plan: Plan, rungs: pandas.Index) -> pandas.DataFrame:
    """Return the profile of the plan's optimizers at these rungs.

    Args:
        profile: What `read_profile` returns.
        plan: The plan.
        rungs: (problem, dial), those whose signature is known.
    """
    table = profile[[in_profile(word) for word in plan.kind]].set_axis([*plan.kind], axis=1)
    return table.loc[table.index.intersection(rungs)]


def ordering(profile: pandas.DataFrame, plan: Plan) -> pandas.DataFrame:
    """Return the rungs that say something of the order: without those where all do equally well or too few can be used.

    Args:
        profile: (problem, dial) × optimizers of the plan.
        plan: The plan.
    """
    return profile[~all_alike(profile) & ~too_few(profile, plan)]


def all_alike(profile: pandas.DataFrame) -> pandas.Series:
    """Return by rung whether all optimizers that can be used there do equally well."""
    return profile.nunique(axis=1) <= 1


def too_few(profile: pandas.DataFrame, plan: Plan) -> pandas.Series:
    """Return by rung whether fewer optimizers can be used there than the plan asks for."""
    return profile.count(axis=1) < plan.least_optimizers
