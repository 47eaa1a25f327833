"""Views of what was measured by taking causes away: one per problem, one row per optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas

from benchmarks.analysis.causes import TOO_FEW
from benchmarks.display.view import WHY, View

REMARK = (
    "As measured: with the cause taken away, the same search on the same instances, at the rungs where the "
    "optimizer breaks."
)


def explained(table: pandas.DataFrame) -> Iterator[View]:
    """Yield a view for each problem in the table `explained.csv`.

    Args:
        table: Its rows; a job that does not break has none.
    """
    if table.empty:
        yield View(
            "", pandas.DataFrame({"": ["Nothing breaks here, so there is nothing to explain."]}), []
        )
    for problem, rows in table.groupby("problem", sort=False):
        yield View(
            f"{problem} · why it breaks",
            pandas.DataFrame([_row(of_job) for _, of_job in rows.groupby("job", sort=False)]),
            [REMARK],
        )


def _row(rows: pandas.DataFrame) -> dict[str, Any]:
    first = rows.iloc[0]
    return {
        "": first["optimizer"],
        f"breaks at {first['dial_name']}": first["text"],
        "solved": f"{first['solved']} of {first['instances']}",
        WHY: why(rows),
    }


def why(rows: pandas.DataFrame) -> str:
    """Return the causes of one job in words, each by its best removal, the largest shift first.

    Args:
        rows: The rows of its removals.
    """
    best = rows.drop_duplicates("cause")
    holding = best[best["holds"].astype(bool)]
    if holding.empty:
        few = rows[rows["note"] == TOO_FEW]
        if len(few):
            return f"not told: {few['instances'].iloc[0]} instances are too few"
        return "not removed by anything we know"
    causes = " · ".join(_said(row) for row in holding.to_dict("records"))
    others = [named(cause) for cause in best["cause"] if cause not in set(holding["cause"])]
    return f"{causes} · not {', '.join(others)}" if others else causes


def named(cause: str) -> str:
    """Return a cause of the table in words.

    >>> named("vanishing_gradient/exploding_gradient"), named("noise+ill_conditioning")
    ('vanishing gradient or exploding gradient', 'noise and ill conditioning')
    """
    return cause.replace("_", " ").replace("/", " or ").replace("+", " and ")


def _said(row: Mapping[Any, Any]) -> str:
    solves = f"{row['solved_without']:.0f} of {row['instances']}"
    then = "" if row["beyond"] else f", then breaks at {row['text_without'].partition(' [')[0]}"
    return f"{named(row['cause'])}: {row['removal']}, {solves}{then}"
