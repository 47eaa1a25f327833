"""The part of the report on what was measured by taking causes away, and a table of it that is damaged."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis.causes import EXPLAINED
from benchmarks.cli.main import main
from benchmarks.display.breaking_table import Entry
from benchmarks.display.explained import ENOUGH, NO_MATTER, NOTHING_HELPS, PAIRS
from benchmarks.report import report
from benchmarks.report.compose import _breaks, _heat_cell
from benchmarks.report.page import HeatCell
from problems.ill_conditioning.quadratic import Quadratic

ROW = {
    "problem": "quadratic", "dial_name": "condition", "holds": False, "dials": "10", "instances": 3, "tried": 0,
    "solved": 0, "first_rung": 1, "last_rung": 10, "breaking_point": 3.0, "text": "3 [1, 10]",
    "note": "helped at none of the settings tried",
}  # fmt: skip
HOLDS = {"holds": True, "solved_without": 3, "text_without": "> 10", "beyond": True, "note": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of a sweep of two optimizers, one of which has a cause."""
    found = tmp_path_factory.mktemp("explained") / "swept"
    size: dict[str, Any] = {"trials": 2, "tuning_seeds": 1, "seeds": 3, "budget": 60}
    result = sweep(Quadratic(dim=2), ["sgd", "adam"], rungs=2, out=found, **size)
    jobs = {cell.info.optimizer: cell.info.job for cell in result.tables.cells.values()}
    alike = {"removal": "curvatures made alike", "cause": "ill_conditioning"}
    clipped = {"removal": "gradients clipped", "cause": "cliff"}
    rows = [
        {**ROW, **alike, **HOLDS, "optimizer": "sgd", "job": jobs["sgd"]},
        {**ROW, **clipped, "optimizer": "sgd", "job": jobs["sgd"]},
        {**ROW, **alike, "optimizer": "adam", "job": jobs["adam"]},
        {**ROW, **alike, "optimizer": "adam", "job": "of an earlier command"},
    ]
    pandas.DataFrame(rows, columns=EXPLAINED).to_csv(found / "explained.csv", index=False)
    return found


def test_the_matrix_and_the_cards_say_what_was_measured(folder):
    page = report([folder])
    assert page.heat is not None
    assert page.heat.columns == [("curvatures made alike", "ill conditioning")]
    assert "gradients clipped" in page.heat.remarks[-1]
    assert page.heat.remarks[1:-1] == [
        "* and a frame mark a cause: the gain is more than chance explains (5 %, Holm over the removals).",
        "–: its removal helped at none of the settings tried.",
    ]
    ((title, rows),) = page.heat.groups
    cells = {row.name: (row.as_it_is.text, row.cells[0].text, row.cells[0].holds) for row in rows}
    assert title == "" and cells == {
        "sgd": ("0 of 3", "3 of 3", True),
        "adam": ("0 of 3", "–", False),
    }
    why = {page.optimizers[place]: cures[0].why for place, cures in page.cures.items()}
    assert why["adam"] == NOTHING_HELPS
    assert why["sgd"] == "ill conditioning: curvatures made alike, 3 of 3 · no help: cliff"
    text = (folder / "report.html").read_text()
    assert "Why, as measured" in text and "<b>3 of 3 *</b>" in text and "(a cause)" in text


def test_what_was_not_asked_or_not_tried_is_told_apart(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    table = pandas.read_csv(copy / "explained.csv").iloc[:1]
    empty = {"holds": False, "tried": None, "solved_without": None}
    unasked = {"removal": "kicked off saddles", "cause": "saddle", "note": "not asked: x"}
    untried = {
        "removal": "small gradients raised",
        "cause": "plateau",
        "note": "not tried: y solves all",
    }
    found = [table.assign(**empty, **each) for each in (unasked, untried)]
    pandas.concat([table, *found]).to_csv(copy / "explained.csv", index=False)
    heat = report([copy]).heat
    assert heat is not None and "sgd: not asked about saddle: x." in heat.remarks
    assert "at the first rung where at most 20 % of them are solved" in heat.remarks[0]
    cells = {each["cause"]: _heat_cell({**ROW, **empty, **each}) for each in (unasked, untried)}
    assert cells == {
        "saddle": HeatCell("not asked", "x"),
        "plateau": HeatCell("", empty=ENOUGH),
    }
    assert _heat_cell(None) == HeatCell("", empty=NO_MATTER)


def test_of_several_problems_what_was_not_asked_is_told_with_the_problem(tmp_path):
    size: dict[str, Any] = {"trials": 2, "tuning_seeds": 1, "seeds": 3, "budget": 60}
    problems = ["quadratic", "rosenbrock"]
    result = sweep(problems, "sgd", rungs=2, out=tmp_path / "swept", **size)
    unasked = {
        "optimizer": "sgd",
        "removal": "kicked off saddles",
        "cause": "saddle",
        "tried": None,
    }
    rows = [
        {**ROW, **unasked, "problem": cell.info.problem, "job": cell.info.job, "note": "not asked: x"}
        for cell in {cell.info.job: cell for cell in result.tables.cells.values()}.values()
    ]  # fmt: skip
    pandas.DataFrame(rows, columns=EXPLAINED).to_csv(tmp_path / "swept/explained.csv", index=False)
    heat = report([tmp_path / "swept"]).heat
    assert heat is not None and heat.remarks[-2:] == [
        f"{name} · sgd: not asked about saddle: x." for name in problems
    ]


def test_one_rung_has_no_breaking_point_when_its_cause_is_removed(folder, tmp_path):
    below = "Below: where it then breaks."
    whole = report([folder]).heat
    assert whole is not None and whole.remarks[0].endswith(below)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    pandas.read_csv(copy / "explained.csv").assign(first_rung=10).to_csv(
        copy / "explained.csv", index=False
    )
    one = report([copy]).heat
    assert one is not None and below not in one.remarks[0]
    notes = [
        {cell.note for _, rows in heat.groups for row in rows for cell in row.cells}
        for heat in (whole, one)
    ]
    assert notes == [{"does not break", ""}, {""}]


def test_the_reason_replaces_the_breaking_point():
    entry = Entry("newton", "quadratic", "quadratic", "condition", False, "no step", None, "1")
    assert _breaks(dataclasses.replace(entry, unjudged="no_step")) == "no step"
    assert _breaks(dataclasses.replace(entry, text="> 10")) == "breaks at condition > 10"
    assert _breaks(dataclasses.replace(entry, text="1 of 3")) == "solves 1 of 3"


def test_pairs_that_do_not_hold_are_shown(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    sgd, _, adam, _ = pandas.read_csv(copy / "explained.csv").to_dict("records")
    both = {"removal": "two", "cause": "cliff+saddle", "solved_without": 1}
    pandas.DataFrame([sgd, adam, adam | HOLDS | both]).to_csv(copy / "explained.csv", index=False)
    heat = report([copy]).heat
    assert heat is not None and heat.columns[-1] == ("two together", "")
    cells = {row.name: row.cells[-1] for _, rows in heat.groups for row in rows}
    assert cells["adam"].text == "1 of 3" and cells["adam"].holds
    assert cells["sgd"] == HeatCell("", empty=PAIRS)
    assert heat.remarks[-1] == f"Empty: not tried ({PAIRS})."
    more = [sgd | {"holds": False}, sgd | both | {"holds": False}, adam, adam | HOLDS | both]
    pandas.DataFrame(more).to_csv(copy / "explained.csv", index=False)
    heat = report([copy]).heat
    assert heat is not None and not any(each.startswith("Empty") for each in heat.remarks)
    cells = {row.name: row.cells[-1] for _, rows in heat.groups for row in rows}
    assert cells["sgd"].text == "1 of 3" and not cells["sgd"].holds


def test_without_the_table_the_page_says_how_to_get_it(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "explained.csv").unlink()
    assert report([copy]).heat is None
    text = (copy / "report.html").read_text()
    assert "explain=true measures why" in text and "why-title" not in text


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"solved": "x"}, "solved in explained is 'x', but must be a number"),
        ({"holds": "maybe"}, "holds in explained is 'maybe'"),
        ({"instances": None}, "instances in explained is missing"),
        ({"beyond": None}, "beyond in explained is missing"),
        (None, "explained has no column cause"),
    ],
)
def test_a_damaged_table_is_refused_in_a_line(folder, tmp_path, capsys, command, changed, said):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    table = pandas.read_csv(copy / "explained.csv")
    table = table.drop(columns="cause") if changed is None else table.assign(**changed)
    table.to_csv(copy / "explained.csv", index=False)
    folders = [str(copy)] if command == "report" else [str(folder), str(copy)]
    assert main([command, *folders]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
