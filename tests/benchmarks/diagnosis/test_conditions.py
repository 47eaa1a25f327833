"""Each condition of a cause decides: a run that has the cause loses it when one of its conditions is broken."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.diagnosis import Thresholds
from benchmarks.diagnosis.combine import TESTS
from benchmarks.diagnosis.rules.finding import Finding
from benchmarks.diagnosis.run_features import RunFeatures
from tests.benchmarks.diagnosis.test_evidence import RESTING, RUNAWAY, SLOW, STEPS, at, record

ROWS = len(STEPS)
FLAT = 1 + 1e-9 * np.cos(STEPS)  # a loss at a standstill
TO_AND_FRO = np.cos(2.0 * np.arange(ROWS))
FALLING = np.exp(-5 * STEPS / 1000)
HALVING = {"status": "running", "loss": FALLING, "excess": FALLING[-1].item()}
LATE = np.where(STEPS > 500, 1.0, 0.0)


def found(cause: str, given: dict) -> Finding:
    """Return what the rules find about a cause."""
    with np.errstate(all="ignore"):
        features = RunFeatures(record(**given), Thresholds())
        return next(each for rule in TESTS for each in rule(features) if each.cause == cause)


NOISY = {"noise_sq": at(1, 1, 1, 1), "noise_h": at(1, 1, 1, 1)}
TAKEN = NOISY | {"g_h_g": 1e-3, "grad_sq": 0.01, "step_norm": 0.1}
EXACT_LOSS = {"noise_sq": at(*[0.01] * 4), "noise_h": at(*[1e-6] * 4), "g_h_g": 1.0, "gap": 0.9}
TOSSED = EXACT_LOSS | {"change": TO_AND_FRO, "stability": at(0.1, 0.1, 0.1, 0.1)}
AIMLESS = EXACT_LOSS | {"g_s": -0.5}
NO_DESCENT = {"loss": FLAT, "g_s": 1.0}
UPHILL = {"loss": 1 + STEPS / 1000, "step_norm": 0.01, "g_s": -0.002}
BIASED = {"bias_sq": at(*[0.9] * 4), "noise_sq": at(*[0.01] * 4)}
TURNED = BIASED | {"bias": at(0, 0, 0, -0.5), "g_s": -1.0}
WIDE = {"lambda_min": at(*[0.01] * 4), "lambda_max": at(*[1.0] * 4), "residual": 0.0}
ILL = SLOW | WIDE | {"stability": at(0.5, 0.5, 0.5, 0.5)}
SMALL = SLOW | WIDE | {"loss": FALLING, "excess": FALLING[-1].item(), "gap": FALLING[-1].item()}
SMALL |= {"stability": at(*[0.01] * 4), "target": 1e-4}
SHARPER = {
    "g_h_g": np.geomspace(1, 100, ROWS), "lambda_min": at(*[0.1] * 4), "lambda_max": at(1, 2, 4, 8), "residual": 0.0,
    "stability": at(0.1, 0.3, 0.6, 0.6), "change": TO_AND_FRO,
}  # fmt: skip
LARGE = {"loss": FLAT, "change": TO_AND_FRO, "stability": at(*[0.95] * 4)}
AWAY = RUNAWAY | {
    "floor_attained": False,
    "lambda_min": at(*[0.1] * 4),
    "lambda_max": at(*[0.1] * 4),
}
SADDLE = RESTING | {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4)}
MINIMUM = RESTING | {"lambda_min": at(*[0.5] * 4), "lambda_max": at(*[2.0] * 4)}
FLATTER = RESTING | {"lambda_min": at(*[-1e-4] * 4), "lambda_max": at(*[1e-4] * 4)}
LOST = {"grad_sq": 0.0, "lambda_min": at(*[0.0] * 4), "lambda_max": at(*[0.0] * 4)}
LEAPS = np.where(np.arange(ROWS) == 40, 1e4, 1.0)
CLIFF = {
    "grad_sq": LEAPS**2, "step_norm": LEAPS, "distance_start": STEPS * np.where(np.arange(ROWS) > 40, 1e4, 1.0),
    "loss": np.where(np.arange(ROWS) > 40, 50.0, 1.0),
}  # fmt: skip
CHAIN = {"chain": np.tile(0.7 ** np.arange(20.0), (ROWS, 1)), "gap": 0.9}

# By cause and what shows it: a run, and what breaks each of its conditions.
CONDITIONS = {
    ("noise", "its share of the gain"): (TAKEN, {
        "it takes more than half": {"noise_h": at(*[1e-3] * 4), "g_h_g": 1e-6},
        "it takes more than curvature does": {"g_h_g": 10.0},
        "some steps go up": {"change": -1.0},
        "the run is slow": HALVING,
    }),
    ("noise", "steps that go up"): (TOSSED, {
        "a quarter of them": {"change": np.where(np.arange(ROWS) % 6, -1.0, 1.0)},
        "far below the limit": {"stability": at(0.1, 0.1, 0.1, 0.6)},
        "of an exact loss": {"gap": None},
        "there is noise": {"noise_sq": 0.0, "noise_h": 0.0},
    }),
    ("noise", "steps off the gradient"): (AIMLESS, {
        "by more than half": {"g_s": -0.8},
        "without momentum": {"settings": {"momentum": 0.9}},
        "of an exact loss": {"gap": None},
    }),
    ("wrong_direction", "steps that do not descend"): (NO_DESCENT, {
        "by three standard errors": {"g_s": 0.1 + 0.4 * TO_AND_FRO},
        "at a standstill": {"loss": 2 - STEPS / 1000},
        "away from critical points": {"grad_sq": np.where(STEPS[-1] > STEPS, 1.0, 1e-8)},
    }),
    ("wrong_direction", "a loss that increases"): (UPHILL, {
        "by more than curvature explains": {"s_h_s": 0.002},
        "by what the recorded steps can explain": {"g_s": -0.0005, "step_norm": 0.0025},
        "in a run that did not diverge": {"status": "diverged"},
    }),
    ("wrong_direction", "a bias"): (BIASED, {
        "as large as half of the gradient": {"bias_sq": at(*[0.4] * 4)},
        "larger than sampling explains": {"noise_sq": at(*[2.0] * 4)},
    }),
    ("ill_conditioning", "a gain that is lost"): (ILL, {
        "tenfold": {"decrease": at(*[0.003] * 4), "excess": 0.01},
        "at a rate that is used": {"stability": at(*[0.15] * 4)},
        "by different curvatures": {"lambda_min": at(*[0.5] * 4)},
        "not to noise": TAKEN | {"grad_sq": 0.01},
        "not to a bias": BIASED,
        "not to steps to and fro": {"loss": 1 + np.exp(-STEPS / 1e5), "change": TO_AND_FRO},
        "not to a throw": {"loss_highest": np.where(np.arange(ROWS) == 40, 60.0, 1.0)},
        "in a slow run": HALVING,
    }),
    ("step_too_small", "a rate far below its limit"): (SMALL, {
        "at a tenth": {"stability": at(*[0.11] * 4)},
        "a gain that is lost": {"decrease": at(*[1e-4] * 4)},
        "ten times the steps would do": {"gap": 0.9, "loss": np.exp(-0.1 * STEPS / 1000), "excess": 0.9},
        "the loss falls": {"loss": 1 + STEPS / 1000},
        "in a run that did not diverge": {"status": "diverged"},
        "above the noise": TAKEN,
        "without a bias": BIASED,
        "no step felt the curvature": {"s_h_s": 1.0},
    }),
    ("sharpening", "curvature that grows"): (SHARPER, {
        "tenfold along the gradient": {"g_h_g": np.geomspace(1, 9, ROWS)},
        "while the gradient holds": {"grad_sq": np.geomspace(1, 1e6, ROWS)},
        "twofold at its largest": {"lambda_max": at(1, 1.5, 1.9, 1.9)},
        "up to the step's limit": {"stability": at(0.1, 0.3, 0.4, 0.4)},
        "steps go up": {"change": -1.0},
        "in a slow run": HALVING,
    }),
    ("step_too_large", "steps that go up"): (LARGE, {
        "a quarter of them": {"change": np.where(np.arange(ROWS) % 6, -1.0, 1.0)},
        "without gain": {"loss": 2 - STEPS / 1000},
        "near their limit": {"stability": at(*[0.4] * 4)},
        "not by noise": NOISY | {"g_h_g": 0.01},
    }),
    ("long_path", "descent at one speed"): ({"stability": at(*[0.3] * 4)}, {
        "of the loss": {"loss": 1 + np.exp(-STEPS / 100)},
        "on one slope": {"grad_sq": np.where(LATE > 0, 0.2, 1.0)},
        "by steps of one length": {"step_norm": np.where(LATE > 0, 3.0, 1.0)},
        "by steps that are no smaller than they need be": {"stability": at(*[0.09] * 4)},
        "by stable steps": {"stability": at(*[1.1] * 4)},
        "away from critical points": {"grad_sq": np.where(STEPS[-1] > STEPS, 1.0, 1e-8)},
        "that gains something": {"excess": 100.0},
        "in a slow run": {"status": "running", "excess": 0.0, "loss": 1.0 - STEPS / 1000},
    }),
    ("no_critical_point", "a run to infinity"): (AWAY, {
        "where no point is a minimum": {"floor_attained": True},
        "that goes on": {"distance_start": np.minimum(np.log1p(STEPS), 6.0)},
        "while the gradient vanishes": {"grad_sq": 1.0},
        "with something left to gain": {"decrease": at(0.5, 5e-3, 1.5e-3, 5e-6)},
        "in a slow run": HALVING,
    }),
    ("saddle", "a run at rest beside it"): (SADDLE, {
        "for half of the steps": {"grad_sq": np.where(STEPS < 990, 1.0, 1e-9), "loss": 2 - STEPS / 1000},
        "with negative curvature": {"lambda_min": at(*[0.5] * 4)},
        "beyond its residual": {"residual": 1.0},
        "that leads away in time": {"step_norm": 1e-15},
        "where it is not flat": {"lambda_min": at(*[-1e-4] * 4), "lambda_max": at(*[1e-4] * 4)},
        "down a steep way": {"lambda_min": at(*[-1e-2] * 4)},
    }),
    ("local_minimum", "a run at rest in it"): (MINIMUM, {
        "with positive curvature": {"lambda_min": at(*[-0.5] * 4)},
        "with nothing left to gain": {"decrease": at(*[0.5] * 4)},
        "where it is not flat": {"lambda_min": at(*[1e-4] * 4), "lambda_max": at(*[2e-4] * 4)},
        "at the end": {"grad_sq": 1.0, "status": "running"},
    }),
    ("plateau", "a run at rest on it"): (FLATTER, {
        "for half of the steps": {"grad_sq": 1.0},
        "where it is flat": {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4)},
        "with a gradient": {"grad_sq": 0.0},
    }),
    ("no_signal", "no gradient"): (LOST, {
        "at the end": {"grad_sq": np.where(STEPS[-1] > STEPS, 0.0, 1.0)},
        "for half of the steps": {"grad_sq": np.where(STEPS < 600, 1.0, 0.0)},
        "and no curvature": {"lambda_max": at(*[1.0] * 4)},
    }),
    ("cliff", "a leap of the gradient"): (CLIFF, {
        "thirtyfold": {"grad_sq": np.maximum(1.0, np.minimum(LEAPS, 25.0)) ** 2, "distance_start": STEPS},
        "that sets the run back": {"loss": 1 + np.exp(-STEPS / 1000)},
    }),
    ("vanishing_gradient", "norms that fall"): (CHAIN, {
        "a hundredfold": {"chain": np.tile(0.8 ** np.arange(20.0), (ROWS, 1))},
        "along a line": {"chain": np.tile(np.where(np.arange(20) < 19, 1.0, 1e-9), (ROWS, 1))},
        "without a throw": {"loss": np.where(STEPS > 3, 50.0, 1.0), "gap": 50.0, "excess": 50.0},
        "in a slow run": HALVING,
    }),
}  # fmt: skip
BROKEN = [(key, condition) for key, (_, changes) in CONDITIONS.items() for condition in changes]


@pytest.mark.parametrize("key", CONDITIONS, ids=" by ".join)
def test_the_cause_holds_where_all_conditions_do(key):
    assert found(key[0], CONDITIONS[key][0]).strength > 0
    assert not found(key[0], CONDITIONS[key][0]).ruled_out


@pytest.mark.parametrize(("key", "condition"), BROKEN, ids=lambda each: "".join(each))
def test_without_one_of_its_conditions_it_does_not(key, condition):
    given, changes = CONDITIONS[key]
    assert not found(key[0], given | changes[condition]).strength > 0
