"""The size of a sweep: trials, instances, rungs, budget, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from problems import Problem
from ravine import Refused, nearest, require

RELEASE = (
    "ravine 0.1"  # each release draws new reporting instances, so that nobody can tune to them
)
FIRST_REPORTING_SEED = 1000
MOST = 10**6  # trials or instances
MOST_RUNGS = 1000  # of one ladder
ROUNDING = 1e-6  # tolerance, as a share of the budget: thirds of a gradient do not add up exactly
FRONTIER = (1, 1 / 3, 1 / 10)  # shares of the budget at which breaking points are given


@dataclass(frozen=True)
class Protocol:
    """The size of a sweep; None stands for the value on the problem's card.

    Args:
        trials: Settings per optimizer, its default values included.
        tuning_seeds: Instances on which settings are chosen.
        seeds: Other instances, on which the chosen settings are reported.
        budget: Cost that one run may spend, in gradients.
        dtype: Precision of the runs.
        device: Where they run, as torch writes it.
        rungs: 1 (the problem's own dial value), a number of rungs along its ladder, or "auto" (the
            ladder, then bisection).

    Raises:
        Refused: If a value is out of its range, or the device is not available.
    """

    trials: int | None = None
    tuning_seeds: int | None = None
    seeds: int | None = None
    budget: float | None = None
    dtype: Literal["float32", "float64"] | None = None
    device: str = "cpu"
    rungs: int | Literal["auto"] = 1

    def __post_init__(self) -> None:
        for name in ("trials", "tuning_seeds", "seeds"):
            if getattr(self, name) is not None:
                high = FIRST_REPORTING_SEED if name == "tuning_seeds" else MOST
                require("", name, getattr(self, name), whole=True, low=1, high=high)
        if self.budget is not None:
            require("", "budget", self.budget, low=1)
        if self.dtype not in (None, "float32", "float64"):
            raise Refused(
                f"unknown dtype {self.dtype!r}: {nearest(str(self.dtype), ['float32', 'float64'])}"
            )
        if isinstance(self.rungs, str) and self.rungs != "auto":
            raise Refused(
                f"rungs is {self.rungs!r}, but must be a whole number, at least 1, at most {MOST_RUNGS}, "
                "or auto"
            )
        if self.rungs != "auto":
            require("", "rungs", self.rungs, whole=True, low=1, high=MOST_RUNGS)
        if self.device != "cpu":  # the check is slow
            _check_device(self.device)

    def settled(self, problem: Problem) -> Settled:
        """Return the size of a cell of this problem: this protocol, completed from the problem's card.

        Args:
            problem: The problem at any of its rungs.

        Returns:
            The protocol without open values.
        """
        cell = problem.card.cell
        return Settled(
            trials=self.trials or cell.trials,
            tuning_seeds=self.tuning_seeds or cell.tuning_seeds,
            seeds=self.seeds or cell.seeds,
            budget=float(self.budget or problem.budget),
            dtype=self.dtype or cell.dtype,
            device=self.device,
        )


@dataclass(frozen=True)
class Settled:
    """The size of one cell: a protocol without open values; fields as in `Protocol`."""

    trials: int
    tuning_seeds: int
    seeds: int
    budget: float
    dtype: Literal["float32", "float64"]
    device: str

    @property
    def seed_numbers(self) -> list[int]:
        """Return the tuning seeds, from 0, then the reporting seeds, from 1000."""
        return [
            *range(self.tuning_seeds),
            *range(FIRST_REPORTING_SEED, FIRST_REPORTING_SEED + self.seeds),
        ]

    @property
    def torch_dtype(self) -> Any:
        """Return the dtype as torch's object."""
        return getattr(torch, self.dtype)


def stream(seed: int) -> str:
    """Return the name of a seed's random stream; tuning and reporting instances share none."""
    return f"tuning|{seed}" if seed < FIRST_REPORTING_SEED else f"{RELEASE}|{seed}"


def _check_device(device: str) -> None:
    allowed = "cpu, cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(device).type != "cuda":  # such as cpu:7 or meta
            raise RuntimeError
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Refused(f"device {device!r} is not available here (allowed: {allowed})") from error
