"""Transforms and noise from the command line to the tables, and in Python."""

from __future__ import annotations

import pandas
import pytest
import yaml

from benchmarks import sweep
from optimizers.sgd import SGD
from problems import PROBLEMS
from problems.modifiers import NOISES, TRANSFORMS, noisy, transformed

SIZE = "trials=2 tuning_seeds=1 seeds=6 budget=30"
MODIFIED = f"+problem=quadratic problem.dim=3 optimizer=sgd {SIZE}"


def summary(folder):
    found = pandas.read_csv(folder / "summary.csv", keep_default_na=False)
    return found[found["choice"] == "tuned"]


def test_a_modified_problem_is_swept_and_its_modifiers_are_columns(files, ravine):
    code, out, _ = ravine(
        f"{MODIFIED} transform=[rotate,shift] noise=heavy_tailed noise.strength=0.1 out=swept"
    )
    assert code == 0
    assert "transform rotate+shift, noise heavy_tailed" in out
    assert "noise.strength 0.1" in out
    for table in ("summary", "runs"):
        rows = pandas.read_csv(files / f"swept/{table}.csv")
        assert set(rows["transform"]) == {"rotate+shift"}
        assert set(rows["noise"]) == {"heavy_tailed"}
        assert set(rows["noise.strength"]) == {0.1}
        assert set(rows["dial"]) == {0.1}
        assert set(rows["problem.dim"]) == {3}


def test_modifiers_are_swept(files, ravine):
    swept = "transform=none,[rotate,scale] noise=none,gaussian noise.strength=0.1,0.2"
    code, out, _ = ravine(f"{MODIFIED} {swept} out=swept")
    assert code == 0
    rows = summary(files / "swept")
    found = set(
        zip(rows["transform"], rows["noise"], rows["noise.strength"].astype(str), strict=True)
    )
    assert found == {
        (transform, *noise)
        for transform in ("", "rotate+scale")
        for noise in (("", ""), ("gaussian", "0.1"), ("gaussian", "0.2"))
    }
    assert len(rows) == 6
    assert out.count("quadratic · ") == 4  # the two strengths make a ladder


def test_the_ladder_walks_along_the_noise(files, ravine):
    code, out, _ = ravine(f"{MODIFIED} noise=gaussian rungs=3 out=swept")
    assert code == 0
    assert "breaks at noise.strength" in out
    assert list(summary(files / "swept")["dial"]) == list(NOISES["gaussian"].ladder)
    points = pandas.read_csv(files / "swept/breaking_points.csv")
    assert set(points["noise"]) == {"gaussian"}


def test_the_ladder_walks_along_the_problem_where_its_dial_is_named(files, ravine):
    code, _, _ = ravine(f"{MODIFIED} noise=gaussian dial=condition rungs=3 out=swept")
    assert code == 0
    assert list(summary(files / "swept")["dial"]) == list(PROBLEMS["quadratic"].card.ladder)


def test_help_lists_them(ravine):
    _, out, _ = ravine("--help")
    for name in (*NOISES, *TRANSFORMS):
        assert name in out


def test_what_would_be_run_is_said(ravine):
    _, out, _ = ravine(f"{MODIFIED} transform=[shift] noise=delayed --cfg job")
    (job,) = yaml.safe_load_all(out)
    assert job["transform"] == ["shift"]
    assert job["noise"] == {"name": "delayed", "strength": None}


def test_show_says_what_a_modifier_is(ravine):
    for name in (*NOISES, *TRANSFORMS):
        code, out, _ = ravine(f"show {name}")
        assert code == 0
        assert out.startswith(f"{name} · ")


def test_a_modified_problem_in_python():
    plain = PROBLEMS["quadratic"]
    problem = noisy(transformed(plain, ["shift"]), "quantised", 0.01)
    found = sweep(problem, SGD(lr=0.5), trials=1, seeds=6, tuning_seeds=1, budget=50)
    (row,) = found.summary.query("choice == 'tuned'").to_dict("records")
    assert row["problem"] == "quadratic"
    assert (row["transform"], row["noise"], row["noise.strength"]) == ("shift", "quantised", 0.01)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_descent_does_not_feel_what_keeps_lengths(name):
    """The same gaps step by step but for rounding; a change of the axes' scales is felt."""
    plain = PROBLEMS["cliff"]
    size = {"trials": 1, "seeds": 6, "tuning_seeds": 1, "budget": 30}
    gaps = [
        sweep(problem, SGD(lr=0.5), **size).runs["gap_final"]
        for problem in (plain, transformed(plain, [name]))
    ]
    assert (abs(gaps[0] / gaps[1] - 1) < 1e-6).all() == (name != "scale")
