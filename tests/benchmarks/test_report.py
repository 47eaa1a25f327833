"""The report: what it says is what the tables say, and in a browser it can be read, filtered and sorted offline."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy.stats import binomtest

from benchmarks import sweep
from benchmarks.command import main
from benchmarks.matrix import Matrix
from benchmarks.report import report
from benchmarks.report.content import Page
from benchmarks.sweeps import Sweep
from optimizers import Optimizer
from problems.ill_conditioning.quadratic import Quadratic
from problems.ill_conditioning.rosenbrock import Rosenbrock
from ravine import Refused
from tests.benchmarks.browser import COMMAND, Browser
from tests.benchmarks.problems_for_tests import Bowl

TAG = "<img src=x onerror=alert(1)>"
SIZE: dict[str, Any] = {"trials": 4, "tuning_seeds": 2, "seeds": 3, "budget": 60}


@dataclass(frozen=True)
class Named(Optimizer):
    """Stands still, under a name that would be a picture if it were not text."""

    tag: str = TAG

    def init(self, x):
        return ()

    def update(self, oracle, state):
        return 0 * oracle.gradient, state


NAMES = ["newton", "sgd", repr(Named())]


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Sweep, Path]:
    """A sweep, and the folder of its tables, whose cells are gone."""
    folder = tmp_path_factory.mktemp("reports") / "swept"
    problems = [Quadratic(dim=2, condition=100.0), Rosenbrock()]
    found = sweep(problems, ["sgd", "newton", Named()], rungs=3, out=folder, **SIZE)
    shutil.rmtree(folder / "cells")
    return found, folder


@pytest.fixture(scope="module")
def page(swept) -> Page:
    return report([swept[1]])


@pytest.fixture
def copy(swept, tmp_path) -> Path:
    """The same folder, to be spoilt."""
    return Path(shutil.copytree(swept[1], tmp_path / "copy"))


def edit(folder: Path, table: str, change) -> None:
    frame = pandas.read_csv(folder / f"{table}.csv")
    change(frame).to_csv(folder / f"{table}.csv", index=False)


def landscapes(page: Page) -> dict[str, Any]:
    return {each.label: each for section in page.sections for each in section.landscapes}


def chart(page: Page, name: str):
    return next(each for each in page.charts if each.name == name)


def texts(table) -> list[dict[str, str]]:
    return [
        dict(zip(table.columns, [field.text for field in row.fields], strict=True))
        for row in table.rows
    ]


# What it says.


def test_the_matrix_is_the_one_of_the_tables_in_memory(swept, page):
    """By two roads: from the cells, and from the files alone."""
    matrix = Matrix(swept[0].tables)
    rows = {row.label: row for section in page.sections for row in section.rows}
    assert set(rows) == set(matrix.problems) == {"quadratic", "rosenbrock"}
    assert sorted(page.optimizers) == sorted(NAMES)
    for (optimizer, label), entry in matrix.entries.items():
        answer = rows[label].answers[page.optimizers.index(optimizer)]
        assert answer.text == entry.text
        assert answer.order == pytest.approx(entry.place)
    weakest = Matrix(swept[0].tables, {repr(Named())}).weakest()
    assert weakest is not None and page.next.startswith(f"{weakest.optimizer} breaks first on")
    assert "× (2 tuning + 3 reporting) instances, and 60 gradients" in " ".join(page.protocol)


def test_theory_exponent_interval_and_reason_are_in_the_cells(swept, page):
    points = swept[0].breaking_points.query("choice == 'tuned' and budget == 1")
    row = points.query("problem == 'quadratic' and optimizer == 'sgd'").iloc[0]
    answers = next(
        each for s in page.sections for each in s.rows if each.label == "quadratic"
    ).answers
    answer = answers[page.optimizers.index("sgd")]
    assert f"{answer.text} {answer.interval}" == row["text"]
    assert f"theory {row['theory']:.3g}" in answer.notes and answer.notes[-1] == "missed"
    newton = answers[page.optimizers.index("newton")]
    assert any(note.startswith("cost ∝ dial^") for note in newton.notes)


def test_figures_have_the_numbers_of_the_tables(swept, page):
    found = swept[0]
    tuned = found.summary.query("choice == 'tuned' and problem == 'quadratic'")
    for dial in (1, 100000):
        lines = {
            each.name: each
            for each in chart(page, f"quadratic-condition-{dial}-convergence").series
        }
        for _, row in tuned[tuned["dial"] == dial].iterrows():
            # float32: traces are kept in it
            assert lines[row["optimizer"]].y[-1] == pytest.approx(row["gap_final"], rel=1e-6)
    frontier = {each.name: each for each in chart(page, "quadratic-frontier").series}
    points = found.breaking_points.query("choice == 'tuned' and problem == 'quadratic'")
    for name in ("sgd", "newton"):
        mine = points[points["optimizer"] == name].sort_values("budget")
        assert frontier[name].y.tolist() == mine["breaking_point"].tolist()
        assert frontier[name].x == pytest.approx(mine["budget"] * 60)
    theory = points[points["optimizer"] == "sgd"].sort_values("budget")["theory"]
    assert frontier["sgd, theory"].dashed and frontier["sgd, theory"].y == pytest.approx(theory)
    assert [*frontier] == [*dict.fromkeys(frontier)]


def test_gradients_along_the_run_are_medians_of_the_traces(swept, page):
    traces, summary = swept[0].traces, swept[0].summary
    drawn = next(
        each for each in page.charts if re.fullmatch(r"quadratic-condition-\d+-gg", each.name)
    )
    dial = float(drawn.name.split("-")[2])
    trial = summary.query(
        "problem == 'quadratic' and dial == @dial and optimizer == 'sgd' and choice == 'tuned'"
    )
    mine = traces.query("problem == 'quadratic' and dial == @dial and optimizer == 'sgd'")
    mine = mine[mine["trial"] == trial["trial"].iloc[0]]
    line = next(each for each in drawn.series if each.name == "sgd")
    assert line.y[0] == pytest.approx(mine.groupby("seed")["grad_sq"].first().median())
    assert line.y[-1] == pytest.approx(mine.groupby("seed")["grad_sq"].last().median())


def test_tables_have_shares_costs_and_every_run(swept, page):
    quadratic = landscapes(page)["quadratic"]
    choices, search = quadratic.tables
    rows = texts(choices)
    assert len(rows) == len(swept[0].summary.query("problem == 'quadratic'"))
    for row in rows:
        solved, runs = map(int, row["solved"].split(" of "))
        low, high = binomtest(solved, runs).proportion_ci(method="wilson")
        assert (
            row["share [95 %]"]
            == f"{100 * solved / runs:.0f} % [{100 * low:.0f} %, {100 * high:.0f} %]"
        )
        assert (row["ERT"] == "–") == (solved == 0)
    assert search.columns[2:] == ["k = 1", "k = 2"]  # of two Sobol trials
    runs = texts(quadratic.runs)
    assert len(runs) == 3 * 3 * 3  # optimizers, rungs, seeds
    assert {row["ended"] for row in runs} <= {"solved", "missed", "diverged"}
    assert "verdict" not in quadratic.runs.columns


def test_verdicts_are_the_reason_where_there_are_any(copy):
    edit(copy, "runs", lambda runs: runs.assign(verdict="long_path", ruled_out="noise, saddle"))
    edit(copy, "summary", lambda summary: summary.assign(verdict="ill_conditioning"))
    found = report([copy])
    answers = next(
        each for s in found.sections for each in s.rows if each.label == "quadratic"
    ).answers
    assert answers[found.optimizers.index("sgd")].notes[-1] == "ill conditioning"
    row = texts(landscapes(found)["quadratic"].runs)[0]
    assert (row["verdict"], row["ruled out"]) == ("long path", "noise, saddle")


def test_it_has_the_pathology_s_own_picture(page):
    names = [each.name for each in page.charts]
    assert len(names) == len(set(names))
    paths = [each for each in page.charts if each.name.endswith("-paths")]
    assert len(paths) == 6 and all(each.levels for each in paths)
    assert sum(name.endswith("-portrait") for name in names) == 2
    assert not any(each.missing for each in landscapes(page).values())


def test_what_is_not_registered_has_no_picture_and_that_is_said(tmp_path):
    sweep(Bowl(), ["newton"], rungs=3, out=tmp_path, **SIZE)
    (bowl,) = landscapes(report([tmp_path])).values()
    assert bowl.missing == "Bowl is not registered here" and bowl.frontier is not None
    assert "No picture of the problem itself: Bowl is not" in (tmp_path / "report.html").read_text()


def test_nothing_is_fetched_and_every_time_it_is_the_same(swept, page):
    file = swept[1] / "report.html"
    first = file.read_bytes()
    text = first.decode()
    assert not re.search(r'\b(src|href)="(?!#|data:)', text) and "url(" not in text
    assert TAG not in text and "&lt;img src=x" in text
    report([swept[1]])
    assert file.read_bytes() == first


def test_figures_for_a_paper(swept, tmp_path, capsys):
    for name in ("one", "two"):
        words = [
            str(swept[1]),
            "--figures",
            str(tmp_path / name),
            f"--out={tmp_path / 'page.html'}",
        ]
        assert main(["report", *words]) == 0
    files = sorted(each.name for each in (tmp_path / "one").iterdir())
    assert (
        len(files) == 2 * len(list(report([swept[1]]).charts)) and "quadratic-frontier.pdf" in files
    )
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one" / "quadratic-frontier.svg").read_text().count("<svg") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(tmp_path / "page.html") and f"{len(files)} files" in said[1]


# Folders.


def test_several_folders_are_one_page(swept, tmp_path):
    sweep(Quadratic(dim=2, condition=100.0), ["momentum"], rungs=3, out=tmp_path / "more", **SIZE)
    both = report([swept[1], tmp_path / "more", swept[1]], tmp_path / "both.html")
    assert sorted(both.optimizers) == sorted([*NAMES, "momentum"])
    alone = report([swept[1]], tmp_path / "alone.html")
    rows = {len(texts(landscapes(each)["rosenbrock"].runs)) for each in (both, alone)}
    assert len(rows) == 1  # the same cell counts once


def test_the_same_optimizer_with_other_cells_is_told_apart(swept, tmp_path):
    other = tmp_path / "other"
    sweep(Quadratic(dim=2, condition=100.0), ["sgd"], rungs=3, out=other, **{**SIZE, "budget": 90})
    both = report([swept[1], other], tmp_path / "both.html")
    assert {"sgd (swept)", "sgd (other)", "newton"} <= set(both.optimizers)


def drop(name):
    return lambda folder: (folder / name).unlink()


def stated(**changed):
    def change(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}))

    return change


def moved(folder):
    def change(points):
        row = points.index[(points["optimizer"] == "sgd") & (points["choice"] == "tuned")][0]
        points.loc[row, "breaking_point"] *= 2
        return points

    edit(folder, "breaking_points", change)


def foreign(folder):
    traces = pandas.read_parquet(folder / "traces.parquet")
    traces.assign(cell="0" * 24).to_parquet(folder / "traces.parquet")


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (shutil.rmtree, "does not exist, but must be the folder of a sweep"),
        (drop("manifest.json"), "is not the folder of a sweep: it has no manifest.json"),
        (stated(schema=99), "has tables of schema 99, and this Ravine reads"),
        (drop("traces.parquet"), "is half-written: it has no traces"),
        (drop("breaking_points.csv"), "is half-written: it has no breaking_points.csv"),
        (lambda folder: (folder / ".cells").mkdir(), "is half-written: its sweep is still running"),
        (moved, "sgd breaks on quadratic at .* in breaking_points, and elsewhere in summary"),
        (foreign, "traces has cells that are not in runs"),
        (lambda folder: edit(folder, "breaking_points", lambda frame: frame.drop(columns="text")),
         "breaking_points has no column text"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_whole_sweep_is_one_line(copy, spoil, wanted, capsys):
    spoil(copy)
    assert main(["report", str(copy)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(wanted, said) and str(copy) in said
    assert not (copy / "report.html").exists() or spoil is not shutil.rmtree


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "report on which folder of a sweep"),
        (["x", "--figure", "y"], "unknown flag --figure: did you mean --figures"),
        (["x", "--out"], "--out is followed by a path"),
    ],
)
def test_bad_input_is_one_line(words, wanted, capsys):
    assert main(["report", *words]) == 2
    assert wanted in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_one_line(swept, tmp_path):
    with pytest.raises(Refused, match="cannot be written: No such file"):
        report([swept[1]], tmp_path / "nowhere" / "page.html")


def test_runs_may_be_parquet(copy):
    runs = pandas.read_csv(copy / "runs.csv", low_memory=False)
    runs.to_parquet(copy / "runs.parquet")
    (copy / "runs.csv").unlink()
    assert len(report([copy]).optimizers) == 3


# In a browser.

MISSING = "no Chromium here: apt-get install chromium"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if COMMAND is None:
        assert not os.environ.get("RAVINE_BROWSER"), MISSING
        pytest.skip(MISSING)
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(browser, swept, page) -> Browser:
    browser.size(1440, 900)
    browser.open(swept[1] / "report.html", "#p-quadratic")
    return browser


def test_it_opens_from_disk_without_network_and_without_complaint(opened, swept):
    requests = [
        each["params"]["request"]["url"]
        for each in opened.events
        if each["method"] == "Network.requestWillBeSent"
    ]
    assert len(requests) == 1 and requests[0].startswith((swept[1] / "report.html").as_uri())
    complaints = {
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    }
    assert not [each for each in opened.events if each["method"] in complaints]
    assert opened.run(
        "document.querySelector('#p-quadratic').open"
    )  # the link led into a closed part
    assert not opened.run("document.querySelector('#p-rosenbrock').open")


def test_names_with_html_are_text(opened):
    assert opened.run("document.images.length") == 0
    assert TAG in opened.run("document.querySelector('.matrix thead').textContent")
    assert TAG in opened.run("document.querySelector('#p-quadratic table tbody').textContent")


def test_filters_hide_rows_columns_and_lines(opened, page):
    place = page.optimizers.index("sgd")
    seen = f"[...document.querySelectorAll('main [data-o=\"{place}\"]')].filter(e => e.getClientRects().length).map(e => e.tagName)"
    before = set(opened.run(seen))
    assert {"TH", "TD", "TR", "g", "LI"} <= before
    opened.run(f"document.querySelectorAll('.bar input')[{place}].click()")
    assert opened.run(seen) == []
    other = f"document.querySelectorAll('main [data-o=\"{1 - place if place < 2 else 0}\"]')[0].getClientRects().length"
    assert opened.run(other) == 1
    opened.run(f"document.querySelectorAll('.bar input')[{place}].click()")
    assert set(opened.run(seen)) == before
    choose = "(value => {{ let s = document.querySelector('#section'); s.value = value; s.dispatchEvent(new Event('change', {{bubbles: true}})); }})('{}')"
    visible = "document.querySelector('#p-quadratic').getClientRects().length"
    opened.run(choose.format("0"))
    assert opened.run(visible) == 1  # both problems are of this subsection
    opened.run("document.querySelector('.problems section').dataset.g = '7'")
    assert opened.run(visible) == 0


def test_headers_sort_and_say_so(opened):
    table = "document.querySelectorAll('#p-quadratic table')[1]"
    column = 4  # the share, as text with an interval
    values = f"[...{table}.tBodies[0].rows].map(row => parseFloat(row.cells[{column}].textContent))"
    header = f"{table}.tHead.rows[0].cells[{column}]"
    unsorted = opened.run(values)
    assert opened.run(f"{header}.getAttribute('aria-sort')") == "none"
    for direction in ("ascending", "descending"):
        opened.run(f"{header}.querySelector('button').focus()")
        opened.press("Enter")
        assert opened.run(f"{header}.getAttribute('aria-sort')") == direction
        assert opened.run(values) == sorted(unsorted, reverse=direction == "descending")
    assert unsorted != sorted(unsorted)
    cost = f"[...{table}.tBodies[0].rows].map(row => row.cells[6].textContent)"
    opened.run(f"{table}.tHead.rows[0].cells[6].querySelector('button').click()")
    found = opened.run(cost)
    known = [float(each) for each in found if each != "–"]
    assert known == sorted(known) and found[len(known) :] == ["–"] * (len(found) - len(known)) != []


def test_values_are_read_off_figures_by_pointer_and_by_key(opened, page):
    drawn = chart(page, "quadratic-condition-100000-convergence")
    sgd = next(each for each in drawn.series if each.name == "sgd")
    figure = "[...document.querySelectorAll('#p-quadratic svg[role=img]')].find(e => e.parentElement.textContent.startsWith('condition 100000'))"
    opened.run(f"{figure}.scrollIntoView({{block: 'center'}})")
    left, top, width, height = opened.run(
        f"(b => [b.left, b.top, b.width, b.height])({figure}.getBoundingClientRect())"
    )
    opened.point(left + width * 0.99, top + height / 2)
    tip = "document.querySelector('#tip').innerText"
    said = dict(
        line.rsplit("\n", 1)
        for line in re.split(r"\n(?=\S+.*\n\d)", opened.run(tip))
        if "\n" in line
    )
    rows = opened.run(
        "[...document.querySelectorAll('#tip div')].map(e => [e.firstChild.textContent, e.lastChild.textContent])"
    )
    shown = dict(rows)
    assert said and rows[0][0] == "cost, in gradients"
    # a tenth of a pixel is two percent of a value on an axis of a few decades; the cost bends at 3
    assert float(shown["cost, in gradients"]) == pytest.approx(sgd.x[-1], rel=0.03)
    assert float(shown["sgd"]) == pytest.approx(sgd.y[-1], rel=0.05)
    opened.point(left - 40, top - 40)
    assert opened.run("document.querySelector('#tip').hidden")
    opened.run(f"{figure}.focus()")
    opened.press("ArrowLeft")
    before = float(opened.run("document.querySelector('#tip div b').textContent"))
    opened.press("ArrowLeft")
    assert float(opened.run("document.querySelector('#tip div b').textContent")) < before
    assert opened.run("document.querySelector('#tip').getAttribute('role')") == "status"


CONTRAST = """
(() => {
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const paper = light(numbers(getComputedStyle(document.documentElement).backgroundColor));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 99, what = "", count = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest("script,style,option") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = light(numbers(e instanceof SVGElement ? style.fill : style.color));
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    count++;
    if (ratio < least) [least, what] = [ratio, e.outerHTML.slice(0, 80)];
  }
  return [least, count, what];
})()
"""


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False)])
def test_it_fits_and_can_be_read(browser, swept, page, width, dark):
    browser.size(width, 844, dark)
    browser.open(swept[1] / "report.html", "#p-quadratic")
    assert browser.run("document.documentElement.scrollWidth") == width
    least, count, what = browser.run(CONTRAST)
    assert count > 200 and least >= 4.5, what
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    at_first = browser.run(paper)
    assert (at_first == "rgb(255, 255, 255)") != dark
    browser.run("document.querySelector('#theme').click()")
    assert browser.run(paper) != at_first
    assert (
        browser.run("document.querySelector('#theme').getAttribute('aria-pressed')")
        == str(not dark).lower()
    )
    assert browser.run(CONTRAST)[0] >= 4.5


def test_a_screen_reader_is_told_what_everything_is(opened, page):
    tree = opened.ask("Accessibility.getFullAXTree")["nodes"]
    by_role: dict[str, list[str]] = {}
    for node in tree:
        if not node["ignored"]:
            by_role.setdefault(node["role"]["value"], []).append(
                node.get("name", {}).get("value", "")
            )
    images = by_role["image" if "image" in by_role else "img"]
    assert len(images) > 10 and all(len(name) > 20 for name in images)
    tables = by_role["table"]
    assert (
        len(tables) >= 3 and all(tables) and "Breaking point by pathology and optimizer" in tables
    )
    assert {"Where each breaks", "Problem by problem"} <= set(by_role["heading"])
    assert all(by_role["checkbox"]) and len(by_role["checkbox"]) == 3
    assert {"columnheader", "rowheader"} <= by_role.keys()
    assert all(by_role["button"]) and all(by_role["combobox"])


def test_keys_reach_what_a_pointer_does(opened):
    opened.run("scrollTo(0, 0); document.activeElement.blur()")
    met = set()
    for _ in range(12):
        opened.press("Tab")
        met.add(
            opened.run(
                "document.activeElement.tagName + (document.activeElement.id && '#' + document.activeElement.id)"
            )
        )
        assert opened.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"INPUT", "SELECT#section", "BUTTON#theme"} <= met


def test_a_number_that_is_none_sorts_last():
    from benchmarks.report.render import _number

    assert [_number(each) for each in (math.nan, math.inf, np.float64(2))] == ["", "1e999", "2"]
