"""The report: what it says is what the tables say, and in a browser it can be read, filtered and sorted offline."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from matplotlib.path import Path as Outline
from scipy.stats import binomtest

from benchmarks import sweep
from benchmarks.analysis.dial_axis import number
from benchmarks.analysis.saved_sweep import rebuilt
from benchmarks.api import Sweep
from benchmarks.catalog.contenders import contender
from benchmarks.cli.main import main
from benchmarks.display.breaking_table import Matrix
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import Protocol, stream
from benchmarks.pages import svg
from benchmarks.pages.render import attribute
from benchmarks.plots import sweep_plots
from benchmarks.report import export, report
from benchmarks.report.page import Page
from benchmarks.runner.job import Job, info_of
from benchmarks.store.cell_info import CellInfo
from optimizers import Optimizer
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic
from problems.ill_conditioning.rosenbrock import Rosenbrock
from problems.modifiers import noisy, transformed
from ravine import Refused
from tests.benchmarks.browser import Browser
from tests.benchmarks.problems_for_tests import Bowl

TAG = "<img src=x onerror=alert(1)>"
SIZE: dict[str, Any] = {"trials": 9, "tuning_seeds": 2, "seeds": 3, "budget": 60}


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


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The folder of one problem, two rungs and one optimizer."""
    folder = tmp_path_factory.mktemp("reports") / "small"
    sweep(Quadratic(dim=3), ["sgd"], rungs=2, out=folder, **SIZE)
    return folder


@pytest.fixture
def copy(small, tmp_path) -> Path:
    """The same folder, to be spoilt."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


def edit(folder: Path, table: str, change) -> None:
    frame = pandas.read_csv(folder / f"{table}.csv")
    change(frame).to_csv(folder / f"{table}.csv", index=False)


def landscapes(page: Page) -> dict[str, Any]:
    return {each.label: each for section in page.sections for each in section.landscapes}


def rows_of(page: Page) -> dict[str, Any]:
    """The rows of the matrix."""
    return {each.label: each for section in page.sections for each in section.rows}


def chart(page: Page, name: str):
    return next(each for each in page.charts if each.name == name)


def series(page: Page, name: str) -> dict[str, Any]:
    return {each.name: each for each in chart(page, name).series}


def texts(table) -> list[dict[str, str]]:
    said = ([field.text for field in row.fields] for row in table.rows)
    return [dict(zip(table.columns, each, strict=True)) for each in said]


# What it says.


def test_the_matrix_is_the_one_of_the_tables_in_memory(swept, page):
    """By two roads: from the cells, and from the files alone."""
    matrix = Matrix(swept[0].tables)
    rows = rows_of(page)
    assert set(rows) == set(matrix.problems) == {"quadratic", "rosenbrock"}
    assert sorted(page.optimizers) == sorted(NAMES)
    for (optimizer, label), entry in matrix.entries.items():
        answer = rows[label].answers[page.optimizers.index(optimizer)]
        assert answer.text == entry.text
        assert answer.order == pytest.approx(entry.place)
    weakest = Matrix(swept[0].tables, {repr(Named())}).weakest()
    assert weakest is not None and page.next.startswith(f"{weakest.optimizer} breaks first on")
    reason = rows[weakest.label].answers[page.optimizers.index(weakest.optimizer)].notes["reading"]
    assert page.next.endswith(f"{weakest.text} ({reason}), and as early on rosenbrock.")
    assert "× (2 tuning + 3 reporting) instances, and 60 gradients" in " ".join(page.protocol)


def test_interval_theory_exponent_and_reason_are_in_the_cells(swept, page):
    points = swept[0].breaking_points.query("choice == 'tuned' and budget == 1")
    points = points[points["problem"] == "quadratic"].set_index("optimizer")
    answers = dict(zip(page.optimizers, rows_of(page)["quadratic"].answers, strict=True))
    for name, answer in answers.items():
        assert f"{answer.text} {answer.interval}".strip() == points["text"][name]
    theory, reason = answers["sgd"].notes.values()
    assert answers["sgd"].interval and theory == f"theory {number(points['theory']['sgd'])}"
    assert reason == "reading: ill conditioning"  # it is the quadratic's whole point
    assert (
        answers["newton"].notes["growth"] == f"cost ∝ dial^{points['dose_exponent']['newton']:.2f}"
    )


def test_the_key_explains_only_the_marks_that_occur(swept, page, small, tmp_path):
    """One rung has neither breaking points nor intervals, and its bar is a share."""
    ladder = "Bar: how far up the problem’s ladder the optimizer gets"
    assert page.heading == "Breaking points"
    assert page.key == (
        f"{ladder}. Brackets: 95 % interval. Below: how its cost grows with the dial, the breaking point "
        "that theory predicts and a reading of the failed runs, guessed from their traces"
    )
    text = (swept[1] / "report.html").read_text()
    assert f">{page.key} (explain=true measures why).</p>" in text
    sweep(Quadratic(dim=2, condition=1.0), ["newton"], rungs=1, out=tmp_path / "one", **SIZE)
    one = report([tmp_path / "one"])
    (answer,) = rows_of(one)["quadratic"].answers
    assert (answer.text, answer.filled, answer.notes) == ("3 of 3", 1, {})
    assert (one.heading, one.key) == ("Instances solved", "Bar: the share of instances solved")
    assert f">{one.key}.</p>" in (tmp_path / "one" / "report.html").read_text()
    assert "breaking point" not in " ".join(one.protocol)
    both = report([small, tmp_path / "one"], tmp_path / "both.html")
    share = "the share of instances solved, where there is a single rung"
    assert both.heading == "Breaking points" and both.key.startswith(f"{ladder}; {share}. ")


def test_the_choices_that_a_table_has_are_explained(page, tmp_path):
    problems = [Quadratic(dim=2), "styblinski_tang"]  # of two subsections
    sweep(problems, ["sgd"], rungs=1, out=tmp_path / "two", **SIZE)
    explained = []
    for each in (page, report([tmp_path / "two"])):
        table = landscapes(each)["quadratic"].tables[0]
        marks = {"Default", "Tuned", "One setting", "Transfer"}
        explained.append({mark for mark in marks if f"{mark}: " in table.note})
        assert {row.fields[2].text.capitalize() for row in table.rows} == explained[-1]
        edges = any("(edge)" in row.fields[-1].text for row in table.rows)
        assert ("(edge): " in table.note) == edges
    assert explained == [marks - {"Transfer"}, marks]


def test_figures_have_the_numbers_of_the_tables(swept, page):
    found = swept[0]
    tuned = found.summary.query("choice == 'tuned' and problem == 'quadratic'")
    for dial in (1, 100000):
        lines = series(page, f"quadratic-condition-{dial}-convergence")
        for _, row in tuned[tuned["dial"] == dial].iterrows():
            end = min(row["gap_final"], sweep_plots.BEYOND)  # which stands for a run that diverged
            # float32: traces are kept in it
            assert lines[row["optimizer"]].y[-1] == pytest.approx(end, rel=1e-6)
    frontier = series(page, "quadratic-frontier")
    points = found.breaking_points.query("choice == 'tuned' and problem == 'quadratic'")
    for name in ("sgd", "newton"):
        mine = points[points["optimizer"] == name].sort_values("budget")
        assert frontier[name].y.tolist() == mine["breaking_point"].tolist()
        assert frontier[name].x == pytest.approx(mine["budget"] * 60)
    theory = points[points["optimizer"] == "sgd"].sort_values("budget")["theory"]
    assert frontier["sgd, theory"].dashed and frontier["sgd, theory"].y == pytest.approx(theory)


def test_gradients_along_the_run_are_medians_of_the_traces(swept, page):
    found = swept[0]
    drawn = next(each for each in page.charts if each.name.endswith("-gg"))
    dial = float(drawn.name.split("-")[2])
    summary, traces = (
        frame[(frame["problem"] == "quadratic") & (frame["dial"] == dial) & (frame["optimizer"] == "sgd")]
        for frame in (found.summary, found.traces)
    )  # fmt: skip
    trial = summary.loc[summary["choice"] == "tuned", "trial"].iloc[0]
    squares = traces[traces["trial"] == trial].groupby("seed")["grad_sq"]
    line = next(each for each in drawn.series if each.name == "sgd")
    assert line.y[0] == pytest.approx(squares.first().median())
    assert line.y[-1] == pytest.approx(squares.last().median())


def test_curvature_is_shown_where_it_was_measured_and_the_end_at_the_end(page):
    drawn = next(each for each in page.charts if each.name == "quadratic-condition-100000-spectrum")
    last = len(drawn.x.given) - 1
    assert [text for _, text in drawn.x.given] == ["start", "10%", "33%", "end"]
    assert all(each.x[0] == 0 and each.x[-1] == last for each in drawn.series)
    ends = {each.name: (each.y.min(), each.y.max()) for each in drawn.series}
    assert ends["sgd, λmin"] == pytest.approx((1e-5, 1e-5), rel=1e-3)  # float32, and H is constant
    assert ends["sgd, λmax"] == pytest.approx((1, 1), rel=1e-3)


def test_tables_have_shares_costs_and_every_run(swept, page):
    quadratic = landscapes(page)["quadratic"]
    choices, search = quadratic.tables
    rows = texts(choices)
    assert len(rows) == len(swept[0].summary.query("problem == 'quadratic'"))
    assert len({row["solved"] for row in rows}) > 1
    for row in rows:
        solved, runs = map(int, row["solved"].split(" of "))
        low, high = (100 * end for end in binomtest(solved, runs).proportion_ci(method="wilson"))
        share = f"{100 * solved / runs:.0f} % [{low:.0f} %, {high:.0f} %]"
        assert row["share [95 %]"] == share
        assert (row["ERT"] == "–") == (solved == 0)
    assert search.columns[2:4] == ["searched", "settings that solve"]
    assert {row["searched"] for row in texts(search)} <= {"lr", "lr, momentum", "damping"}
    units = {row["settings that solve"].split(" ")[1] for row in texts(search)}
    assert units <= {"decade", "decades", "decades²"}
    assert search.columns[4:] == ["k = 1", "k = 2", "k = 4", "k = 8"]  # of eight trials
    runs = texts(quadratic.runs)
    assert len(runs) == 3 * 3 * 3  # optimizers, rungs, seeds
    assert {row["ended"] for row in runs} <= {"solved", "missed", "diverged"}


def test_the_commonest_verdict_on_what_is_not_solved_is_the_reason(copy):
    edit(copy, "runs", lambda runs: runs.assign(verdict="long_path", ruled_out="noise, saddle"))
    judged = {"verdict.solved": 2, "verdict.ill_conditioning": 1}
    edit(copy, "summary", lambda summary: summary.assign(**judged))
    found = report([copy])
    (answer,) = rows_of(found)["quadratic"].answers
    assert answer.notes["reading"] == "reading: ill conditioning"
    row = texts(landscapes(found)["quadratic"].runs)[0]
    assert (row["reads like"], row["ruled out"]) == ("long path", "noise, saddle")


def test_who_cannot_pay_for_one_step_is_not_said_to_break(tmp_path):
    """A step of Newton's costs 1 + 2 · 10 gradients here."""
    size: dict[str, Any] = {"trials": 3, "seeds": 2, "tuning_seeds": 1, "budget": 20, "rungs": 3}
    sweep("quadratic", ["sgd", "newton"], out=tmp_path / "short", **size)
    page = report([tmp_path / "short"])
    answer = rows_of(page)["quadratic"].answers[page.optimizers.index("newton")]
    assert (
        answer.text == "no step" and not answer.notes and not answer.spoken
    )  # no reason, no break
    breaking = {row["optimizer"]: row for row in texts(landscapes(page)["quadratic"].breaking)}
    (where,) = (name for name in breaking["newton"] if name.startswith("breaks at"))
    assert breaking["newton"][where] == "no step" != breaking["sgd"][where]
    assert breaking["newton"]["reads like"] == "–" != breaking["sgd"]["reads like"]


def test_it_has_the_pathology_s_own_picture(page):
    names = [each.name for each in page.charts]
    assert len(names) == len(set(names))
    paths = [each for each in page.charts if each.name.endswith("-paths")]
    assert len(paths) == 6 and all(each.levels for each in paths)
    assert sum(name.endswith("-portrait") for name in names) == 2
    assert not any(each.missing for each in landscapes(page).values())


def test_what_is_higher_is_within_the_curves(swept, page):
    """On the instance itself, and not on the grid from which they were made."""
    drawn = chart(page, "rosenbrock-b-100-paths")
    problem = Rosenbrock(b=100.0)
    instance = Instances(problem, (stream(1000),), torch.float64)
    start = problem.loss(instance.data["start"], instance.data)
    random = np.random.default_rng(0)
    for level in (drawn.levels[1], drawn.levels[-2]):
        ends = np.array([[drawn.x.low, drawn.x.high], [drawn.y.low, drawn.y.high]])
        points = ends[:, :1].T + random.random((300, 2)) * np.diff(ends, axis=1).T
        gap = (problem.loss(torch.tensor(points)[None], instance.data) / start).numpy()[0]
        crossed = sum(Outline(curve).contains_points(points).astype(int) for curve in level.curves)
        clear = np.abs(np.log10(gap / level.height)) > 0.15  # a curve is a pixel wide
        assert clear.mean() > 0.5
        assert ((crossed % 2 == 1) == (gap > level.height))[clear].all()


def test_what_is_not_registered_has_no_picture_and_that_is_said(tmp_path):
    sweep(Bowl(), ["newton"], rungs=3, out=tmp_path, **SIZE)
    (bowl,) = landscapes(report([tmp_path])).values()
    assert bowl.missing == "Bowl is not registered here" and bowl.frontier is not None
    text = (tmp_path / "report.html").read_text()
    assert "No picture of the problem: Bowl is not registered here." in text


@pytest.mark.parametrize("modified", ["as it is", "rotated", "noisy", "noisy, by its own dial"])
def test_every_problem_is_built_again_from_what_is_kept_of_a_cell(modified):
    for name, prototype in PROBLEMS.items():
        problem = transformed(prototype, ["rotate"]) if modified == "rotated" else prototype
        if modified.startswith("noisy"):
            if prototype.has_own("seen"):
                continue
            problem = noisy(prototype, "delayed", 3.0)
            if modified.endswith("dial"):
                problem = dataclasses.replace(problem, walks="problem")
        for dial in problem.card.ladder:
            at = problem.at_dial(dial)
            info = info_of(Job(name, problem, contender("idle")), at, Protocol())
            assert rebuilt(CellInfo.of(json.loads(json.dumps(info.plain())))) == at


def test_nothing_is_fetched_and_every_time_it_is_the_same(swept, page, copy):
    text = (swept[1] / "report.html").read_text()
    assert not re.search(r'\b(src|href)="(?!#|data:)', text) and "url(" not in text
    assert TAG not in text and "&lt;img src=x" in text
    pages = []
    for _ in range(2):
        report([copy])
        pages.append((copy / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_figures_for_a_paper(small, tmp_path, capsys):
    out, folder = tmp_path / "page.html", tmp_path / "figures"
    assert main(["report", str(small), "--figures", str(folder), f"--out={out}"]) == 0
    files = sorted(each.name for each in folder.iterdir())
    assert len(files) == 2 * 9  # frontier, 2 rungs by cost and by rate, 3 along the run, portrait
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(out) and f"{len(files)} files" in said[1]
    again = chart(report([small], out), "quadratic-frontier")
    for file in export.save([again], tmp_path):
        assert file.read_bytes() == (folder / file.name).read_bytes()


@pytest.mark.parametrize("name", ["rosenbrock-b-100-paths", "quadratic-frontier"])
def test_a_paper_has_the_lines_of_the_page(page, name):
    drawn = chart(page, name)
    (axes,) = export.draw(drawn).axes
    lines = {line.get_label(): line for line in axes.lines}
    for each in drawn.series:
        if each.style is not None:
            assert np.array_equal(lines[each.name].get_xydata(), np.stack([each.x, each.y], axis=1))
    assert len(axes.patches) == sum(bool(level.curves) for level in drawn.levels)
    assert axes.get_ylim() == (drawn.y.low, drawn.y.high)


def test_a_page_and_a_paper_have_the_same_legends(swept, page):
    """Of each strip, whose charts share one on the page, and of the frontiers."""
    text = (swept[1] / "report.html").read_text()
    shown = [
        [
            html.unescape(each.rpartition(">")[2])
            for each in part.partition("</ul>")[0].split("</li>")[:-1]
        ]
        for part in text.split('aria-label="Legend">')[1:]
    ]
    parts = [[each.frontier for each in landscapes(page).values()]]
    parts += [strip.charts for each in landscapes(page).values() for strip in each.strips]
    printed = [dict.fromkeys(name for each in part for name in in_a_paper(each)) for part in parts]
    assert [set(each) for each in shown] == [set(each) for each in printed if each]
    assert {"start", "default", "tuned", "λmin", "sgd"} <= set().union(*shown)
    for each in page.charts:
        drawn = {name.partition(", ")[0] for name in (line.name for line in each.series) if name}
        assert drawn <= {name.partition(", ")[0] for name in in_a_paper(each)}, each.name


def test_an_optimizer_with_a_theory_is_named_by_its_measured_line(page):
    legend = next(each for each in page.charts if each.name == "quadratic-frontier").legend
    assert legend["theory"].dashed and not legend["sgd"].dashed


def in_a_paper(chart) -> list[str]:
    return [text.get_text() for each in export.draw(chart).legends for text in each.texts]


def test_a_figure_for_a_paper_names_its_problem(page):
    titles = {each.name: export.draw(each).axes[0].get_title("left") for each in page.charts}
    assert titles["quadratic-frontier"] == "quadratic"
    assert (
        titles["rosenbrock-b-100-paths"] == titles["rosenbrock-b-100-rates"] == "rosenbrock, b 100"
    )
    assert all(re.match("(quadratic|rosenbrock)", each) for each in titles.values())


def test_the_problems_of_a_suite_are_panels_of_one_figure(page, tmp_path):
    drawn = [each for each in page.charts if each.name.endswith("-convergence")]
    names = {each.name for each in export.save(drawn, tmp_path, {"sgd": "Ours"})}
    assert names == {f"{each.name}.{kind}" for each in drawn for kind in ("svg", "pdf")} | {
        "suite.svg",
        "suite.pdf",
    }
    panels = {each.problem: export._named(each, {"sgd": "Ours"}) for each in drawn}
    figure = export.together([*panels.values()])
    assert len(figure.axes) == len(panels) == 2
    assert [axes.get_title(loc="left").partition(",")[0] for axes in figure.axes] == [*panels]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Ours" in texts and "sgd" not in texts and len(texts) == len(set(texts))


def test_tables_for_a_paper(swept, tmp_path, capsys):
    found, folder = swept
    words = ["report", str(folder), f"--out={tmp_path / 'page.html'}", f"--latex={tmp_path}"]
    assert main([*words, "--label", "sgd=Ours_1"]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path}/  summary.tex  breaking_points.tex\n")
    summary, points = (
        (tmp_path / f"{name}.tex").read_text() for name in ("summary", "breaking_points")
    )
    for text in (summary, points):
        assert text.startswith("% needs \\usepackage{booktabs} and \\usepackage{longtable}\n")
        assert (
            text.isascii()
            and text.count("\\toprule") == 2
            and "Ours\\_1" in text
            and "sgd" not in text
        )
        assert "$<$img src=x onerror=alert(1)$>$" in text
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}") and text.count("95\\%") >= 2
    assert "of 3, with tuned" in summary and "half of 3 instances" in points
    tuned = found.summary[found.summary["choice"] == "tuned"]
    assert summary.count("\\\\\n") - 5 == len(tuned)  # head and caption twice, and the foot
    row = tuned[(tuned["optimizer"] == "newton") & (tuned["problem"] == "quadratic")].iloc[0]
    low, high = binomtest(int(row["solved"]), 3).proportion_ci(method="wilson")
    assert f"& {row['solved']:.0f} [{3 * low:.1f}, {3 * high:.1f}] &" in summary


@pytest.mark.parametrize(
    ("label", "wanted"),
    [("sdg=Ours", "'sdg': did you mean sgd? (allowed: sgd)"), ("sgd=", "as in --label MyOpt=Ours")],
)
def test_a_label_names_an_optimizer_of_the_sweep(label, wanted, small, tmp_path, capsys):
    page = tmp_path / "page.html"
    words = ["report", str(small), f"--out={page}", f"--label={label}"]
    assert main([*words, f"--latex={tmp_path}"]) == 2
    assert wanted in capsys.readouterr().err and not page.exists()
    assert main(words) == 2
    assert "--label needs --figures or --latex" in capsys.readouterr().err


# Folders.


def test_several_folders_are_one_page(small, tmp_path):
    sweep(Quadratic(dim=3), ["newton"], rungs=2, out=tmp_path / "more", **SIZE)
    both = report([small, tmp_path / "more", small], tmp_path / "both.html")
    assert sorted(both.optimizers) == ["newton", "sgd"]
    runs = landscapes(both)["quadratic"].runs.rows
    assert len(runs) == 2 * 2 * 3  # the same cell counts once


def test_a_legend_has_who_is_drawn(small, tmp_path):
    sweep(Rosenbrock(), ["newton"], rungs=2, out=tmp_path / "other", **SIZE)
    both = report([small, tmp_path / "other"], tmp_path / "both.html")
    (quadratic, rosenbrock) = (landscapes(both)[each] for each in ("quadratic", "rosenbrock"))
    assert list(quadratic.strips[0].legend) == ["sgd"]
    assert list(rosenbrock.strips[0].legend) == ["newton"]
    page = (tmp_path / "both.html").read_text()
    legends = [part.partition("</ul>")[0] for part in page.split('aria-label="Legend">')[1:]]
    of_both, *of_one = (sum(f"{name}</li>" in each for name in both.optimizers) for each in legends)
    assert of_both == 2 and set(of_one) <= {0, 1} and sum(of_one) >= 4


def test_the_same_optimizer_with_other_cells_is_told_apart(small, tmp_path):
    other = tmp_path / "other"
    sweep(Quadratic(dim=3), ["sgd", "idle"], rungs=2, out=other, **{**SIZE, "budget": 90})
    both = report([small, other], tmp_path / "both.html")
    assert sorted(both.optimizers) == ["idle", "sgd (other)", "sgd (small)"]


def drop(name):
    return lambda folder: (folder / name).unlink()


def stated(**changed):
    def change(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}))

    return change


def moved(folder):
    def change(points):
        row = points.index[(points["choice"] == "tuned") & (points["budget"] == 1)][0]
        points.loc[row, "breaking_point"] *= 2
        return points

    edit(folder, "breaking_points", change)


def foreign(folder):
    traces = pandas.read_parquet(folder / "traces.parquet")
    traces.assign(cell="0" * 24).to_parquet(folder / "traces.parquet")


def without(column):
    def change(folder):
        traces = pandas.read_parquet(folder / "traces.parquet")
        traces.drop(columns=column).to_parquet(folder / "traces.parquet")

    return change


def lettered(folder):
    traces = pandas.read_parquet(folder / "traces.parquet")
    traces.assign(gap="x").to_parquet(folder / "traces.parquet")


def renamed(folder):
    edit(folder, "runs", lambda runs: runs.assign(optimizer="x"))


def fewer(folder):
    edit(folder, "breaking_points", lambda points: points.iloc[: len(points) // 2])


def running(folder):
    (folder / ".cells").mkdir()


def compact(folder):
    stated(rows="chosen")(folder)
    edit(folder, "runs", lambda runs: runs.assign(trials=9, tuning_seeds=2))


def shorter(folder):
    edit(folder, "breaking_points", lambda points: points.drop(columns="text"))


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (shutil.rmtree, "does not exist, but must be the folder of a sweep"),
        (drop("manifest.json"), "is not the folder of a sweep: it has no manifest.json"),
        (
            stated(schema=99),
            "was written by another version of Ravine .schema 99, this one has 2.: give another folder",
        ),
        (drop("traces.parquet"), "is half-written: it has no traces.parquet"),
        (drop("breaking_points.csv"), "is half-written: it has no breaking_points.csv"),
        (running, "is half-written: its sweep is still running"),
        (moved, "sgd breaks on quadratic at .* in breaking_points, and elsewhere by summary"),
        (foreign, "traces has cells that are not in runs"),
        (shorter, "breaking_points has no column text"),
        (fewer, "breaking_points lacks rows of "),
        (without("lambda_min"), "traces has no column lambda_min"),
        (renamed, "optimizer in runs is 'x', and another in manifest.json"),
        (lettered, "gap in traces is 'x', but must be a number"),
        (stated(seconds="x"), "manifest.json cannot be read: seconds is 'x', but must be a number"),
        (stated(packages=None), "packages is None, but must be a table"),
        (compact, "has only the runs of the chosen trials"),
    ],
)
def test_a_folder_that_is_no_whole_sweep_is_one_line(copy, spoil, wanted, capsys):
    (copy / "report.html").unlink(missing_ok=True)
    spoil(copy)
    assert main(["report", str(copy)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(wanted, said) and str(copy) in said
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            [],
            "report needs the folder of a sweep, as in report results/first --latex tables (the newest: list --last)",
        ),
        (["--latex", "results/first"], "report needs the folder of a sweep"),
        (["x", "--figure", "y"], "unknown flag --figure: did you mean --figures"),
        (["x", "--out"], "argument --out: expected one argument"),
        (["x", "--out="], "argument --out: needs a path"),
    ],
)
def test_bad_input_is_one_line(words, wanted, capsys):
    assert main(["report", *words]) == 2
    assert wanted in capsys.readouterr().err


def test_a_page_of_several_folders_overwrites_reports_only(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "report.html"
    file.write_text("mine")
    with pytest.raises(Refused, match=r"report\.html is here already and is not a report"):
        report([small, small])
    assert file.read_text() == "mine"
    file.unlink()
    for _ in range(2):
        report([small, small])
        assert "Ravine</title>" in file.read_text()


def test_a_published_folder_is_refused_before_its_tables_are_read(small, tmp_path):
    (tmp_path / "manifest.json").write_text((small / "manifest.json").read_text())
    stated(rows="chosen")(tmp_path)
    with pytest.raises(Refused, match="has only the runs of the chosen trials"):
        report([tmp_path])


def test_a_page_that_cannot_be_written_is_one_line(small, tmp_path):
    with pytest.raises(Refused, match="cannot be written: No such file"):
        report([small], tmp_path / "nowhere" / "page.html")


def test_runs_may_be_parquet(copy):
    runs = pandas.read_csv(copy / "runs.csv", low_memory=False)
    runs.to_parquet(copy / "runs.parquet")
    (copy / "runs.csv").unlink()
    assert report([copy]).optimizers == ["sgd"]


# In a browser.


@pytest.fixture
def opened(browser, swept, page) -> Browser:
    browser.size(1440, 900)
    browser.open(swept[1] / "report.html", "#p-quadratic")
    return browser


def test_it_opens_from_disk_without_network_and_without_complaint(opened, swept):
    said = {name: [] for name in ("Network.requestWillBeSent", *COMPLAINTS)}
    for event in opened.events:
        if event["method"] in said:
            said[event["method"]].append(event["params"])
    (request,) = said.pop("Network.requestWillBeSent")
    assert request["request"]["url"].startswith((swept[1] / "report.html").as_uri())
    assert not any(said.values()), said
    # The link led into a part that was closed.
    assert opened.run("document.querySelector('#p-quadratic').open")
    assert not opened.run("document.querySelector('#p-rosenbrock').open")


COMPLAINTS = (
    "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded",
    "Page.javascriptDialogOpening",
)  # fmt: skip


def test_names_with_html_are_text(opened):
    assert opened.run("document.images.length") == 0
    for where in (".matrix thead", "#p-quadratic table tbody"):
        assert TAG in opened.run(f"document.querySelector('{where}').textContent")


def test_filters_hide_rows_columns_and_lines(opened, page):
    def shown(place: int) -> list[str]:
        return opened.run(
            f"""[...document.querySelectorAll('main [data-o="{place}"]')]
            .filter(e => e.getClientRects().length).map(e => e.tagName)"""
        )

    mine, other = (page.optimizers.index(name) for name in ("sgd", "newton"))
    before = shown(mine), shown(other)
    assert {"TH", "TD", "TR", "g", "LI"} <= set(before[0])
    box = f"document.querySelectorAll('.bar input')[{mine}].click()"
    opened.run(box)
    assert (shown(mine), shown(other)) == ([], before[1])
    opened.run(box)
    assert (shown(mine), shown(other)) == before
    visible = "document.querySelector('#p-quadratic').getClientRects().length"
    # Both problems are of one subsection: as if it were another one.
    for place, seen in ((0, 1), (7, 0)):
        opened.run(
            f"""document.querySelector('.problems section').dataset.g = '{place}';
            document.querySelector('#section').value = '0';
            document.querySelector('#section').dispatchEvent(new Event('change', {{bubbles: true}}))"""
        )
        assert opened.run(visible) == seen


def test_headers_sort_and_say_so(opened):
    opened.run("window.table = document.querySelectorAll('#p-quadratic table')[1]")
    cells = "[...table.tBodies[0].rows].map(row => row.cells[{}].textContent)"
    header = "table.tHead.rows[0].cells[{}]"

    def percent() -> list[float]:
        return [float(each.split()[0]) for each in opened.run(cells.format(4))]

    unsorted, share = percent(), header.format(4)
    assert unsorted != sorted(unsorted)
    assert opened.run(f"{share}.getAttribute('aria-sort')") == "none"
    for direction in ("ascending", "descending"):
        opened.run(f"{share}.querySelector('button').focus()")
        opened.press("Enter")
        assert opened.run(f"{share}.getAttribute('aria-sort')") == direction
        assert percent() == sorted(unsorted, reverse=direction == "descending")
    opened.run(f"{header.format(6)}.querySelector('button').click()")
    assert opened.run(f"{share}.getAttribute('aria-sort')") == "none"
    found = opened.run(cells.format(6))
    known = [float(each) for each in found if each != "–"]
    missing = ["–"] * (len(found) - len(known))
    assert known == sorted(known) and found[len(known) :] == missing != []


def test_values_are_read_off_figures_by_pointer_and_by_key(opened, page):
    drawn = chart(page, "quadratic-condition-100000-convergence")
    line = series(page, drawn.name)["newton"]
    opened.run(f"window.figure = {FIGURE}; figure.scrollIntoView({{block: 'center'}})")
    box = "(b => [b.left, b.top, b.width, b.height])(figure.getBoundingClientRect())"
    left, top, width, height = opened.run(box)
    middle = len(line.x) // 2
    across = (svg.LEFT + svg.ACROSS * float(drawn.x.place(line.x[middle]))) / svg.WIDTH
    opened.point(left + width * across, top + height / 2)
    rows = "[...document.querySelectorAll('#tip div')].map(e => [...e.childNodes].map(n => n.textContent))"
    shown = dict(opened.run(rows))
    # Places have a tenth of a pixel: of 172 along ten decades or 258 along two, that is 3 % at most.
    assert float(shown["cost, in gradients"]) == pytest.approx(line.x[middle], rel=0.03)
    assert float(shown["newton"]) == pytest.approx(line.y[middle], rel=0.03)
    opened.point(left + width / 2, top + height + 60)
    assert opened.run("document.querySelector('#tip').hidden")
    opened.run("figure.focus()")
    at = "document.querySelector('#tip div b').textContent"
    met = []
    for _ in range(3):
        opened.press("ArrowLeft")
        met.append(float(opened.run(at)))
    assert met == sorted(met, reverse=True) and met[0] > met[-1]
    assert opened.run("document.querySelector('#tip').getAttribute('role')") == "status"


FIGURE = """[...document.querySelectorAll('#p-quadratic figure')]
    .find(e => e.textContent.startsWith('condition 100000')).querySelector('svg')"""
CONTRAST = """
(() => {
  const light = ([r, g, b]) => {
    const bent = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * bent(r) + .7152 * bent(g) + .0722 * bent(b);
  };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const paper = light(numbers(getComputedStyle(document.documentElement).backgroundColor));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 99, what = "", count = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, unseen = !e.getClientRects().length;
    if (!walker.currentNode.data.trim() || e.closest("script,style,option") || unseen) continue;
    const style = getComputedStyle(e);
    const ink = light(numbers(e instanceof SVGElement ? style.fill : style.color));
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
    paper_is = "getComputedStyle(document.documentElement).backgroundColor"
    at_first = browser.run(paper_is)
    assert (at_first == "rgb(255, 255, 255)") != dark
    for is_dark in (dark, not dark):
        least, count, what = browser.run(CONTRAST)
        assert count > 200 and least >= 4.5, what  # WCAG 2.2, 1.4.3
        said = browser.run("document.querySelector('#theme').textContent")
        assert said == ("Light" if is_dark else "Dark")
        browser.run("document.querySelector('#theme').click()")
    assert browser.run(paper_is) == at_first


def test_a_screen_reader_is_told_what_everything_is(opened):
    by_role: dict[str, list[str]] = {}
    for node in opened.ask("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            name = node.get("name", {}).get("value", "")
            by_role.setdefault(node["role"]["value"], []).append(name)
    images = by_role["image" if "image" in by_role else "img"]
    assert len(images) > 10 and all(len(name) > 20 for name in images)
    tables = by_role["table"]
    assert len(tables) > 3 and all(tables)
    assert "Breaking points by pathology and optimizer" in tables
    assert {"Breaking points", "Problem by problem"} <= set(by_role["heading"])
    assert len(by_role["checkbox"]) == 3
    for role in ("checkbox", "button", "combobox", "link", "columnheader", "rowheader"):
        assert all(by_role[role]), role


def test_keys_reach_what_a_pointer_does(browser, swept, page):
    browser.size(1440, 900)
    browser.open(swept[1] / "report.html")
    met = set()
    for _ in range(12):
        browser.press("Tab")
        met.add(browser.run("document.activeElement.id || document.activeElement.tagName"))
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"INPUT", "section", "theme", "A"} <= met


def test_a_number_that_is_none_sorts_last():
    assert [attribute(each) for each in (math.nan, math.inf, 2.0)] == ["", "1e999", "2"]


MINE = """
import torch


class MyOpt(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()
"""


def test_the_page_of_a_suite_is_that_of_its_folder_in_this_process_and_in_another(ravine, files):
    (files / "my_opt.py").write_text(MINE)
    size = "trials=2 seeds=5 tuning_seeds=1 rungs=3 budget=200"
    answer = ravine(f"+suite=plateaus optimizer=my_opt.py:MyOpt,sgd,adam {size} out=suite")
    page = files / "suite" / "report.html"
    of_suite = page.read_bytes()
    assert "MyOpt breaks first on " in answer.out
    assert b"MyOpt breaks first on " in of_suite
    assert ravine("report suite").code == 0
    assert page.read_bytes() == of_suite
    page.unlink()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks", "report", "suite"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert page.read_bytes() == of_suite


def test_an_order_of_three_says_how_far_it_carries(swept, tmp_path):
    """Of two problems it says nothing."""
    first = "Optimizers are ordered by their mean place."
    assert not any(each.startswith(first) for each in report([swept[1]]).remarks)
    problems = [Quadratic(dim=2), Rosenbrock(), Bowl()]
    sweep(problems, ["sgd", "newton", "idle"], rungs=2, out=tmp_path / "three", **SIZE)
    (said,) = [each for each in report([tmp_path / "three"]).remarks if each.startswith(first)]
    assert "a Kendall's τ of 0." in said or "a Kendall's τ of 1." in said
    assert said.endswith("with so few instances).")
