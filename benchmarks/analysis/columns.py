"""The columns of the tables, each named in one place."""

from __future__ import annotations

from benchmarks.diagnosis import CAUSES, OUTCOMES
from benchmarks.engine.status import UNJUDGED

RUNS = (
    "problem", "dial", "optimizer", "trial", "seed", "role", "status", "gap_initial", "gap_final",
    "gap_best", "loss_final", "grad_sq_initial", "grad_sq_final", "steps", "cost", "steps_to_target",
    "cost_to_target", "losses", "gradients", "hvps", "hessians", "diverged_at", "not_finite", "not_finite_at",
    "seconds",
    "verdict", "also", "ruled_out",
)  # fmt: skip
ADDED = ("not_finite", "not_finite_at", "also")  # runs of earlier versions lack these
OF_PROBLEMS = ("problem.", "transform", "noise")
SETTINGS = ("hp.", *OF_PROBLEMS)
WITHOUT_NUMBERS = ("error", "not_applicable", "skipped")
AT_END = "end."  # a problem's own columns
VERDICT = "verdict."  # number of runs with this verdict
CELL = ("problem", "dial", "optimizer", "cell")
SOLVING = ("solving_decades", "solving_decades_low", "solving_decades_high")
INTEGERS = (
    "trial",
    "seed",
    "steps",
    "steps_to_target",
    "losses",
    "gradients",
    "hvps",
    "hessians",
    "diverged_at",
    "not_finite_at",
)

# What the columns of each table hold, as far as they are there: numbers, or one of these words.
NUMBERS = {
    "runs": (
        "dial", "gap_initial", "gap_final", "gap_best", "loss_final", "grad_sq_initial", "grad_sq_final",
        "cost", "cost_to_target", "seconds", "budget", "u", *INTEGERS,
    ),
    "summary": (
        "dial", "trial", "runs", "solved", "diverged", "cost_to_target", "cost_to_target_low",
        "cost_to_target_high", "gap_final", *SOLVING,
        "predicted_share", "seconds", "u",
    ),
    "breaking_points": (
        "budget", "breaking_point", "low", "high", "dose_exponent", "rungs", "first_rung", "last_rung", "theory",
    ),
    "traces": (
        "dial", "trial", "seed", "step", "cost", "loss", "gap", "excess", "grad_sq", "g_h_g", "distance_start",
        "distance", "g_s", "s_h_s", "predicted", "step_norm", "change", "lambda_min", "lambda_max",
    ),
    "explained": (
        "instances", "tried", "solved", "solved_without", "gain", "p", "p_holm", "first_rung", "last_rung",
        "breaking_point", "low", "high", "breaking_point_without", "low_without", "high_without", "shift",
        "shift_rungs", "cost_without",
    ),
}  # fmt: skip
STATUSES = {"solved", "missed", "diverged", *UNJUDGED, *WITHOUT_NUMBERS}
VERDICTS = {*CAUSES, *OUTCOMES}
WORDS = {
    "runs": {
        "status": STATUSES, "role": {"tuning", "reporting"}, "verdict": VERDICTS,
        "search": {"default", "sobol", "refined"}, "edge": {"True", "False"},
    },
    "summary": {"status": STATUSES, "verdict": VERDICTS, "edge": {"True", "False"}},
    "breaking_points": {"censored": {"<", ">"}, "unjudged": {*UNJUDGED}},
    "traces": {},
    "explained": {
        "holds": {"True", "False"}, "beyond": {"True", "False"},
        "censored": {"<", ">"}, "censored_without": {"<", ">"},
    },
}  # fmt: skip
