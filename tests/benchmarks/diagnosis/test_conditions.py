"""Each condition of a cause decides: a run that has the cause loses it when one of its conditions is broken."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.diagnosis import Thresholds, diagnose
from benchmarks.diagnosis.combine import TESTS
from benchmarks.diagnosis.rules.finding import Finding, surely
from benchmarks.diagnosis.run_features import RunFeatures
from tests.benchmarks.diagnosis.test_evidence import RESTING, RUNAWAY, SLOW, STEPS, at, record

ROWS = len(STEPS)
FLAT = 1 + 1e-9 * np.cos(STEPS)  # a loss at a standstill
TO_AND_FRO = np.cos(2.0 * np.arange(ROWS))
FALLING = np.exp(-5 * STEPS / 1000)
HALVING = {"status": "running", "loss": FALLING, "excess": FALLING[-1].item()}
LATE, END = STEPS > 500, STEPS[-1] == STEPS
PATH = {"stability": at(*[0.3] * 4)}
SLOWER = np.where(LATE, 0.5 - (STEPS - 500) / 4000, 1 - STEPS / 1000)


def found(cause: str, given: dict) -> Finding:
    """Return what the rules find about a cause."""
    with np.errstate(all="ignore"):
        features = RunFeatures(record(**given), Thresholds())
        return next(each for rule in TESTS for each in rule(features) if each.cause == cause)


def each(name: str, *values: float) -> tuple[dict, ...]:
    """Return a change of a column for each of these values, at all four rows."""
    return tuple({name: at(*[value] * 4)} for value in values)


def at_end(name: str, value: float) -> dict:
    return {name: at(0.5, value, value, value)}


def up(*counts: int) -> tuple[dict, ...]:
    """Return, for each count, steps of which the last ones go up; the second half has six rows."""
    return tuple(
        {"change": np.where(np.arange(ROWS) < ROWS - count, -1.0, 1.0)} for count in counts
    )


def longer(folds: float) -> dict:
    """Return a loss that falls by this many factors e: ten times the steps bring a gap of 0.9 to 1e-4 or do not."""
    return {"loss": np.exp(-folds * STEPS / 1000), "excess": math.exp(-folds), "gap": 0.9}


def little(excess: float) -> dict:
    """Return a run with so little left at its end that a step gains about as much as any other could."""
    return {"decrease": at(0.9, 1e-4, 1e-4, 1e-3), "excess": excess}


def pace(escape: float) -> dict:
    """Return steps by which a curvature of −0.5 grows a distance by this many factors e in the run."""
    return {"step_norm": escape / 0.5 / STEPS[-1] * np.exp(-np.minimum(STEPS, 40) / 2)}


def leap(height: float) -> dict:
    return {"grad_sq": np.minimum(LEAPS, height) ** 2, "distance_start": STEPS}


def throw(length: float) -> dict:
    """Return a step of this length to a loss that is higher, but not ten times as high."""
    loss = np.where(np.arange(ROWS) > 40, 1.5, 1.0)
    return {"step_norm": np.minimum(LEAPS, length), "distance_start": STEPS, "loss": loss}


def growing(square: float, curved: float) -> dict:
    """Return gᵀg and gᵀHg that grow by these factors."""
    return {"grad_sq": np.geomspace(1, square, ROWS), "g_h_g": np.geomspace(1, curved, ROWS)}


def beside(steps: int) -> dict:
    """Return a gradient that is next to nothing for the first steps."""
    return {"grad_sq": np.where(steps > STEPS, 1e-8, 1.0)}


def chain(fall: float) -> np.ndarray:
    return np.tile(np.geomspace(1, 1 / fall, 20), (ROWS, 1))


NOISY = {"noise_sq": at(1, 1, 1, 1), "noise_h": at(1, 1, 1, 1)}
TAKEN = NOISY | {"g_h_g": 1e-3, "grad_sq": 0.01, "step_norm": 0.1}
EXACT_LOSS = {"noise_sq": at(*[0.01] * 4), "noise_h": at(*[1e-6] * 4), "g_h_g": 1.0, "gap": 0.9}
LITTLE_NOISE = {name: EXACT_LOSS[name] for name in ("noise_sq", "noise_h", "g_h_g")}
TOSSED = EXACT_LOSS | {"change": TO_AND_FRO, "stability": at(0.1, 0.1, 0.1, 0.1)}
AIMLESS = EXACT_LOSS | {"g_s": -0.5}
NO_DESCENT = {"loss": FLAT, "g_s": 1.0}
AT_REST = {"grad_sq": np.where(END, 1e-8, 1.0), "g_s": np.where(END, 1e-4, 1.0)}
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
ABOVE = {
    "excess": 1.0,
    "gap": 0.5,
    "noise_sq": 0.0,
    "noise_h": 0.0,
    "loss_highest": {40: 2.1},
    "s_h_s": {0: 9.0},
}
AWAY = RUNAWAY | {
    "floor_attained": False,
    "lambda_min": at(*[0.1] * 4),
    "lambda_max": at(*[0.1] * 4),
}
SADDLE = RESTING | {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4)}
MINIMUM = RESTING | {"lambda_min": at(*[0.5] * 4), "lambda_max": at(*[2.0] * 4)}
FLATTER = RESTING | {"lambda_min": at(*[-1e-4] * 4), "lambda_max": at(*[1e-4] * 4)}
LEFT = SLOW | {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4), "residual": 0.0}
LEFT |= {"decrease_negative": at(*[0.8] * 4)} | beside(200)
LOST = {"grad_sq": 0.0, "lambda_min": at(*[0.0] * 4), "lambda_max": at(*[0.0] * 4)}
LEAPS = np.where(np.arange(ROWS) == 40, 1e4, 1.0)
CLIFF = {
    "grad_sq": LEAPS**2, "step_norm": LEAPS, "distance_start": STEPS * np.where(np.arange(ROWS) > 40, 1e4, 1.0),
    "loss": np.where(np.arange(ROWS) > 40, 50.0, 1.0),
}  # fmt: skip
THROWN = {"loss": np.where(STEPS > 3, 50.0, 1.0), "gap": 50.0, "excess": 50.0}
BACK = np.where(np.arange(ROWS) > 40, 50 * FALLING / FALLING[41], 1.0)
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
        "a quarter of them": up(2, 1),
        "at half of the limit": each("stability", 0.45, 0.55),
        "of an exact loss": {"gap": None},
        "there is noise": {"noise_sq": 0.0, "noise_h": 0.0},
    }),
    ("noise", "steps off the gradient"): (AIMLESS, {
        "by more than half": ({"g_s": -0.69}, {"g_s": -0.72}),
        "without momentum": {"settings": {"momentum": 0.9}},
        "of an exact loss": {"gap": None},
    }),
    ("wrong_direction", "steps that do not descend"): (NO_DESCENT, {
        "by three standard errors": ({"g_s": 0.4 + 0.4 * TO_AND_FRO}, {"g_s": 0.1 + 0.4 * TO_AND_FRO}),
        "not even a little": ({"g_s": -0.019}, {"g_s": -0.021}),
        "at a standstill": {"loss": 2 - STEPS / 1000},
        "away from critical points, if no minimum is known": (AT_REST | {"gap": 0.5}, AT_REST),
    }),
    ("wrong_direction", "a loss that increases"): (UPHILL, {
        "by more than curvature explains": {"s_h_s": 0.002},
        "by a fifth of the slope": ({"g_s": -0.0048}, {"g_s": -0.0052}),
        "by what the recorded steps can explain": ({"g_s": -0.0007}, {"g_s": -0.0006}),
        "in a run that did not diverge": {"status": "diverged"},
    }),
    ("wrong_direction", "a bias"): (BIASED, {
        "as large as half of the gradient": each("bias_sq", 0.55, 0.45),
        "larger than sampling explains": each("noise_sq", 0.4, 0.5),
    }),
    ("ill_conditioning", "a gain that is lost"): (ILL, {
        "tenfold": ({"decrease": at(*[0.0045] * 4), "excess": 0.01}, {"decrease": at(*[0.004] * 4), "excess": 0.01}),
        "at a fifth of its limit": each("stability", 0.21, 0.19),
        "by curvatures that differ fivefold": each("lambda_min", 0.19, 0.21),
        "not to noise": TAKEN | {"grad_sq": 0.01},
        "not to a bias": BIASED,
        "not to steps to and fro without gain": (
            {"change": TO_AND_FRO}, {"loss": 1 + np.exp(-STEPS / 1e5), "change": TO_AND_FRO},
        ),
        "not to a throw": {"loss_highest": np.where(np.arange(ROWS) == 40, 60.0, 1.0)},
        "in a slow run": HALVING,
    }),
    ("step_too_small", "a rate far below its limit"): (SMALL, {
        "at a tenth": each("stability", 0.09, 0.11),
        "a gain that is lost": (little(2.5e-4), little(1e-4)),
        "ten times the steps would do": (longer(1.16), longer(1.12)),
        "the loss falls": {"loss": 1 + STEPS / 1000},
        "in a run that did not diverge": {"status": "diverged"},
        "above the noise": TAKEN,
        "without a bias": BIASED,
        "no step felt the curvature": ({"s_h_s": 0.38}, {"s_h_s": 0.42}),
        "or momentum or noise may have": (
            {"s_h_s": 1.0, "settings": {"momentum": 0.9}}, {"s_h_s": 1.0} | LITTLE_NOISE, {"s_h_s": 1.0},
        ),
        "not lost in noise": LITTLE_NOISE | {"g_s": -0.5},
    }),
    ("sharpening", "growth along the gradient, if no more is known"): (
        SHARPER | dict.fromkeys(("lambda_min", "lambda_max", "stability"), math.nan), {
        "steps go up": {"change": -1.0, "s_h_s": 9.0},
        "not by noise": NOISY | {"noise_h": at(*[1e3] * 4)},
    }),
    ("sharpening", "curvature that grows"): (SHARPER, {
        "tenfold along the gradient": (growing(1, 11), growing(1, 9)),
        "while the gradient holds": (growing(3, 11), growing(3.5, 10.5)),
        "twofold at its largest": ({"lambda_max": at(1, 1.5, 2.1, 1.9)}, {"lambda_max": at(1, 1.5, 1.9, 1.9)}),
        "up to half of the step's limit": (
            {"stability": at(0.1, 0.3, 0.55, 0.4)}, {"stability": at(0.9, 0.3, 0.45, 0.4)},
        ),
        "steps go up": {"change": -1.0},
        "in a slow run": HALVING,
    }),
    ("step_too_large", "steps that go up"): (LARGE, {
        "a quarter of them": up(2, 1),
        "without gain": {"loss": 2 - STEPS / 1000},
        "above half of their limit": each("stability", 0.55, 0.45),
        "not by noise": NOISY | {"g_h_g": 0.01},
    }),
    ("step_too_large", "steps that go up, at an unknown limit"): (LARGE | {"stability": math.nan}, {
        "or in a run that diverged": (
            {"stability": at(*[0.4] * 4), "status": "diverged"}, {"stability": at(*[0.4] * 4)},
        ),
    }),
    ("step_too_large", "a run that was above its start"): (ABOVE, {
        "at all": {"loss_highest": {40: 1.9}},
        "after a step that was too long": ({"s_h_s": {0: 2.1}}, {"s_h_s": {0: 1.9}}),
        "not by noise": NOISY | {"g_h_g": 0.01},
        "in a slow run": HALVING | {"loss_highest": {40: 2.1}},
    }),
    ("long_path", "descent at one speed"): (PATH, {
        "of the loss": {"loss": SLOWER},
        "on one slope": ({"grad_sq": np.where(LATE, 0.3, 1.0)}, {"grad_sq": np.where(LATE, 0.2, 1.0)}),
        "by steps of one length": ({"step_norm": np.where(LATE, 1.8, 1.0)}, {"step_norm": np.where(LATE, 2.2, 1.0)}),
        "by steps that are no smaller than they need be": each("stability", 0.11, 0.09),
        "by stable steps": each("stability", 0.95, 1.05),
        "away from critical points": {"grad_sq": np.where(STEPS[-1] > STEPS, 1.0, 1e-8)},
        "that gains something": {"excess": 100.0},
        "in a slow run": {"status": "running", "excess": 0.0, "loss": 1.0 - STEPS / 1000},
    }),
    ("no_critical_point", "a run to infinity"): (AWAY, {
        "where no point is a minimum": {"floor_attained": True},
        "by log t, or to the end of its budget": (
            {"distance_start": STEPS**2}, {"distance_start": STEPS**2, "status": "running"},
        ),
        "that goes on": {"distance_start": np.minimum(np.log1p(STEPS), 6.0)},
        "while the gradient vanishes": {"grad_sq": 1.0},
        "with something left to gain": {"decrease": at(0.5, 5e-3, 1.5e-3, 5e-6)},
        "in a slow run": HALVING,
    }),
    ("saddle", "a run at rest beside it"): (SADDLE, {
        "for half of the steps": {"grad_sq": np.where(STEPS < 990, 1.0, 1e-9), "loss": 2 - STEPS / 1000},
        "with negative curvature": {"lambda_min": at(*[0.5] * 4)},
        "beyond its residual": {"residual": 1.0},
        "that leads away in time": (pace(1.1), pace(0.9)),
        "where it is not flat": {"lambda_min": at(*[-1e-4] * 4), "lambda_max": at(*[1e-4] * 4)},
        "down a steep way": each("lambda_min", -0.21, -0.19),
    }),
    ("saddle", "a gain along negative curvature"): (LEFT, {
        "tenfold": {"decrease": at(*[0.003] * 4), "decrease_negative": at(*[0.002] * 4), "excess": 0.01},
        "most of it": each("decrease_negative", 0.5, 0.4),
        "after a tenth of the steps beside it": (beside(120), beside(80)),
        "in a slow run": HALVING | {"gap": None},
    }),
    ("local_minimum", "a run at rest in it"): (MINIMUM, {
        "with positive curvature": {"lambda_min": at(*[-0.5] * 4)},
        "with nothing left to gain": (at_end("decrease", 0.09), at_end("decrease", 0.11)),
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
        "for half of the steps": (
            {"grad_sq": np.where(STEPS < 480, 1.0, 0.0)}, {"grad_sq": np.where(STEPS < 530, 1.0, 0.0)},
        ),
        "and no curvature": {"lambda_max": at(*[1.0] * 4)},
    }),
    ("cliff", "a leap of the gradient"): (CLIFF, {
        "thirtyfold": (leap(32.0), leap(28.0)),
        "by a step ten times as long": (throw(11.0), throw(9.0)),
        "in a slow run": {"status": "running", "loss": BACK, "excess": 1e-3, "distance_start": STEPS},
        "that sets the run back": {"loss": 1 + np.exp(-STEPS / 1000)},
    }),
    ("vanishing_gradient", "norms that fall"): (CHAIN, {
        "a hundredfold": ({"chain": chain(110)}, {"chain": chain(90)}),
        "at three places": {"chain": chain(1000)[:, [0, -1]]},
        "that were measured": {"chain": np.where(np.arange(20) == 9, np.nan, chain(1000))},
        "along a line": {"chain": np.tile(np.where(np.arange(20) < 19, 1.0, 1e-9), (ROWS, 1))},
        "without a throw, if a minimum is known": (THROWN | {"gap": None, "excess": None}, THROWN),
        "in a slow run": HALVING,
    }),
}  # fmt: skip
CASES = [(key, condition) for key, (_, changes) in CONDITIONS.items() for condition in changes]


@pytest.mark.parametrize("key", CONDITIONS, ids=" by ".join)
def test_the_cause_holds_where_all_conditions_do(key):
    assert found(key[0], CONDITIONS[key][0]).strength > 0
    assert not found(key[0], CONDITIONS[key][0]).ruled_out


@pytest.mark.parametrize(("key", "condition"), CASES, ids=lambda each: "".join(each))
def test_without_one_of_its_conditions_it_does_not(key, condition):
    """Two changes lie on both sides of a threshold."""
    given, changes = CONDITIONS[key]
    *kept, broken = (
        changes[condition] if isinstance(changes[condition], tuple) else (changes[condition],)
    )
    for change in kept:
        assert found(key[0], given | change).strength > 0
    assert not found(key[0], given | broken).strength > 0


@pytest.mark.parametrize(
    "key", [key for key, condition in CASES if "slow" in condition], ids=" by ".join
)
def test_a_run_that_goes_on_without_progress_is_judged_like_others(key):
    assert found(key[0], CONDITIONS[key][0] | {"status": "running"}).strength > 0


CURVED = {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4), "stability": at(*[0.3] * 4)}
MOVING = CURVED | {"noise_sq": 0.0, "noise_h": 0.0}
SET_BACK = np.where(STEPS <= 500, 10.0, 1 + STEPS / 1000)

# What rules out a cause by itself.
RULED_OUT = {
    "ill_conditioning": {
        "no gain is lost": ILL | {"decrease": at(*[0.003] * 4), "excess": 0.01},
        "the curvatures are alike": ILL | {"lambda_min": at(*[0.5] * 4)},
    },
    "sharpening": {
        "the largest curvature is constant": SHARPER | {"lambda_max": at(*[1.0] * 4)},
        "the curvature along the gradient is constant": SHARPER | {"g_h_g": 1.0},
    },
    "step_too_small": {"the rate is used": PATH},
    "step_too_large": {"the rate is below half of its limit": PATH},
    "noise": {"it takes little": EXACT_LOSS},
    "wrong_direction": {"steps descend": {}},
    "local_minimum": {"the gradient stays": MOVING, "a curvature is negative": SADDLE},
    "saddle": {"the gradient stays": MOVING, "all curvatures are positive": MINIMUM},
    "plateau": {"the gradient stays": MOVING},
    "no_signal": {"there is a gradient": {}},
    "cliff": {"gradient and steps are even": {}},
    "no_critical_point": {
        "a point is the minimum": AWAY | {"floor_attained": True},
        "the run comes to rest": AWAY | {"distance_start": np.minimum(np.log1p(STEPS), 6.0)},
        "the run comes nearer": AWAY | {"distance_start": SET_BACK},
    },
    "long_path": {
        "the pace changes": PATH | {"loss": SLOWER}, "the slope does": PATH | {"grad_sq": np.where(LATE, 0.2, 1.0)},
    },
    "vanishing_gradient": {"norms hardly fall": CHAIN | {"chain": chain(9)}},
}  # fmt: skip
STILL_POSSIBLE = {
    "step_too_small": {"a rate that is hardly used": {"stability": at(*[0.19] * 4)}},
    "step_too_large": {
        "a larger rate": {"stability": at(*[0.55] * 4)}, "steps that go up": {"change": TO_AND_FRO},
        "divergence": {"status": "diverged"}, "an unknown limit": {"stability": math.nan},
    },
    "noise": {
        "more noise": {"noise_h": at(*[0.3] * 4)}, "steps that go up": TOSSED, "steps off the gradient": AIMLESS,
    },
    "wrong_direction": {
        "scattered steps": {"g_s": -0.1 + 0.4 * TO_AND_FRO}, "a bias": BIASED, "a loss that increases": UPHILL,
        "a mean gradient that is turned": {"bias": at(0, 0, 0, -0.5), "bias_sq": at(*[0.1] * 4)},
    },
    "saddle": {"a rate near its limit": {"stability": at(*[0.55] * 4)}, "noise": NOISY | {"g_h_g": 0.1}},
    "no_signal": {"a row without a gradient": {"grad_sq": np.where(STEPS[-1] > STEPS, 1.0, 0.0)}},
    "cliff": {
        "a gradient that leaps a little": {"grad_sq": np.minimum(LEAPS, 6.0) ** 2},
        "a long step": {"grad_sq": np.minimum(LEAPS, 2.0) ** 2, "step_norm": LEAPS},
        "a way that the steps do not explain": {"distance_start": 3 * STEPS},
        "a leap between rows": {"grad_leap": {1: 1.0, 40: 15.0}, "loss": np.where(STEPS < 9, 1.0, 2.0)},
    },
    "vanishing_gradient": {"norms that fall a little": {"chain": chain(11)}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "given"), [(cause, given) for cause, reasons in RULED_OUT.items() for given in reasons.values()]
)  # fmt: skip
def test_each_reason_rules_the_cause_out_by_itself(cause, given):
    assert found(cause, given).ruled_out


@pytest.mark.parametrize(
    ("cause", "change"), [(cause, change) for cause, changes in STILL_POSSIBLE.items() for change in changes.values()]
)  # fmt: skip
def test_what_keeps_a_cause_possible(cause, change):
    given = next(iter(RULED_OUT[cause].values()))
    assert not found(cause, given | change).ruled_out


def test_the_certainty_of_a_measured_value():
    assert surely(2.0, 2.0) == surely(1.0, 2.0) == 0.5 and surely(20.0, 2.0) == pytest.approx(0.95)
    assert surely(math.inf, 2.0) == surely(1.0, 0.0) == 1.0
    assert surely(math.nan, 2.0) == surely(0.0, 0.0) == surely(5.0, -1.0) == 0.5


def test_the_text_of_a_verdict_has_the_tests_of_its_cause_that_hold():
    verdict = diagnose(record(**SMALL))
    lines = [line for line in verdict.text().splitlines() if line.startswith("  ")]
    holding = [row for row in verdict.evidence if row.cause == verdict.cause and row.holds]
    assert [line.split(":")[0].strip() for line in lines] == [row.test for row in holding]


def test_a_run_that_has_ended_is_never_healthy():
    fast = {"loss": np.exp(-STEPS / 100), "excess": 1e-9}
    assert diagnose(record(**fast, status="running")).cause == "healthy"
    assert diagnose(record(**fast, status="missed")).cause == "not_sure"


FITS = "ill-conditioning and too small a step both fit"
BETWEEN = SLOW | WIDE | {"stability": at(*[0.15] * 4)}
TEXTS = {
    FITS: (BETWEEN, (
        {"stability": at(*[0.21] * 4)}, {"stability": at(*[0.09] * 4)}, {"lambda_min": at(*[0.5] * 4)},
        {"decrease": at(*[0.001] * 4)}, {"stability": math.nan},
    )),
    "a plateau or too small a step": (RESTING | {"stability": at(*[0.01] * 4)}, (
        {"stability": at(*[0.3] * 4)}, {"grad_sq": 1.0},
    )),
    "a lower one may exist": (MINIMUM | dict.fromkeys(("gap", "target", "excess", "distance")), (
        {"gap": 0.5}, {"lambda_min": at(*[-0.5] * 4)},
    )),
    "curvature was not measured: this may be a minimum, a saddle or a plateau": (RESTING, (
        {"grad_sq": 1.0}, {"lambda_min": at(*[0.5] * 4), "lambda_max": at(*[2.0] * 4)},
    )),
    "at this horizon a saddle is a plateau": (SADDLE | pace(0.5), (
        pace(2.0), {"lambda_min": at(*[0.5] * 4)}, {"grad_sq": 1.0},
    )),
    "a degenerate saddle or a plateau": (SADDLE | pace(0.5), ({"grad_sq": 1.0}, FLATTER)),
    "a minimum that was hit exactly is not ruled out": ({"grad_sq": 0.0}, ({"grad_sq": 1.0}, LOST)),
    "does not rule out a critical point": (MOVING | {"stability": at(*[0.6] * 4)}, (
        {"stability": at(*[0.4] * 4)}, RESTING,
    )),
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_what_cannot_be_told_apart_is_said_only_then(text):
    given, changes = TEXTS[text]
    assert any(text in each for each in diagnose(record(**given)).unresolved)
    for change in changes:
        assert not any(text in each for each in diagnose(record(**(given | change))).unresolved)
