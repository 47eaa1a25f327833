"""Why an optimizer breaks before the first rung: the choice of its setting, its range, or the optimizer."""

from __future__ import annotations

from types import SimpleNamespace

import pandas
import pytest

from benchmarks import sweep
from benchmarks.display.breaking_table import Matrix
from benchmarks.display.first_rung import unsolved_first_rungs, why_unsolved
from problems.ill_conditioning.quadratic import Quadratic

TUNED = 2  # the trial


def tables(
    solved: list[int], edge: bool | float = False, falling: bool = False, censored: str = "<"
):
    """Tables of one optimizer at one rung of a ladder, by the number of the four instances that each trial solves."""
    first, last = (10.0, 1.0) if falling else (1.0, 10.0)
    info = SimpleNamespace(job="job", dial=first, searched={"lr": 6.0})
    runs = [
        {"cell": "key", "trial": trial, "role": "reporting", "status": "solved" if k < count else "missed"}
        for trial, count in enumerate(solved)
        for k in range(4)
    ]  # fmt: skip
    point = {
        "job": "job", "optimizer": "mine", "choice": "tuned", "budget": 1.0, "censored": censored,
        "first_rung": first, "last_rung": last,
    }  # fmt: skip
    tuned = {
        "cell": "key", "optimizer": "mine", "problem": "bowl", "choice": "tuned", "status": "missed",
        "solved": solved[TUNED], "runs": 4.0, "edge": edge,
    }  # fmt: skip
    return SimpleNamespace(
        breaking_points=pandas.DataFrame([point]),
        summary=pandas.DataFrame([tuned]),
        runs=pandas.DataFrame(runs),
        cells={"key": SimpleNamespace(info=info)},
    )


def said(*given, **more) -> list[str]:
    found: object = tables(*given, **more)
    return [*why_unsolved(found, unsolved_first_rungs(found, {"mine"}))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "blamed", "counts"),
    [
        (([0, 4, 1], False), "Either the choice", "mine on bowl (1 of 4 tuned, 4 with another"),
        (([0, 2, 1], True), "Either the choice", "mine on bowl (1 of 4 tuned, 2 with another"),
        (([0, 0, 1], True), "the edge of its range", "mine on bowl (at most 1 of 4)"),
        (([0, 1, 0], False), "The optimizer fails there", "mine on bowl (at most 1 of 4)"),
        (([0, 1, 0], float("nan")), "The optimizer fails there", "mine on bowl (at most 1 of 4)"),
    ],
)  # fmt: skip
def test_the_blame_is_read_off_all_settings_that_were_tried(given, blamed, counts):
    (line,) = said(*given)
    assert blamed in line and counts in line


def test_only_breaking_points_before_the_first_rung_are_explained():
    assert not said([0, 0, 0], censored=">") and not said([0, 0, 0], falling=True)
    assert said([0, 0, 0], falling=True, censored=">")
    found: object = tables([0, 0, 0])
    assert not unsolved_first_rungs(found, {"other"})  # type: ignore[arg-type]


def test_a_suite_says_it_of_the_users_optimizer():
    found = sweep(
        Quadratic(dim=3), ["sgd", "newton"], rungs=2, trials=3, seeds=4, tuning_seeds=2, budget=2
    )
    lines = Matrix(found.tables, {"sgd"}).remarks()
    assert any("No setting that was tried" in line and "sgd on quadratic" in line for line in lines)
    assert not any("newton on" in line for line in lines)
