"""Print the end of a sweep: its tables, its files, and a command to continue with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas

from benchmarks.analysis.tables import Tables
from benchmarks.catalog.loading import is_own
from benchmarks.catalog.suites import fields_of, suites
from benchmarks.cli import help
from benchmarks.cli.compose import Plan, Planned, foreign
from benchmarks.cli.explaining import jobs_to_explain
from benchmarks.display.breaking_table import Matrix, separation
from benchmarks.display.explained import by_problem, explained
from benchmarks.display.sweep_views import failures, views
from benchmarks.engine.status import UNJUDGED
from ravine.terminal import TABLES, columns, filled, phase

NAMED = 4  # missing cells


@dataclass
class Ended:
    """A sweep that has ended: its plan, its tables, the written files, and their folder.

    explained: why optimizers break; None if that was not asked.
    asked: about which jobs it was asked; None for all ranked ones.
    typed: the words of the command that runs the sweep, if they are not those of the plan.
    """

    plan: Plan
    tables: Tables
    files: Sequence[str]
    folder: Path
    explained: pandas.DataFrame | None = None
    asked: Callable[[Planned], bool] | None = None
    typed: Sequence[str] | None = None

    @cached_property
    def matrix(self) -> Matrix:
        """The table of breaking points of a suite, the user's optimizers first."""
        names = {each.setup.job.contender.name for each in self.plan.jobs}
        return Matrix(self.tables, set(filter(is_own, names)))

    def print_tables(self) -> None:
        """Print the tables, the files with tracebacks, and the names of the written files."""
        suite = self.plan.suite is not None
        shown = (
            [*self.matrix.views(columns(TABLES)), *failures(self.tables)]
            if suite
            else views(self.tables)
        )
        for view in shown:
            print(view.for_stdout(), end="\n\n")
        if suite:
            print("\n".join(map(filled, separation(self.tables))), end="\n\n")
        for key, cell in self.tables.cells.items():
            if cell.info.traceback:
                print(f"{self.plan.jobs[0].setup.store.folder / key}/traceback.txt")
        print(f"{self.folder}/  {'  '.join(self.files)}")

    def print_explained(self) -> None:
        """Print why optimizers break, as far as it was measured."""
        if self.explained is None:
            return
        if self.explained.empty:
            print(filled(" ".join(self._nothing_explained())))
            return
        suite = self.plan.suite is not None
        for view in [by_problem(self.explained)] if suite else explained(self.explained):
            print(view.for_stdout(), end="\n\n")
        print(self.folder / "explained.csv")

    def _nothing_explained(self) -> Iterator[str]:
        """Yield sentences on why no row explains anything, and which optimizer is nearest to breaking."""
        summary = self.tables.summary
        asked = {
            each.setup.job.identity(each.setup.protocol)
            for each in jobs_to_explain(self.plan.jobs, self.asked)
        }
        failed = (summary["status"] == "error").any()
        which = "no optimizer without an error" if failed else "no optimizer"
        if "choice" not in summary:
            yield f"Nothing to explain: {which} was run."
            return
        jobs = summary["cell"].map({key: cell.info.job for key, cell in self.tables.cells.items()})
        tuned = summary[(summary["choice"] == "tuned") & jobs.isin(asked)]
        tuned = tuned[~tuned["status"].isin(UNJUDGED)]
        shares = tuned["solved"] / tuned["runs"]
        if (shares < 0.5).any():
            yield (
                "Nothing was explained. Where fewer than half of the instances are solved, either a harder rung does "
                "better, so that this does not count as breaking, or no removal could be run."
            )
        else:
            yield (
                f"Nothing to explain: {which} solves fewer than half of the instances at any rung, which is what "
                "counts as breaking."
            )
        if (shares < 1).any():
            row = tuned.iloc[int(shares.argmin())]
            dial = self.tables.cells[row["cell"]].info.dial_name
            yield (
                f"Fewest: {row['optimizer']} on {row['problem']} solves {row['solved']:g} of {row['runs']:g} "
                f"at {dial} {row['dial']:g}."
            )

    def print_what_is_missing(self) -> None:
        """Print which cells of an interrupted sweep are not in its tables, and the command that runs them."""
        there = {(cell.info.job, cell.info.dial) for cell in self.tables.cells.values()}
        planned = [(each.setup, at.dial) for each in self.plan.jobs for at in each.setup.rungs]
        missing = [
            f"{setup.job.name} · {setup.job.contender.name} at {dial:g}"
            for setup, dial in planned
            if (setup.job.identity(setup.protocol), dial) not in there
        ]
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            are = "is" if len(missing) == 1 else "are"
            print(
                f"{len(missing)} of {len(planned)} cells {are} missing: {', '.join(missing[:NAMED])}{more}."
            )
            command = self.typed or [*self._words_without("out"), f"out={self.folder}"]
            print(f"Go on:  {help.command_line(command)}")

    def print_what_is_next(self, report: bool) -> None:
        """Print commands to continue with; for a suite, write its report, or print the command that does."""
        if "choice" not in self.tables.summary:  # no run has a number
            return
        if self.plan.suite is None:
            self._print_the_ladder()
        else:
            self._print_the_weakest(self.plan.suite)
        if self.explained is None and self._breaks():
            trust = ["--trust"] if foreign(self.plan.words) else []
            print(f"Measure why:  {help.command_line(['explain', str(self.folder), *trust])}")
        if self.plan.suite is None:
            return

        if not report:
            print(f"Report:  {help.command_line(['report', str(self.folder)])}")
            return

        from benchmarks import report as page

        with phase("writing the report"):
            page.report([self.folder])
        print(f"Report:  {page.file_of([self.folder], None)}")

    def _print_the_weakest(self, suite: str) -> None:
        """Print where an optimizer breaks first, and a command that looks closer at it."""
        entry = self.matrix.weakest()
        if entry is None:
            names = ", ".join(self.matrix.of_interest)
            print(
                filled(
                    f"No breaking point of {names}: at least half of the instances are solved at every rung."
                )
            )
            return
        job = next(each.setup for each in self.plan.jobs if each.setup.job.name == entry.problem)
        closer = "preset=careful" if job.protocol.rungs == "auto" else "rungs=auto"
        given = set(map(_name, self.plan.words))
        command = [
            f"+problem={entry.problem}",
            *(
                f"{name}={value if name != 'ladder' else ','.join(map(str, value)).join('[]')}"
                for name, value in fields_of(suites()[suite], entry.problem).items()
                if name not in given
            ),
            *self._words_without("suite", "out", "rungs", _name(closer)),
            *dict.fromkeys(["rungs=auto", closer]),
            *self._out_beside(entry.problem),
        ]
        print(self.matrix.breaks_first(entry))
        print(f"Look closer:  {help.command_line(command)}")

    def _breaks(self) -> bool:
        """True if any ranked optimizer solves less than half of the instances of a cell."""
        summary = self.tables.summary
        tuned = summary[summary["choice"] == "tuned"]
        ranked = [self.tables.cells[key].info.role == "ranked" for key in tuned["cell"]]
        return bool((tuned["solved"] < tuned["runs"] / 2)[ranked].any())

    def _print_the_ladder(self) -> None:
        """Print the command that finds the breaking points, after a sweep of one rung."""
        one_rung = self.plan.jobs[0].setup.protocol.rungs == 1
        if one_rung and not any(_name(word).startswith("problem.") for word in self.plan.words):
            command = [
                *self._words_without("rungs", "out"),
                "rungs=auto",
                *self._out_beside("breaking-points"),
            ]
            print(f"Find the breaking points:  {help.command_line(command)}")

    def _out_beside(self, name: str) -> list[str]:
        """Return out= for a sweep of another protocol, which this one's folder cannot take; none if none is given."""
        return [f"out={self.folder}-{name}"] if self.plan.jobs[0].config["out"] else []

    def _words_without(self, *options: str) -> list[str]:
        return [word for word in self.plan.words if _name(word) not in options]


def _name(word: str) -> str:
    """Return the option that a word gives."""
    return word.lstrip("+").partition("=")[0]
