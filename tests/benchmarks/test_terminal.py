"""Tables as they are read: best first, ties said so, and nothing said that cannot be known."""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas
import pytest
import yaml

from benchmarks import sweep
from benchmarks.analysis.ranks import ranks
from benchmarks.catalog.loading import CONF
from benchmarks.catalog.suites import suites
from benchmarks.cli.help import two_columns
from benchmarks.cli.main import main
from benchmarks.cli.show import atlas, card
from benchmarks.cli.subcommands import SUBCOMMANDS
from benchmarks.display.breaking_table import Matrix
from benchmarks.display.sweep_views import views
from benchmarks.display.view import READS_LIKE, WHY, View
from benchmarks.runner.progress import Progress
from optimizers.sgd import SGD
from ravine.terminal import filled
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl
from tests.benchmarks.terminal import Terminal


def test_who_is_alone_or_solves_nothing_has_no_rank():
    size = {"trials": 3, "tuning_seeds": 2, "seeds": 6}
    (alone,) = views(sweep(Bowl(), ["newton", "idle"], budget=100, **size).tables)
    assert list(alone.table[""]) == ["newton", "idle"] and "No ranks" not in alone.text()
    (nobody,) = views(sweep(Bowl(), ["sgd", "adam"], budget=3, **size).tables)
    assert set(nobody.table[""]) == {"sgd", "adam"} and set(nobody.table["tuned"]) == {"0 of 6"}
    assert nobody.remarks[0] == "No ranks: no run reaches the target."


def test_quick_sweeps_have_enough_instances_to_rank_ten_optimizers():
    """Ten that differ on all instances but one have ten ranks."""
    preset = (CONF / "preset" / "quick.yaml").read_text()
    for seeds in (yaml.safe_load(preset)["seeds"], suites()["quick"].options["seeds"]):
        paid = np.repeat(np.arange(10.0)[:, None], seeds, axis=1)
        paid[:, 0] = 1.0
        assert ranks(paid).tolist() == [*range(1, 11)]


def test_the_best_comes_first_and_the_remarks_say_what_the_marks_mean():
    found = sweep(Bowl(), ["sgd", "newton", "idle"], trials=9, tuning_seeds=2, seeds=6, budget=100)
    (view,) = views(found.tables)
    assert [name.split()[-1] for name in view.table[""]][-1] == "idle"
    assert view.table["tuned"].iloc[0] == "6 of 6"
    assert view.remarks[0].startswith("Ranks differ only where the first of one is better than all")
    few = sweep(Bowl(), ["sgd", "idle"], trials=2, tuning_seeds=1, seeds=5, budget=20)
    (view,) = views(few.tables)
    assert not any(name[0].isdigit() for name in view.table[""])
    said = "No ranks: 5 instances are too few to tell optimizers apart: it takes 6 (seeds=6)."
    assert said in view.remarks


def test_what_is_told_the_truth_or_meant_to_fail_has_no_rank():
    found = sweep(Bowl(), ["sgd", "newton", "idle"], trials=9, tuning_seeds=2, seeds=6, budget=100)
    (view,) = views(found.tables)
    names = list(view.table[""])
    assert names[-1] == "idle"
    assert all(name[0].isdigit() for name in names[:-1])
    assert "Not ranked (meant to fail): idle." in view.text()


def test_where_there_is_noise_the_final_gap_is_ranked():
    """Descent at a large rate enters the target first, and shakes farther from the minimum."""
    rates = [SGD(lr=0.1), SGD(lr=0.02)]
    found = sweep(NoisyBowl(noise=0.01), rates, tuning_seeds=2, seeds=8, budget=2000)
    (view,) = views(found.tables)
    assert list(view.table[""]) == ["1 SGD(lr=0.02)", "2 SGD(lr=0.1)"]
    assert set(view.table["tuned"]) == {"8 of 8"}
    costs = found.summary[found.summary["choice"] == "tuned"].set_index("optimizer")[
        "cost_to_target"
    ]
    assert costs["SGD(lr=0.1)"] < costs["SGD(lr=0.02)"]
    assert "Ranked by the final gap" in view.text()


# How wide it is.

STYLES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def wide(monkeypatch):
    """Make stdout a terminal of so many columns."""

    def wide(columns):
        monkeypatch.setattr(sys, "stdout", Terminal())
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")

    return wide


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_draw_a_line_anew_gets_a_log(monkeypatch, term, drawn):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", term)
    assert (Progress({}, 1, list).bar is not None) == drawn


def table(name="1= clipped_momentum"):
    """The columns of README's first table."""
    return View(
        "cliff · units 6, steps 50 · 10 optimizers × 25 trials × (5 tuning + 10 reporting) instances · budget 1000",
        pandas.DataFrame({
            "": [name, "4= newton"],
            "solved by default": ["0 of 10", "4 of 10"],
            "tuned": ["10 of 10", "8 of 10"],
            "solved by 4, 16 trials": ["8.4, 10.0", "3.0, 7.0"],
            "gradients to target [98%]": ["94 [91, 106]", "125 [125, –]"],
            "final gap": ["3.5e-05", "4.0e-15"],
            "settings that solve": ["6.8 decades²", "0.14 decades"],
            READS_LIKE: ["vanishing gradient 6, cliff 2, step too large 1", "vanishing gradient 2"],
        }),
        ["Ranks differ only where the first of one is better than all below it, by sign test and by mean place."],
    )  # fmt: skip


def squeezed(text):
    return " ".join(STYLES.sub("", text).split())


def widths(text):
    return [len(line) for line in STYLES.sub("", text).splitlines()]


@pytest.mark.parametrize(("columns", "most"), [(60, 60), (80, 80), (120, 120), (300, 140)])
def test_a_table_is_as_wide_as_the_terminal_and_loses_nothing(columns, most, wide):
    view, plain = table(), table().text()
    assert max(widths(plain)) > 140  # in a log, one line per optimizer
    wide(columns)
    text = view.for_stdout()
    assert view.text() == plain != text
    assert most - 35 < max(widths(text)) <= most
    for label in view.table:
        assert set(label.split()) <= set(squeezed(text).split())
        if label != READS_LIKE:
            assert all(STYLES.sub("", text).count(cell) >= 1 for cell in view.table[label])
    assert squeezed(view.remarks[0]) in squeezed(text) and squeezed(view.title) in squeezed(text)


def test_what_has_no_room_follows_beside_the_names_again(wide):
    wide(80)
    rows = STYLES.sub("", table().for_stdout()).splitlines()
    first, again = (row for row in rows if row.startswith("4= newton"))
    assert first.split()[:5] == ["4=", "newton", "4", "of", "10"] and "125 [125, –]" in first
    assert again.endswith("vanishing gradient 2")
    wide(140)
    assert sum(row.startswith("4= newton") for row in table().for_stdout().splitlines()) == 1


def test_a_table_fits_whatever_its_names_and_reasons(wide):
    reason = "ValueError: " + 30 * "the step is not finite, "
    failed = View(
        "failed", pandas.DataFrame({"problem": ["cliff"], "dial": [6.0], WHY: [reason]}), []
    )
    wide(80)
    shown = failed.for_stdout()
    assert max(widths(shown)) <= 80 and squeezed(reason)[-20:] in squeezed(shown)
    long = table("MyOpt(betas.0=0.9, weight_decay=0.01, momentum=0.9, nesterov=True)")
    assert max(widths(long.for_stdout())) <= 80
    assert View("none in both", pandas.DataFrame([]), ["Only in a."]).for_stdout().count("\n") == 2


def test_the_command_fits_its_table_and_a_sweep_in_python_does_not(wide, files):
    wide(60)
    small = {"trials": 2, "tuning_seeds": 1, "seeds": 2, "budget": 5}
    words = [f"{name}={value}" for name, value in small.items()]
    assert main(["+problem=quadratic", "problem.dim=2", "optimizer=sgd", *words]) == 0
    assert STYLES.search(sys.stdout.getvalue())
    assert not STYLES.search(repr(sweep("quadratic", "sgd", **small)))


def test_breaking_points_are_shown_in_blocks_that_fit(wide):
    names = ["sgd", "adam", "newton"]
    small = {"trials": 2, "tuning_seeds": 1, "seeds": 2, "budget": 5, "rungs": 2}
    found = sweep(["quadratic", "rosenbrock", "hilbert", "monkey_saddle", "shelf"], names, **small)
    wide(60)
    blocks = [view.for_stdout() for view in Matrix(found.tables).views(60)]
    assert len(blocks) == 2 and max(max(widths(text)) for text in blocks) <= 60


@pytest.mark.parametrize("columns", [80, 120])
def test_help_lists_and_cards_fit(columns, wide, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/me/benchmarks/__main__.py"])
    elsewhere = atlas()
    wide(columns)
    for words in (["--help"], *([name, "--help"] for name in SUBCOMMANDS)):
        assert main(words) == 0
    for text in (sys.stdout.getvalue(), atlas(), card("cliff"), card("adam")):
        assert max(widths(text)) <= columns
    assert set(elsewhere.split()) == set(atlas().split())
    assert "f(w, b) = (σ(x_T)" in card("cliff") and "\nunits: how many" in card("cliff")


def test_a_long_name_has_its_description_below():
    short, long = "a", 60 * "b"
    assert two_columns([(short, "one"), (long, "two")]) == ["  a  one", f"  {long}", "     two"]


def test_prose_is_wrapped_on_a_terminal_alone(wide):
    text = 30 * "word "
    assert filled(text) == text
    wide(80)
    assert max(widths(filled(text))) <= 80
