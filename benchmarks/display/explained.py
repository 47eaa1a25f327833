"""Views of what was measured by taking causes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas

from benchmarks.analysis.causes import FAILED, TOO_FEW, failed
from benchmarks.display.breaking_table import FALLING
from benchmarks.display.view import View

UNKNOWN = "not removed by anything we know"
NOTHING_HELPS = "nothing that was taken away helps"
NOT_ASKED, NO_HELP, NOT_RUN = "", "–", "failed"


def explained(table: pandas.DataFrame) -> Iterator[View]:
    """Yield a view for each problem: how many instances each optimizer solves as it is, and without each cause.

    Args:
        table: The rows of `explained.csv`; a job that does not break has none.
    """
    for problem, rows in table.groupby("problem", sort=False):
        best = rows.drop_duplicates(["job", "cause"])
        by_cause = best.groupby("cause", sort=False)
        pair = best["cause"].str.contains("+", regex=False).groupby(best["cause"]).any()
        helping = by_cause["solved_without"].max().gt(0) & (by_cause["holds"].any() | ~pair)
        causes = by_cause["holds"].sum()[helping].sort_values(ascending=False, kind="stable").index
        cells = [_row(of_job, causes) for _, of_job in best.groupby("job", sort=False)]
        ran = (~failed(best)).groupby(best["cause"], sort=False).any()
        tried = [named(str(each)) for each in helping.index[~helping & ran] if "+" not in str(each)]
        unnamed: dict[str, list[str]] = {}
        for name, of_job in rows.groupby("optimizer", sort=False):
            if not of_job["holds"].any():
                unnamed.setdefault(why(of_job), []).append(str(name))
        remarks = [
            f"How many of {rows['instances'].iloc[0]} instances are solved where it clearly breaks: as "
            "it is, and without each cause, searched again in the same way.",
            "* marks a cause: the gain is more than chance (5%, Holm over the removals). "
            f"{NO_HELP}: no help at a few settings. Empty: not asked, because it cannot matter there.",
            *(f"{named(each)}: {', '.join(_removals(best, each))}." for each in causes),
            *([f"No help to any: {', '.join(tried)}."] if tried else []),
            *(f"{', '.join(names)}: {said}." for said, names in unnamed.items()),
            *(
                f"{row['optimizer']} with {row['removal']} {row['note']}"
                for row in rows[failed(rows)].to_dict("records")
            ),
        ]
        yield View(
            f"{problem} · why it breaks, by taking causes away", pandas.DataFrame(cells), remarks
        )


def _removals(best: pandas.DataFrame, cause: str) -> list[str]:
    """Return the removals of a cause that were searched."""
    searched = best[(best["cause"] == cause) & best["solved_without"].notna()]
    return list(searched["removal"].unique())


def by_problem(table: pandas.DataFrame) -> View:
    """Return a view of a suite: the cause that explains most, of each optimizer on each problem.

    Args:
        table: The rows of `explained.csv`.
    """
    rows: dict[str, dict[str, str]] = {}
    for (optimizer, problem), of_job in table.groupby(["optimizer", "problem"], sort=False):
        rows.setdefault(str(optimizer), {"": str(optimizer)})[str(problem)] = _main_cause(of_job)
    shown = pandas.DataFrame(rows.values()).fillna("")
    return View(
        "Why it breaks: the cause whose removal helps most",
        shown,
        [f"? is {UNKNOWN}. Empty: it does not break."],
        wraps=True,
    )


def why(rows: pandas.DataFrame) -> str:
    """Return the causes of one job in words, each by its best removal, the largest shift first.

    Behind "not" stand the causes whose removal solves no more instances; a gain within chance is left out.

    Args:
        rows: The rows of its removals.
    """
    best = rows.drop_duplicates("cause")
    holding = best[best["holds"].astype(bool)]
    if holding.empty:
        few = rows[rows["note"] == TOO_FEW]
        if len(few):
            return f"not told: {few['instances'].iloc[0]} instances are too few"
        helped = (rows["solved_without"] > rows["solved"]).any()
        return UNKNOWN if helped else NOTHING_HELPS
    causes = " · ".join(_said(row) for row in holding.to_dict("records"))
    said = {part for cause in holding["cause"] for part in cause.split("/")}
    helps = best["cause"].isin(said) | (best["solved_without"] > best["solved"])
    tried = best.loc[~helps & ~failed(best), "cause"]
    others = [named(cause) for cause in tried if "+" not in cause]
    return f"{causes} · not {', '.join(others)}" if others else causes


def named(cause: str) -> str:
    """Return a cause of the table in words.

    >>> named("vanishing_gradient/exploding_gradient"), named("noise+ill_conditioning")
    ('vanishing or exploding gradient', 'noise and ill conditioning')
    """
    words = cause.replace("_", " ").replace("+", " and ")
    return words.replace(" gradient/", " or ").replace("/", " or ")


def _row(rows: pandas.DataFrame, causes: pandas.Index) -> dict[str, Any]:
    first = rows.iloc[0]
    by_cause = rows.set_index("cause").to_dict("index")
    found: dict[str, Any] = {"": first["optimizer"]}
    if first["first_rung"] != first["last_rung"]:
        falling = FALLING if first["first_rung"] > first["last_rung"] else ""
        found[f"breaks at {first['dial_name']}{falling}"] = first["text"]
        found["searched at"] = str(first["dials"]).partition(",")[0]
    found["as it is"] = first["solved"]
    return found | {named(cause): _cell(by_cause.get(cause)) for cause in causes}


def _cell(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return NOT_ASKED
    if str(row["note"]).startswith(FAILED):
        return NOT_RUN
    if pandas.isna(row["solved_without"]):
        return NO_HELP
    return f"{row['solved_without']:.0f}{'*' if row['holds'] else ' '}"


def _main_cause(rows: pandas.DataFrame) -> str:
    holding = rows[rows["holds"].astype(bool)]
    return named(holding["cause"].iloc[0]) if len(holding) else "?"


def _said(row: Mapping[Any, Any]) -> str:
    solves = f"{row['solved_without']:.0f} of {row['instances']}"
    then = "" if row["beyond"] else f", then {breaks_then(row)}"
    return f"{named(row['cause'])}: {row['removal']}, {solves}{then}"


def breaks_then(row: Mapping[Any, Any]) -> str:
    """Return where an optimizer breaks without a cause that was searched for, in words."""
    if row["beyond"]:
        return "does not break"
    return f"breaks at {row['text_without'].partition(' [')[0]}"
