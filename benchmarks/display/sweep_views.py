"""Views of a sweep by problem: solved shares, costs or breaking points, best first, ties marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.columns import AT_END, OF_PROBLEMS, SOLVING, WITHOUT_NUMBERS
from benchmarks.analysis.dial_axis import BreakingPoint
from benchmarks.analysis.intervals import order_statistics
from benchmarks.analysis.pairs import LEVEL, fewest
from benchmarks.analysis.ranks import places, ranks
from benchmarks.analysis.tables import Tables
from benchmarks.analysis.tuning import best_of
from benchmarks.diagnosis.from_trace import asked_for
from benchmarks.diagnosis.run_features import SET_BACK
from benchmarks.diagnosis.verdict import STEP_NOT_FINITE
from benchmarks.display.default_beats_tuned import default_beats_tuned
from benchmarks.display.first_rung import unsolved_first_rungs, why_unsolved
from benchmarks.display.numbers_as_text import (
    counted,
    decades,
    in_gradients,
    percent,
    plain,
    predicted,
)
from benchmarks.display.unjudged import why_unjudged
from benchmarks.display.view import READS_LIKE, WHY, View
from benchmarks.engine.status import SOLVED, UNJUDGED
from benchmarks.engine.trial_choice import costs, log_gaps
from benchmarks.store.cell_info import CellInfo

REASONS = 3  # verdicts named per row
A_GUESS = "Reads like: a guess from the traces of the runs; explain=true measures why."


def views(tables: Tables) -> Iterator[View]:
    """Yield one view per problem and variant; failures last."""
    sound = tables.runs[~tables.runs["status"].isin(WITHOUT_NUMBERS)]
    for _, runs in sound.groupby(
        [*_variant_fields(sound, tables), "problem"], sort=False, dropna=False
    ):
        info = tables.cells[str(runs["cell"].iloc[0])].info
        several = runs["dial"].nunique() > 1
        yield _ladder(runs, info, tables) if several else _one_rung(runs, info, tables)
    yield from failures(tables)


def failures(tables: Tables) -> Iterator[View]:
    """Yield a view of the cells without numbers, with the reasons."""
    for status, title in (
        ("not_applicable", "These optimizers are not applicable"),
        ("error", "These cells ended in an error"),
    ):
        failed = tables.summary[tables.summary["status"] == status]
        if len(failed):
            shown = failed[["problem", "dial", "optimizer", "error"]]
            yield View(title, shown.rename(columns={"error": WHY}), [])


def _variant_fields(runs: pandas.DataFrame, tables: Tables) -> list[str]:
    """Return the columns with problems' fields, without the dials."""
    dials = {cell.info.dial_column for cell in tables.cells.values()}
    return [name for name in map(str, runs) if name.startswith(OF_PROBLEMS) and name not in dials]


def _title(runs: pandas.DataFrame, info: CellInfo) -> str:
    dials = sorted(runs["dial"].unique())
    span = f"{dials[0]:g}" if len(dials) == 1 else f"{dials[0]:g} to {dials[-1]:g}"
    dial = info.dial_column
    fields = [name for name in map(str, runs) if name.startswith(OF_PROBLEMS) and name != dial]
    said = [
        f"{name.removeprefix('problem.')} {plain(runs[name].iloc[0])}"
        for name in fields
        if runs[name].notna().all()
    ]
    size = info.protocol
    return " · ".join([
        str(info.problem),
        ", ".join([f"{info.dial_name} {span}", *said]),
        f"{counted(runs['optimizer'].nunique(), 'optimizer')} × {counted(size.trials, 'trial')}"
        f" × ({size.tuning_seeds} tuning + {size.seeds} reporting) instances",
        f"budget {size.budget:g} gradients",
    ])  # fmt: skip


def _one_rung(runs: pandas.DataFrame, info: CellInfo, tables: Tables) -> View:
    """Return a view with the solved share, cost and robustness of each optimizer, best first.

    Optimizers are ranked by cost to the target, or by final gap if gradients are noisy: noise makes the moment at
    which a target is reached a matter of chance. Those without a rank stand at their mean place among the ranked.
    """
    summary = tables.summary[tables.summary["cell"].isin(runs["cell"].unique())]
    by_search = _by_search(runs)
    rows = []
    for cell, choices in summary.groupby("cell", sort=False):
        by_choice = choices.set_index("choice")
        tuned: Any = by_choice.loc["tuned"]
        of_tuned = runs[
            (runs["cell"] == cell)
            & (runs["trial"] == tuned["trial"])
            & (runs["role"] == "reporting")
        ]
        rows.append({
            "optimizer": tuned["optimizer"],
            "rank": "",
            "role": tables.cells[str(cell)].info.role,
            "default": by_choice["solved"].get("default"),
            "tuned": int(tuned["solved"]),
            "cost": costs(of_tuned.sort_values("seed")),
            "gap": tuned["gap_final"],
            "gaps": log_gaps(of_tuned.sort_values("seed")),
            "reads like": _reading(of_tuned),
            "by_search": {name: shares.get(cell) for name, shares in by_search.items()},
            "solving": decades(tuned[SOLVING[0]], len(tables.cells[str(cell)].info.searched)),
            "at_end": {name.removeprefix(AT_END).replace("_", " "): tuned[name]
                       for name in map(str, of_tuned) if name.startswith(AT_END) and of_tuned[name].notna().any()},
        })  # fmt: skip
    judged = "gaps" if info.noisy else "cost"
    pool = [row[judged] for row in rows if row["role"] == "ranked"] or [row[judged] for row in rows]
    place = places(np.array([row[judged] for row in rows]), np.array(pool)).tolist()
    rows = [
        rows[at] for at in sorted(range(len(rows)), key=lambda at: (place[at], rows[at]["gap"]))
    ]
    ranked = [row for row in rows if row["role"] == "ranked"]
    no_ranks = _no_ranks(ranked, info)
    if no_ranks is None:
        found = ranks(np.array([row[judged] for row in ranked])).tolist()
        for row, rank in zip(ranked, found, strict=True):
            row["rank"] = f"{rank}=" if found.count(rank) > 1 else f"{rank}"
    count, level = info.protocol.seeds, order_statistics(info.protocol.seeds)[1]
    table = pandas.DataFrame([{
        "": f"{row['rank']} {row['optimizer']}".strip(),
        "solved by default": "–" if row["default"] is None else f"{row['default']:g} of {count}",
        "tuned": f"{row['tuned']} of {count}",
        **{name: "–" if shares is None else ", ".join(f"{count * share:.1f}" for share in shares)
           for name, shares in row["by_search"].items()},
        f"gradients to target [{level:.0%}]": _cost(row["cost"]),
        "final gap": f"{row['gap']:.1e}" if math.isfinite(row["gap"]) else "–",
        "settings that solve": row["solving"],
        **{name: f"{value:.3g}" for name, value in row["at_end"].items()},
        READS_LIKE: row["reads like"],
    } for row in rows])  # fmt: skip
    remarks = []
    if no_ranks is None:
        if info.noisy:
            remarks.append("Ranked by the final gap, because the gradients are noisy.")
        remarks.append(
            "Ranks differ only where the first of one is better than all below it, by sign test and by mean place "
            f"on paired runs ({LEVEL:.0%} for the whole table); = marks a shared rank."
        )
    if no_ranks:
        remarks.append(no_ranks)
    for role, why in (("oracle", "given facts about the problem"), ("control", "meant to fail")):
        names = [row["optimizer"] for row in rows if row["role"] == role]
        if names:
            remarks.append(f"Not ranked ({why}): {', '.join(names)}.")
    if info.predicted_share is not None:
        share = info.predicted_share
        remarks.append(
            f"Predicted for all: {percent(share)} solved, {share * count:.3g} of {count}."
        )
    tuned_runs = _tuned(runs, tables)
    remarks += [
        *_effort(runs, tables),
        *_at_the_edge(summary, tables),
        *default_beats_tuned(summary),
    ]
    remarks += [*_own_steps(runs), *_not_finite(tuned_runs), *why_unjudged(tuned_runs["status"])]
    remarks += _guessed(table)
    return View(_title(runs, info), table.fillna("–"), remarks)


def _ladder(runs: pandas.DataFrame, info: CellInfo, tables: Tables) -> View:
    """Return a view with the breaking point of each optimizer, the furthest first."""
    points = tables.breaking_points
    points = points[
        points["job"].isin({tables.cells[key].info.job for key in runs["cell"].unique()})
    ]
    tuned_runs = _tuned(runs, tables)
    jobs = {key: cell.info.job for key, cell in tables.cells.items()}
    rows = []
    for _, of_job in points.groupby("job", sort=False):
        tuned = of_job[of_job["choice"] == "tuned"].sort_values("budget", ascending=False)
        robust = of_job[(of_job["choice"] == "one_setting") & (of_job["budget"] == 1)]
        full = tuned.iloc[0]
        sign = -1 if info.falling else 1
        rows.append((
            (-{">": 1, "": 0, "<": -1}[full["censored"]], -sign * full["breaking_point"]),
            {
                "": full["optimizer"],
                f"breaks at {info.dial_name}": full["text"],
                "one setting": robust["text"].iloc[0] if len(robust) else "–",
                **{
                    f"at 1/{1 / row['budget']:.0f} budget": BreakingPoint.of(row).point
                    for row in tuned.iloc[1:].to_dict("records")
                },
                "exponent": "–" if math.isnan(full["dose_exponent"]) else f"{full['dose_exponent']:.2f}",
                "theory": predicted(full["theory"]),
                READS_LIKE: _reading(tuned_runs[tuned_runs["cell"].map(jobs) == full["job"]]),
            },
        ))  # fmt: skip
    rows.sort(key=lambda row: row[0])
    table = pandas.DataFrame([row for _, row in rows])
    shown = points[(points["choice"] == "tuned") & (points["budget"] == 1)]
    odd = shown.loc[~shown["dose_response"].fillna(True), "optimizer"]
    remarks = [f"{name}: a harder dial does not mean fewer solved here." for name in odd]
    summary = tables.summary[tables.summary["cell"].isin(runs["cell"].unique())]
    unsolved = unsolved_first_rungs(tables, set(table[""]))
    unsolved = {cell: row for cell, row in unsolved.items() if cell in set(summary["cell"])}
    others = summary[~summary["cell"].isin(unsolved)]
    remarks += [
        *_effort(runs, tables),
        *_at_the_edge(others, tables),
        *why_unsolved(tables, unsolved),
        *default_beats_tuned(others),
    ]
    remarks += [*_own_steps(runs), *_not_finite(tuned_runs)]
    remarks += why_unjudged([*points.get("unjudged", ()), *tuned_runs["status"]])
    remarks += _guessed(table)
    return View(_title(runs, info), table, remarks)


def _by_search(runs: pandas.DataFrame) -> dict[str, pandas.Series]:
    """Return by cell the shares that a search of √n and of all n Sobol trials is expected to solve, in one column.

    n trials over two hyperparameters are as dense as √n over one. Empty if nothing is searched.
    """
    trials = runs.loc[runs["search"] == "sobol"].groupby("cell")["trial"].nunique()
    if trials.empty:
        return {}
    ks = sorted({math.isqrt(trials.max()), trials.max()})
    shares = best_of(runs, ks).groupby("cell")["solved"].agg(list)
    return {f"solved by {', '.join(map(str, ks))} trials": shares}


def _effort(runs: pandas.DataFrame, tables: Tables) -> Iterator[str]:
    """Yield the number of trials, over how many hyperparameters each optimizer spreads them, and how densely."""
    searched = runs[runs["search"] == "sobol"]
    names: dict[int, dict[str, None]] = {}  # by number of hyperparameters, the optimizers in order
    for key, name in searched.drop_duplicates("cell")[["cell", "optimizer"]].itertuples(
        index=False
    ):
        names.setdefault(len(tables.cells[key].info.searched), {})[name] = None
    if names.pop(0, None) or not names:  # cells of earlier versions do not tell
        return
    trials = tables.cells[str(searched["cell"].iloc[0])].info.protocol.trials
    ways = [
        f"over {counted(count, 'hyperparameter')} ({', '.join(names[count])})"
        + (f", as dense as {trials ** (1 / count):.0f} over 1" if count > 1 else "")
        for count in sorted(names)
    ]
    yield f"{counted(trials, 'trial')} {'; '.join(ways)}."


def _at_the_edge(summary: pandas.DataFrame, tables: Tables) -> Iterator[str]:
    """Yield which optimizers have their tuned trial at the edge of a range."""
    found = []
    for name, tuned in summary[summary["choice"] == "tuned"].groupby("optimizer", sort=False):
        at_edge = tuned[tuned["edge"].eq(True)]
        if len(at_edge):
            searched = tables.cells[str(at_edge["cell"].iloc[0])].info.searched
            where = f" at {len(at_edge)} of {len(tuned)} rungs" if len(tuned) > 1 else ""
            found.append(f"{name} {' or '.join(searched)}".strip() + where)
    if found:
        yield f"Tuned at the edge of its range, beyond which may be a better setting: {', '.join(found)}."


def _own_steps(runs: pandas.DataFrame) -> Iterator[str]:
    """Yield, for each optimizer that is to blame for a number that is not finite, how often and what to do."""
    for name in runs.loc[runs["verdict"] == STEP_NOT_FINITE, "optimizer"].unique():
        mine = runs[runs["optimizer"] == name]
        own = mine[mine["not_finite"] == "step"]
        yield (
            f"{name}: its own step was not finite where the gradient was, in {len(own)} of "
            f"{counted(len(mine), 'run')}, first in step {own['not_finite_at'].min()}: guard its divisions and roots."
        )


def _not_finite(tuned: pandas.DataFrame) -> Iterator[str]:
    """Yield, for each optimizer, in how many tuned runs the loss or a derivative was first not finite, and when.

    Not of runs that were far above their start by then: what diverges overflows.
    """
    for name in tuned["optimizer"].unique():
        mine = tuned[tuned["optimizer"] == name]
        for what, before in (("loss", ""), ("gradient", " where the loss was")):
            broken = mine[(mine["not_finite"] == what) & (mine["gap_final"] <= SET_BACK)]
            if len(broken):
                said = asked_for(mine) if what == "gradient" else what
                yield (
                    f"{name}: the {said} was not finite{before}, in {len(broken)} of "
                    f"{counted(len(mine), 'tuned run')}, first in step {broken['not_finite_at'].min()}."
                )


def _tuned(runs: pandas.DataFrame, tables: Tables) -> pandas.DataFrame:
    """Return the reporting runs of each cell's tuned trial."""
    tuned = tables.summary[tables.summary["choice"] == "tuned"].set_index("cell")["trial"]
    return runs[(runs["trial"] == runs["cell"].map(tuned)) & (runs["role"] == "reporting")]


def _reading(runs: pandas.DataFrame) -> str:
    """Return the commonest verdicts of the runs that are not solved, each with its number of runs.

    Of runs that cannot be judged, their status.
    """
    said = runs["verdict"].where(~runs["status"].isin(UNJUDGED), runs["status"])
    counts = said[~said.isin(["", SOLVED])].value_counts()
    named = [
        f"{str(name).replace('_', ' ')} {count}" for name, count in counts.head(REASONS).items()
    ]
    return ", ".join([*named, *(["…"] if len(counts) > REASONS else [])])


def _guessed(table: pandas.DataFrame) -> list[str]:
    """Return that the readings of a table are guesses, if it has any."""
    return [A_GUESS] if table[READS_LIKE].ne("").any() else []


def _no_ranks(rows: Sequence[Mapping[str, Any]], info: CellInfo) -> str | None:
    """Return why these rows have no ranks: nothing where there is nobody to be ranked, None if they have."""
    if info.unranked:
        return f"Not ranked: {info.unranked}"
    if not rows:
        return ""
    count, takes = info.protocol.seeds, fewest()
    if count < takes:
        return f"No ranks: {count} instances are too few to tell optimizers apart: it takes {takes} (seeds={takes})."
    if len(rows) == 1:
        return ""
    if not info.noisy and not any(np.isfinite(row["cost"]).any() for row in rows):
        return "No ranks: no run reaches the target."
    return None


def _cost(paid: np.ndarray) -> str:
    paid = np.sort(paid)
    k, _ = order_statistics(len(paid))
    middle, low, high = np.median(paid), paid[k - 1], paid[len(paid) - k]
    if math.isinf(low):
        return "–"
    return f"{in_gradients(middle)} [{in_gradients(low)}, {in_gradients(high)}]"
