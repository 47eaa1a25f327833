"""The doctor's report: what comes first, what fits where, and what the page shows to a browser."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import benchmarks.doctor
from benchmarks.diagnosis import CAUSES, OUTCOMES, Evidence, Record, Verdict
from benchmarks.doctor import Doctor
from benchmarks.doctor.advice import Chart, advice
from benchmarks.doctor.judge import Judgement, Run
from benchmarks.doctor.losses import Losses
from benchmarks.doctor.overhead import Watch
from benchmarks.doctor.page import Page, composed
from benchmarks.doctor.records import COLUMNS
from benchmarks.doctor.report import Report
from benchmarks.doctor.trials import Change, Tried
from benchmarks.doctor.words import MEANINGS
from tests.benchmarks.doctor.reports import unwrapped

TAG = "<img src=x onerror=alert(1)>"


def trained(lr: float, steps: int = 120, tag: str = "a_name_longer_than_most_" * 3) -> Doctor:
    """A doctor of a perceptron at this rate whose first layer has this name."""
    torch.manual_seed(0)
    x = torch.randn(64, 6)
    y = x[:, :3].argmax(1)
    model = nn.Sequential()
    for name, module in {tag: nn.Linear(6, 32), "relu": nn.ReLU(), "two": nn.Linear(32, 3)}.items():
        model.add_module(name, module)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr), overhead=math.inf)
    for step in range(steps):
        rows = slice(step % 4 * 16, step % 4 * 16 + 16)
        doctor.step(lambda: nn.functional.cross_entropy(model(x[rows]), y[rows]))  # noqa: B023
    return doctor


@pytest.fixture(scope="module")
def slow() -> Report:
    """Of a run at a rate that is far too small."""
    return trained(0.001, 200).report()


@pytest.fixture(scope="module")
def broken() -> Report:
    """Of a run whose loss is not finite, with a layer that a browser would take for a picture."""
    return trained(1e6, 12, tag=TAG.replace(".", "")).report()


def run(*tried: Tried, rate: float = math.nan, **columns: float) -> Run:
    """A run of 50 losses that stay at 1, and one measurement."""
    losses = Losses()
    for _ in range(50):
        losses.add(1.0)
    given = {"step": 0.0, "loss": 1.0} | columns
    rows = {name: np.array([given.get(name, math.nan)]) for name in COLUMNS}
    settings = {} if math.isnan(rate) else {"lr": rate}
    record = Record(status="running", settings=settings, **rows)  # type: ignore[arg-type] - columns are arrays
    return Run(record, (), losses, 0.0, (), tried, None, math.nan, math.nan)


def found(cause: str, **helped: Tried) -> Judgement:
    return Judgement(Verdict(cause, ((cause, 1.0),), (), (), ()), (), {}, dict(helped))


def said(
    cause: str, *, rate: float = math.nan, tried: Tried | None = None, **columns: float
) -> str:
    helped = {} if tried is None else {cause: tried}
    (text,) = advice(found(cause, **helped), Chart(run(rate=rate, **columns).record, (), 7.0))
    return text


def trial(name: str, cause: str, helps: bool, gain: float = 12.0, **change) -> Tried:
    losses = tuple(np.linspace(1.0, 0.1, 20))
    return Tried(
        Change(name, cause, 20, **change), 0, 20, 0.1, 1.0, gain, helps, helps, helps, losses
    )


def page_of(report: Report) -> Page:
    return composed(report.run, report.verdict, report.why, report.to_try, report.notes)


# The words.


def test_each_cause_and_fault_has_its_meaning_in_words():
    code = "".join(
        each.read_text("utf-8") for each in Path(benchmarks.doctor.__file__).parent.glob("*.py")
    )
    named = {*re.findall(r'\bfault\(\s*"(\w+)"', code)}
    assert {"output_unit", "frozen_weights", "not_finite"} <= named
    assert {*CAUSES, *OUTCOMES, *named, "nothing_found", "noise_labels"} <= {*MEANINGS}


# The text.


def test_no_line_is_longer_than_80_columns(slow, broken):
    for report in (slow, broken):
        assert max(map(len, str(report).splitlines())) <= 80


def test_the_order_is_verdict_why_what_to_try_layers_evidence_what_was_tried_in_vain_remarks(slow):
    parts = [part.splitlines()[0] for part in str(slow).split("\n\n")]
    assert parts[0] == "Verdict: step too small (the learning rate is too small)"
    titles = [
        "Why",
        "What to try",
        "Layers, when last measured",
        "Evidence (all of it in .frame)",
        "Also tried",
    ]
    assert [part for part in parts if part in titles] == titles
    assert "200 steps, " in [line[:11] for line in str(slow).splitlines()]


def test_what_was_tried_comes_first_and_why_says_how_much_sooner_it_got_there(slow):
    helped = max((each for each in slow.run.tried if each.helps), key=lambda each: each.gain)
    assert slow.to_try[0].startswith(f"Tried: {helped.change.name} from step 100 on: loss ")
    assert slow.why[0] == helped.gained
    assert re.search(r"The loss went from 1\.\d+ to 1\.\d+", slow.why[-1])
    assert [each for each in slow.to_try if each in " ".join(slow.why)] == []


def test_what_was_tried_in_vain_has_one_line_each(slow):
    assert [each.change.name for each in slow.vain] == [
        "learning rate 0.0001 for 0.001",
        "batches 16 times as large",
    ]
    for vain in slow.vain:
        assert f"- {vain.change.name}, 100 steps from step 100 on: loss " in unwrapped(slow)
    assert unwrapped(slow).count("(not clearly lower)") == 2


def test_the_last_trial_of_a_change_stands_for_all_of_them():
    early = trial("learning rate 1 for 0.1", "step_too_small", False)
    late = dataclasses.replace(early, began=30)
    report = Report.of(run(early, late), ())
    assert report.vain == [late]


def test_a_verdict_from_a_measurement_alone_says_which():
    """No trial, no fault of the program: the first test that holds stands before the loss."""
    report = Report.of(run(lambda_max=1.0, stability=3.0, g_s=-1.0, s_h_s=9.0), ())
    assert report.verdict.cause == "step_too_large"
    assert report.why[0] == "Late steps go up: 1, against a limit of 0.25."
    assert "  - step too large: late steps go up, " in str(report)


def test_a_gain_without_end_is_said_in_words():
    assert "a level that this run never does" in trial("a change", "noise", True, math.inf).gained


# Advice keeps to its verdict.


@pytest.mark.parametrize("ratio", [math.nan, 0.0, 0.1, 0.49, 0.51, 1.0, 40.0])
@pytest.mark.parametrize(
    ("cause", "below"),
    [
        ("step_too_large", True),
        ("sharpening", True),
        ("step_too_small", False),
        ("long_path", False),
    ],
)
def test_a_proposed_rate_is_on_the_side_that_the_verdict_says(cause, below, ratio):
    text = said(cause, rate=0.01, stability=ratio, g_s=-1.0, s_h_s=2 * ratio)
    proposed = float(re.search(r"learning rate of (\S+?),? ", text)[1])  # type: ignore[index]
    assert proposed < 0.01 if below else proposed > 0.01


@pytest.mark.parametrize(
    ("cause", "words"),
    [("step_too_large", "a tenth of the present"), ("step_too_small", "ten times the present")],
)
def test_without_a_number_the_verdict_gives_the_direction(cause, words):
    assert words in said(cause)
    assert words in said(cause, rate=0.01)
    assert ("0.001," if "tenth" in words else "0.1,") in said(cause, rate=0.01)


def test_a_rate_that_was_tried_is_the_one_that_is_proposed():
    tried = trial("learning rate 0.01 for 0.1", "step_too_large", True, factor=0.1)
    text = said("step_too_large", rate=0.1, stability=0.7, tried=tried)
    assert text.startswith(
        "Tried: learning rate 0.01 for 0.1 from the start on: loss 0.1 after 20 steps, this run 1. Try"
    )
    assert "Try that rate, or warm up to the present one." in text
    assert "learning rate of" not in text


def test_a_trial_that_got_lower_is_said_even_if_it_was_not_fast_enough_to_prove_the_cause():
    slower = dataclasses.replace(
        trial("learning rate 1 for 0.1", "step_too_small", False, factor=10.0), lower=True
    )
    (text,) = advice(found("step_too_small"), Chart(run().record, (), math.nan, [slower]))
    assert text == f"{slower.sentence} Try that rate."
    apart = dataclasses.replace(slower, change=dataclasses.replace(slower.change, cause="noise"))
    report = dataclasses.replace(Report.of(run(), ()), run=run(apart))
    assert "loss 0.1, this run 1 (lower, but not 5 times sooner)" in unwrapped(report)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cause", [*CAUSES])
def test_no_measured_number_is_too_odd_for_advice(cause, value):
    """A run that stands still to the last bit has changes and curvatures of exactly 0."""
    assert "nan" not in said(cause, rate=0.1, **dict.fromkeys(COLUMNS, value))
    measured = dict.fromkeys(COLUMNS, 1.0)
    for name in COLUMNS:
        assert "nan" not in said(cause, rate=0.1, **(measured | {name: value}))


def test_clipping_and_batches_that_were_tried_have_no_second_number():
    clipped = trial("gradients clipped at norm 1", "exploding_gradient", True, clip=1.0)
    assert "running median" not in said("exploding_gradient", tried=clipped)
    assert "at norm 7, the running median" in said("exploding_gradient")
    larger = trial("batches 16 times as large", "noise", True, batches=16)
    assert "as large (" not in said("noise", tried=larger, noise_h=12.0, g_h_g=3.0)


def test_curvature_speaks_against_a_larger_rate_only_where_it_limits_it():
    assert "A larger rate does not help" in said("ill_conditioning", lambda_max=3.0, stability=0.5)
    for stability in (math.nan, 0.007):
        text = said("ill_conditioning", lambda_max=3.0, stability=stability)
        assert "larger rate" not in text and "nan" not in text


@pytest.mark.parametrize("cause", ["cliff", "exploding_gradient"])
def test_advice_to_clip_holds_with_the_doctor_and_in_a_loop_that_is_watched(cause):
    text = said(cause)
    assert "at norm 7, the running median: clip_grad_norm_ between backward and the step" in text
    assert "(with doctor.step: in before_update)" in text


def test_causes_with_one_remedy_get_it_once():
    both = Verdict("step_too_large", (("step_too_large", 1.0), ("sharpening", 0.9)), (), (), ())
    assert len(advice(Judgement(both, (), {}, {}), Chart(run().record, (), math.nan))) == 1


# The page.


def test_the_page_is_one_file_whose_text_is_escaped(broken, tmp_path):
    page = broken.html(tmp_path / "page.html").read_text("utf-8")
    assert TAG not in page and html.escape(TAG) in page
    assert "<title>Verdict: " in page
    assert not re.search(r"""\b(src|href)=(?!["']?(data:|#))""", page.replace(html.escape(TAG), ""))
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(broken, tmp_path):
    frame = broken._repr_html_()
    inside = re.search(r'srcdoc="([^"]*)"', frame)[1]  # type: ignore[index]
    assert html.unescape(inside) == broken.html(tmp_path / "page.html").read_text("utf-8")


def test_the_curves_show_the_run_its_measurements_and_the_trials_beside_it(slow):
    whole, *tried, gradient = page_of(slow).curves
    line, measured = whole.series
    assert len(line.y) == 200
    assert line.y.mean() == pytest.approx(slow.run.losses.values.mean())
    assert list(measured.x) == [each.row["step"] for each in slow.run.measured]
    assert [each.title for each in tried] == ["Tried from the start on", "Tried from step 100 on"]
    assert [chart.series[0].name for chart in tried] == ["this run", "this run"]
    curves = [curve for chart in tried for curve in chart.series[1:]]
    for curve, trial in zip(curves, slow.run.tried, strict=True):
        assert curve.style is not None
        assert curve.name == page_of(slow).key[curve.style] == trial.change.name
        assert (curve.x[0], list(curve.y)) == (trial.began, list(trial.losses))
    assert list(gradient.series[-1].y) == pytest.approx(slow.chain.tolist())  # type: ignore[union-attr]


def test_where_the_run_broke_and_where_it_jumped_is_marked(broken):
    assert broken.run.not_finite is not None
    whole = page_of(broken).curves[0]
    assert (broken.run.not_finite.step, "not finite") in whole.marks
    jumping = dataclasses.replace(broken, run=dataclasses.replace(broken.run, jumps=(2,)))
    assert list(page_of(jumping).curves[0].series[-1].x) == [2]


def test_jumps_are_kept_for_the_page_and_stay_few():
    watch = Watch()
    for step in range(2000):
        watch.event(step, [100.0 if step % 50 == 49 else 1.0 + step % 2 / 100], 1.0)
    assert watch.jumped[0] == 49
    assert all(step % 50 == 49 for step in watch.jumped)
    assert 2 <= len(watch.jumped) <= 20


def test_the_loss_has_a_logarithmic_axis_unless_it_is_negative_or_flat():
    def scale(*losses: float) -> str:
        given = run()
        given.losses.__init__()
        for each in losses:
            given.losses.add(each)
        return page_of(Report.of(given, ())).curves[0].y.scale

    assert scale(2.0, 1.0, 0.1) == scale(2.0, 1.0, 0.1, 0.0) == scale(2.0, 0.1, math.inf) == "log"
    assert scale(2.0, 1.9, 1.8) == scale(2.0, 0.1, -1.0) == scale(math.nan, math.nan) == "linear"


def test_a_long_run_is_drawn_by_means_with_their_extremes():
    given = run()
    for k in range(1, 1200):
        given.losses.add(2.0 + k % 2)
    line = page_of(Report.of(given, ())).curves[0].series[0]
    assert len(line.x) == 250
    assert line.band is not None
    assert (line.band[0][-2], line.y[-2], line.band[1][-2]) == (
        2.0,
        pytest.approx(2.5, abs=0.2),
        3.0,
    )


def test_evidence_that_holds_comes_first_and_what_was_not_measured_is_counted():
    outcomes = [False, None, True]
    rows = [
        Evidence("noise", f"test {k}", "f", 1.0, 2.0, holds, "a book")
        for k, holds in enumerate(outcomes)
    ]
    verdict = Verdict("noise", (("noise", 1.0),), (), (), tuple(rows))
    report = dataclasses.replace(Report.of(run(), ()), verdict=verdict)
    ((title, table),) = page_of(report).tables
    assert title == "Evidence (2 tests)"
    assert [row.fields[1].text for row in table.rows] == ["test 2", "test 0"]
    assert table.note.startswith("1 more could not be measured")


def test_a_gradient_that_was_nowhere_finite_is_left_out():
    given = run()
    given = dataclasses.replace(
        given,
        record=dataclasses.replace(
            given.record, chain=np.full((1, 3), np.nan), layers=("a", "b", "c")
        ),
    )
    report = Report.of(given, ())
    assert report.chain is None
    assert "Gradient from" not in unwrapped(report)
    assert [each.name for each in page_of(report).curves] == ["loss"]


def test_a_report_of_no_step_has_a_page(tmp_path):
    model = nn.Linear(2, 1)
    report = Doctor(model, torch.optim.SGD(model.parameters(), 0.1)).report()
    page = report.html(tmp_path / "page.html").read_text("utf-8")
    assert "The doctor has seen no loss" in page
    assert "<svg" not in page.partition("<main>")[2]


@pytest.mark.parametrize(
    ("width", "dark"), [(390, True), (390, False), (1100, True), (1100, False)]
)
def test_in_a_browser(browser, slow, tmp_path, width, dark):
    """Nothing is cut off at any width, the button changes the look, and the evidence is folded below."""
    browser.size(width, 800, dark)
    browser.open(slow.html(tmp_path / "page.html"))
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.querySelectorAll('h1, h2')].map(each => each.innerText.split('\\n')[0])")[1:] == [
        "Why", "What to try", "What happened where",
    ]  # fmt: skip
    assert browser.run("[...document.querySelectorAll('details')].map(each => each.open)") == [
        True,
        False,
        False,
        False,
    ]
    look = "getComputedStyle(document.documentElement).backgroundColor"
    before = browser.run(look)
    browser.run("document.querySelector('#theme').click()")
    assert (browser.run(look) == "rgb(255, 255, 255)") == dark != (before == "rgb(255, 255, 255)")
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") == width
    methods = {each["method"] for each in browser.events}
    assert not methods & {"Runtime.exceptionThrown", "Log.entryAdded"}
    sent = [each for each in browser.events if each["method"] == "Network.requestWillBeSent"]
    assert all(each["params"]["request"]["url"].startswith(("file:", "data:")) for each in sent)
