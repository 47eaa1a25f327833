"""The columns of the tables, each named in one place."""

from __future__ import annotations

RUNS = (
    "problem", "dial", "optimizer", "trial", "seed", "role", "status", "gap_initial", "gap_final",
    "gap_best", "loss_final", "grad_sq_initial", "grad_sq_final", "steps", "cost", "steps_to_target",
    "cost_to_target", "losses", "gradients", "hvps", "hessians", "diverged_at", "seconds",
    "verdict", "ruled_out",
)  # fmt: skip
OF_PROBLEMS = ("problem.", "transform", "noise")
SETTINGS = ("hp.", *OF_PROBLEMS)
WITHOUT_NUMBERS = ("error", "not_applicable", "skipped")
AT_END = "end."  # a problem's own columns
VERDICT = "verdict."  # number of runs with this verdict
CELL = ("problem", "dial", "optimizer", "cell")
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
)
