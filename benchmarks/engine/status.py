"""How a run ends."""

SOLVED, MISSED, DIVERGED = "solved", "missed", "diverged"
# Of runs that cannot be judged: one step costs more than the budget, or with noise there are too few steps.
NO_STEP, TOO_FEW_STEPS = "no_step", "too_few_steps"
UNJUDGED = (NO_STEP, TOO_FEW_STEPS)
