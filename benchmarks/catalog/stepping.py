"""How the runs of an optimizer are stepped: as one batch, or one by one."""

from __future__ import annotations

import torch

from optimizers import Optimizer
from optimizers.adopted import MATRIX, PROVISIONAL_STEPS, VECTOR, Adopted
from optimizers.adopted_runs import StackedRuns
from optimizers.learning_rate_unit import DIM, LR
from optimizers.needs import needs
from optimizers.optimizer import Fault, NotApplicable
from optimizers.wrapper import innermost
from ravine import Refused

BATCH, ALONE = "as one batch", "run by run, which is slower"


def stepping(optimizer: Optimizer) -> str:
    """Return in words how the runs of an optimizer are stepped; a class of torch is tried on two small runs."""
    inner = innermost(optimizer)
    if not isinstance(inner, Adopted):
        return BATCH
    why = ""
    for dtype in (torch.float64, torch.float32):
        for shapes in (VECTOR, MATRIX):
            given = {inner.rate: LR} if inner.missing_defaults else {}  # a rate is searched
            alone = inner.told(PROVISIONAL_STEPS).on(shapes).batched(given)
            try:
                runs = alone.init(torch.ones(2, 2, DIM, dtype=dtype))[0]
            except (NotApplicable, Fault, Refused) as error:
                why = why or str(error)
                continue
            only = [
                *(["of matrices alone"] if shapes is MATRIX else []),
                *(["with dtype=float32 alone"] if dtype == torch.float32 else []),
            ]
            how = BATCH if isinstance(runs, StackedRuns) else f"{ALONE}: {_reason(inner)}"
            return ", ".join([how, *only])
    return f"not at all: {why}"


def _reason(inner: Adopted) -> str:
    """Return why the runs of a class are not stepped together."""
    asks = needs(inner.method)
    reasons = {
        "its step needs a closure": asks.closure,
        "its step needs an estimate of the Hessian": asks.hessian,
        "its parameters come in groups": asks.groups,
        "it draws random numbers": asks.draws,
    }
    held = [reason for reason, holds in reasons.items() if holds]
    return (
        " and ".join(held)
        or "stepped together, its runs may differ from those stepped alone, if only by rounding"
    )
