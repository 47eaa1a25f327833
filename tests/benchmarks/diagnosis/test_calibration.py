"""How verdicts are scored and thresholds fitted, and that the published figures are those of the published table."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace

import numpy as np
import pandas
import pytest
from PIL import Image

from benchmarks.diagnosis import Thresholds, diagnose
from benchmarks.diagnosis.verdict import CAUSES, Verdict
from benchmarks.docgen import verdicts
from benchmarks.docgen.paths import DIGEST
from benchmarks.docgen.publish_verdicts import PICTURES, TABLE, THRESHOLDS, digest
from benchmarks.validation import calibration
from benchmarks.validation.calibration import (
    HALVES,
    Judge,
    calibrate,
    fit,
    half,
    left_out,
    loss_curve,
    score,
    scored,
)
from benchmarks.validation.cases import Cell, cases, cells
from problems.ill_conditioning.quadratic import Quadratic

AGAIN = "python -m benchmarks.docgen.publish_verdicts writes it anew"


def test_the_score_of_verdicts_counted_by_hand():
    truths = [("healthy",)] * 10 + [("noise",)] * 8 + [("saddle", "noise")] * 8 + [("cliff",)]
    said = ["healthy"] * 7 + ["solved", "not_sure", "cliff"]  # 8 right, one sick
    said += ["noise"] * 4 + ["not_sure"] * 4  # half of the noisy ones
    said += ["saddle"] * 6 + ["noise"] + ["plateau"]  # 7 of 8: either will do
    said += ["noise"]  # a cause with one run counts for nothing but the share of right ones
    found = score(truths, said)
    assert found.recall["healthy"] == 0.8
    assert found.recall["noise"] == 11 / 16
    assert found.recall["saddle"] == 7 / 8
    assert found.runs["noise"] == 16
    assert found.macro == pytest.approx((8 / 10 + 11 / 16 + 7 / 8) / 3)
    assert found.covered == pytest.approx((8 / 9 + 11 / 12 + 7 / 8) / 3)
    assert found.coverage == 22 / 27
    assert found.sick == 0.1
    assert found.accuracy == 19 / 27
    assert found.worth == pytest.approx(found.macro - 0.05)


@dataclass(frozen=True)
class FakeRun:
    family: str
    truth: tuple[str, ...]
    record: float


@pytest.fixture
def fake(monkeypatch):
    """Runs that are noisy above 2, healthy below; a verdict says so from twice `noise_share` on."""

    def diagnose(record, thresholds):
        noisy = record > 2 * thresholds.noise_share
        return Verdict("noise" if noisy else "healthy", (("noise", 0.5),) * noisy, (), (), ())

    monkeypatch.setattr(calibration, "diagnose", diagnose)
    values = np.linspace(0.0, 8.0, 80)
    return [
        FakeRun("ab"[k % 2], ("noise",) if value > 2 else ("healthy",), float(value))
        for k, value in enumerate(values)
    ]


def test_a_fit_moves_the_threshold_that_is_wrong_and_no_other(fake):
    theory = Thresholds(noise_share=0.5)
    found = fit(Judge(fake), np.arange(80), theory)
    assert found == replace(theory, noise_share=1.0)
    right = Thresholds(noise_share=1.0)
    assert fit(Judge(fake), np.arange(80), right) == right


def test_who_is_judged_is_left_out(fake):
    judge = Judge(fake)
    seen = {}

    def chosen(others):
        seen[judge.families[others][0]] = set(judge.families[others])
        return judge.families[others][0]

    said = left_out(judge, np.arange(80), chosen, lambda other, mine: [(other, 0.0)] * len(mine))
    assert seen == {"a": {"a"}, "b": {"b"}}
    assert [each for each, _ in said] == ["b", "a"] * 40


def test_a_half_of_the_families_is_a_matter_of_their_names():
    halves = {each.family: half(each.family) for each in cells()}
    counts = [list(halves.values()).count(each) for each in HALVES]
    assert sum(counts) == len(halves) and min(counts) >= len(halves) // 3
    assert (halves["rosenbrock"], halves["quadratic"]) == HALVES  # as it was while rules were made


def test_evidence_is_one_row_of_numbers_of_any_run(tmp_path):
    few = [each for each in cells() if each.family == "quadratic" and each.method == "newton"]
    rows = np.stack([calibration.evidence(each) for cell in few for each in cases(cell, tmp_path)])
    assert not np.isinf(rows).any() and np.nanmax(np.abs(rows)) <= 50
    assert np.isfinite(rows).sum() > rows.size / 2


def test_a_loss_curve_forgets_scale_and_length():
    @dataclass
    class Curve:
        step: np.ndarray
        loss: np.ndarray

    steps = np.arange(100.0)
    plain = FakeRun("a", (), Curve(steps, 0.9**steps))  # type: ignore[arg-type]
    higher = FakeRun("a", (), Curve(steps, 7 + 3 * 0.9**steps))  # type: ignore[arg-type]
    np.testing.assert_allclose(loss_curve(plain), loss_curve(higher), atol=1e-6)  # type: ignore[arg-type]
    assert loss_curve(plain)[0] == 0


def test_the_cells_are_those_of_cheap_problems_and_no_run_is_twice_in_them():
    planned = list(cells())
    assert len({(each.problem, each.method) for each in planned}) == len(planned)
    assert len({each.key() for each in planned}) == len(planned)
    assert {"rastrigin", "cliff", "noisy_quadratic", "matrix_power"} <= {e.family for e in planned}


def test_what_is_true_of_a_cell_is_found_once(tmp_path):
    cell = Cell("quadratic", "default", Quadratic(dim=2, condition=1.0), "newton")
    first = cases(cell, tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = cases(cell, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    assert len(files) == 1
    assert [each.truth for each in first] == [each.truth for each in again]
    whole = [each for each in first if each.rate == 1.0]
    assert [each.truth for each in whole] == [("healthy",)] * 2
    assert {each.record.status for each in whole} == {"running"}


# What is published.


@pytest.fixture(scope="module")
def table():
    return pandas.read_csv(TABLE, keep_default_na=False)


@pytest.fixture(scope="module")
def said():
    return json.loads(THRESHOLDS.read_text())


def test_the_page_is_that_of_the_table(table, said):
    page = TABLE.with_suffix(".md").read_text()
    assert verdicts.text(table, said) == page, AGAIN
    assert f"measured at commit {said['commit'][:12]}" in page


def test_the_pictures_are_those_of_the_table(table):
    names = {"risk", "confusion", *verdicts.chosen(table)}
    assert {file.stem for file in PICTURES.glob("*.png")} == names, AGAIN
    for name in names:
        with Image.open(PICTURES / f"{name}.png") as image:
            assert image.info[DIGEST] == digest(), AGAIN


def test_the_default_thresholds_are_those_that_were_chosen(table, said):
    assert dataclasses.asdict(Thresholds()) == said["thresholds"], AGAIN
    assert said["fitted"] == calibration.fit_is_better(table)
    assert said["fitted"] or said["thresholds"] == said["theory"]


def test_there_are_healthy_runs_enough_and_only_causes_that_there_are(table):
    assert (table["truth"] == "healthy").sum() >= 60
    named = {cause for each in table["truth"] for cause in each.split()}
    assert named <= {"healthy", *CAUSES}


def test_what_the_table_says_is_what_is_said_now(table, tmp_path):
    """Of a cell that takes no time: its truth, and the verdicts of today's tests and thresholds."""
    cell = next(each for each in cells() if (each.family, each.method) == ("quadratic", "newton"))
    rows = table[(table["problem"] == "quadratic") & (table["optimizer"] == "newton")]
    runs = cases(cell, tmp_path)
    assert [" ".join(each.truth) for each in runs] == list(rows["truth"]), AGAIN
    assert [diagnose(each.record).cause for each in runs] == list(rows["theory"]), AGAIN


@pytest.mark.slow
def test_a_calibration_of_a_few_cells(tmp_path):
    few = [
        each
        for each in cells()
        if each.family in ("quadratic", "noisy_quadratic", "strict_saddle", "hilbert")
        and each.method == "sgd"
    ]
    runs = [run for cell in few for run in cases(cell, tmp_path)]
    result = calibrate(runs, Thresholds())
    for name in ("theory", "fitted", "evidence", "curve", "majority"):
        assert 0 <= scored(result.table, name).macro <= 1
    assert scored(result.table, "theory").macro > scored(result.table, "majority").macro
