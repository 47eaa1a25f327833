"""Suites: which problems are in which, what they override, what they skip, and the matrix at the end."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import yaml

from benchmarks import sweep
from benchmarks.analysis.tables import read
from benchmarks.catalog.contenders import contender
from benchmarks.catalog.subsections import by_subsection
from benchmarks.catalog.suites import subsection, suites
from benchmarks.cli import launch
from benchmarks.display.breaking_table import Matrix, separation
from benchmarks.display.sweep_views import views
from benchmarks.engine.protocol import Protocol
from benchmarks.runner.forecast import ADOPTED, COORDINATE, RUN, STEP
from benchmarks.runner.job import Job, run_job, rungs
from benchmarks.store.cells import Memory, Store
from benchmarks.store.sweep_folder import SweepFolder
from problems import PROBLEMS
from tests.benchmarks.problems_for_tests import Bowl, card

SIZE: dict[str, Any] = {"trials": 9, "tuning_seeds": 2, "seeds": 3, "budget": 150}
SMALL = "trials=2 tuning_seeds=1 seeds=2 budget=10"
MINE = """
import torch
class Mine(torch.optim.SGD):
    pass
"""


@dataclass(frozen=True)
class Wall(Bowl):
    """A bowl that no optimizer solves from its second rung on: the floor is stated far below it."""

    card = card(ladder=(1.0, 10.0, 100.0))

    def floor(self, data):
        return torch.zeros(()) if self.steepness < 10 else -torch.ones(()) * 1e6


def jobs(ravine, given):
    code, out, err = ravine(f"--cfg job {given}")
    assert (code, err) == (0, "")
    return list(yaml.safe_load_all(out))


def contents(folder):
    return {each for each in folder.rglob("*") if "__pycache__" not in each.parts}


# Which problems.


def test_quick_has_one_problem_of_each_subsection_of_the_book():
    quick = suites()["quick"].problems
    for title, problems in by_subsection().items():
        assert title == "Yours" or len(quick.keys() & problems) == 1, title
    assert quick["random_field"]["waves"] == 500


def test_standard_is_all_that_is_ranked_and_subsections_divide_it():
    found = suites()
    standard = found["standard"].problems
    for name, problem in PROBLEMS.items():
        ranked = "ranked" not in problem.card.exceptions and subsection(problem) != ""
        assert (name in standard) == ranked, name
    parts = [
        name for suite in found.keys() - {"quick", "standard"} for name in found[suite].problems
    ]
    assert sorted(parts) == sorted(standard)
    assert {"cliff", "product_cliff"} <= found["cliffs"].problems.keys()


def test_what_takes_long_is_smaller_in_the_standard_suite_and_only_there():
    found = suites()
    assert found["standard"].problems["adding"] == {"ladder": (10, 20, 40)}
    assert found["standard"].problems["random_field"]["waves"] == 1000
    for folder in ("long_term_dependencies", "saddles"):
        assert not any(found[folder].problems.values())


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_what_a_suite_changes_is_a_problem_at_every_rung(name):
    for problem, changed in suites()[name].problems.items():
        fields = {field: value for field, value in changed.items() if field != "ladder"}
        there = dataclasses.replace(PROBLEMS[problem], **fields)  # type: ignore[type-var]
        assert [
            there.at_dial(dial).dial for dial in rungs(there, "auto", changed.get("ladder", ()))
        ]


def test_registering_in_a_subsection_is_being_in_its_suite(files):
    there = type("There", (Bowl,), {"__module__": "problems.cliffs.there"})
    unranked = card(exceptions={"ranked": "a test"})
    PROBLEMS.register("there", there())
    PROBLEMS.register("elsewhere", Bowl())
    PROBLEMS.register(
        "not_ranked",
        type("NotRanked", (there,), {"card": unranked, "__module__": there.__module__})(),
    )
    found = suites()
    assert "there" in found["cliffs"].problems and "there" in found["standard"].problems
    for name in ("elsewhere", "not_ranked"):
        assert not any(name in suite.problems for suite in found.values())
    assert "there" not in found["quick"].problems


# What is given, and what is not.


def test_a_suite_is_a_default_for_what_is_not_given(ravine):
    found = {
        job["problem"]["name"]: job for job in jobs(ravine, "+suite=quick optimizer=sgd trials=4")
    }
    assert found.keys() == suites()["quick"].problems.keys()
    for job in found.values():
        assert (job["suite"], job["rungs"], job["trials"]) == ("quick", 3, 4)
        assert (job["tuning_seeds"], job["seeds"]) == (3, 10)
    assert found["random_field"]["problem"]["waves"] == 500
    assert found["random_field"]["ladder"] == [2, 5, 10]
    (careful, *_) = jobs(ravine, "preset=careful +suite=cliffs optimizer=sgd rungs=2")
    assert (careful["trials"], careful["rungs"]) == (49, 2)


def test_twins_where_a_problem_of_the_suite_is_noisy_and_nowhere_else(ravine):
    found = jobs(ravine, "+suite=long_term_dependencies rungs=1")
    with_twins = {each["problem"]["name"] for each in found if "+" in each["optimizer"]["name"]}
    assert with_twins == {"adding", "copy_memory"}


@pytest.mark.parametrize(
    ("given", "answer"),
    {
        "+suite=quik": "unknown suite 'quik': did you mean quick? (allowed: ",
        "+suite=quick +problem=cliff": "+suite=quick and a problem are given: give one of the two",
        "+suite=quick,standard": "+suite=quick,standard: suite cannot vary within a sweep",
        "+suite=": "+suite= names nothing: (allowed: ",
        "+problem=cliff ladder=3": "ladder is 3, but must be two dial values or more",
        "+problem=cliff ladder=[3,1,2]": "ladder is [3, 1, 2], but must be two dial values or more",
        "+problem=cliff ladder=[1]": "ladder is [1], but must be two dial values or more",
        "+problem=cliff dry_run=maybe": "dry_run is maybe, but must be true or false",
        "+problem=cliff dry_run=true out=file": "out=file: file is a file, but must be a folder",
    }.items(),
)
def test_the_answer_is_one_line(given, answer, ravine, files):
    (files / "file").touch()
    code, out, err = ravine(f"{given} optimizer=sgd")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"ravine: {answer}")
    assert contents(files) == {files / "file"}


# Rungs, and those that are skipped.


def test_rungs_go_from_harmless_to_extreme():
    falling = PROBLEMS["mountain"]
    assert rungs(falling, 2) == [10, 1]
    assert rungs(Bowl(), 2) == [1.0, 100.0]
    assert rungs(Bowl(), 3, (5.0, 6.0, 7.0)) == rungs(Bowl(), "auto", (5.0, 6.0, 7.0)) == [5, 6, 7]


def swept(problem, names, skips, **size):
    memory, done = Memory(), []
    for name in names:
        job = Job(type(problem).__name__.lower(), problem, contender(name))
        keys = run_job(job, Protocol(**{**SIZE, "rungs": 3, **size}), memory, done.append, skips)
        assert set(keys) <= set(memory)
    return read(memory, memory), done


def test_rungs_above_a_hopeless_one_are_skipped_and_said_to_be():
    tables, done = swept(Wall(), ["newton"], True)
    assert [bool(each.skipped) for each in done] == [False, False, True]
    assert "no trial solves 10" in done[2].skipped
    (row,) = tables.runs[tables.runs["status"] == "skipped"].to_dict("records")
    assert (row["dial"], row["error"]) == (100, "no trial solves 10")
    assert (tables.summary["status"] == "skipped").sum() == 1


def test_nothing_is_skipped_elsewhere_nor_where_one_trial_solves_one_instance():
    assert not any(each.skipped for each in swept(Wall(), ["newton"], False)[1])
    assert not any(each.skipped for each in swept(Bowl(), ["newton"], True)[1])


def test_a_skipped_cell_is_not_taken_for_one_that_was_run():
    memory, done = Memory(), []
    job, size = Job("wall", Wall(), contender("newton")), Protocol(**SIZE, rungs=3)
    list(run_job(job, size, memory, done.append, True))
    list(run_job(job, size, memory, done.append, False))
    assert [each.cached for each in done[3:]] == [True, True, False]
    assert done[5].runs > 0


@pytest.mark.parametrize("names", [["newton"], ["sgd"], ["idle"]])
def test_breaking_points_are_those_without_skipping(names):
    """Also if the first rung is hopeless, as for an optimizer that does nothing."""
    columns = ["choice", "budget", "breaking_point", "low", "high", "censored", "rungs"]
    one, other = (swept(Wall(), names, each)[0].breaking_points[columns] for each in (True, False))
    pandas.testing.assert_frame_equal(one, other)


def test_bisection_goes_on_below_a_hopeless_rung():
    _, done = swept(Wall(), ["newton"], True, rungs="auto")
    assert [each.dial for each in done if each.skipped] == [100]
    assert len(done) > 3 and all(1 < each.dial < 10 for each in done[3:])


# The matrix.


def matrix(own=(), **size):
    problems = [Bowl(), Wall()]
    return Matrix(
        sweep(problems, ["newton", "sgd", "idle"], **{**SIZE, "rungs": 3, **size}).tables, own
    )


def test_ones_own_come_first_and_then_who_gets_furthest():
    assert matrix().optimizers == ["newton", "sgd", "idle"]
    assert matrix(own=("idle",)).optimizers == ["idle", "newton", "sgd"]


def test_entries_are_censored_breaking_points():
    found = matrix().entries
    assert found["newton", "Bowl"].text == "> 100"
    assert found["idle", "Bowl"].text == "< 1"
    inside = found["newton", "Wall"]
    assert 1 < float(inside.text) < 10
    assert inside.place == pytest.approx(np.log10(float(inside.text)) / 2, abs=1e-2)


def test_where_to_look_next_is_where_ones_own_breaks_first():
    for own, expected in (("newton", "Wall"), ("idle", "Bowl")):
        entry = matrix(own=(own,)).weakest()
        assert entry is not None and (entry.optimizer, entry.label) == (own, expected)
    last = matrix().weakest()
    assert last is not None and last.optimizer == "idle"
    assert Matrix(sweep(Bowl(), "newton", **SIZE, rungs=3).tables).weakest() is None


def test_all_problems_on_which_it_breaks_as_early_are_named():
    found = matrix(own=("idle",))
    weakest = found.weakest()
    assert weakest is not None
    said = found.breaks_first(weakest, "it stands still")
    assert (
        said == "idle breaks first on Bowl: steepness < 1 (it stands still), and as early on Wall."
    )
    alone = matrix(own=("newton",))
    weakest = alone.weakest()
    assert weakest is not None and alone.breaks_first(weakest).endswith(f"{weakest.text}.")


def test_where_the_search_did_worse_than_the_default_is_said():
    """Newton's own step solves a bowl in one; the only searched one is too short for three."""
    short = {"trials": 2, "tuning_seeds": 1, "seeds": 2, "budget": 21, "rungs": 2}
    tables = sweep(Bowl(), "newton", **short).tables
    (said,) = (each for each in Matrix(tables).remarks() if each.startswith("Worse tuned"))
    assert "by default: newton on Bowl at 100 (0 of 2 instances tuned, 2 by default)." in said
    (first,) = (each for each in Matrix(tables).remarks() if each.startswith("At the first rung"))
    assert "newton on Bowl (0 of 2 tuned, 2 with another)" in first
    assert any({said, first} <= set(view.remarks) for view in views(tables))
    assert not any(each.startswith("Worse") for each in matrix().remarks())


def test_what_was_not_run_and_what_does_not_apply_are_told_apart():
    tables = sweep([Bowl(), Wall()], ["newton", "gauss_newton"], **SIZE, rungs=3).tables
    only = {key: cell for key, cell in tables.cells.items()
            if (cell.info.optimizer, cell.info.problem) != ("newton", "Wall")}  # fmt: skip
    (view,) = Matrix(read(Memory(only), only)).views()
    rows = view.table.set_index("")
    assert rows.loc["newton", "Wall"] == "n/a"
    assert rows.loc["gauss_newton", "Bowl"] == "not applicable"
    assert "n/a: not run." in view.remarks


def test_with_one_rung_the_matrix_counts():
    found = matrix(rungs=1)
    assert found.entries["newton", "Bowl"].text == "3 of 3"
    said = found.breaks_first(found.entries["newton", "Bowl"])
    assert said.startswith("newton solves fewest on Bowl: 3 of 3")


def test_who_cannot_pay_for_one_step_is_said_to_make_none():
    """A step of Newton's costs 1 + 2 · 2 gradients here."""
    short = SIZE | {"budget": 4}
    for number in (1, 3):
        found = Matrix(sweep(Bowl(), ["sgd", "newton"], **short, rungs=number).tables)
        texts = {name: entry.text for (name, _), entry in found.entries.items()}
        assert texts["newton"] == "no step" != texts["sgd"]
        assert "no step: one step costs more than the budget." in found.remarks()
    assert "no step" not in " ".join(matrix(rungs=1).remarks())


def test_a_wide_matrix_is_cut_into_columns_that_fit():
    problems = [Bowl(dim=dim) for dim in range(1, 16)]
    found = Matrix(sweep(problems, ["newton"], **SIZE, rungs=3).tables)
    views = list(found.views())
    assert len(views) > 1
    assert all(len(line) <= 110 for view in views for line in view.text().splitlines())
    assert [label for view in views for label in view.table][1] == "Bowl dim 1"
    assert sum(len(view.table.columns) - 1 for view in views) == 15


# Which optimizers the rungs tell apart.


@pytest.mark.parametrize(("seeds", "few"), [
    (3, "on 6 a sign test at 5% tells no two apart, 6 of them with fewer than the 6 instances that it takes (Bowl, "
        "Wall)."),
    (6, "on 2 a sign test at 5% tells no two apart."),
])  # fmt: skip
def test_what_the_rungs_are_good_for_is_said_in_two_sentences(seeds, few):
    """Newton solves all of the bowl, idle nothing; of the wall, only the first rung can be solved."""
    found = separation(matrix(seeds=seeds).tables)
    said = "2 of 6 rungs (33%) are solved by all optimizers (0) or by none (2), and "
    meant = "1 just beyond the last rung that any optimizer solves (they bound a breaking point)"
    assert found[0] == said + few
    assert found[1] == (
        f"By design: {meant}. Of the other 5 rungs, 1 (20%) are solved by all or by none."
    )
    assert found[2:] == ([] if seeds == 6 else ["No rung of Bowl, Wall tells two apart."])
    assert separation(sweep(Bowl(), "newton", **SIZE).tables) == []


# The whole.


def test_a_suite_ends_with_its_matrix_and_what_to_look_at_next(ravine, files):
    (files / "mine.py").write_text(MINE)
    given = f"+suite=plateaus optimizer=sgd,mine.py:Mine rungs=2 {SMALL} out=swept"
    code, out, _ = ravine(given)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Breaking points")
    names = [line.split()[0] for line in lines if line.startswith(("Mine ", "sgd "))]
    assert names[:2] == ["Mine", "sgd"]
    said, closer, why, named = lines[-4:]
    assert why.endswith(" explain swept --trust") and named == "Report:  swept/report.html"
    assert "Suite plateaus" in (files / "swept" / "report.html").read_text()
    assert said.startswith("Mine breaks first on ")
    command = shlex.split(closer.partition("  ")[2])
    problem = said.split(":")[0].split()[-1]
    assert f"+problem={problem}" in command and "rungs=auto" in command
    words = command[command.index(f"+problem={problem}") :]
    assert "out=swept" not in words and not any(word.startswith("+suite") for word in words)
    assert ravine("--cfg", "job", *words).code == 0
    assert (files / "swept" / "breaking_points.csv").is_file()


# Without running it.


def test_a_dry_run_counts_and_writes_nothing(ravine, files):
    code, out, err = ravine(f"+problem=quadratic optimizer=sgd,idle rungs=3 dry_run=true {SMALL}")
    assert (code, err) == (0, "")
    assert out.startswith("6 cells, 27 runs; 0 cells have been run before.")  # idle has one trial
    assert "no earlier cells" in out
    assert contents(files) == set()


def test_a_dry_run_knows_what_is_there_already(ravine, files):
    given = f"+problem=quadratic problem.dim=2 optimizer=sgd {SMALL}"
    ravine(f"{given} out=swept")
    before = contents(files)
    assert ravine(f"{given} dry_run=true").out.startswith("1 cells, 6 runs; 1 cells have been run")
    more = ravine(f"{given} rungs=auto dry_run=true").out
    assert more.startswith("3 cells, 18 runs, and up to 3 more to find breaking points; 1 cells")
    assert "for 2 of 2 from earlier cells" in more
    assert contents(files) == before


def test_a_forecast_is_for_all_cores(ravine, monkeypatch):
    """Unless one job is all that there is, or one core is asked for."""
    monkeypatch.setattr(launch, "cores", lambda: 2)
    monkeypatch.setattr(launch, "WORTH_PROCESSES", 0.0)
    given, at_once = f"optimizer=sgd {SMALL} dry_run=true", "2 at a time"
    assert at_once in ravine(f"+suite=cliffs {given}").out
    assert at_once not in ravine(f"+suite=cliffs hydra/launcher=basic {given}").out
    assert at_once not in ravine(f"+problem=cliff {given}").out
    many = "hydra/launcher=processes hydra.launcher.n_jobs=64"
    assert "at a time" not in ravine(f"+problem=cliff {many} {given}").out


def test_the_rough_rate_is_the_stated_one(ravine, files):
    (files / "mine.py").write_text(MINE)
    size = "trials=10 tuning_seeds=50 seeds=50 budget=10000 dry_run=true"
    ours, own, large = (
        ravine(f"+problem=quadratic {each} {size}").out.split("Very roughly ")[1].split(" (")[0]
        for each in (
            "optimizer=sgd",
            "optimizer=mine.py:Mine",
            "optimizer=sgd problem.dim=1e5 problem.rotated=false",
        )
    )
    step = STEP + 1000 * (RUN + 100 * COORDINATE)
    assert ours == f"{int(np.ceil(10000 * step))} s"
    assert own == f"{int(np.ceil(10000 * (step + 10 * ADOPTED)))} s"
    assert large == f"{int(np.ceil(10000 * (STEP + 1000 * (RUN + 1e5 * COORDINATE)) / 60))} min"


def test_a_later_sweep_of_another_problem_keeps_ladders_with_skipped_rungs(tmp_path):
    protocol = Protocol(**{**SIZE, "rungs": 3})
    folder = SweepFolder(tmp_path / "swept", Store(tmp_path / "cells"))
    (tmp_path / "cells").mkdir()
    with folder.alone(print):
        folder.begin([], {"protocol": dataclasses.asdict(protocol), "jobs": [], "threads": 1})
        job = Job("wall", Wall(), contender("newton"))
        for key in run_job(job, protocol, folder.store, lambda done: None, skips=True):
            folder.mark(key)
        assert any("skipped" in cell.runs["status"] for cell in folder.finish(0.0, print).values())
    assert not folder.lost(protocol, planned=[]).cells
