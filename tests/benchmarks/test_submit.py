"""`ravine submit`: a part of anyone's optimizer, its row among others, and cells run again."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import warnings

import numpy as np
import pandas
import pytest

from benchmarks import read_table, sweep
from benchmarks.analysis.folder import read_results
from benchmarks.analysis.parts import combine
from benchmarks.cli import subcommands, submit
from benchmarks.cli.main import main
from benchmarks.display.leaderboard import Leaderboard
from benchmarks.runner.verify import _differences
from ravine import Refused
from tests.benchmarks.problems_for_tests import Bowl

SMALL = "+problem=quadratic,noisy_quadratic rungs=3 trials=3 tuning_seeds=2 seeds=6 budget=60"
TWIN = """from dataclasses import dataclass

from optimizers.adam import Adam


@dataclass(frozen=True)
class Twin(Adam):
    pass
"""
BROKEN = """from dataclasses import dataclass

from optimizers import NotApplicable
from optimizers.adam import Adam


@dataclass(frozen=True)
class Broken(Adam):
    def init(self, x):
        raise {}("it needs more memory")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two parts and their tables, in a folder where a twin of adam is in a file."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "twin.py").write_text(TWIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("adam", "sgd"):
            words = f"submit {name} {SMALL} part=parts/{name} against=nowhere"
            assert main(words.split()) == 0
    combine([folder / "parts" / "adam", folder / "parts" / "sgd"], folder / "reference")
    return folder


@pytest.fixture
def published(made, files):
    """The same, in the working folder."""
    shutil.copytree(made, files, dirs_exist_ok=True)
    return files


def row(out, name):
    """The row of an optimizer in the printed table."""
    table = out[re.search(rf"{name} alone|among the published optimizers", out).end() :]
    return next(line.split() for line in table.splitlines() if line.strip().startswith(f"{name} "))


def test_published_means_are_those_of_the_same_problems(published):
    board = Leaderboard.of(read_results(published / "reference"))
    first, *others = sorted(board.climbed.index)
    assert others
    pandas.testing.assert_frame_equal(board.on({first}).climbed, board.climbed.loc[[first]])


def test_a_twin_of_adam_is_not_told_apart_from_it_and_a_part_is_verified(ravine, published):
    code, out, err = ravine(f"submit twin.py:Twin {SMALL} against=reference")
    assert code == 0, err
    assert row(out, "adam")[-5:] == ["0", ":", "0", ":", "2"]
    assert row(out, "Twin")[-1] == "–" and row(out, "Twin")[2:4] == row(out, "adam")[3:5]
    part = published / "results" / "submitted" / "Twin" / "problems" / "part"
    board = Leaderboard.of(read_results(published / "reference")).joined(
        Leaderboard.of(read_results(part))
    )
    twins = board.climbed[["Twin", "adam"]]
    assert (twins["Twin"] == twins["adam"]).all()
    assert (board.duels("Twin").query("optimizer == 'adam'")[["better", "worse"]] == 0).all(
        axis=None
    )
    combine([part, *sorted((published / "parts").iterdir())], published / "all")
    assert set(read_table(published / "all", "summary")["optimizer"]) == {
        "adam", "adam+decay", "sgd", "sgd+decay", "Twin",
    }  # fmt: skip

    code, out, err = ravine(f"submit twin.py:Twin --verify {part} --cells 3 --seed 1")
    assert code == 0, err
    assert out.splitlines()[-1].startswith("3 of 6 cells of") and " 3 as stated to the bit" in out
    told = [line for line in err.splitlines() if line.endswith(" runs again")]
    assert [line.split(":")[1].strip() for line in told] == ["1 of 3", "2 of 3", "3 of 3"]


def test_ctrl_c_while_cells_run_again_says_what_was_done(ravine, published, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submit, "_say_what_runs", interrupted)
    code, out, err = ravine(f"submit sgd --verify {published / 'parts' / 'sgd'}")
    assert code == 130 and not out
    assert err.startswith("ravine: interrupted after 0 cells: ") and err.count("\n") == 1


def test_numbers_that_were_not_measured_are_seen(ravine, published):
    part = published / "parts" / "sgd"
    runs, summary = read_table(part, "runs"), read_table(part, "summary")
    tuned, default = (summary[summary["choice"] == each] for each in ("tuned", "default"))
    others = tuned.set_index("cell")["trial"] != default.set_index("cell")["trial"]
    assert others.any()
    picked = [summary[~summary["choice"].isin(["tuned"])], default.assign(choice="tuned")]
    pandas.concat(picked).to_parquet(part / "summary.parquet", index=False)
    code, out, _ = ravine(f"submit sgd --verify {part}")
    assert code == 1 and f" {others.sum()} differ." in out and "the tuned trial is 0, and" in out

    summary.to_parquet(part / "summary.parquet", index=False)
    runs["steps"] += 1
    runs.to_parquet(part / "runs.parquet", index=False)
    code, out, _ = ravine(f"submit sgd --verify {part} --cells 2")
    assert code == 1 and " 2 differ." in out and "steps of trial" in out


def test_only_noisy_problems_have_the_twin_with_decay(published):
    runs = read_table(published / "parts" / "sgd", "runs")
    assert set(runs.loc[runs["optimizer"] == "sgd+decay", "problem"]) == {"noisy_quadratic"}
    assert set(runs.loc[runs["optimizer"] == "sgd", "problem"]) == {"noisy_quadratic", "quadratic"}


def test_a_second_command_continues(ravine, published):
    code, _, err = ravine(f"submit sgd {SMALL} part=parts/again against=reference")
    assert code == 0 and err.count("had been run before") == 9, err
    one, other = (read_table(published / "parts" / each, "runs") for each in ("sgd", "again"))
    pandas.testing.assert_frame_equal(one, other)


def test_what_was_run_otherwise_is_not_put_beside_the_published(ravine, published):
    code, out, err = ravine(f"submit twin.py:Twin {SMALL.replace('60', '30')} against=reference")
    assert code == 0, err
    assert "Not beside the optimizers of reference: " in out and "budgets" in out
    assert "Twin alone" in out and row(out, "Twin")[-1] == "–"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("ladder=[1,3,10]", "with other rungs"),
        ("transform=rotate", "with other fields, transforms or noise"),
        ("noise=gaussian", "with other fields, transforms or noise"),
    ],
)
def test_another_problem_or_ladder_is_not_put_beside_the_published(ravine, published, option, said):
    words = SMALL.replace("quadratic,noisy_quadratic", "quadratic")
    code, out, err = ravine(f"submit twin.py:Twin {words} {option} against=reference part=mine")
    assert code == 0, err
    assert f"reference and mine ran quadratic {said}" in out and "Twin alone" in out
    with pytest.raises(Refused, match=said):
        combine([published / "parts" / "sgd", published / "mine"], published / "all")


def test_a_killed_command_continues(ravine, published):
    folder = published / "results" / "submitted" / "sgd" / "problems"
    manifest = json.loads((folder / "manifest.json").read_text())
    keys = [key for job in manifest["jobs"] for key in job["cells"]]
    (folder / "manifest.json").write_text(json.dumps({**manifest, "jobs": []}))
    (folder / ".cells" / "beats").mkdir(parents=True)
    for key in keys:
        (folder / ".cells" / key).write_text("null")
    code, _, err = ravine(f"submit sgd {SMALL} part=parts/again against=nowhere")
    assert code == 0 and err.count("had been run before") == 9, err
    assert len(read_results(published / "parts" / "again").cells) == 9


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [("ValueError", SMALL, 3), ("NotApplicable", SMALL, 0), ("ValueError", "+suite=quick", 3)],
)
def test_without_a_number_there_is_no_part(ravine, files, kind, options, code):
    (files / "broken.py").write_text(BROKEN.format(kind))
    found, out, _ = ravine(f"submit broken.py:Broken {options} part=part")
    assert found == code and out.splitlines()[-1].startswith(
        "No run has a number, so there is no part: "
    )
    assert "it needs more memory." in out and not (files / "part").exists()


def test_one_command_s_part_has_what_it_ran(ravine, published):
    """The folder holds both problems from before."""
    words = SMALL.replace("quadratic,noisy_quadratic", "quadratic")
    code, _, err = ravine(f"submit sgd {words} part=parts/one")
    assert code == 0 and err.count("had been run before") == 3, err
    one, both = (published / "parts" / each for each in ("one", "sgd"))
    for name in ("runs", "summary", "breaking_points"):
        assert set(read_table(one, name)["problem"]) == {"quadratic"}
    assert len(read_results(one).cells) == 3 < len(read_results(both).cells)


@pytest.mark.parametrize(
    ("options", "folder", "rungs"),
    [
        ("", "standard", "auto"),
        ("+suite=quick", "quick", 3),
        ("+problem=quadratic", "problems", "auto"),
        ("+problem=quadratic rungs=2", "problems", 2),
    ],
)
def test_the_folder_depends_on_what_is_run_and_there_is_a_ladder(
    ravine, files, monkeypatch, options, folder, rungs
):
    plans = []
    monkeypatch.setattr(submit, "run", lambda plan, report, typed: plans.append(plan) or 130)
    assert ravine(f"submit sgd {options}").code == 130
    config = plans[0].jobs[0].config
    assert config["out"] == f"results/submitted/sgd/{folder}" and config["rungs"] == rungs


def test_a_part_has_no_path_of_the_machine(published):
    manifest = json.loads((published / "parts" / "sgd" / "manifest.json").read_text())
    assert not {"argv", "commands"} & {*manifest}
    assert all("traceback" not in job or job["traceback"] == "" for job in manifest["jobs"])


def test_edited_breaking_points_are_seen(ravine, published):
    part = published / "parts" / "sgd"
    points = read_table(part, "breaking_points")
    points["breaking_point"] *= 2
    points.to_parquet(part / "breaking_points.parquet", index=False)
    with pytest.raises(Refused, match=r"contradicts itself.*in breaking_points"):
        combine([part], published / "all")
    code, _, err = ravine(f"submit sgd --verify {part} --cells 1")
    assert code == 2 and "contradicts itself" in err and err.count("\n") == 1


def test_a_problem_that_has_changed_is_not_run(ravine, published):
    file = published / "parts" / "sgd" / "manifest.json"
    manifest = json.loads(file.read_text())
    for job in manifest["jobs"]:
        if job["problem"] == "quadratic":
            job["settings"]["problem.gone"] = 1
    file.write_text(json.dumps(manifest))
    code, out, err = ravine("submit sgd --verify parts/sgd")
    assert code == 0, err
    assert "6 of 9 cells of" in out and out.endswith(" 0 differ. 3 of the sample cannot be run.\n")
    assert out.count(": not run (quadratic has changed since") == 3


def test_a_gap_beyond_float32_is_infinite_without_a_warning():
    (cell,) = sweep(Bowl(dim=2), ["idle"], trials=2, seeds=2, budget=60).tables.cells.values()
    large = dataclasses.replace(
        cell, runs={**cell.runs, "gap_final": np.full(len(cell.runs["status"]), 1e39)}
    )
    stated = pandas.DataFrame(dict(large.runs)).assign(gap_final=np.float32(np.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not list(_differences(stated, pandas.DataFrame(columns=["choice", "trial"]), large))


def test_without_a_reference_of_its_own_the_checkout_s_counts(files):
    assert submit._published() == submit.CHECKOUT / "results" / "reference"
    (files / "results" / "reference").mkdir(parents=True)
    assert submit._published() == subcommands.AGAINST


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "submit one optimizer, and not none"),
        ("sgd adam", "submit one optimizer, and not sgd, adam"),
        ("sgd,adam", "submit one optimizer, and not sgd,adam"),
        ("optimizer=sgd", "the optimizer is named without optimizer="),
        ("sdg", "unknown optimizer 'sdg'"),
        ("sgd optimizer=adam", "named without optimizer="),
        ("sgd --cell 3", "unknown flag --cell: did you mean --cells?"),
        ("adam+decay", "adam+decay has its row beside adam: submit that"),
        ("sgd --verify nowhere", "nowhere does not exist"),
        ("sgd --verify parts/sgd --cells 0", "cells is 0"),
        ("twin.py:Twin --verify parts/sgd", "parts/sgd has sgd, sgd+decay, and not Twin"),
        ("sgd --cells 2", "--cells is given without --verify"),
        ("sgd --seed 2", "--seed is given without --verify"),
        ("sgd --verify parts/sgd --cells 2 --cells 3", "--cells is given twice"),
        ("sgd --verify parts/sgd seeds=3", "seeds=3 is given with --verify"),
        ("sgd --verify parts/sgd part=parts/sgd", "part=parts/sgd is given with --verify"),
        ("sgd part=one part=two", "part is given twice: part=one, part=two"),
        ("sgd +problem=quadratic seeds=3 seeds=4", "seeds is given twice"),
        ("sgd +problem=quadratic out=one out=two", "out is given twice"),
        ("sgd +problem=quadratic rungs=1", "quadratic has one rung"),
        ("sgd +problem=quadratic problem.dim=4,8", "quadratic is given in 2 variants"),
        (f"sgd {SMALL} out=", "out is empty"),
        (f"sgd {SMALL} part=", "part is empty"),
        (f"sgd {SMALL} against=", "against is empty"),
        (f"sgd {SMALL} part=twin.py", "twin.py is a file"),
        (f"sgd {SMALL} out=mine part=./mine", "is the folder of the sweep"),
        (f"sgd {SMALL} part=parts/adam", "part=parts/adam is one of adam, adam+decay"),
        (f"sgd {SMALL} part=parts", "holds files that are not a part's"),
    ],
)
def test_bad_input_is_one_line(ravine, published, words, said):
    code, _, err = ravine(f"submit {words}")
    assert code == 2 and err.startswith("ravine: ") and said in err and err.count("\n") == 1


def test_the_command_says_which_options_are_its_own():
    said = subcommands.parser("submit").format_help()
    assert all(f"{name}=FOLDER" in said for name in submit.OURS)


@pytest.mark.slow
def test_a_twin_of_adam_is_not_told_apart_from_it_on_any_problem(ravine, files):
    (files / "twin.py").write_text(TWIN)
    short = "+suite=standard rungs=2 trials=2 tuning_seeds=2 seeds=6 budget=30"
    for name in ("adam", "twin.py:Twin"):
        code, _, err = ravine(
            f"submit {name} {short} part=parts/{name.partition(':')[2] or name} against=nowhere"
        )
        assert code == 0, err
    board = Leaderboard.of(read_results(files / "parts" / "adam")).joined(
        Leaderboard.of(read_results(files / "parts" / "Twin"))
    )
    duel = board.duels("Twin").query("optimizer == 'adam'")
    assert len(duel) > 40 and (duel[["better", "worse"]] == 0).all(axis=None)
