"""Each test of a record, on records made by hand: what it sees, and the traps that it must not fall into."""

from __future__ import annotations

import math
from dataclasses import replace
from types import NoneType

import numpy as np
import pytest

from benchmarks.diagnosis import CAUSES, Record, Thresholds, combine, diagnose
from benchmarks.diagnosis.combine import TESTS
from benchmarks.diagnosis.from_trace import Known, traced_record
from benchmarks.diagnosis.run_features import RunFeatures

STEPS = np.unique(np.round(np.geomspace(1, 1001, 60))) - 1.0


def record(**given) -> Record:
    """A run of descent that is plainly slow: nothing else is known of it unless it is given.

    A number stands for every row, a dict for the rows that it names.
    """
    rows = len(STEPS)
    unknown = np.full(rows, np.nan)
    made = dict.fromkeys(
        (
            "change", "g_h_g", "s_h_s", "lambda_min", "lambda_max", "residual", "decrease",
            "decrease_negative", "stability", "noise_sq", "noise_h", "bias",
        ),
        unknown,
    )  # fmt: skip
    made |= {
        "step": STEPS, "loss": 1 + np.exp(-STEPS / 1000), "grad_sq": np.ones(rows), "g_s": -np.ones(rows),
        "step_norm": np.ones(rows), "distance_start": STEPS,
    }  # fmt: skip
    for name, value in given.items():
        if isinstance(value, dict) and name != "settings":
            column = unknown.copy()
            for row, number in value.items():
                column[row] = number
            value = column
        elif isinstance(value, float) and name not in ("gap", "target", "excess"):
            value = np.full(rows, value)
        made[name] = value
    return Record(**({"status": "missed"} | made))


def at(*values: float) -> dict[int, float]:
    """At the start, a tenth, a third, and the end."""
    tenth, third = (int(np.searchsorted(STEPS, each)) for each in (100, 333))
    return dict(zip((0, tenth, third, len(STEPS) - 1), values, strict=True))


def names(found: Record, **thresholds) -> list[str]:
    return [name for name, _ in diagnose(found, Thresholds(**thresholds)).causes]


RESTING = {
    "loss": 1 + np.exp(-STEPS), "grad_sq": np.exp(-np.minimum(STEPS, 40)), "excess": 1.0,
    "distance": 1.0, "stability": at(0.3, 0.3, 0.3, 0.3), "residual": 0.0, "gap": 0.5, "target": 1e-4,
    "decrease": at(0.5, 1e-9, 1e-9, 1e-9), "decrease_negative": at(0.0, 0.0, 0.0, 0.0),
    "distance_start": 1 - np.exp(-STEPS), "step_norm": 0.01 * np.exp(-np.minimum(STEPS, 40) / 2),
}  # fmt: skip


def test_outcomes():
    assert diagnose(record(status="solved")).cause == "solved"
    falling = record(status="running", loss=np.exp(-STEPS / 100), excess=0.0)
    assert diagnose(falling).cause == "healthy" and not diagnose(falling).causes
    unclear = record(loss=1 + np.exp(-STEPS / 100))
    assert diagnose(unclear).cause == "not_sure"


def test_a_run_of_one_step_that_gains_is_healthy():
    short = {
        name: value[[0, -1]]
        for name, value in vars(record()).items()
        if isinstance(value, np.ndarray)
    }
    short |= {"status": "running", "step": np.array([0.0, 1.0])}
    assert diagnose(replace(record(excess=0.1), **short)).cause == "healthy"
    still = short | {"loss": np.ones(2)}
    assert diagnose(replace(record(excess=0.1), **still)).cause == "not_sure"


def test_a_substitute_does_not_make_a_run_sick_that_makes_progress():
    """That no step comes near the bottom stands for q, which is not known."""
    left = np.exp(-5 * STEPS / 1000)
    small = SLOW | {"loss": left, "excess": float(left[-1]), "s_h_s": 0.01}
    assert "step_too_small" in names(record(**small, gap=float(left[-1]), target=1e-4))
    assert diagnose(record(**small, status="running")).cause == "healthy"


def test_anything_short_or_empty_has_a_verdict():
    for rows in range(7):
        short = replace(
            record(),
            **{
                name: value[:rows]
                for name, value in vars(record()).items()
                if isinstance(value, np.ndarray)
            },
        )
        for status in ("missed", "diverged", "running"):
            assert diagnose(replace(short, status=status)).cause in (*CAUSES, "not_sure", "healthy")


SLOW = {"decrease": at(0.9, 0.9, 0.9, 0.9), "excess": 1.0, "decrease_negative": at(0, 0, 0, 0)}


def test_lost_gain_is_ill_conditioning_or_a_small_step_by_the_share_of_stability():
    used = {share: names(record(**SLOW, stability=at(*[share] * 4))) for share in (0.5, 0.15, 0.01)}
    assert "ill_conditioning" in used[0.5] and "step_too_small" not in used[0.5]
    assert "step_too_small" in used[0.01] and "ill_conditioning" not in used[0.01]
    assert not {"ill_conditioning", "step_too_small"} & set(used[0.15])
    between = diagnose(record(**SLOW, stability=at(*[0.15] * 4)))
    assert any("both fit" in text for text in between.unresolved)


def test_a_small_step_is_to_blame_only_if_ten_times_as_many_would_have_arrived():
    small = SLOW | {"stability": at(*[0.01] * 4), "target": 1e-4, "gap": 0.9}
    left = np.exp(
        -5 * STEPS / 1000
    )  # what is left of the gap: e⁻⁵, and with ten times the rate e⁻⁵⁰
    fast = small | {"loss": left, "excess": float(left[-1]), "gap": float(left[-1])}
    assert "step_too_small" in names(record(**fast)) and "ill_conditioning" not in names(
        record(**fast)
    )
    slow = small | {"loss": np.exp(-0.1 * STEPS / 1000), "excess": 0.9}
    assert "ill_conditioning" in names(record(**slow)) and "step_too_small" not in names(
        record(**slow)
    )
    # A run that still goes on is judged by its steps: with momentum no rate does it in a fifth of 30.
    going = fast | {"status": "running", "gap": None, "target": None}
    assert "step_too_small" in names(record(**going))
    heavy = going | {"settings": {"momentum": 0.99}}
    assert diagnose(record(**heavy)).cause == "healthy"


def test_where_the_limit_is_not_known_r_stands_in_and_says_so():
    known = diagnose(record(**SLOW, stability=at(*[0.5] * 4)))
    unknown = diagnose(record(**SLOW, s_h_s=1.0))
    assert dict(unknown.causes)["ill_conditioning"] < dict(known.causes)["ill_conditioning"]
    assert any("limit is not known" in text for text in unknown.unresolved)


def test_noise_is_told_from_curvature_by_the_larger_of_the_two():
    """At a standstill r_curv + r_noise = 1: the ratio tr(HS)/mᵀHm tells, whatever the rate is."""
    still = {
        "loss": 1 + 1e-9 * np.cos(STEPS),
        "change": np.cos(STEPS),
        "stability": at(*[0.95] * 4),
    }
    seen = {"noise_sq": at(*[1.0] * 4), "bias": at(*[1.0] * 4), "g_h_g": 0.01}
    assert names(record(**still, **seen, noise_h=at(*[0.1] * 4)))[0] == "noise"
    assert names(record(**still, **seen, noise_h=at(*[0.001] * 4)))[0] == "step_too_large"


def test_a_minibatch_gradient_squared_would_hide_the_noise():
    """|g_B|² = |m|² + tr S: with it in the place of |m|² r_noise falls below ½, and noise is not seen."""
    slow = {"noise_sq": at(*[1.0] * 4), "noise_h": at(*[1.0] * 4), "g_h_g": 1e-3, "step_norm": 0.1}
    assert "noise" in names(record(**slow, grad_sq=0.01))
    assert "noise" not in names(record(**slow, grad_sq=1.01))


def test_noise_is_seen_where_steps_go_up_within_the_limit_or_off_the_gradient():
    """r_curv ≤ q, and of a step on noise |m|²/(|m|² + tr S) of the square lies along the mean gradient."""
    some = {"noise_sq": at(*[0.01] * 4), "noise_h": at(*[1e-6] * 4), "g_h_g": 1.0, "gap": 0.9}
    up = some | {"change": np.cos(np.arange(60)[: len(STEPS)] * 2.0)}
    assert "noise" in names(record(**up, stability=at(*[0.1] * 4)))
    assert "noise" not in names(record(**up, stability=at(*[0.9] * 4)))
    assert "noise" in names(record(**some, g_s=-0.5))
    assert "noise" not in names(record(**some, g_s=-0.9))
    assert "noise" not in names(
        record(**some, g_s=-0.5, settings={"beta1": 0.9})
    )  # velocity turns it
    # Of a loss that is only estimated neither says anything: the estimates go up and turn by themselves.
    guessed = some | {"gap": None, "change": up["change"], "g_s": -0.5}
    assert "noise" not in names(record(**guessed, stability=at(*[0.1] * 4)))


def test_what_a_step_does_in_a_basin_counts_less():
    still = {
        "loss": 1 + 1e-9 * np.cos(STEPS),
        "change": np.cos(STEPS),
        "stability": at(*[0.95] * 4),
    }
    ends = {"lambda_min": at(*[0.5] * 4), "lambda_max": at(*[2.0] * 4), "residual": 0.0}
    left = {"excess": 1.0, "distance": 1.0, "gap": 0.5, "target": 1e-4}
    bottom = record(**still, **ends, **left, decrease=at(0.5, 1e-3, 1e-3, 1e-3))
    assert names(bottom) == ["local_minimum", "step_too_large"]
    above = record(**still, **ends, **left, decrease=at(0.5, 0.9, 0.9, 0.9))
    assert names(above)[0] == "step_too_large"
    free, bound = (dict(diagnose(each).causes)["step_too_large"] for each in (above, bottom))
    assert bound == pytest.approx(free / 2)


def test_who_was_thrown_far_is_not_slow_for_his_curvatures_and_may_still_be_on_his_way_back():
    slow = SLOW | {"stability": at(*[0.5] * 4), "s_h_s": {0: 9.0}}
    assert names(record(**slow))[0] == "ill_conditioning"
    height = 1.5 + 50 * np.minimum(STEPS, 1) * np.exp(-STEPS / 1000)
    over = slow | {
        "decrease": at(*[40.0] * 4),
        "loss": height,
        "excess": float(height[-1]) - 1,
        "gap": 40.0,
    }
    assert "step_too_large" in names(record(**over))
    assert "ill_conditioning" not in names(record(**over))


def test_between_two_measured_curvatures_a_step_may_have_come_near_its_limit():
    left = np.exp(-5 * STEPS / 1000)
    small = SLOW | {"loss": left, "excess": float(left[-1]), "gap": float(left[-1]), "target": 1e-4}
    small |= {"stability": at(*[0.01] * 4)}
    assert "step_too_small" in names(record(**small, s_h_s={3: 0.02}))
    assert "step_too_small" not in names(record(**small, s_h_s={3: 1.0}))


@pytest.mark.parametrize(
    ("low", "high", "cause"),
    [(0.5, 2.0, "local_minimum"), (-0.5, 2.0, "saddle"), (-1e-4, 1e-4, "plateau")],
)
def test_signed_curvature_tells_a_minimum_a_saddle_and_a_plateau_apart(low, high, cause):
    ends = {"lambda_min": at(-1, low, low, low), "lambda_max": at(2, high, high, high)}
    verdict = diagnose(record(**RESTING, **ends))
    assert verdict.cause == cause
    assert not {"local_minimum", "saddle", "plateau"} - {cause} & {
        name for name, _ in verdict.causes
    }


def test_a_saddle_within_the_residual_of_its_curvature_is_none():
    ends = {"lambda_min": at(-0.5, -0.5, -0.5, -0.5), "lambda_max": at(2, 2, 2, 2)}
    assert "saddle" in names(record(**RESTING, **ends))
    assert "saddle" not in names(record(**(RESTING | {"residual": 1.0}), **ends))


def test_a_saddle_that_would_take_many_runs_to_leave_is_a_plateau():
    slow = RESTING | {name: 1e-6 * RESTING[name] for name in ("step_norm", "distance_start")}
    verdict = diagnose(record(**slow, lambda_min=at(*[-0.5] * 4), lambda_max=at(*[2.0] * 4)))
    assert verdict.cause == "plateau"
    assert any("at this horizon" in text for text in verdict.unresolved)


def test_without_a_known_minimum_it_is_a_minimum_and_not_the():
    blind = RESTING | {"gap": None, "target": None, "excess": None, "distance": None}
    verdict = diagnose(record(**blind, lambda_min=at(*[0.5] * 4), lambda_max=at(*[2.0] * 4)))
    assert verdict.cause == "local_minimum"
    assert any(text.startswith("This is a minimum") for text in verdict.unresolved)


def test_zero_gradient_is_no_signal_unless_there_is_curvature():
    none = RESTING | {"grad_sq": 0.0}
    flat = {"lambda_min": at(*[0.0] * 4), "lambda_max": at(*[0.0] * 4)}
    assert names(record(**none, **flat))[0] == "no_signal"
    bowl = {"lambda_min": at(*[1.0] * 4), "lambda_max": at(*[2.0] * 4)}
    assert "no_signal" not in names(record(**none, **bowl))
    assert any("not ruled out" in text for text in diagnose(record(**none)).unresolved)


def test_a_norm_that_stays_rules_out_critical_points_below_half_of_the_limit_only():
    """At the edge of stability a run bounces over a minimum with a gradient as large as ever."""
    ends = {"lambda_min": at(*[-0.5] * 4), "lambda_max": at(*[2.0] * 4)}
    below, edge = (
        diagnose(record(**ends, stability=at(*[share] * 4), noise_h=0.0, noise_sq=0.0))
        for share in (0.3, 0.97)
    )
    critical = {"saddle", "plateau"}
    assert critical <= set(below.ruled_out)
    assert not critical & set(edge.ruled_out)
    assert any("does not rule out a critical point" in text for text in edge.unresolved)
    # Under noise, what is seen of the norm need not shrink either.
    noisy = diagnose(
        record(**ends, stability=at(*[0.3] * 4), g_h_g=1e-3, noise_h=at(*[1.0] * 4), noise_sq=0.1)
    )
    assert not critical & set(noisy.ruled_out)


def test_a_cliff_is_a_leap_above_the_trend_and_steady_growth_is_none():
    leaps = np.ones(len(STEPS))
    leaps[40] = 1e4
    far = np.where(np.arange(len(STEPS)) > 40, 1e4, 1.0) * STEPS
    worse = np.where(np.arange(len(STEPS)) > 40, 50.0, 1.0)
    thrown = record(grad_sq=leaps**2, step_norm=leaps, distance_start=far, loss=worse)
    assert names(thrown)[0] == "cliff"
    better = record(grad_sq=leaps**2, step_norm=leaps, distance_start=far)
    assert "cliff" not in names(better)  # it was never set back
    growing = np.exp(np.minimum(STEPS, 300))  # a rate three times too large on a quadratic
    diverging = record(status="diverged", grad_sq=growing, step_norm=np.sqrt(growing), s_h_s=9.0)
    assert "cliff" not in names(diverging) and "step_too_large" in names(diverging)


def test_a_throw_between_two_records_is_seen_in_the_way_that_steps_do_not_explain():
    after = STEPS > 500
    far, first = np.where(after, 1e4, 1.0), np.where(STEPS == 0, 1e3, 1e-3)
    worse = record(loss=np.where(after, 9.0, 1.0), distance_start=far, step_norm=first)
    better = record(loss=np.where(after, 0.1, 1.0), distance_start=far, step_norm=first)
    assert "cliff" in names(worse)
    assert "cliff" not in names(better)  # a run that leaves a saddle gets far, too
    back = np.where(STEPS > 900, 0.1, np.where(after, 50.0, 1.0))
    longer = record(loss=back, distance_start=far, step_norm=1e-3)
    assert "cliff" in names(longer)  # but was never set back on the way


def test_a_gradient_that_leaps_from_one_step_to_the_next_is_a_cliff_unless_it_leads_down():
    """As of a recurrent network that is thrown where its gradient vanishes, though its loss is no tenfold."""
    leaps = dict.fromkeys(range(1, len(STEPS)), 1.0) | {40: 15.0}
    rows = np.arange(len(STEPS))
    loss = np.where(rows < 20, 2.0, np.where(rows < 40, 1.0, 1.1))
    chain = np.tile(0.7 ** np.arange(20.0), (len(STEPS), 1))
    lost = {
        "loss": loss, "loss_highest": np.where(STEPS > 0, loss + 0.5, np.nan), "grad_leap": leaps, "chain": chain,
        "gap": 0.9, "excess": 0.9,
    }  # fmt: skip
    assert names(record(**lost))[0] == "cliff" and "vanishing_gradient" in names(record(**lost))
    assert names(record(**lost), leap=20.0)[0] == "vanishing_gradient"
    down = lost | {"loss": np.where(rows < 40, loss, 0.9)}  # a run that leaves a saddle
    assert "cliff" not in names(record(**down))
    never_up = lost | {"loss_highest": loss}
    assert "cliff" not in names(record(**never_up))
    other = np.where(STEPS > 30, 3.0, 1.0)  # a run with steps of another kind need not be thrown
    assert "cliff" not in names(record(**lost, step_norm=other))
    assert "cliff" not in names(record(**lost | {"grad_leap": None, "loss_highest": None}))
    assert "cliff" in diagnose(record(**lost | {"grad_leap": 1.0, "loss_highest": loss})).ruled_out
    assert "cliff" not in diagnose(record(**never_up)).ruled_out


def test_peaks_between_rows_count():
    """Thrown far above its start and back before the next row."""
    start = {"excess": 1.0, "gap": 0.5, "loss": 1 + np.exp(-STEPS / 1000)}
    up = dict.fromkeys(range(len(STEPS)), 1.0) | {40: 60.0}
    seen = [
        RunFeatures(record(**start, loss_highest=peak), Thresholds())
        for peak in (None, up, at(1, 1, 1, 1))
    ]
    assert [each.thrown for each in seen] == [False, True, False]
    assert [each.set_back for each in seen] == [False, True, False]
    assert seen[1].highest > 20 > 10 > 1 == seen[0].highest == seen[2].highest


def test_a_rate_that_was_small_where_the_run_began_is_not_what_throws_it():
    up = {"loss": np.where(STEPS > 3, 50.0, 1.0), "s_h_s": 9.0, "noise_sq": 0.0, "excess": 49.9}
    up |= {"excess": 50.0, "gap": 50.0, "change": 0.0}
    assert names(record(**up, stability=at(0.01, 0.6, 0.6, 0.6)))[0] == "cliff"
    assert names(record(**up, stability=at(3.0, 3.0, 0.6, 0.6)))[0] == "step_too_large"
    # And where it was too large from the first step on, what it leads to is its consequence.
    leaps = np.ones(len(STEPS))
    leaps[40] = 1e4
    wild = up | {"grad_sq": leaps**2, "step_norm": leaps}
    strengths = [
        dict(diagnose(record(**wild, stability=at(first, 0.6, 0.6, 0.6))).causes)["cliff"]
        for first in (0.9, 1.1)
    ]
    assert strengths[1] == pytest.approx(strengths[0] / 2)


@pytest.mark.parametrize(
    ("factor", "cause"), [(1.3, "exploding_gradient"), (0.7, "vanishing_gradient")]
)
def test_a_chain_that_multiplies_by_a_constant(factor, cause):
    chain = np.tile(factor ** np.arange(20.0), (len(STEPS), 1))
    other = {"exploding_gradient", "vanishing_gradient"} - {cause}
    thrown = {
        "loss": np.where(STEPS > 3, 50.0, 1.0),
        "gap": 50.0,
        "excess": 50.0,
    }  # exploding throws a run, vanishing does not
    verdict = diagnose(record(chain=chain, **(thrown if factor > 1 else {"gap": 0.9})))
    assert cause in dict(verdict.causes) and other <= set(verdict.ruled_out)
    ratio = next(each for each in verdict.evidence if each.cause == cause)
    assert ratio.value == pytest.approx(factor**19) and ratio.threshold == (
        100 if factor > 1 else 0.01
    )
    calm = {"gap": 0.9} if factor > 1 else thrown
    assert cause not in names(record(chain=chain, **calm))
    short = diagnose(record(chain=chain[:, :3]))  # a factor of 1.7 in all
    assert {"exploding_gradient", "vanishing_gradient"} <= set(short.ruled_out)


def test_a_chain_that_scatters_has_no_slope():
    scattered = np.tile(10.0 ** np.array([0, 3, -2, 2, -3, 1, -2.5]), (len(STEPS), 1))
    assert not {"exploding_gradient", "vanishing_gradient"} & set(names(record(chain=scattered)))


def test_a_chain_is_read_from_the_norms_that_floats_can_hold():
    """Traces are float32, in which less than 1e-45 is 0 and more than 3.4e38 is infinite."""

    def judged(*norms: float, **given):
        chain = np.tile(np.float32(norms), (len(STEPS), 1))
        return diagnose(record(chain=chain, **({"gap": 0.9} | given)))

    for norms, decades in (
        ((1e-5, 7e-44, 0, 0, 0), 38.2),
        ((1e-2, 1e-15, 1e-28, 1e-41, 0), 39.0),
        ((1e-2, 1e-5, 0, 1e-11, 1e-14), 12.0),
    ):
        verdict = judged(*norms)
        assert verdict.cause == "vanishing_gradient" and "exploding_gradient" in verdict.ruled_out
        ratio, fit = (row.value for row in verdict.evidence if row.cause == "vanishing_gradient")
        assert math.log10(ratio) == pytest.approx(-decades, abs=0.1) and fit > 0.999
    thrown = {"loss": np.where(STEPS > 3, 50.0, 1.0), "gap": 50.0, "excess": 50.0}
    grown = judged(1, 1e30, math.inf, math.inf, math.inf, **thrown)
    assert "exploding_gradient" in dict(grown.causes)
    # Layers that are dead leave too few norms, or norms that do not vanish.
    for norms, ruled_out in (((1.0, 0, 0, 0), False), ((1.0, 0.5, 0, 0), True)):
        dead = judged(*norms)
        assert "vanishing_gradient" not in dict(dead.causes)
        assert ("vanishing_gradient" in dead.ruled_out) == ruled_out
    steep = record(gap=0.9, chain=np.tile([1e300, 1.0, 1e-300], (len(STEPS), 1)))
    assert (
        diagnose(steep).cause == "vanishing_gradient"
    )  # by 600 decades, more than floats can hold


def test_a_trace_keeps_the_positions_at_which_a_chain_overflows():
    known = {name: np.zeros(2) for name in ("step", "loss", "gap", "distance")}
    norms = {"chain.0": 1.0, "chain.1": 1e30, "chain.2": math.inf, "chain.3": math.nan}
    trace = known | {name: np.full(2, norm) for name, norm in norms.items()}
    kept = traced_record(trace, "diverged", Known(noisy=False)).chain
    assert kept is not None and kept.tolist() == [[1.0, 1e30, math.inf]] * 2


RUNAWAY = {
    "distance_start": np.log1p(STEPS), "loss": 1 / (1 + STEPS), "grad_sq": 1 / (1 + STEPS) ** 2,
    "excess": 1e-3, "decrease": at(0.5, 5e-3, 1.5e-3, 5e-4),
}  # fmt: skip


def test_a_run_to_infinity():
    assert "no_critical_point" in names(record(**RUNAWAY, floor_attained=False))
    known = diagnose(record(**RUNAWAY, floor_attained=True))
    assert "no_critical_point" in known.ruled_out
    # That it goes away by log t tells where it is not known that no point is the last.
    fast = RUNAWAY | {"distance_start": STEPS**2}
    assert "no_critical_point" in names(record(**fast, floor_attained=False))
    assert "no_critical_point" not in names(record(**fast))
    unknown = diagnose(record(**RUNAWAY))
    assert any("both fit" in text for text in unknown.unresolved)


def test_a_bias_counts_where_it_is_no_matter_of_a_sample():
    assert "wrong_direction" in names(record(bias_sq=at(*[0.9] * 4), noise_sq=at(*[0.01] * 4)))
    sampled = record(bias_sq=at(*[0.9] * 4), noise_sq=at(*[2.0] * 4))
    assert "wrong_direction" not in names(sampled)
    assert "wrong_direction" in names(record(g_s=1.0, loss=1 + STEPS / 1000))
    assert "wrong_direction" in diagnose(record()).ruled_out
    uphill = {
        "g_s": 1.0,
        "loss": 1 + STEPS / 1000,
    }  # counts less where the gradient that is seen is exact
    strengths = [
        dict(diagnose(record(**uphill, noise_sq=noise, stability=2.0)).causes)["wrong_direction"]
        for noise in (0.0, 1e-6)
    ]
    assert strengths[0] == pytest.approx(strengths[1] / 2)


def test_a_step_that_was_not_finite_is_the_optimizers_own_fault_unless_the_run_was_thrown_before():
    slow = record(**SLOW, stability=at(*[0.5] * 4), status="diverged")
    before = diagnose(slow)
    verdict = diagnose(replace(slow, not_finite=("step", 1000)))
    assert verdict.cause == "step_not_finite" and verdict.cause not in before.ruled_out
    assert verdict.causes == before.causes and verdict.causes
    first, *others = verdict.evidence
    assert first.holds and [each.test for each in others] == [each.test for each in before.evidence]
    said = "the optimizer's own step was not finite (step 1000) where the gradient was"
    assert said in verdict.text() and "Also: long path" in verdict.text()
    unclear = record(loss=1 + np.exp(-STEPS / 100), status="diverged", not_finite=("step", 3))
    assert diagnose(unclear).cause == "step_not_finite"
    # What overflows after a throw is a consequence; if the throw has no cause, the step is all that is known.
    rising = np.geomspace(1.0, 1e9, len(STEPS))
    for what in ("step", "gradient"):
        late = (what, 1000)
        thrown = record(
            loss=rising, change=1.0, s_h_s=3.0, status="diverged", not_finite=late, gap=1e9
        )
        assert diagnose(thrown).cause == "step_too_large"


def test_a_gradient_that_was_not_finite_is_named_and_a_loss_is_where_a_step_has_led():
    slow = record(**SLOW, stability=at(*[0.5] * 4), status="diverged")
    before = diagnose(slow)
    for what in ("gradient", "gradient or curvature"):
        verdict = diagnose(replace(slow, not_finite=(what, 6)))
        assert verdict.cause == "derivative_not_finite" and verdict.causes == before.causes
        said = f"the {what} was not finite (step 6) where the loss was: largest |entry| (inf for NaN) = inf"
        assert said in verdict.text()
    assert diagnose(replace(slow, not_finite=("loss", 6))).cause == before.cause


def test_causes_are_ranked_by_strength_and_thresholds_decide():
    verdict = diagnose(record(**SLOW, stability=at(*[0.5] * 4)))
    strengths = [strength for _, strength in verdict.causes]
    assert strengths == sorted(strengths, reverse=True) and all(0 < each <= 1 for each in strengths)
    assert verdict.cause == verdict.causes[0][0]
    assert "ill_conditioning" not in names(record(**SLOW, stability=at(*[0.5] * 4)), lost_gain=1e9)
    frame = verdict.frame
    assert len(frame) == len(verdict.evidence) and set(frame["cause"]) == set(CAUSES)
    assert math.isclose(
        frame.set_index("formula").loc["q = lr λmax(P⁻¹H)/limit", "value"].iloc[0], 0.5
    )
    assert "Verdict: " in verdict.text()


def test_of_causes_that_are_equally_strong_a_chain_is_named_first(monkeypatch):
    def equal(rule):
        return lambda features: (replace(each, strength=0.9) for each in rule(features))

    monkeypatch.setattr(combine, "TESTS", tuple(map(equal, TESTS)))
    found = names(record())
    assert found[0] == "exploding_gradient" and len(found) == len(CAUSES)


def test_nothing_is_ill_conditioned_where_all_curvatures_are_alike():
    slow = {"loss": 1 + np.exp(-STEPS / 1e5), "excess": 1.0, "gap": 0.99, "target": 1e-4}
    slow |= {"decrease": at(0.5, 0.5, 0.5, 0.5), "decrease_negative": at(0.0, 0.0, 0.0, 0.0)}
    slow |= {"lambda_max": at(1.0, 1.0, 1.0, 1.0), "residual": 0.0, "change": -1e-5}
    for low, wide in ((1.0, False), (0.5, False), (0.01, True), (-1.0, True)):
        steep = record(**slow, lambda_min=at(low, low, low, low), stability=at(0.5, 0.5, 0.5, 0.5))
        assert ("ill_conditioning" in names(steep)) == wide
        assert ("ill_conditioning" in diagnose(steep).ruled_out) != wide
        gentle = replace(steep, stability=steep.stability / 1e3)
        assert ("step_too_small" in names(gentle)) != wide


# Odd numbers.


def test_the_loss_of_a_run_may_be_too_large_for_its_trace():
    """Nothing is known of its progress then: it is neither healthy nor at a standstill by measurement."""
    for losses in (np.inf, np.where(STEPS < 10, 1e38, np.inf), np.nan):
        found = record(loss=np.broadcast_to(losses, STEPS.shape), gap=0.5, target=1e-4)
        features = RunFeatures(found, Thresholds())
        assert math.isnan(features.gained_late) and math.isnan(features.faster)
        assert diagnose(found).cause in ("not_sure", *CAUSES)
    # Nor of the direction of a step along a gradient that has overflowed.
    steep = record(grad_sq=np.inf, g_s=-1e38, gap=0.5)
    assert "wrong_direction" not in names(steep)


FLOATS = {  # a column of a trace: what it is made of, and how much of it
    "random": lambda draws, rows: np.abs(draws.normal(size=rows)) * 10.0 ** draws.integers(-38, 38),
    "growing": lambda draws, rows: np.geomspace(1, 10.0 ** draws.integers(-38, 38), rows),
    "zero": lambda draws, rows: np.zeros(rows),
    "subnormal": lambda draws, rows: np.full(rows, 1.4e-45),
    "infinite": lambda draws, rows: np.full(rows, np.inf),
    "unknown": lambda draws, rows: np.full(rows, np.nan),
}
RATIOS = {  # those to something that may be 0
    "max |λ|max/|λ|min", "max(q, r)", "max λmax/λmax at the start", "r_noise/r_curv = tr(HS)/mᵀHm",
    "r_noise = η tr(HS)/2|m|²", "10 r_noise", "|E[ĝ] − g|²/max(|g|², 4 tr S)",
}  # fmt: skip
SIGNED = {"change", "g_h_g", "g_s", "s_h_s", "lambda_min", "lambda_max", "noise_h", "bias"}


def odd_record(seed: int, kinds: list[str]) -> Record:
    """A run whose columns are of these kinds, with entries of others among them."""
    draws = np.random.default_rng(seed)
    rows = int(draws.integers(1, 12))

    def column(name=""):
        made, strange = (FLOATS[kind](draws, rows) for kind in draws.choice(kinds, 2))
        made = np.where(draws.random(rows) < draws.random(), strange, made)
        sign = draws.choice([-1.0, 1.0], rows) if name in SIGNED else 1.0
        return np.float32(sign * made)

    def known(value):
        return value if draws.random() < 0.5 else None

    arrays = {
        name: column(name)
        for name, kind in Record.__annotations__.items()
        if kind == "np.ndarray" and name != "step"
    }
    optional = {
        name: known(column()) for name in ("distance", "bias_sq", "grad_leap", "loss_highest")
    }
    return Record(
        status=str(draws.choice(["missed", "diverged", "running"])),  # type: ignore[arg-type]
        step=np.cumsum(draws.integers(1, 5, rows)) - 1.0,
        chain=known(np.stack([column() for _ in range(draws.integers(1, 6))], axis=1)),
        gap=known(float(column()[-1])), excess=known(float(column()[-1])),
        target=known(1e-4), floor_attained=known(bool(draws.integers(2))),
        settings={"lr": 0.1, "momentum": draws.choice([0.0, 0.9])},
        **arrays, **optional,
    )  # fmt: skip


@pytest.mark.parametrize("overflows", [False, True])
@pytest.mark.parametrize("rule", TESTS, ids=lambda rule: rule.__name__)
def test_every_rule_answers_whatever_numbers_a_trace_has(rule, overflows):
    kinds = [kind for kind in FLOATS if overflows or kind != "infinite"]
    for seed in range(100):
        features = RunFeatures(odd_record(seed, kinds), Thresholds())
        with np.errstate(all="ignore"):
            findings = list(rule(features))
        for finding in findings:
            assert 0 <= finding.strength <= 1 and type(finding.ruled_out) is bool
            for row in finding.evidence:
                assert type(row.value) is float and type(row.holds) in (bool, NoneType)
                assert overflows or not math.isinf(row.value) or row.formula in RATIOS


# Values that support their cause if they are small, and tests with a further condition beside the threshold.
BELOW = {
    ("wrong_direction", "cos(E[ĝ], g)"), ("no_signal", "|λ|max"), ("local_minimum", "½gᵀ|H|⁻¹g/(f − f*)"),
    ("step_too_small", "q = lr λmax(P⁻¹H)/limit"), ("step_too_small", "max r, r = sᵀHs/(−2gᵀs)"),
    ("step_too_small", "gap (1 − late gain)¹⁸/target, or 5 least steps/steps if the run goes on"),
    ("no_critical_point", "|g| at the end/|g| at the start"), ("cliff", "q at the start"),
    ("plateau", "|λ|max distance²/2(f − f*), or over the largest so far"),
    ("vanishing_gradient", "10^(slope of log₁₀|g| per position × positions)"),
}  # fmt: skip
NOT_ALONE = {
    "10 r_noise", "(f(N/2) − f(N))/(f(N/2) − f*)", "max (f − f*)/(f₀ − f*)", "share of steps with gᵀg = 0",
    "late fall per step/earlier fall per step", "late median |s|/earlier median |s|",
}  # fmt: skip


def test_a_test_holds_by_the_value_and_the_threshold_that_are_shown():
    for seed in range(150):
        for row in diagnose(odd_record(seed, list(FLOATS))).evidence:
            if row.holds is None or math.isnan(row.value) or row.value == row.threshold:
                continue
            below = (row.cause, row.formula) in BELOW
            small, large = row.value < row.threshold, row.value > row.threshold
            assert row.formula in NOT_ALONE or row.holds == (small if below else large), row


def test_whatever_numbers_a_run_has_it_is_judged():
    for seed in range(200):
        verdict = diagnose(odd_record(seed, list(FLOATS)))
        assert verdict.text()
        assert not set(verdict.ruled_out) & {cause for cause, _ in verdict.causes}
