"""Compare two sweeps: what became better or worse, what is new and what is missing.

Both must have run the same instances, as sweeps of one release do. Each optimizer is compared with
the one of the same name on the same problem, rung and choice, instance by instance: by the cost to the target, and by
the final gap where neither reaches it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import RUNG, chosen, with_variant
from benchmarks.analysis.columns import WITHOUT_NUMBERS
from benchmarks.analysis.consistency import IN_SUMMARY
from benchmarks.analysis.dial_axis import number
from benchmarks.analysis.folder import check_ended, read_results, unchanged
from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.pairs import (
    LEVEL,
    compared,
    differences,
    fewest,
    over_families,
    over_instances,
    pairings,
)
from benchmarks.analysis.tables import Tables
from benchmarks.catalog.subsections import families
from benchmarks.display.numbers_as_text import counted
from benchmarks.display.view import View
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.provenance import version_of
from ravine import Refused, printable
from ravine.terminal import filled

ON = [*RUNG, "optimizer", "choice"]
VERSIONS = ("ravine", "torch")  # packages whose version may change the numbers
USED = (
    *RUNG, "optimizer", "cell", "trial", "role", "seed", "status", "cost", "cost_to_target", "gap_final", "budget",
    "grad_sq_initial", "trials", "tuning_seeds",
)  # columns of the runs  # fmt: skip
STATED = ("dtype", "device")  # protocol options that are not in the runs
NAMED = 8  # problems that a list names; a longer list gives their number
ROWS = 20  # of the table on the terminal
SHORT = 100  # characters of a line about what only one side has


class HasTables(Protocol):
    """An object with tables, such as `sweep` returns."""

    @property
    def tables(self) -> Tables:
        """The tables of the sweep."""
        ...


@dataclass(frozen=True)
class _Side:
    """One of the two sweeps: its tables, with the column `variant`, its versions and its protocol."""

    name: str
    runs: pandas.DataFrame
    summary: pandas.DataFrame
    versions: Mapping[str, str | None]
    protocol: Mapping[str, str | None]
    noisy: frozenset[str]


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare_sweeps`; printed, it lists what differs.

    differences: one row per problem × dial × optimizer × choice that both have, with the columns of
        `benchmarks.analysis.pairs.paired` (B against A: wins are B's; `effect` is log10 of B's over A's, in the
        column's `measure`), `p_holm`, and `judgement`: better, worse, not told apart, or error if B ended in one or is
        no longer applicable.
    together: the test of each optimizer over all its rungs, one row per optimizer × choice: `rungs`; on how many of
        the `instances` B is `better` and `worse`; `p`, `p_holm` and `judgement`.
    overall: the test of each optimizer across families of problems.
    new, missing: rows that only B has, and only A; `why` is the reason that B gives.
    newcomers: each optimizer that only B has against each of A's, tuned: one row per problem × dial that both ran,
        with the columns of `differences` (wins are the newcomer's) and `against`, A's optimizer. Here the judgement
        is by `p`, not `p_holm`: on hundreds of rungs with ten instances, no difference could pass the correction.
    against: the same across families, one row per pair: the columns of `over_families`, and the number of rungs on
        which the newcomer is better, worse and not told apart, `rungs_better`, `rungs_worse` and `rungs_alike`.
    warnings: what else differs between the two sweeps, one line each.
    undecided: why no regression could have been told, however large; empty if one could.
    """

    names: tuple[str, str]
    differences: pandas.DataFrame
    together: pandas.DataFrame
    overall: pandas.DataFrame
    new: pandas.DataFrame
    missing: pandas.DataFrame
    newcomers: pandas.DataFrame
    against: pandas.DataFrame
    warnings: tuple[str, ...]
    undecided: str

    @property
    def regressions(self) -> pandas.DataFrame:
        """The differences in which B is worse, or ended in an error."""
        return self.differences[self.differences["judgement"].isin(["worse", "error"])]

    @property
    def improvements(self) -> pandas.DataFrame:
        """The differences in which B is better."""
        return self.differences[self.differences["judgement"] == "better"]

    def plain(self) -> dict[str, Any]:
        """Return the comparison as a table by name of attribute, for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def where(self, judgement: str) -> list[str]:
        """Return a line for each optimizer and choice that has this judgement: on which rungs."""
        found = self.differences[self.differences["judgement"] == judgement]
        lines = [
            f"{optimizer} ({choice}): {_rungs(rows)}"
            for (optimizer, choice), rows in found.groupby(["optimizer", "choice"], sort=False)
        ]
        return lines + self._together(judgement)

    def _together(self, *judgements: str) -> list[str]:
        """What was told of several rungs together."""
        told = self.together["judgement"].isin(judgements) & (self.together["rungs"] > 1)
        return [
            f"{row['optimizer']} ({row['choice']}), {row['rungs']} rungs together: {row['judgement']} on "
            f"{max(row['better'], row['worse'])} of {row['instances']} instances, p = {row['p_holm']:.2g}"
            for row in self.together[told].to_dict("records")
        ]

    def __repr__(self) -> str:
        warned = map(printable, self._warned())
        return "\n\n".join([*warned, *(view.text() for view in self._views())])

    def for_stdout(self) -> str:
        """Return the comparison as stdout shows it: fitted to a terminal, else as `repr` does."""
        warned = (filled(printable(each)) for each in self._warned())
        return "\n\n".join([*warned, *(view.for_stdout() for view in self._views())])

    def _repr_html_(self) -> str:
        warned = "".join(f"<p>{html.escape(each)}</p>" for each in self._warned())
        return warned + "".join(view.html() for view in self._views())

    def _warned(self) -> list[str]:
        """Return the warnings, which come before all that they put in doubt."""
        return [f"Warning: {each}." for each in self.warnings]

    def _views(self) -> list[View]:
        """Return the views, those of newcomers first: they are the usual reason to compare."""
        return [*map(self._newcomer, self.against["optimizer"].unique()), self._view()]

    def _newcomer(self, name: str) -> View:
        rows = self.against[self.against["optimizer"] == name]
        title = (
            f"{name} against the optimizers of {self.names[0]}, tuned, on the rungs that both ran"
        )
        shown = [
            {
                "": row["against"],
                "rungs better : worse : alike": f"{row['rungs_better']} : {row['rungs_worse']} : {row['rungs_alike']}",
                "families better : worse : equal": f"{row['better']} : {row['worse']} : {row['equal']}",
                "p": f"{row['p_holm']:.2g}",
            }
            for row in rows.to_dict("records")
        ]
        mine = self.newcomers[self.newcomers["optimizer"] == name]
        same: dict[tuple[str, str], list[str]] = {}
        for (against, judgement), told in mine.groupby(["against", "judgement"], sort=False):
            if judgement != JUDGEMENTS[-1]:
                same.setdefault((str(judgement), _rungs(told)), []).append(str(against))
        remarks = [
            f"{judgement.capitalize()} than {', '.join(names)}: {rungs}."
            for (judgement, rungs), names in same.items()
        ]
        remarks += [
            f"Rungs: sign test over the instances, p ≤ {LEVEL:g}, not corrected; of rungs that do not differ, up to "
            "1 in 20 is called better or worse.",
            "Families: by the mean over their problems; p is the sign test over families, adjusted for the number of "
            "optimizers (Holm).",
        ]
        return View(title, pandas.DataFrame(shown), remarks)

    def _view(self) -> View:
        before, after = self.names
        counts = self.differences["judgement"].value_counts()
        said = ", ".join(f"{counts.get(each, 0)} {each}" for each in JUDGEMENTS)
        both = (
            f"{counted(len(self.differences), 'cell')} in both, {said}"
            if len(self.differences)
            else "no cell in both"
        )
        title = f"{before} → {after}: {both}"
        order = {"error": 0, "worse": 1, "better": 2}
        told = self.differences[self.differences["judgement"].isin(order)]
        told = told.sort_values("judgement", key=lambda each: each.map(order), kind="stable")
        remarks = []
        if len(told) > ROWS:
            remarks.append(
                f"{len(told) - ROWS} more rows are in `compare_sweeps(A, B).differences`."
            )
            remarks += [
                f"{judgement.capitalize()}: {line}."
                for judgement in order
                for line in self.where(judgement)
            ]
        else:
            remarks += [f"{line}." for line in self._together("better", "worse")]
        remarks += [
            _across(row) for row in self.overall.to_dict("records") if row["p_holm"] <= LEVEL
        ]
        for name, only, column in ((before, self.missing, "missing"), (after, self.new, "new")):
            if len(only):
                remarks.append(f"Only in {name}: {_listed(only, column)}.")
        if self.undecided and self.against.empty:
            remarks.append(f"Nothing can be told: {self.undecided}.")
        shown = [_shown(row) for row in told.head(ROWS).to_dict("records")]
        return View(title, pandas.DataFrame(shown), remarks)


JUDGEMENTS = ("better", "worse", "error", "not told apart")


def compare_sweeps(a: str | Path | HasTables, b: str | Path | HasTables) -> Comparison:
    """Compare two sweeps of the same instances: how B differs from A.

    On each instance the lower cost to the target is better; if neither run reaches the target, and if gradients are
    noisy, the lower final gap (of diverged runs it is infinite, and gaps within 1 % are a tie).

    A difference is called better or worse if the sign test over the instances is significant at 5 %, adjusted by
    Holm for all comparisons of the two: if nothing differs, the probability of any such call is at most 5 %. Among
    many rungs no single one can pass that, so each optimizer and choice is also tested over all its rungs together,
    at 5 %, adjusted likewise; if that says worse (or better), its rungs are judged without adjustment.

    Args:
        a: A folder, or what `sweep` returns.
        b: The same.

    Returns:
        The differences, as frames; printed, it lists them.

    Raises:
        Refused: For a folder that is not a complete sweep, or was edited.

    Examples:
        >>> from benchmarks import compare_sweeps, sweep
        >>> size = {"trials": 2, "tuning_seeds": 1, "seeds": 6, "budget": 50}
        >>> before, after = (sweep("quadratic", "sgd", **size) for _ in range(2))
        >>> compare_sweeps(before, after).regressions.empty
        True
    """
    first, second = (_side(each, name) for each, name in ((a, "A"), (b, "B")))
    noisy = first.noisy | second.noisy
    before, after = (chosen(each.runs, each.summary) for each in (first, second))
    paired = list(pairings(before, after, on=ON, noisy=noisy))
    together = over_instances(paired, on=ON, by=ON[-2:])
    together["judgement"] = _judged(together["better"], together["worse"], together["p_holm"])
    found = _with_judgement(compared(paired, on=ON), together)
    new, missing = _only(after, before, first), _only(before, after, second)
    has_error = missing["status"].isin(["error", "not_applicable"])
    errors = missing.loc[has_error, [*ON, "why"]].assign(judgement="error")
    for name in ("pairs", "wins", "losses", "ties"):
        errors[name] = 0
    overall = over_families(found, families(), by=["optimizer", "choice"])
    newcomers = _newcomers(before, after, noisy)
    warnings = [*_warnings(first, second), *_too_few(found)]
    undecided = _undecided(found, together) if errors.empty else ""
    if len(errors):
        found = pandas.concat([found, errors], ignore_index=True)
    return Comparison(
        names=(first.name, second.name),
        differences=found.sort_values(ON, ignore_index=True),
        together=together,
        overall=overall,
        new=new[ON],
        missing=missing.loc[~has_error, [*ON, "why"]].reset_index(drop=True),
        newcomers=newcomers,
        against=_against(newcomers),
        warnings=tuple(warnings),
        undecided=undecided,
    )


def check_finished(*sweeps: str | Path | HasTables) -> None:
    """Raise Refused for a folder whose sweep is running or was killed: it has only what was there before."""
    for each in sweeps:
        if isinstance(each, str | Path):
            check_ended(Path(each))


def assert_no_regression(before: str | Path | HasTables, after: str | Path | HasTables) -> None:
    """Assert that nothing became worse from one sweep to another, for a test of pytest.

    Args:
        before: A folder, or what `sweep` returns.
        after: The same.

    Raises:
        AssertionError: If `compare_sweeps` calls anything worse or an error; it says in words on which rungs.
        Refused: If the two have nothing in common, or differ on too few instances to call anything worse; for a
            folder that is not a whole sweep's, or was edited.

    Examples:
        >>> from benchmarks import assert_no_regression, sweep
        >>> size = {"trials": 2, "tuning_seeds": 1, "seeds": 6, "budget": 50}
        >>> assert_no_regression(sweep("quadratic", "sgd", **size), sweep("quadratic", "sgd", **size))
    """
    check_finished(before, after)
    found = compare_sweeps(before, after)
    lines = [f"{each}: {line}" for each in ("error", "worse") for line in found.where(each)]
    if lines:
        raise AssertionError("\n".join([f"{found.names[0]} → {found.names[1]}:", *lines]))
    if found.undecided:
        raise Refused(f"nothing can be told: {found.undecided}")


def _judged(wins: Any, losses: Any, p: Any) -> np.ndarray:
    """Return the judgement of sign tests, row by row."""
    return np.where(p <= LEVEL, np.where(wins > losses, "better", "worse"), JUDGEMENTS[-1])


def _with_judgement(found: pandas.DataFrame, together: pandas.DataFrame) -> pandas.DataFrame:
    """Return the differences with their judgement: adjusted, or else as the optimizer's rungs together say."""
    adjusted = _judged(found["wins"], found["losses"], found["p_holm"])
    alone = _judged(found["wins"], found["losses"], found["p"])
    known = together.set_index(ON[-2:])["judgement"]
    rungs = found[ON[-2:]].merge(known, how="left", left_on=ON[-2:], right_index=True)["judgement"]
    undecided = adjusted == JUDGEMENTS[-1]
    return found.assign(judgement=np.where(undecided & (alone == rungs), alone, adjusted))


def _newcomers(
    before: pandas.DataFrame, after: pandas.DataFrame, noisy: Container[str]
) -> pandas.DataFrame:
    """Return each optimizer that only B has against each of A's, by rung, tuned."""
    at = [*RUNG, "optimizer", "against"]
    parts = []
    ours = before[before["choice"] == "tuned"]
    for name in sorted(set(after["optimizer"].unique()) - set(before["optimizer"].unique())):
        mine = after[(after["optimizer"] == name) & (after["choice"] == "tuned")]
        for other, theirs in ours.groupby("optimizer"):
            pair = (each.assign(optimizer=name, against=other) for each in (theirs, mine))
            parts.append(differences(*pair, on=at, noisy=noisy))
    found = pandas.concat(parts, ignore_index=True) if parts else compared([], on=at)
    judgement = _judged(found["wins"], found["losses"], found["p"])
    return found.drop(columns="p_holm").assign(judgement=judgement)


def _against(newcomers: pandas.DataFrame) -> pandas.DataFrame:
    by = ["optimizer", "against"]
    judgements = newcomers.groupby(by)["judgement"]
    counts = {
        f"rungs_{name}": judgements.agg(lambda each, said=said: int((each == said).sum()))
        for name, said in (("better", "better"), ("worse", "worse"), ("alike", JUDGEMENTS[-1]))
    }
    table = over_families(newcomers, families(), by=by)
    return table.merge(pandas.DataFrame(counts).reset_index(), on=by)


def _side(given: Any, name: str) -> _Side:
    if isinstance(given, (str, Path)):
        return unchanged(lambda: _of_folder(Path(given)), [Path(given)])
    if not hasattr(given, "tables"):
        raise Refused(f"{given!r} is neither a folder nor what `sweep` returns")
    tables = given.tables
    infos = [cell.info for cell in tables.cells.values()]
    stated = {each: {str(getattr(info.protocol, each)) for info in infos} for each in STATED}
    return _Side(
        name=name,
        **_tables(with_variant(tables.runs), tables.summary),
        versions={each: version_of(each) for each in VERSIONS},
        protocol={each: ", ".join(sorted(values)) for each, values in stated.items()},
        noisy=_noisy(infos),
    )


def _of_folder(folder: Path) -> _Side:
    """Return a sweep read from its folder, checked."""
    results = read_results(folder, fields=False)
    manifest, runs, summary = results.manifest, results.runs, results.summary
    packages = manifest.get("packages", {})
    protocol = manifest["config"]["protocol"]
    return _Side(
        name=str(folder),
        **_tables(runs, summary),
        versions={each: packages.get(each) for each in VERSIONS},
        protocol={each: protocol.get(each) for each in STATED},
        noisy=_noisy(results.cells.values()),
    )


def _noisy(infos: Iterable[CellInfo]) -> frozenset[str]:
    return frozenset(info.problem for info in infos if info.noisy)


def _tables(runs: pandas.DataFrame, summary: pandas.DataFrame) -> dict[str, pandas.DataFrame]:
    """Return both tables with the column `variant`, the summary's from the runs, as some rows lack the fields."""
    runs = runs[[name for name in USED if name in runs]]
    variants = runs.drop_duplicates("cell").set_index("cell")["variant"]
    summary = summary.reindex(columns=list(dict.fromkeys([*summary, *IN_SUMMARY, "error"])))
    return {"runs": runs, "summary": summary.assign(variant=summary["cell"].map(variants))}


def _only(mine: pandas.DataFrame, theirs: pandas.DataFrame, other: _Side) -> pandas.DataFrame:
    """Return the rows that only one has; `status` and `why` are the other's reason for having no numbers."""
    merged = (
        mine[ON].drop_duplicates().merge(theirs[ON].drop_duplicates(), how="left", indicator=True)
    )
    reasons = other.summary.loc[
        other.summary["choice"].isna(), [*RUNG, "optimizer", "status", "error"]
    ]
    alone = merged.loc[merged["_merge"] == "left_only", ON]
    found = alone.merge(reasons, how="left", on=[*RUNG, "optimizer"])
    said = found[["status", "error"]].astype(object).fillna("")
    return found.assign(status=said["status"], why=said["error"])


def _warnings(first: _Side, second: _Side) -> Iterator[str]:
    """Yield what differs between the two sweeps but should not."""
    deep = False  # True if this changes the key of every cell
    versions = [
        f"{name} is {first.versions[name] or 'a checkout'} and {second.versions[name] or 'a checkout'}"
        for name in VERSIONS
        if first.versions[name] != second.versions[name]
    ]
    if versions:
        deep = True
        yield f"the versions differ: {', '.join(versions)}"
    sizes = pandas.merge(
        _sizes(first), _sizes(second), on=[*RUNG, "optimizer"], suffixes=(" before", " after")
    )
    differing = [
        f"{name} {row[f'{name} before']:g} and {row[f'{name} after']:g}"
        for name in ("trials", "tuning_seeds", "seeds", "budget")
        for _, row in sizes[sizes[f"{name} before"] != sizes[f"{name} after"]].head(1).iterrows()
    ] + [
        f"{name} {first.protocol[name]} and {second.protocol[name]}"
        for name in STATED
        if first.protocol[name] and second.protocol[name]
        if first.protocol[name] != second.protocol[name]
    ]
    if differing:
        deep = True
        yield f"the protocols differ: {', '.join(differing)}"
    changed = sizes["cell before"] != sizes["cell after"]
    if changed.any() and not deep:
        yield f"the code differs {_blamed(sizes, changed)}"
    others = _other_instances(first, second)
    if others:
        yield f"the instances differ and cannot be paired: {', '.join(others)}"


def _sizes(side: _Side) -> pandas.DataFrame:
    """Return trials, instances and budget by cell, with its key."""
    runs = side.runs[~side.runs["status"].isin(WITHOUT_NUMBERS)]
    cells = runs.groupby([*RUNG, "optimizer", "cell"], sort=False)
    sizes = cells.agg(trials=("trial", "nunique"), budget=("budget", "first"))
    for name, role in (("tuning_seeds", "tuning"), ("seeds", "reporting")):
        of_role = runs[runs["role"] == role].groupby([*RUNG, "optimizer", "cell"], sort=False)
        sizes[name] = of_role["seed"].nunique()
    for name in ("trials", "tuning_seeds"):
        if name in runs:  # a published reference has only some of the runs
            sizes[name] = cells[name].first()
    return sizes.fillna(0).reset_index()


def _blamed(cells: pandas.DataFrame, changed: pandas.Series) -> str:
    """Return whose code changed, as far as the keys of the cells show it."""
    if changed.all():
        return "in all cells that both have"
    whole = changed.groupby(cells["optimizer"]).all()
    optimizers = sorted(whole.index[whole])
    rest = changed & ~cells["optimizer"].isin(optimizers)
    problems = sorted(cells.loc[rest, "problem"].unique())
    parts = [
        f"of {kind} {', '.join(names)}"
        for kind, names in (("optimizer", optimizers), ("problem", problems))
        if names
    ]
    return " and ".join(parts)


def _other_instances(first: _Side, second: _Side) -> list[str]:
    """Return the problems whose seeds draw other instances in B, told by the gradient at the start."""
    at = [*RUNG, "seed"]
    starts = [
        each.runs.dropna(subset=["seed", "grad_sq_initial"])
        .astype({"seed": "int64"})
        .groupby(at)["grad_sq_initial"]
        .first()
        for each in (first, second)
    ]
    both = pandas.concat(starts, axis=1, join="inner", keys=["before", "after"]).astype(float)
    # Float32 and the order of summation change the gradient of the same instance by less.
    alike = np.isclose(both["before"], both["after"], rtol=1e-3, equal_nan=True)
    return sorted(both.index[~alike].get_level_values("problem").unique())


def _too_few(found: pandas.DataFrame) -> Iterator[str]:
    """Yield a warning if even the clearest difference could not be significant among so many comparisons."""
    differ = (found["wins"] + found["losses"]) > 0
    pairs, tests = int(found["pairs"].max()) if len(found) else 0, int(differ.sum())
    if tests and tests * sign_test(0, pairs) > LEVEL:
        yield (
            f"{pairs} paired instances are too few to be sure of any one of {tests} differences: "
            f"with seeds={fewest(tests)} one could be told"
        )


def _undecided(found: pandas.DataFrame, together: pandas.DataFrame) -> str:
    """Return why nothing could be called worse, of single rungs or of all together; empty if something could."""
    if not (found["pairs"] > 0).any():
        return "no optimizer has run the same instances in both"
    rows, pairs = together[together["better"] + together["worse"] > 0], int(found["pairs"].max())
    tests = max(len(rows), int((found["wins"] + found["losses"] > 0).any()))
    if tests * sign_test(0, pairs) <= LEVEL:
        return ""
    return (
        f"{pairs} paired instances are too few for a sign test of {counted(tests, 'difference')}: "
        f"it takes {fewest(tests)} (seeds={fewest(tests)})"
    )


def _rungs(rows: pandas.DataFrame) -> str:
    """Name rungs by problem, the first of a long list: quadratic 100, 1e5; cliff 32."""
    several = rows.groupby(["problem", "dial"])["variant"].nunique().max() > 1
    names = [
        f"{problem} ({variant})" if several else str(problem)
        for problem, variant in zip(rows["problem"], rows["variant"], strict=True)
    ]
    by_name = rows.assign(name=names).groupby("name", sort=False)["dial"].unique()
    named = [
        f"{name} {', '.join(number(dial) for dial in dials)}"
        for name, dials in by_name.head(NAMED).items()
    ]
    more = by_name.iloc[NAMED:].map(len).sum()
    return "; ".join([*named, *([f"and {counted(int(more), 'rung')} more"] if more else [])])


def _listed(only: pandas.DataFrame, column: str) -> str:
    """Return the optimizers, grouped by problems and reason, as text; their number if that is long."""
    by: dict[str, list[str]] = {}
    for optimizer, rows in only.groupby("optimizer"):
        whys = {why for why in rows.get("why", []) if why}
        names = sorted(set(rows["problem"]))
        where = ", ".join(names) if len(names) <= NAMED else f"{len(names)} problems"
        said = where + "".join(f" ({why})" for why in sorted(whys))
        by.setdefault(said, []).append(str(optimizer))
    text = "; ".join(f"{', '.join(names)} on {said}" for said, names in by.items())
    if len(text) <= SHORT:
        return text
    counts = (only["optimizer"].nunique(), only["problem"].nunique())
    return f"{counted(counts[0], 'optimizer')} on {counted(counts[1], 'problem')} (see `.{column}`)"


def _across(row: Mapping[Any, Any]) -> str:
    better, count = row["better"] > row["worse"], max(row["better"], row["worse"])
    return (
        f"{row['optimizer']} ({row['choice']}) is {'better' if better else 'worse'} across problems: "
        f"in {count} of {row['families']} families, p = {row['p_holm']:.2g}."
    )


def _shown(row: Mapping[Any, Any]) -> dict[str, str]:
    numbers = {"better : worse : equal": "–", "B / A [95%]": row.get("why"), "p": "–"}
    if row["judgement"] != "error":
        ends = ", ".join(_factor(row[name]) for name in ("effect_low", "effect_high"))
        counts = (f"{row[name]}" for name in ("wins", "losses", "ties"))
        numbers = {
            "better : worse : equal": " : ".join(counts),
            "B / A [95%]": f"{row['measure']} {_factor(row['effect'])} [{ends}]",
            "p": f"{row['p_holm']:.2g}",
        }
    return {
        "": f"{row['problem']} {number(row['dial'])}",
        "optimizer": row["optimizer"],
        "choice": row["choice"],
        **numbers,
        "judgement": row["judgement"],
    }


def _factor(effect: float) -> str:
    """Return 10 to the effect as text: 1.25, or ∞ if A solves and B misses."""
    if math.isnan(effect):
        return "?"
    return "∞" if effect == math.inf else f"{10**effect:.3g}"
