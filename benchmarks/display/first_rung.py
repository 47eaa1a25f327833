"""Say why an optimizer breaks before the first rung: by the choice of its setting, by its range, or by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pandas

from benchmarks.analysis.tables import Tables
from benchmarks.engine.status import UNJUDGED

NAMED = 4  # jobs


def unsolved_first_rungs(tables: Tables, optimizers: Collection[str]) -> dict[str, pandas.Series]:
    """Return the tuned rows of summary.csv, by cell, of optimizers that break before the first rung of a problem.

    Args:
        tables: Those of a sweep.
        optimizers: Which are looked at.
    """
    points = tables.breaking_points
    if points.empty or "choice" not in tables.summary:
        return {}
    points = points[points["optimizer"].isin(optimizers) & (points["choice"] == "tuned")]
    points = points[points["budget"] == 1]
    easier = (points["first_rung"] > points["last_rung"]).map({True: ">", False: "<"})
    first = dict(
        points[points["censored"] == easier][["job", "first_rung"]].itertuples(index=False)
    )
    summary = tables.summary[tables.summary["choice"] == "tuned"]
    found = {}
    for _, row in summary[~summary["status"].isin(UNJUDGED)].iterrows():
        info = tables.cells[row["cell"]].info
        if first.get(info.job) == info.dial:
            found[row["cell"]] = row
    return found


def why_unsolved(tables: Tables, rows: dict[str, pandas.Series]) -> Iterator[str]:
    """Yield a remark for each reason, with the optimizers and problems that it concerns.

    Args:
        tables: Those of a sweep.
        rows: What `unsolved_first_rungs` returns.
    """
    chosen, at_edge, never = [], [], []
    reporting = tables.runs[tables.runs["role"] == "reporting"]
    solved = reporting["status"].eq("solved").groupby([reporting["cell"], reporting["trial"]]).sum()
    for cell, row in rows.items():
        name, count = f"{row['optimizer']} on {row['problem']}", f"{row['runs']:g}"
        most = int(solved.loc[[cell]].max())
        if 2 * most >= row["runs"]:
            chosen.append(f"{name} ({row['solved']:g} of {count} tuned, {most} with another)")
        elif pandas.notna(row["edge"]) and row["edge"]:
            at_edge.append(f"{name} (at most {most} of {count})")
        else:
            never.append(f"{name} (at most {most} of {count})")
    if chosen:
        yield (
            f"At the first rung another setting than the tuned one solves half of the instances: {_listed(chosen)}. "
            "Either the choice, which is made on few tuning instances, was bad, or the other setting was lucky: more "
            "tuning_seeds= and seeds= tell."
        )
    if at_edge:
        yield (
            "No setting that was tried solves half of the instances at the first rung, and the tuned one is at the "
            f"edge of its range: {_listed(at_edge)}. A wider range may help."
        )
    if never:
        yield (
            "No setting that was tried solves half of the instances at the first rung, and the tuned one is inside its "
            f"range: {_listed(never)}. The optimizer fails there, unless more trials= or a larger budget= help."
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
