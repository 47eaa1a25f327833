"""`ravine submit`: a part of anyone's optimizer, its row among others, and cells run again."""

from __future__ import annotations

import shutil

import pandas
import pytest

from benchmarks import read_table
from benchmarks.analysis.folder import read_results
from benchmarks.analysis.parts import combine
from benchmarks.cli import submit
from benchmarks.cli.main import main
from benchmarks.display.leaderboard import Leaderboard

SMALL = "+problem=quadratic,noisy_quadratic rungs=3 trials=3 tuning_seeds=2 seeds=6 budget=60"
TWIN = """from dataclasses import dataclass

from optimizers.adam import Adam


@dataclass(frozen=True)
class Twin(Adam):
    pass
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
    table = out[out.index("among the published optimizers") :]
    return next(line.split() for line in table.splitlines() if line.strip().startswith(f"{name} "))


def test_a_twin_of_adam_is_not_told_apart_from_it_and_a_part_is_verified(ravine, published):
    code, out, err = ravine(f"submit twin.py:Twin {SMALL} against=reference")
    assert code == 0, err
    assert row(out, "adam")[-5:] == ["0", ":", "0", ":", "2"]
    assert row(out, "Twin")[-1] == "–" and row(out, "Twin")[2:4] == row(out, "adam")[3:5]
    part = published / "results" / "submitted" / "Twin" / "part"
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
    assert row(out, "Twin")[-1] == "–"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "submit one optimizer, and not 0"),
        ("sgd adam", "submit one optimizer, and not 2"),
        ("sdg", "unknown optimizer 'sdg'"),
        ("sgd optimizer=adam", "named without optimizer="),
        ("sgd --cell 3", "unrecognized arguments: --cell"),
        ("adam+decay", "more than one optimizer, or has its row already"),
        ("sgd --verify nowhere", "nowhere does not exist"),
        ("sgd --verify parts/sgd --cells 0", "cells is 0"),
        ("twin.py:Twin --verify parts/sgd", "parts/sgd has sgd, sgd+decay, and not Twin"),
        (f"adam {SMALL} out=results/submitted/sgd", "has sgd, sgd+decay as well"),
    ],
)
def test_bad_input_is_one_line(ravine, published, words, said):
    code, _, err = ravine(f"submit {words}")
    assert code == 2 and err.startswith("ravine: ") and said in err and err.count("\n") == 1


def test_the_command_says_which_options_are_its_own():
    assert all(f"{name}=FOLDER" in submit.USAGE for name in submit.OURS)
