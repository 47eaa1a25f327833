"""The features of a run, each against its formula, with numbers from hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.diagnosis import Record, Thresholds, diagnose
from benchmarks.diagnosis.combine import _after_a_throw
from benchmarks.diagnosis.rules.finding import Finding
from benchmarks.diagnosis.run_features import RunFeatures

STEPS = np.linspace(0, 1000, 101)


def record(**given) -> Record:
    """A run of 1000 steps whose loss falls from 2 to 1; a number stands for all rows, a dict for the rows it names."""
    made = {
        name: np.full(len(STEPS), np.nan)
        for name, kind in Record.__annotations__.items()
        if kind == "np.ndarray"
    }
    given = {"status": "missed", "step": STEPS, "loss": 2 - STEPS / 1000} | given
    for name, value in given.items():
        if isinstance(value, dict) and name != "settings":
            column = np.full(len(STEPS), np.nan)
            for row, number in value.items():
                column[row] = number
            made[name] = column
        else:
            of_rows = name in made and isinstance(value, float)
            made[name] = np.full(len(STEPS), value) if of_rows else value
    return Record(**made)


def features(**given) -> RunFeatures:
    return RunFeatures(record(**given), Thresholds())


def test_ten_times_as_many_steps_leave_the_same_share_of_the_gap_in_each_half():
    """A gap that falls by e^-s/2000 per step is e^-5 after ten times 1000 steps."""
    left = np.exp(-STEPS / 2000)
    run = features(loss=left, excess=float(left[-1]), gap=float(left[-1]), target=1e-4)
    assert run.gained_late == pytest.approx(1 - math.exp(-0.25))
    assert run.faster == pytest.approx(math.exp(-5) / 1e-4)


@pytest.mark.parametrize(("height", "thrown"), [(9.9, False), (10.1, True)])
def test_a_run_is_thrown_where_it_is_ten_times_as_high_as_its_start(height, thrown):
    loss = 2 - STEPS / 1000
    loss[50] = 2 * height
    assert features(loss=loss, excess=1.0).thrown == thrown


def test_late_is_the_second_half_of_the_steps():
    run = features(grad_sq=np.where(STEPS < 500, 1.0, 0.04))
    assert run.steps[run.half] == 500 and run.late(STEPS).tolist() == STEPS[50:].tolist()
    assert run.shrunk == pytest.approx(0.2)


def test_rows_at_rest_say_nothing_of_the_gain_that_a_run_loses():
    """The loss falls by 1e-3 a step; at the end the slope is a hundredth of the mean slope to the solution."""
    squares = np.where(STEPS < 1000, 1.0, 1e-4)
    given = {"excess": 1.0, "distance": np.ones(len(STEPS)), "grad_sq": squares}
    run = features(**given, decrease={0: 0.5, 50: 0.3, 100: 0.9})
    assert run.near.nonzero()[0].tolist() == [100]
    assert run.lost == pytest.approx(0.3 / 1e-3)


def test_noise_takes_its_share_of_a_step_s_gain():
    """η = |s|/√(|m|² + tr S) = 0.05, and r = η tr(HS)/2|m|²; in a velocity noise adds up by √((1 + β)/(1 − β))."""
    given = {"step_norm": 0.1, "grad_sq": 1.0, "noise_sq": 3.0, "noise_h": 0.5}
    plain = features(**given).noise_share
    assert plain == pytest.approx(0.05 * 0.5 / 2)
    heavy = features(**given, settings={"momentum": 0.9}).noise_share
    assert heavy == pytest.approx(plain * math.sqrt(1.9 / 0.1))


def test_at_a_standstill_noise_and_curvature_share_the_whole_gain():
    run = features(loss=np.ones(len(STEPS)), noise_sq=1.0, noise_h=3.0, g_h_g=1.0, grad_sq=1.0)
    assert run.stalled and run.noise_ratio == 3 and run.noise_share == 0.75


def test_a_step_across_the_gradient_is_aimless_by_the_share_of_its_square():
    run = features(gap=0.5, noise_sq=1e-6, grad_sq=1.0, step_norm=1.0, g_s=-0.6)
    assert run.aimless == pytest.approx(1 - 0.6**2)


def test_a_step_to_the_minimum_along_it_is_half_of_where_the_loss_rises():
    """With gᵀs = −1 and sᵀHs = 1 the step ends at the bottom, where r = ½."""
    run = features(g_s=-1.0, s_h_s={3: 1.0, 4: 2.0, 5: 0.0})
    assert run.ratio[3:6].tolist() == [0.5, 1.0, 0.0]
    uphill = features(g_s=1.0, s_h_s={3: 1.0, 4: -1.0})
    assert uphill.ratio[3] == math.inf and math.isnan(uphill.ratio[4])


def test_a_run_is_as_ill_conditioned_as_its_worst_row():
    given = {"residual": 0.0, "lambda_max": {0: 1.0, 50: 2.0}}
    assert features(**given, lambda_min={0: 0.5, 50: 0.02}).condition == pytest.approx(100)
    assert features(**given, lambda_min={0: 0.5, 50: -0.02}).condition == math.inf


def test_curvature_is_compared_with_the_mean_curvature_to_the_solution():
    """On ½ λ d² every curvature is the mean curvature: the ratio is 1."""
    run = features(excess=1.0, loss=np.ones(len(STEPS)), distance=np.full(len(STEPS), 2.0))
    assert run.relative(0.5, 7) == (1.0, Thresholds().flat_curvature)


def test_a_bias_is_no_larger_than_what_a_sample_of_the_gradient_leaves_open():
    given = {"bias_sq": np.full(len(STEPS), 2.0), "grad_sq": 4.0}
    assert features(**given, noise_sq=0.0).bias == 0.5
    assert features(**given, noise_sq=10.0).bias == 2 / 40


def outcomes(found: Record) -> dict[str, bool | None]:
    """Whether each test of a record holds, by the words of the test."""
    return {row.test: row.holds for row in diagnose(found).evidence}


def test_sharpening_is_growth_from_earlier_to_later():
    """gᵀHg grows or falls twentyfold while gᵀg holds."""
    rising = {"grad_sq": 1.0, "g_h_g": np.geomspace(1, 20, len(STEPS))}
    falling = {"grad_sq": 1.0, "g_h_g": np.geomspace(20, 1, len(STEPS))}
    assert outcomes(record(**rising))["gᵀHg grows while gᵀg holds"] is True
    assert outcomes(record(**falling))["gᵀHg grows while gᵀg holds"] is False


def test_on_a_quadratic_nothing_sharpens():
    """There gᵀHg outgrows gᵀg in a run that begins to diverge, and the largest curvature stays."""
    rises = {"grad_sq": 1.0, "g_h_g": np.geomspace(1, 20, len(STEPS)), "g_s": -1.0, "s_h_s": 3.0}
    rises["stability"] = {0: 0.5, 100: 0.95}
    for last, sharpens in ((1.0, False), (3.0, True)):
        ends = {"lambda_max": {0: 1.0, 100: last}, "lambda_min": {0: 1.0, 100: 1.0}}
        assert ("sharpening" in dict(diagnose(record(**rises, **ends)).causes)) == sharpens


def test_a_gradient_that_is_no_longer_zero_is_a_signal():
    """It is exactly 0 for 60 % of the steps: the last ones, or the first ones."""
    test = "the gradient is exactly 0 for a share of the steps"
    assert outcomes(record(grad_sq=np.where(STEPS >= 400, 0.0, 1.0)))[test] is True
    assert outcomes(record(grad_sq=np.where(STEPS < 600, 0.0, 1.0)))[test] is False


@pytest.mark.parametrize(("low", "leap"), [(slice(50, 51), 1), (slice(20, 60), 10)])
def test_a_gradient_that_comes_back_does_not_leap(low, leap):
    """From 1e-4 to 1: no leap above the usual size, or one by 10 above a tenth of the largest before."""
    norms = np.ones(len(STEPS))
    norms[low] = 1e-4
    (found,) = [
        row
        for row in diagnose(record(grad_sq=norms**2)).evidence
        if row.test == "the gradient leaps above its trend"
    ]
    assert found.value == pytest.approx(leap)


@pytest.mark.parametrize(("rows", "holds"), [(40, False), (60, True)])
def test_a_gradient_vanishes_where_it_does_so_for_most_of_the_run(rows, holds):
    chain = np.ones((len(STEPS), 5))
    chain[:rows] = 10.0 ** -np.arange(0, 10, 2)
    found = outcomes(record(chain=chain))
    assert (
        found["the gradient at the input's end is a small part of that at the output's end"]
        is holds
    )


@pytest.mark.parametrize(("until", "endless"), [(500, False), (1000, True)])
def test_a_run_to_infinity_goes_on_growing(until, endless):
    far = np.log(1 + np.minimum(STEPS, until))
    given = {"grad_sq": np.geomspace(1, 1e-4, len(STEPS)), "floor_attained": False}
    causes = dict(diagnose(record(**given, distance_start=far)).causes)
    assert ("no_critical_point" in causes) == endless


@pytest.mark.parametrize(("late", "long"), [(0.3, False), (0.36, True)])
def test_a_long_path_is_walked_at_one_speed(late, long):
    """The loss falls 0.43 or 0.56 times as fast in the second half of the steps as in the first."""
    loss = np.interp(STEPS, [0, 500, 1000], [2, 1 + late, 1])
    causes = dict(diagnose(record(loss=loss, grad_sq=1.0, step_norm=1.0)).causes)
    assert ("long_path" in causes) == long


def test_where_a_cliff_has_thrown_a_run_is_a_consequence():
    cliff, plateau, noise = (
        Finding(cause, 0.8, False, ()) for cause in ("cliff", "plateau", "noise")
    )
    assert [each.strength for each in _after_a_throw([cliff, plateau, noise])] == [0.8, 0.4, 0.8]
    assert _after_a_throw([plateau, noise]) == [plateau, noise]


@pytest.mark.parametrize(("cosine", "holds"), [(0.3, False), (-0.3, True)])
def test_a_mean_gradient_turns_at_a_right_angle(cosine, holds):
    found = outcomes(record(bias=cosine))
    assert found["the optimizer's mean gradient E[ĝ] points 90° or more away from g"] is holds


@pytest.mark.parametrize(("bend", "holds"), [(0.0, True), (2e-3, False)])
def test_curvature_explains_its_part_of_a_rise(bend, holds):
    """The loss rises by 1e-3 a step, and ½ sᵀHs is all of that or nothing."""
    found = outcomes(record(loss=1 + STEPS / 1000, g_s=-1e-3, s_h_s=bend))
    assert found["the loss increases by more than curvature explains"] is holds
