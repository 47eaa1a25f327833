"""What a sweep asks of every cell: how many trials, instances and rungs, at what budget and precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from problems import Problem
from ravine import Refused, nearest, require

RELEASE = (
    "ravine 0.1"  # reporting instances belong to a release, so that nobody tunes to them for ever
)
FIRST_REPORTING_SEED = 1000
FRONTIER = (1, 1 / 3, 1 / 10)  # of the budget: where breaking points are given


@dataclass(frozen=True)
class Protocol:
    """The size of a sweep; None is what the problem's card states.

    trials: settings per optimizer, the defaults among them; tuning_seeds: instances on which settings are
    chosen; seeds: others, on which they are reported; budget: gradient-equivalents of a run; rungs: 1 (the
    problem's own dial), a number of rungs along its ladder, or "auto" (the ladder, then bisection).
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
                require("", name, getattr(self, name), whole=True, low=1)
        if self.budget is not None:
            require("", "budget", self.budget, low=1)
        if self.dtype not in (None, "float32", "float64"):
            raise Refused(
                f"unknown dtype {self.dtype!r}: {nearest(str(self.dtype), ['float32', 'float64'])}"
            )
        if isinstance(self.rungs, str) and self.rungs != "auto":
            raise Refused(
                f"rungs is {self.rungs!r}, but must be a whole number, at least 1, or auto"
            )
        if self.rungs != "auto":
            require("", "rungs", self.rungs, whole=True, low=1)
        if self.device != "cpu":  # asked only here, for it is slow
            _check_device(self.device)

    def settled(self, problem: Problem) -> Settled:
        """The size of a cell of this problem."""
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
    """A protocol with nothing left open: what one cell is run with."""

    trials: int
    tuning_seeds: int
    seeds: int
    budget: float
    dtype: Literal["float32", "float64"]
    device: str

    @property
    def seed_numbers(self) -> list[int]:
        """Tuning seeds from 0, reporting seeds from 1000."""
        return [
            *range(self.tuning_seeds),
            *range(FIRST_REPORTING_SEED, FIRST_REPORTING_SEED + self.seeds),
        ]

    @property
    def torch_dtype(self) -> Any:
        """The dtype as torch knows it."""
        return getattr(torch, self.dtype)


def stream(seed: int) -> str:
    """The name of the random stream of a seed: tuning and reporting instances have nothing in common."""
    return f"tuning|{seed}" if seed < FIRST_REPORTING_SEED else f"{RELEASE}|{seed}"


def _check_device(device: str) -> None:
    allowed = "cpu, cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Refused(f"device {device!r} is not available here (allowed: {allowed})") from error
