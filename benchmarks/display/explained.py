"""Views of what was measured by taking causes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import pandas

from benchmarks.analysis.causes import (
    CLEARLY,
    FAILED,
    NEVER_HELPED,
    NOT_ASKED,
    TOO_FEW,
    failed,
    is_pair,
    unasked,
)
from benchmarks.display.breaking_table import FALLING
from benchmarks.display.view import View

UNKNOWN = "not removed by anything we know"
NOTHING_HELPS = "nothing that was taken away helps"
UNEXPLAINED = {  # by the mark in a table
    "?": UNKNOWN,
    "none": NOTHING_HELPS,
    TOO_FEW: "not even the clearest outcome could be told apart from chance",
}
A_CAUSE, NO_HELP, NOT_RUN, EMPTY = "*", "–", "failed", ""
NO_MATTER, ENOUGH, PAIRS = (  # why a cell is empty
    "the cause cannot matter or cannot be removed there",
    "another removal of the cause solves all",
    "pairs are tried where no single cause is found, but only the most promising ones",
)


def explained(table: pandas.DataFrame) -> Iterator[View]:
    """Yield a view for each problem: how many instances each optimizer solves as it is, and without each cause.

    Args:
        table: The rows of `explained.csv`; a job that does not break has none.
    """
    for problem, rows in table.groupby("problem", sort=False):
        best = rows.drop_duplicates(["job", "cause"])
        by_cause = best.groupby("cause", sort=False)
        pair = best["cause"].map(is_pair).groupby(best["cause"]).any()
        helping = by_cause["solved_without"].max().notna() & (by_cause["holds"].any() | ~pair)
        causes = by_cause["holds"].sum()[helping].sort_values(ascending=False, kind="stable").index
        cells = (_row(of_job, causes) for _, of_job in best.groupby("job", sort=False))
        shown = pandas.DataFrame(cells)
        ran = best["tried"].notna().groupby(best["cause"], sort=False).any()
        tried = [each for each in map(str, helping.index[~helping & ran]) if not is_pair(each)]
        unnamed: dict[str, list[str]] = {}
        for name, of_job in rows.groupby("optimizer", sort=False):
            if not of_job["holds"].any():
                unnamed.setdefault(why(of_job), []).append(str(name))
        remarks = [
            f"How many of {rows['instances'].iloc[0]} instances are solved{where(rows)}: as it is, and without "
            "each cause, searched again in the same way.",
            *_legend(shown, causes),
            *(f"{named(each)}: {', '.join(_removals(best, each))}." for each in causes),
            *([f"Removed, but {NEVER_HELPED}: {', '.join(map(named, tried))}."] if tried else []),
            *(f"{', '.join(names)}: {said}." for said, names in unnamed.items()),
            *not_asked(rows),
            *(
                f"{row['optimizer']} with {row['removal']} {row['note']}"
                for row in rows[failed(rows)].to_dict("records")
            ),
        ]
        yield View(f"{problem} · why it breaks, by taking causes away", shown, remarks)


def _legend(shown: pandas.DataFrame, causes: pandas.Index) -> list[str]:
    """Return the legend of a table whose cells are texts."""
    cells = {cause: set(shown[named(cause)]) for cause in causes}
    marks = {A_CAUSE if each.endswith(A_CAUSE) else each for of in cells.values() for each in of}
    empty = {PAIRS if is_pair(cause) else NO_MATTER for cause in cells if EMPTY in cells[cause]}
    return legend(marks, empty)


def legend(marks: Set[str], empty: Set[str], marking: str = f"{A_CAUSE} marks") -> list[str]:
    """Return a sentence about each mark that occurs in the cells of causes.

    Args:
        marks: The marks that occur; only `A_CAUSE` and `NO_HELP` are explained.
        empty: The reasons why cells are empty: `NO_MATTER`, `ENOUGH` or `PAIRS`.
        marking: What marks a cause, with its verb.
    """
    said = {
        A_CAUSE: f"{marking} a cause: the gain is more than chance explains (5 %, Holm over the removals).",
        NO_HELP: f"{NO_HELP}: its removal {NEVER_HELPED}.",
    }
    found = [sentence for mark, sentence in said.items() if mark in marks]
    reasons = [each for each in (NO_MATTER, ENOUGH, PAIRS) if each in empty]
    return [*found, f"Empty: not tried ({'; or '.join(reasons)})."] if reasons else found


def where(rows: pandas.DataFrame) -> str:
    """Return where optimizers are explained, in words that follow "solved"; empty if there is only one rung."""
    if one_rung(rows):
        return ""
    return (
        f" at the first rung where at most {100 * CLEARLY:.0f} % of them are solved or, if there is none, "
        "at the rung where the fewest are"
    )


def one_rung(rows: pandas.DataFrame) -> bool:
    """True if there is only one rung, so that no breaking point is known."""
    return bool((rows["first_rung"] == rows["last_rung"]).all())


def _removals(best: pandas.DataFrame, cause: str) -> list[str]:
    """Return the removals of a cause that were searched."""
    searched = best[(best["cause"] == cause) & best["solved_without"].notna()]
    return list(searched["removal"].unique())


def not_asked(rows: pandas.DataFrame) -> Iterator[str]:
    """Yield a sentence for the optimizers on a problem that could not be asked about the same causes, with the reason.

    Args:
        rows: Those of the problem in `explained.csv`.
    """
    optimizers: dict[str, list[str]] = {}
    for (name, note), of_job in rows[unasked(rows)].groupby(["optimizer", "note"], sort=False):
        causes = ", ".join(map(named, of_job["cause"].unique()))
        said = f"{NOT_ASKED} about {causes}{str(note).removeprefix(NOT_ASKED)}."
        optimizers.setdefault(said, []).append(str(name))
    for said, names in optimizers.items():
        yield f"{', '.join(names)}: {said}"


def by_problem(table: pandas.DataFrame) -> View:
    """Return a view of a suite: the cause that explains most, of each optimizer on each problem, and what is solved.

    Args:
        table: The rows of `explained.csv`.
    """
    rows: dict[str, dict[str, str]] = {}
    for (optimizer, problem), of_job in table.groupby(["optimizer", "problem"], sort=False):
        rows.setdefault(str(optimizer), {"": str(optimizer)})[str(problem)] = _main_cause(of_job)
    shown = pandas.DataFrame(rows.values()).fillna("")
    said = {str(each) for each in shown.to_numpy().ravel()}
    remarks = [
        "Behind each cause: how many instances are solved without it, at the rung that is explained."
    ]
    remarks += [f"{mark}: {words}." for mark, words in UNEXPLAINED.items() if mark in said]
    if "" in said:
        remarks.append("Empty: it does not break, or could not be explained.")
    return View("Why it breaks: the cause whose removal helps most", shown, remarks, wraps=True)


def why(rows: pandas.DataFrame) -> str:
    """Return the causes of one job in words, each by its best removal, the largest shift first.

    Behind "no help" stand the causes whose removal solves no more instances; a gain within chance is left out.

    Args:
        rows: The rows of its removals.
    """
    best = rows.drop_duplicates("cause")
    holding = best[best["holds"].astype(bool)]
    if holding.empty:
        mark = _unexplained(rows)
        if mark == TOO_FEW:
            return f"not told: {rows['instances'].iloc[0]} instances are too few"
        return UNEXPLAINED[mark]
    causes = " · ".join(_said(row) for row in holding.to_dict("records"))
    said = {part for cause in holding["cause"] for part in cause.split("/")}
    helps = best["cause"].isin(said) | (best["solved_without"] > best["solved"])
    tried = best.loc[~helps & best["tried"].notna(), "cause"]
    others = [named(cause) for cause in tried if not is_pair(cause)]
    return f"{causes} · no help: {', '.join(others)}" if others else causes


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
        return EMPTY
    if str(row["note"]).startswith(FAILED):
        return NOT_RUN
    if str(row["note"]).startswith(NOT_ASKED):
        return NOT_ASKED
    if pandas.isna(row["solved_without"]):
        return NO_HELP
    return f"{row['solved_without']:.0f}{A_CAUSE if row['holds'] else ' '}"


def _main_cause(rows: pandas.DataFrame) -> str:
    holding = rows[rows["holds"].astype(bool)]
    if holding.empty:
        return _unexplained(rows)
    first = holding.iloc[0]
    return f"{named(first['cause'])}: {first['solved_without']:.0f} of {first['instances']}"


def _unexplained(rows: pandas.DataFrame) -> str:
    """Return which of `UNEXPLAINED` a job is whose causes do not hold."""
    if (rows["note"] == TOO_FEW).any():
        return TOO_FEW
    helped = (rows["solved_without"] > rows["solved"]).any()
    return "?" if helped else "none"


def _said(row: Mapping[Any, Any]) -> str:
    solves = f"{row['solved_without']:.0f} of {row['instances']}"
    then = "" if row["beyond"] else breaks_then(row)
    said = ", ".join(filter(None, [row["removal"], solves, then and f"then {then}"]))
    return f"{named(row['cause'])}: {said}"


def breaks_then(row: Mapping[Any, Any]) -> str:
    """Return where an optimizer breaks without a cause that was searched for, in words; empty on a single rung."""
    if row["first_rung"] == row["last_rung"]:
        return ""
    if row["beyond"]:
        return "does not break"
    return f"breaks at {row['text_without'].partition(' [')[0]}"
