"""Read the profile of each optimizer from the published reference: the share that it solves at each rung."""

from __future__ import annotations

from pathlib import Path

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
    table = read_table(root / REFERENCE, "summary")
    skipped = table["status"] == SKIPPED
    rows = table[(table["choice"] == choice) | skipped].drop_duplicates(
        ["problem", "dial", "optimizer"]
    )
    share = (rows["solved"] / rows["runs"]).where(rows["status"] != SKIPPED, 0.0)
    return rows.assign(share=share).pivot(
        index=["problem", "dial"], columns="optimizer", values="share"
    )


def lacking(profile: pandas.DataFrame, plan: Plan) -> list[str]:
    """Return the optimizers of the plan that the reference does not have yet.

    Args:
        profile: What `read_profile` returns.
        plan: The plan.
    """
    return [word for word in plan.kind if in_profile(word) not in profile.columns]


def of_plan(profile: pandas.DataFrame, plan: Plan, rungs: pandas.Index) -> pandas.DataFrame:
    """Return the profile of the plan's optimizers at these rungs, without those that say little of their order.

    These are rungs at which all do equally well, and rungs at which too few can be used.

    Args:
        profile: What `read_profile` returns.
        plan: The plan.
        rungs: (problem, dial), those whose signature is known.
    """
    table = profile[[in_profile(word) for word in plan.kind]].set_axis([*plan.kind], axis=1)
    at = table.loc[table.index.intersection(rungs)]
    return at[(at.nunique(axis=1) > 1) & (at.count(axis=1) >= plan.least_optimizers)]
