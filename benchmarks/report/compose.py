"""Compose the report as plain text, tables and charts; the template decides the looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.carryover import carryover
from benchmarks.analysis.causes import FAILED, NEVER_HELPED, NOT_ASKED, is_pair
from benchmarks.analysis.chosen_runs import chosen
from benchmarks.analysis.columns import AT_END, SOLVING, VERDICT, WITHOUT_NUMBERS
from benchmarks.analysis.dial_axis import BreakingPoint
from benchmarks.analysis.folder import Results
from benchmarks.analysis.intervals import order_statistics
from benchmarks.analysis.saved_sweep import Saved, rebuilt
from benchmarks.analysis.success import success
from benchmarks.analysis.tuning import best_of
from benchmarks.catalog.subsections import families
from benchmarks.catalog.subsections import summary as in_a_line
from benchmarks.display.breaking_table import EASIER, HARDER, Entry, Matrix
from benchmarks.display.explained import (
    A_CAUSE,
    EMPTY,
    ENOUGH,
    NO_HELP,
    NO_MATTER,
    NOT_RUN,
    PAIRS,
    breaks_then,
    legend,
    named,
    not_asked,
    one_rung,
    where,
    why,
)
from benchmarks.display.numbers_as_text import as_words, counted, decades, percent, predicted
from benchmarks.display.view import READS_LIKE
from benchmarks.pages.chart import Chart
from benchmarks.pages.table import Field, Row, Table
from benchmarks.report import problem_charts
from benchmarks.report.page import (
    Answer,
    Cure,
    Heat,
    HeatCell,
    HeatRow,
    Landscape,
    MatrixRow,
    Page,
    Section,
    Strip,
)
from benchmarks.report.problem_charts import Rung, slug
from benchmarks.store.cell_info import CellInfo
from problems import Problem

FIELDS = ("problem.", "hp.", AT_END)  # columns that not all problems or optimizers have
PANELS = 3  # rungs of a problem that are drawn
NOTHING = "–"
NO_BREAK = "Nothing breaks here: try harder rungs with ladder=, or a smaller budget."
NOTES = {  # below an answer of the matrix, by kind
    "growth": "how its cost grows with the dial",
    "theory": "the breaking point that theory predicts",
    "reading": "a reading of the failed runs, guessed from their traces",
}
ELSEWHERE = "Yours"  # the section of problems that are in no subsection of the book


def composed(saved: Saved, results: Sequence[Results]) -> Page:
    """Return the page of these sweeps."""
    return _Writer(saved, results).page()


@dataclass(frozen=True)
class _Writer:
    saved: Saved
    results: Sequence[Results]

    def page(self) -> Page:
        matrix, titles = self.matrix, families()
        by_section: dict[str, list[str]] = {}
        for label in matrix.problems:
            name = self.entries_of(label)[0].problem
            by_section.setdefault(titles.get(name, ELSEWHERE), []).append(label)
        weakest = matrix.weakest()
        sections = [
            Section(title, [self._row(label) for label in labels], [self._landscape(label) for label in labels])
            for title, labels in sorted(by_section.items())
        ]  # fmt: skip
        answers = [each for section in sections for row in section.rows for each in row.answers]
        places = {
            label: place for place, (_, labels) in enumerate(sorted(by_section.items())) for label in labels
        }  # fmt: skip
        return Page(
            title=self._title(),
            protocol=self._protocol(),
            heading="Instances solved" if self.rungs == {"one"} else "Breaking points",
            key=self._key(answers),
            guessed=any("reading" in each.notes for each in answers),
            next=matrix.breaks_first(weakest, self._reason(weakest)) if weakest else NO_BREAK,
            next_anchor=_anchor(weakest.label) if weakest else "",
            optimizers=matrix.optimizers,
            sections=sections,
            remarks=[*matrix.remarks(), *self._carries()],
            failures=self._failures(),
            heat=self._heat(places),
            cures=self._cures(places),
            provenance=[_provenance(each) for each in self.results],
        )  # fmt: skip

    @cached_property
    def matrix(self) -> Matrix:
        return Matrix(self.saved, self.saved.own)

    @cached_property
    def rungs(self) -> set[str]:
        """Return which kinds of entries with numbers the matrix has: "one" rung, "several", or both."""
        entries = self.matrix.entries.values()
        return {
            "one" if each.point is None else "several" for each in entries if each.place is not None
        }

    @cached_property
    def styles(self) -> dict[str, int]:
        """Each optimizer's place in the matrix; its colour and the filter follow it."""
        return {name: place for place, name in enumerate(self.matrix.optimizers)}

    @cached_property
    def by_job(self) -> dict[str, dict[str, pandas.DataFrame]]:
        """Each table's rows of each job."""
        frames = {name: self.saved.frames[name] for name in ("runs", "summary", "traces")}
        if len(self.saved.breaking_points):
            frames["points"] = self.saved.breaking_points
        found: dict[str, dict[str, pandas.DataFrame]] = {}
        for name, frame in frames.items():
            for _, of_problem in frame.groupby("problem", sort=False):
                for job, rows in _without_others(of_problem).groupby("job", sort=False):
                    found.setdefault(str(job), {})[name] = rows
        return found

    @cached_property
    def best(self) -> pandas.DataFrame:
        return best_of(self.saved.runs)

    @cached_property
    def shares(self) -> pandas.DataFrame:
        return success(chosen(self.saved.runs, self.saved.summary)).set_index(["cell", "choice"])

    def entries_of(self, label: str) -> list[Entry]:
        """Return the entries of the optimizers that were run on a problem, in the order of the page."""
        found = (self.matrix.entries.get((name, label)) for name in self.matrix.optimizers)
        return [each for each in found if each is not None]

    def _title(self) -> str:
        suites = {str(each.manifest["config"].get("suite") or "") for each in self.results}
        if len(suites) == 1 and "" not in suites:
            return f"Suite {suites.pop()}"
        problems = list(dict.fromkeys(self.saved.runs["problem"]))
        return ", ".join(problems) if len(problems) <= 3 else f"{len(problems)} problems"

    def _protocol(self) -> list[str]:
        runs = self.saved.runs
        sound = runs[~runs["status"].isin(WITHOUT_NUMBERS)]
        cells, skipped = runs["cell"].nunique(), int((runs["status"] == "skipped").sum())
        said = [
            f"{counted(len(self.matrix.problems), 'problem')} × {counted(len(self.matrix.optimizers), 'optimizer')}: "
            f"{counted(cells, 'cell')}, one rung each"
            + (
                f", {skipped} of them skipped, because no trial solves an easier rung"
                if skipped
                else ""
            )
        ]
        if len(sound):
            sizes = sound.groupby("cell").agg(
                trials=("trial", "nunique"), budget=("budget", "first")
            )
            seeds = [
                sound[sound["role"] == role]
                .groupby("cell")["seed"]
                .nunique()
                .reindex(sizes.index, fill_value=0)
                for role in ("tuning", "reporting")
            ]
            said.append(
                f"each up to {_range(sizes['trials'])} trials × ({_range(seeds[0])} tuning + {_range(seeds[1])} "
                f"reporting) instances, and {_range(sizes['budget'])} gradients per run"
            )
        tuned = [
            "All optimizers are tuned: the tuning instances choose one trial, the reporting instances give its results."
        ]
        if self.rungs != {"one"}:
            tuned.append(
                "A breaking point is the dial up to which half of them are solved, with its 95 % interval."
            )
        return ["; ".join(said) + ".", " ".join(tuned)]

    def _carries(self) -> list[str]:
        """Return a sentence on how far the optimizers' order carries; none for fewer than three, or three problems."""
        if "choice" not in self.saved.summary:  # no run has numbers
            return []
        found = carryover(self.saved.runs, self.saved.summary, families())
        row = found.set_index("by").loc["solved share"].to_dict()
        if min(row["optimizers"], row["problems"]) < 3 or math.isnan(row["tau"]):
            return []
        return [
            "Optimizers are ordered by their mean place. The order on one problem, by the share of instances solved, "
            f"agrees with the mean order on all others with a Kendall's τ of {row['tau']:.2f} (1: the same order; 0: "
            f"unrelated; at most {row['ceiling']:.2f} with so few instances)."
        ]

    # The matrix.

    def _key(self, answers: Sequence[Answer]) -> str:
        """Return what each mark in the matrix means, without the final full stop."""
        bars = {
            "several": "how far up the problem’s ladder the optimizer gets",
            "one": "the share of instances solved"
            + (", where there is a single rung" if "several" in self.rungs else ""),
        }
        notes = [
            words for kind, words in NOTES.items() if any(kind in each.notes for each in answers)
        ]
        below = " and ".join(filter(None, [", ".join(notes[:-1]), *notes[-1:]]))
        said = {
            "Bar": "; ".join(words for kind, words in bars.items() if kind in self.rungs),
            "Brackets": "95 % interval" if any(each.interval for each in answers) else "",
            "Below": below,
        }
        return ". ".join(f"{mark}: {words}" for mark, words in said.items() if words)

    def _row(self, label: str) -> MatrixRow:
        entries = {each.optimizer: each for each in self.entries_of(label)}
        answers = [
            self._answer(entries[name]) if name in entries
            else Answer(style, "not run", "", {}, None, math.nan, "")
            for name, style in self.styles.items()
        ]  # fmt: skip
        return MatrixRow(_anchor(label), label, next(iter(entries.values())).dial, answers)

    def _answer(self, entry: Entry) -> Answer:
        point = self._point(entry.job)
        notes, interval = {}, ""
        if point is not None:
            interval = BreakingPoint.of(point).interval
            if not pandas.isna(point["dose_exponent"]):
                notes["growth"] = f"cost ∝ dial^{point['dose_exponent']:.2f}"
            theory = point.get("theory")
            if theory is not None and not pandas.isna(theory):
                notes["theory"] = f"theory {predicted(theory)}"
        reason = self._reason(entry)
        if reason:
            notes["reading"] = reason
        spoken = {HARDER: "does not break", EASIER: "breaks at once"}.get(entry.place or 0.0, "")
        return Answer(
            style=self.styles[entry.optimizer],
            text=entry.text,
            interval=interval,
            notes=notes,
            filled=None if entry.place is None else min(max(entry.place, 0.0), 1.0),
            order=math.nan if entry.place is None else entry.place,
            spoken=spoken,
        )

    def _point(self, job: str) -> Mapping[Any, Any] | None:
        points = self.by_job.get(job, {}).get("points")
        if points is None:
            return None
        tuned = points[(points["choice"] == "tuned") & (points["budget"] == 1)]
        return next(iter(tuned.to_dict("records")), None)

    def _reason(self, entry: Entry) -> str:
        """Return the commonest reading at the easiest rung where fewer than half of the instances are solved.

        Empty if there is no such rung, or no run has numbers.
        """
        rows = self.by_job[entry.job]["summary"]
        failed = rows[rows["status"].isin(["error", "not_applicable"])]
        if len(failed) or entry.unjudged:
            return ""
        tuned = rows[rows["choice"] == "tuned"]
        tuned = tuned.sort_values("dial", ascending=not entry.falling)
        beaten = tuned[tuned["solved"] < tuned["runs"] / 2]
        if beaten.empty:
            return ""
        first = beaten.iloc[0]
        judged = {
            name.removeprefix(VERDICT): first[name]
            for name in map(str, beaten)
            if name.startswith(VERDICT) and not pandas.isna(first[name]) and first[name] > 0
        }
        judged.pop("solved", None)  # the failed runs give the reason
        if not judged:
            return as_words(first["status"])
        return f"reading: {as_words(max(judged, key=lambda name: judged[name]))}"

    # What was measured by taking causes away.

    @cached_property
    def explained(self) -> dict[tuple[str, str], tuple[Entry, pandas.DataFrame]]:
        """By optimizer and problem in the order of the page: the entry, and the rows of its removals."""
        by_job = {str(job): rows for job, rows in self.saved.explained.groupby("job", sort=False)}
        found = {}
        for name in self.matrix.optimizers:
            for label in self.matrix.problems:
                entry = self.matrix.entries.get((name, label))
                if entry is not None and entry.job in by_job:
                    found[name, label] = entry, by_job[entry.job]
        return found

    def _cures(self, places: Mapping[str, int]) -> dict[int, list[Cure]]:
        cures: dict[int, list[Cure]] = {}
        for (name, label), (entry, rows) in self.explained.items():
            cures.setdefault(self.styles[name], []).append(
                Cure(places[label], _anchor(label), label, _breaks(entry), why(rows))
            )
        return cures

    def _heat(self, places: Mapping[str, int]) -> Heat | None:
        """Return how many instances are solved without each cause; of one problem, by each removal."""
        if not self.explained:
            return None
        single = len(self.matrix.problems) == 1
        by = "removal" if single else "cause"
        rows = pandas.concat([rows for _, rows in self.explained.values()])
        pair = rows["cause"].map(is_pair)
        alone = rows[~pair]
        helping = alone[alone["solved_without"].notna()].drop_duplicates(by)
        columns = [
            (row["removal"], named(row["cause"])) if single else (named(row["cause"]), "")
            for row in helping.to_dict("records")
        ]
        keys = [*helping[by]]
        together = bool(rows.loc[pair, "holds"].any())
        if together:
            columns.append(("two together", ""))
        groups: dict[str, list[HeatRow]] = {}
        shown: list[HeatCell] = []
        for (name, label), (entry, of_job) in self.explained.items():
            first = of_job.iloc[0]
            best = of_job.drop_duplicates(by).set_index(by).to_dict("index")
            cells = [_heat_cell(best.get(key)) for key in keys]
            if together:
                both = of_job[of_job["cause"].map(is_pair)].to_dict("records")
                cells.append(
                    _heat_cell(both[0], named(both[0]["cause"]))
                    if both
                    else HeatCell(EMPTY, empty=PAIRS)
                )
            shown += cells
            groups.setdefault("" if single else name, []).append(
                HeatRow(self.styles[name], places[label], _anchor(label), name if single else label,
                        _breaks(entry), _solved(first["solved"], first["instances"]), cells)
            )  # fmt: skip
        tried = alone[alone["tried"].notna()]
        unhelpful = [each for each in dict.fromkeys(tried[by]) if each not in keys]
        remarks = [
            f"Instances solved{where(rows)}: as it is, and without each cause, searched again with the same trials "
            f"on the same instances.{'' if one_rung(rows) else ' Below: where it then breaks.'}",
            *legend(
                {A_CAUSE if each.holds else each.text for each in shown},
                {each.empty for each in shown},
                f"{A_CAUSE} and a frame mark",
            ),
        ]
        if unhelpful:
            said = unhelpful if single else map(named, unhelpful)
            remarks.append(f"Removed, but {NEVER_HELPED}: {', '.join(said)}.")
        for name, of_problem in alone.groupby("problem", sort=False):
            remarks += [said if single else f"{name} · {said}" for said in not_asked(of_problem)]
        what = "removal" if single else "cause"
        return Heat(
            f"Instances solved without each {what}", "optimizer" if single else "pathology",
            columns, list(groups.items()), remarks,
        )  # fmt: skip

    def _info(self, runs: pandas.DataFrame) -> CellInfo:
        return self.saved.cells[str(runs["cell"].iloc[0])].info

    # One problem.

    def _landscape(self, label: str) -> Landscape:
        entries = self.entries_of(label)
        jobs = [each.job for each in entries]
        runs = pandas.concat([self.by_job[job]["runs"] for job in jobs])
        info = self._info(runs)
        problem, scale, falling = rebuilt(info), info.scale, info.falling
        rungs = self._rungs(label, runs, falling)
        known = problem if isinstance(problem, Problem) else None
        strips, missing = self._strips(rungs)
        return Landscape(
            anchor=_anchor(label),
            label=label,
            line=in_a_line(_innermost(known)) if known else "",
            facts=_facts(known) if known else {},
            strips=strips,
            breaking=self._breaking(entries),
            tables=[
                table
                for table in (self._choices(jobs, falling), self._search(jobs, falling))
                if table.rows
            ],
            runs=self._every_run(jobs, falling),
            frontier=self._frontier(label, entries, scale, falling, runs),
            missing=missing or (problem if isinstance(problem, str) else ""),
        )  # fmt: skip

    def _rungs(self, label: str, runs: pandas.DataFrame, falling: bool) -> list[Rung]:
        """Return the rungs to draw, from harmless to extreme: those at which most optimizers were run."""
        sound = runs[~runs["status"].isin(WITHOUT_NUMBERS)]
        if sound.empty:
            return []
        count = sound.groupby("dial")["optimizer"].nunique()
        fullest = count.sort_index(ascending=not falling).sort_values(
            ascending=False, kind="stable"
        )
        most = [dial for dial in fullest.index if fullest[dial] == fullest.iloc[0]]
        dials = most if len(most) >= PANELS else list(fullest.index[:PANELS])
        dials = sorted(dials, reverse=falling)
        if len(dials) > PANELS:
            dials = [dials[round(at)] for at in np.linspace(0, len(dials) - 1, PANELS)]
        return [self._rung(label, sound[sound["dial"] == dial]) for dial in dials]

    def _rung(self, label: str, runs: pandas.DataFrame) -> Rung:
        info = self._info(runs)
        tuned, traces = {}, []
        for job, of_job in runs.groupby("job", sort=False):
            cell = of_job["cell"].iloc[0]
            rows = self.by_job[str(job)]["summary"]
            trial = rows.loc[(rows["cell"] == cell) & (rows["choice"] == "tuned"), "trial"].iloc[0]
            tuned[str(of_job["optimizer"].iloc[0])] = int(trial)
            recorded = self.by_job[str(job)].get("traces")
            if recorded is not None:
                traces.append(recorded[(recorded["cell"] == cell) & (recorded["trial"] == trial)])
        problem, dial = rebuilt(info), info.dial_name
        return Rung(
            slug=slug(f"{label}-{dial}-{info.dial:g}"),
            label=label,
            title=f"{dial} {info.dial:g}",
            subject=f"{label}, {dial} {info.dial:g}",
            dial=info.dial,
            runs=runs,
            traces=pandas.concat(traces) if traces else self.saved.traces[:0],
            tuned=tuned,
            styles=self.styles,
            problem=problem if isinstance(problem, Problem) else None,
        )

    def _strips(self, rungs: list[Rung]) -> tuple[list[Strip], str]:
        """Return the charts, and the reason if a picture is missing."""
        if not rungs:
            return [], ""
        hardest = _hardest_solved(rungs)
        flat, own, missing = [], [], ""
        try:
            flat = [chart for chart in map(problem_charts.paths, rungs) if chart is not None]
            if hardest.problem is not None:
                own = [problem_charts.portrait(hardest)]
        except Exception as error:  # from the code of a user's problem
            missing = f"its picture cannot be drawn: {' '.join(str(error).split())}"
        rates = [chart for chart in map(problem_charts.rates, rungs) if chart is not None]
        strips = [
            Strip(
                "Convergence", "Relative gap by cost: median over the reporting instances, with a band from the first "
                "to the third quartile.", [problem_charts.convergence(each) for each in rungs],
            ),
            Strip(
                "Sensitivity to the learning rate",
                "Each corner of a line is a searched trial; ○ is the tuned one, ■ the "
                "default. If another hyperparameter is searched too, neighbours differ in it.", rates,
            ),
            Strip(
                "Paths", "The tuned runs of the first reporting instance over contours of the relative gap; "
                "darker is higher.", flat,
            ),
            Strip(
                f"Along the run, at {hardest.title}", "Median over the tuned runs, at the hardest drawn rung that at "
                "least one optimizer solves: squared gradient, curvature along it, extreme eigenvalues.",
                list(problem_charts.along(hardest)),
            ),
            Strip("The pathology itself", own[0].note if own else "", own),
        ]  # fmt: skip
        return [each for each in strips if each.charts], missing

    def _frontier(
        self,
        label: str,
        entries: Sequence[Entry],
        scale: str,
        falling: bool,
        runs: pandas.DataFrame,
    ) -> Chart | None:
        points = [
            self.by_job[each.job]["points"] for each in entries if "points" in self.by_job[each.job]
        ]
        if not points:
            return None
        tuned = pandas.concat(points)
        tuned = tuned[tuned["choice"] == "tuned"]
        dial = entries[0].dial
        return problem_charts.frontier(
            slug(label), label, dial, tuned, self.styles, scale, falling, runs
        )

    def _breaking(self, entries: Sequence[Entry]) -> Table:
        rows, shares = [], []
        for entry in entries:
            points = self.by_job[entry.job].get("points")
            if points is None:
                continue
            tuned = points[points["choice"] == "tuned"].sort_values("budget", ascending=False)
            robust = points[(points["choice"] == "one_setting") & (points["budget"] == 1)]
            full = tuned.iloc[0]
            shares = [f"at B/{1 / share:.0f}" for share in tuned["budget"].iloc[1:]]
            rows.append(Row(self.styles[entry.optimizer], [
                Field(entry.optimizer),
                Field(str(full["text"]), entry.place),
                Field(str(robust["text"].iloc[0]) if len(robust) else NOTHING,
                      float(robust["breaking_point"].iloc[0]) if len(robust) else None),
                *(Field(BreakingPoint.of(each).point, float(each["breaking_point"]))
                  for each in tuned.iloc[1:].to_dict("records")),
                _number(full["dose_exponent"], "{:.2f}"),
                Field(NOTHING if pandas.isna(full.get("theory")) else predicted(full["theory"]), full.get("theory")),
                Field(self._reason(entry).removeprefix("reading: ") or NOTHING),
            ]))  # fmt: skip
        columns = ["optimizer", f"breaks at {entries[0].dial} [95 %]", "with one setting", *shares,
                   "cost exponent", "theory", READS_LIKE]  # fmt: skip
        return Table("Breaking points", columns, rows, _odd(self.by_job, entries))

    def _choices(self, jobs: Sequence[str], falling: bool) -> Table:
        rows, seeds, choices, edge = [], 0, set[str](), False
        for job in jobs:
            summary = self.by_job[job]["summary"]
            for each in summary[summary["choice"].notna()].to_dict("records"):
                share = self.shares.loc[(each["cell"], each["choice"])]
                seeds = max(seeds, int(each["runs"]))
                choices.add(each["choice"])
                edge |= bool(each["edge"])
                rate = NOTHING if pandas.isna(each.get("u")) else f"{each['u']:.2g}"
                rows.append(Row(self.styles[each["optimizer"]], [
                    Field(each["optimizer"]),
                    Field(f"{each['dial']:g}", -each["dial"] if falling else each["dial"]),
                    Field(as_words(each["choice"])),
                    Field(f"{int(each['solved'])} of {int(each['runs'])}", each["solved"]),
                    Field(f"{percent(share['share'])} [{percent(share['low'])}, {percent(share['high'])}]",
                          share["share"]),
                    Field(_cost(each), each["cost_to_target"]),
                    _number(share["expected_running_time"], "{:.4g}"),
                    _number(each["gap_final"], "{:.1e}"),
                    Field(rate + (" (edge)" if each["edge"] else ""), each.get("u")),
                ]))  # fmt: skip
        level = order_statistics(seeds)[1] if seeds else 0.0
        columns = ["optimizer", "rung", "choice", "solved", "share [95 %]", f"gradients to target [{level:.0%}]",
                   "ERT", "final gap", "learning rate u"]  # fmt: skip
        words = {
            "default": "Default: the default values.",
            "tuned": "Tuned: best at this rung.",
            "one_setting": "One setting: best over all rungs.",
            "transfer": "Transfer: best on the other subsections’ problems.",
        }
        note = [said for choice, said in words.items() if choice in choices]
        note.append("ERT: expected cost of restarting until solved.")
        if edge:
            note.append(
                "(edge): a searched hyperparameter is at the edge of its range, beyond which may be a better setting."
            )
        return Table(
            "Choices of trial, on the reporting instances", columns, rows, " ".join(note), 3
        )

    def _search(self, jobs: Sequence[str], falling: bool) -> Table:
        summary = pandas.concat([self.by_job[job]["summary"] for job in jobs])
        best = self.best[self.best["cell"].isin(summary["cell"])]
        tuned = summary[summary["choice"] == "tuned"].set_index("cell")
        ks = sorted(best["k"].unique())
        rows = []
        for cell, of_cell in best.groupby("cell", sort=False):
            searched = self.saved.cells[str(cell)].info.searched
            solving = tuned.get(SOLVING[0], {}).get(cell)  # earlier versions lack it
            first: Any = of_cell.iloc[0]
            by_k = {each["k"]: each for each in of_cell.to_dict("records")}
            rows.append(Row(self.styles[first["optimizer"]], [
                Field(first["optimizer"]),
                Field(f"{first['dial']:g}", -first["dial"] if falling else first["dial"]),
                Field(", ".join(searched) or NOTHING, len(searched)),
                Field(decades(solving, len(searched)), solving),
                *(_searched(by_k.get(k)) for k in ks),
            ]))  # fmt: skip
        rows.sort(key=lambda row: (row.style, row.fields[1].by))
        note = (
            "Expected from a search of k trials: the share of instances solved, and the median cost if half are. k² "
            "trials over two hyperparameters are as dense as k over one. Settings that solve: the size of the set of "
            "settings that solve half of the instances, of two hyperparameters an area."
        )
        columns = ["optimizer", "rung", "searched", "settings that solve"]
        return Table("Expected best of k", [*columns, *(f"k = {k}" for k in ks)], rows, note)

    def _every_run(self, jobs: Sequence[str], falling: bool) -> Table:
        rows = []
        for job in jobs:
            runs, summary = self.by_job[job]["runs"], self.by_job[job]["summary"]
            tuned = summary.loc[summary["choice"] == "tuned", ["cell", "trial"]]
            mine = runs[runs["role"] == "reporting"].merge(tuned, on=["cell", "trial"])
            for each in mine.sort_values(["dial", "seed"], ascending=[not falling, True]).to_dict(
                "records"
            ):
                rows.append(Row(self.styles[each["optimizer"]], [
                    Field(each["optimizer"]),
                    Field(f"{each['dial']:g}", -each["dial"] if falling else each["dial"]),
                    Field(f"{int(each['seed'])}", each["seed"]),
                    Field(as_words(each["status"])),
                    Field(as_words(each["verdict"])),
                    Field(as_words(each["ruled_out"])),
                    _number(each["cost"], "{:.4g}"),
                    _number(each["cost_to_target"], "{:.4g}"),
                    _number(each["gap_final"], "{:.1e}"),
                ]))  # fmt: skip
        columns = ["optimizer", "rung", "seed", "ended", READS_LIKE, "ruled out",
                   "cost", "cost to target", "final gap"]  # fmt: skip
        return Table(
            "Every run of the tuned settings",
            columns,
            rows,
            "Reads like, ruled out: read off the trace of the run. A reading is a guess; explain=true measures why.",
            numeric=6,
        )

    def _failures(self) -> Table | None:
        summary = self.saved.summary
        failed = summary[summary["status"].isin(["error", "not_applicable"])]
        rows = [
            Row(self.styles[each["optimizer"]], [
                Field(f"{each['problem']} {each['dial']:g}"), Field(each["optimizer"]),
                Field(as_words(each["status"])), Field(as_words(each["error"])),
            ])
            for each in failed.to_dict("records")
        ]  # fmt: skip
        return (
            Table(
                "Cells without numbers", ["problem", "optimizer", "ended", "why"], rows, numeric=9
            )
            if rows
            else None
        )


def _hardest_solved(rungs: Sequence[Rung]) -> Rung:
    """Return the last rung at which any tuned setting solves half of the instances; the first if there is none."""

    def solved(rung: Rung) -> bool:
        return any(
            (rung.ends(name)["status"] == "solved").mean() >= 0.5 for name in rung.optimizers
        )

    return next((rung for rung in reversed(rungs) if solved(rung)), rungs[0])


def _facts(problem: Problem) -> dict[str, str]:
    card = problem.card
    facts = {"solved": problem.solved_when, "truth": card.truth, "source": card.source}
    return {name: text for name, text in facts.items() if text}


def _without_others(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of a problem without the fields of other problems: a suite has two hundred of them."""
    fields = [name for name in map(str, rows) if name.startswith(FIELDS)]
    empty = rows[fields].isna().all()
    return rows.drop(columns=empty.index[empty])


def _innermost(problem: Problem) -> Problem:
    while hasattr(problem, "inner"):
        problem = problem.inner  # type: ignore[attr-defined]
    return problem


def _odd(by_job: Mapping[str, Mapping[str, pandas.DataFrame]], entries: Sequence[Entry]) -> str:
    odd = []
    for entry in entries:
        points = by_job[entry.job].get("points")
        if points is not None:
            tuned = points[(points["choice"] == "tuned") & (points["budget"] == 1)]
            if any(
                BreakingPoint.of(row).dose_response is False for row in tuned.to_dict("records")
            ):
                odd.append(entry.optimizer)
    return f"A harder dial does not mean fewer solved here: {', '.join(odd)}." if odd else ""


def _provenance(results: Results) -> dict[str, str]:
    manifest = results.manifest
    packages, git = manifest.get("packages", {}), manifest.get("git") or {}
    commit = str(git.get("commit") or "")[:10]
    said: dict[str, Callable[[], Any]] = {
        "folder": lambda: results.folder,
        "command": lambda: " ".join(map(str, manifest.get("argv") or [])),
        "versions": lambda: ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        "commit": lambda: commit + (" with changes" if commit and git.get("dirty") else ""),
        "machine": lambda: ", ".join(filter(None, [
            str(manifest.get("cpu") or ""), f"{manifest.get('seconds', 0):.0f} s",
            f"python {manifest.get('python', '')}",
        ])),
    }  # fmt: skip
    return {name: text for name, value in said.items() if (text := str(value()))}


def _breaks(entry: Entry) -> str:
    """Return where an optimizer breaks, or why it is not judged; of a single rung, how many instances it solves."""
    if entry.unjudged:
        return entry.text
    single = " of " in entry.text
    return f"solves {entry.text}" if single else f"breaks at {entry.dial} {entry.text}"


def _solved(count: float, instances: float) -> HeatCell:
    return HeatCell(f"{count:.0f} of {instances:.0f}", strength=count / instances)


def _heat_cell(row: Mapping[Any, Any] | None, note: str = "") -> HeatCell:
    """Return the cell of a removal; `note` is what is taken away, if the column does not say it."""
    if row is None:
        return HeatCell(EMPTY, empty=NO_MATTER)
    if str(row["note"]).startswith(FAILED):
        return HeatCell(NOT_RUN, str(row["note"]))
    if str(row["note"]).startswith(NOT_ASKED):
        return HeatCell(NOT_ASKED, str(row["note"]).removeprefix(f"{NOT_ASKED}: "))
    if pandas.isna(row["tried"]):
        return HeatCell(EMPTY, empty=ENOUGH)
    if pandas.isna(row["solved_without"]):
        return HeatCell(NO_HELP, "no help")
    then = ", ".join(filter(None, [note, breaks_then(row)]))
    holds = bool(row["holds"])
    cell = _solved(row["solved_without"], row["instances"])
    return HeatCell(cell.text, "a cause" if holds else "", cell.strength, then, holds)


def _anchor(label: str) -> str:
    return f"p-{slug(label)}"


def _cost(row: Mapping[Any, Any]) -> str:
    ends = [row[f"cost_to_target{end}"] for end in ("", "_low", "_high")]
    if math.isinf(ends[1]):
        return NOTHING
    middle, low, high = (NOTHING if math.isinf(each) else f"{each:.4g}" for each in ends)
    return f"{middle} [{low}, {high}]"


def _searched(row: Mapping[Any, Any] | None) -> Field:
    """Return the field of one k: the share solved, and the cost if half are."""
    if row is None:
        return Field(NOTHING, math.nan)
    cost = "" if math.isinf(row["cost"]) else f" · {row['cost']:.3g}"
    return Field(percent(row["solved"]) + cost, row["solved"])


def _number(value: Any, shape: str) -> Field:
    known = not pandas.isna(value) and math.isfinite(value)
    return Field(shape.format(value) if known else NOTHING, float(value) if known else math.nan)


def _range(values: pandas.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
