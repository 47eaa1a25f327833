"""The table of cures says where it was searched, which way the dial goes, and why no cause is named."""

from __future__ import annotations

import pandas

from benchmarks.analysis.causes import EXPLAINED, TOO_FEW
from benchmarks.display.explained import by_problem, explained, why
from ravine.terminal import TABLES

ROW = {
    "problem": "p", "dial_name": "angle", "optimizer": "sgd", "job": "1", "removal": "gradients clipped",
    "cause": "cliff", "holds": False, "dials": "0.001,0.01", "instances": 4, "tried": 2, "solved": 0,
    "solved_without": 4.0, "first_rung": 0.001, "last_rung": 0.1, "text": "< 0.001", "text_without": "> 0.1",
    "beyond": True, "note": TOO_FEW,
}  # fmt: skip


def shown(*rows):
    (view,) = explained(pandas.DataFrame([ROW | each for each in rows], columns=EXPLAINED))
    return view


def test_the_rung_and_the_direction_of_the_dial_are_said():
    assert list(shown({}).table)[1:4] == ["breaks at angle", "searched at", "as it is"]
    assert shown({}).table["searched at"].item() == "0.001"
    falling = shown({"first_rung": 0.1, "last_rung": 0.001})
    assert "breaks at angle ↓" in falling.table


def test_one_rung_has_no_breaking_point():
    assert list(shown({"last_rung": 0.001}).table)[1] == "as it is"


def test_why_no_cause_is_named_is_said():
    few = "sgd: not told: 4 instances are too few."
    assert few in shown({}).remarks
    assert few not in shown({"holds": True, "note": ""}).remarks
    assert f"sgd, adam{few[3:]}" in shown({}, {"optimizer": "adam", "job": "2"}).remarks
    nothing = {"solved_without": None, "note": "does not help"}
    assert "sgd: nothing that was taken away helps." in shown(nothing).remarks


def test_a_cause_is_excluded_only_if_its_removal_does_not_help():
    cause = ROW | {"cause": "noise", "holds": True, "note": ""}
    rows = [cause, ROW, ROW | {"cause": "saddle", "solved_without": 0.0}]
    assert why(pandas.DataFrame(rows)).partition(" · ")[2] == "not saddle"


def test_causes_on_many_problems_are_no_wider_than_a_terminal():
    problems = [f"problem_with_a_long_name_{k}" for k in range(8)]
    row = {
        "cause": "ill_conditioning",
        "holds": True,
        "note": "",
        "solved": 0,
        "solved_without": 10,
    }
    rows = [
        {"optimizer": name, "problem": each, **row} for name in ("sgd", "adam") for each in problems
    ]
    text = by_problem(pandas.DataFrame(rows)).text()
    assert max(map(len, text.splitlines())) <= TABLES
    assert text.count("ill conditioning") == 16
    assert text.count("sgd  ") == 3  # problems a block
