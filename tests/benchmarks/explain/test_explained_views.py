"""The table of cures says where it was searched, which way the dial goes, and why no cause is named."""

from __future__ import annotations

import pandas

from benchmarks.analysis.causes import EXPLAINED, NEVER_HELPED, TOO_FEW
from benchmarks.display.explained import NO_MATTER, PAIRS, by_problem, explained, why
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


def test_one_rung_has_none_without_a_cause_either():
    holding = ROW | {"holds": True, "note": "", "beyond": False, "text_without": "0.01 [<, 0.1]"}
    said = "cliff: gradients clipped, 4 of 4"
    assert why(pandas.DataFrame([holding])) == f"{said}, then breaks at 0.01"
    assert why(pandas.DataFrame([holding | {"last_rung": 0.001}])) == said


def test_why_no_cause_is_named_is_said():
    few = "sgd: not told: 4 instances are too few."
    assert few in shown({}).remarks
    assert few not in shown({"holds": True, "note": ""}).remarks
    assert f"sgd, adam{few[3:]}" in shown({}, {"optimizer": "adam", "job": "2"}).remarks
    nothing = {"solved_without": None, "note": "helped at none of the settings tried"}
    assert "sgd: nothing that was taken away helps." in shown(nothing).remarks


def test_a_cause_is_excluded_only_if_its_removal_does_not_help():
    cause = ROW | {"cause": "noise", "holds": True, "note": ""}
    rows = [cause, ROW, ROW | {"cause": "saddle", "solved_without": 0.0}]
    assert why(pandas.DataFrame(rows)).partition(" · ")[2] == "no help: saddle"
    unasked = ROW | {
        "cause": "plateau",
        "solved_without": None,
        "tried": None,
        "note": "not asked: x",
    }
    assert "plateau" not in why(pandas.DataFrame([*rows, unasked]))


def test_of_what_was_only_tried_no_more_is_said():
    tried = {
        "cause": "saddle",
        "solved_without": None,
        "note": "helped at none of the settings tried",
    }
    searched = {"cause": "noise", "solved_without": 0.0, "note": "not told apart from chance"}
    view = shown({"holds": True, "note": ""}, tried, searched)
    assert "Removed, but helped at none of the settings tried: saddle." in view.remarks
    assert view.table["noise"].item().strip() == "0"


def test_where_causes_are_removed_is_told_as_it_is_decided():
    """Just below one half of the instances is not called clearly broken."""
    assert "at the first rung where at most 20 % of them are solved or, if" in shown({}).remarks[0]
    assert " rung" not in shown({"last_rung": 0.001}).remarks[0]


def test_what_cannot_be_asked_is_said_with_the_reason():
    large = {"solved_without": None, "tried": None, "note": "not asked: more than 512 dimensions"}
    causes = [{"cause": name, **large} for name in ("saddle", "sharpening")]
    said = "sgd: not asked about saddle, sharpening: more than 512 dimensions."
    view = shown({}, *causes)
    assert said in view.remarks and not any(
        "none of the settings" in each for each in view.remarks[2:]
    )
    assert not any("not asked about" in each for each in shown({}).remarks)
    both = shown({"optimizer": "adam", "job": "2", "cause": "saddle"}, *causes)
    assert both.table["saddle"].tolist()[-1] == "not asked"


def test_each_optimizer_is_told_what_it_was_not_asked_about():
    large = {"solved_without": None, "tried": None, "note": "not asked: more than 512 dimensions"}
    unknown = large | {"note": "not asked: no solution is known", "cause": "plateau"}
    rows = [
        large | {"cause": "saddle"},
        unknown,
        large | {"cause": "sharpening", "optimizer": "adam", "job": "2"},
        large | {"cause": "saddle", "optimizer": "lion", "job": "3"},
    ]
    assert [each for each in shown(*rows).remarks if "not asked about" in each] == [
        "sgd, lion: not asked about saddle: more than 512 dimensions.",
        "sgd: not asked about plateau: no solution is known.",
        "adam: not asked about sharpening: more than 512 dimensions.",
    ]


def test_what_cannot_be_asked_is_said_beside_another_removal_of_the_cause():
    unknown = {"solved_without": None, "tried": None, "note": "not asked: no solution is known"}
    view = shown({"cause": "plateau", "removal": "steps=5"}, {"cause": "plateau", **unknown})
    assert "sgd: not asked about plateau: no solution is known." in view.remarks


def test_in_a_suite_three_kinds_of_unexplained_are_told_apart():
    rows = [
        ROW | {"note": note, "solved_without": solved, "problem": name}
        for name, note, solved in [
            ("few", TOO_FEW, 4.0), ("unknown", "not told apart from chance", 1.0),
            ("nothing", "helped at none of the settings tried", None),
        ]
    ]  # fmt: skip
    view = by_problem(pandas.DataFrame(rows))
    assert view.table.iloc[0].to_dict() == {
        "": "sgd", "few": TOO_FEW, "unknown": "?", "nothing": "none"
    }  # fmt: skip
    assert "?: not removed by anything we know." in view.remarks
    assert "none: nothing that was taken away helps." in view.remarks
    assert not any(each.startswith("?") for each in by_problem(pandas.DataFrame(rows[:1])).remarks)


def test_causes_on_many_problems_are_no_wider_than_a_terminal():
    problems = [f"problem_with_a_long_name_{k}" for k in range(8)]
    row = {
        "cause": "ill_conditioning",
        "holds": True,
        "note": "",
        "solved": 0,
        "solved_without": 10,
        "instances": 10,
    }
    rows = [
        {"optimizer": name, "problem": each, **row} for name in ("sgd", "adam") for each in problems
    ]
    text = by_problem(pandas.DataFrame(rows)).text()
    assert max(map(len, text.splitlines())) <= TABLES
    assert text.count("ill conditioning: 10 of 10") == 16
    assert text.count("sgd  ") == 3  # problems a block


def test_only_the_marks_that_a_table_has_are_explained_each_in_a_line():
    def marks(*rows):
        legend = ("* marks a cause: ", f"–: its removal {NEVER_HELPED}.", "Empty: not tried")
        said = shown(*rows).remarks
        return [any(each.startswith(mark) for each in said) for mark in legend]

    holding = {"holds": True, "note": ""}
    assert marks({"note": ""}) == [False, False, False]
    assert marks(holding) == [True, False, False]
    without = {"optimizer": "adam", "job": "2", "solved_without": None}
    assert marks(holding, without) == [True, True, False]
    assert marks(holding, without | {"cause": "noise"})[2]


def test_why_a_cell_is_empty_is_said_of_one_cause_and_of_two():
    holding = {"holds": True, "note": ""}
    both = {"cause": "cliff+saddle", "optimizer": "adam", "job": "2"} | holding
    said = [each for each in shown(holding, both).remarks if each.startswith("Empty")]
    assert said == [f"Empty: not tried ({NO_MATTER}; or {PAIRS})."]
    own = {"optimizer": "adam", "job": "2", "solved_without": None}
    assert f"Empty: not tried ({PAIRS})." in shown(holding, own, both).remarks
