"""Record a run on a logarithmic schedule of steps, from the exact loss; recording is not charged."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.engine.measurements import measure
from problems import Problem, Tree

if TYPE_CHECKING:
    from optimizers import Optimizer
    from optimizers.optimizer import State
    from optimizers.oracle import Count, CountingOracle

PER_DECADE = 20  # recorded steps per decade of steps
HIGHER = 10.0  # a leap is measured against at least 1/HIGHER of the largest gradient norm so far
POSITIONS_UP_TO = 3  # dimensions up to which positions are kept
MEASURED_AT = (
    1 / 10,
    1 / 3,
)  # shares of the budget at which curvature is measured, besides start and end
KEPT_POINTS = len(MEASURED_AT) + 2  # of each run


@functools.cache
def scheduled(step: int) -> bool:
    """True for about 20 steps per decade: every step up to 10, about every hundredth near 1000."""
    if step < 10:
        return True
    decade = 10 ** (len(str(step)) - 1)
    k = round(PER_DECADE * math.log10(step / decade))
    return any(round(decade * 10 ** (near / PER_DECADE)) == step for near in (k - 1, k, k + 1))


@dataclass
class Kept:
    """The points x (instances, trials, dim) of a row (None: the last points).

    share: share of the optimizer's stability limit per unit of curvature there, if it is known.
    """

    row: int | None
    x: torch.Tensor
    share: torch.Tensor | None


@dataclass
class Trace:
    """The record of a batch.

    columns: (rows, instances, trials) each, float32; "step" is NaN after a run has ended.
    last: the same columns at the last point of each run, (instances, trials).
    kept: the points at which `measure` measures more: the start, about a tenth and a third of the budget,
        and the end.
    """

    columns: dict[str, torch.Tensor]
    last: dict[str, torch.Tensor]
    kept: list[Kept]

    @property
    def end(self) -> torch.Tensor:
        """Return the last points (instances, trials, dim)."""
        return self.kept[-1].x

    def measure(
        self, problem: Problem, data: Tree, rows: list[int], trials: list[int], draws: list[Tree]
    ) -> None:
        """Measure curvature, stability and noise of these runs at the kept points.

        rows: positions of the instances; `data` and `draws` hold these instances alone.
        trials: positions of the trials.
        """
        at = (torch.tensor(rows)[:, None], torch.tensor(trials)[None, :])
        shape = next(iter(self.columns.values())).shape
        for point in self.kept:
            share = None if point.share is None else point.share.expand(*shape[1:], -1)[at]
            for name, found in measure(problem, point.x[at], data, share, draws).items():
                if name not in self.columns:
                    self.columns[name] = torch.full(shape, torch.nan, dtype=torch.float32)
                    self.last[name] = torch.full(shape[1:], torch.nan, dtype=torch.float32)
                where = self.last[name] if point.row is None else self.columns[name][point.row]
                where[at] = found

    def run(self, instance: int, trial: int) -> dict[str, np.ndarray]:
        """Return the rows of one run by column, its last point included."""
        kept = ~torch.isnan(self.columns["step"][:, instance, trial])
        return {
            name: np.append(
                column[kept, instance, trial].numpy(),
                self.last[name][instance, trial].numpy()
                if name in self.last
                else np.float32("nan"),
            )
            for name, column in self.columns.items()
        }


class Recorder:
    """Collect the rows of a batch while it runs."""

    def __init__(
        self,
        problem: Problem,
        data: Tree,
        start: torch.Tensor,
        budget: float,
        optimizer: Optimizer,
    ):
        self._problem = problem
        self._data = data
        self._optimizer = optimizer
        self._floor = problem.floor(data)
        self._start = start
        self._budget = budget
        self._rows: list[dict[str, torch.Tensor]] = []
        self._pending: torch.Tensor | None = (
            None  # loss of the last row, until its `change` is known
        )
        self._kept: list[Kept] = []
        self._last_share: torch.Tensor | None = None
        self._between = _Between(start[..., 0])

    def observe(
        self, index: int, spent: Count, oracle: CountingOracle, value: torch.Tensor, gap: torch.Tensor,
        moved: torch.Tensor, alive: torch.Tensor, state: State, share: Count,
    ) -> None:  # fmt: skip
        """Record step `index`, from oracle.x to `moved`, if it is scheduled.

        state: the optimizer's state after the step; share: share of the budget spent before the step.
        """
        if self._pending is not None:
            self._rows[-1]["change"] = value - self._pending
            self._pending = None
        gradient = oracle.true_gradient()
        between = self._between.row(value, alive) if scheduled(index) else None
        self._between.add(value, gradient)
        if between is None:
            return
        x = oracle.x
        if gradient is None:
            gradient = self._problem.value_and_gradient(x, self._data)[1]
        step = moved - x
        pair = torch.stack([gradient, step])
        h_g, h_s = self._problem.hvp(x, self._data, pair)
        row = self._point(x, value, gap, gradient, h_g)
        row["g_s"] = (gradient * step).sum(-1)
        row["s_h_s"] = (step * h_s).sum(-1)
        row["predicted"] = row["g_s"] + 0.5 * row["s_h_s"]
        row["step_norm"] = step.norm(dim=-1)
        row |= between
        row["step"] = torch.where(alive, float(index), torch.nan)
        row["cost"] = torch.as_tensor(spent, dtype=x.dtype, device=x.device).expand_as(gap)
        if len(self._kept) <= len(MEASURED_AT) and (
            index == 0 or float(torch.as_tensor(share).max()) >= MEASURED_AT[len(self._kept) - 1]
        ):
            self._kept.append(Kept(len(self._rows), x, self._stability(state, gradient, share)))
        self._rows.append(row)
        self._pending = value

    def ended(
        self, who: torch.Tensor, x: torch.Tensor, gradient: torch.Tensor | None, state: State,
        share: Count,
    ) -> None:  # fmt: skip
        """Note the share of the stability limit of the runs (a mask) that ended at x; `gradient` is the exact one."""
        if gradient is None:
            gradient = self._problem.value_and_gradient(x, self._data)[1]
        found = self._stability(state, gradient, share)
        if found is None:
            return
        if self._last_share is None:
            self._last_share = torch.full_like(found, torch.nan)
        self._last_share = torch.where(who.unsqueeze(-1), found, self._last_share)

    def finish(
        self, x: torch.Tensor, value: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor,
        steps: torch.Tensor, spent: torch.Tensor,
    ) -> Trace:  # fmt: skip
        """Return the record, with the last point of each run."""
        self._kept.append(Kept(None, x, self._last_share))
        last = self._point(x, value, gap, gradient, self._problem.hvp(x, self._data, gradient))
        last["step"], last["cost"] = steps, spent
        last |= self._between.row(value, torch.ones_like(value, dtype=torch.bool))
        for row in self._rows:
            row.setdefault("change", torch.full_like(gap, torch.nan))
        names = self._rows[0] if self._rows else {}
        columns = {
            name: torch.stack([row[name] for row in self._rows]).float().cpu() for name in names
        }
        points = {name: each.float().cpu() for name, each in last.items()}
        return Trace(columns, points, self._kept)

    def _stability(self, state: State, gradient: torch.Tensor, share: Count) -> torch.Tensor | None:
        if isinstance(share, torch.Tensor):
            share = share.to(gradient).unsqueeze(-1)
        return self._optimizer.stability(state, gradient, share)

    def _point(
        self,
        x: torch.Tensor,
        value: torch.Tensor,
        gap: torch.Tensor,
        gradient: torch.Tensor,
        h_g: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        row = {
            "loss": value,
            "gap": gap,
            "excess": value - self._floor,
            "grad_sq": gradient.square().sum(-1),
            "g_h_g": (gradient * h_g).sum(-1),
            "distance_start": (x - self._start).norm(dim=-1),
        }
        distance = self._problem.distance(x, self._data)
        row["distance"] = torch.full_like(value, torch.nan) if distance is None else distance
        if x.shape[-1] <= POSITIONS_UP_TO:
            row |= {f"x.{axis}": x[..., axis] for axis in range(x.shape[-1])}
        return row


class _Between:
    """Extremes between two recorded rows of each run.

    grad_leap: largest ratio, since the previous row, of |g_t| to max(|g_{t-1}|, |g_{t-2}|, |g_{t-3}|,
        0.1 max_{s<t}|g_s|); NaN if the optimizer does not ask for exact gradients.
    loss_highest: the highest loss since the previous row, both rows included.

    Values are collected at each step and reduced once per row, so that a step costs one norm.
    """

    def __init__(self, like: torch.Tensor):
        unknown = torch.full_like(like, torch.nan)
        self._found = {"grad_leap": unknown, "loss_highest": unknown}
        self._values: list[torch.Tensor] = []
        self._norms: list[torch.Tensor] = []  # |g|; the first `_old` are from before the row
        self._old = 0
        self._largest = torch.zeros_like(like)  # largest |g| before those

    def add(self, value: torch.Tensor, gradient: torch.Tensor | None) -> None:
        """Add a step from a point with this loss and gradient."""
        self._values.append(value)
        if gradient is None:
            self._norms, self._old = [], 0
        else:
            # A norm over strided coordinates takes ten times as long.
            self._norms.append(torch.linalg.vector_norm(gradient.contiguous(), dim=-1))

    def row(self, value: torch.Tensor, alive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the extremes up to a point with this loss, and start anew for the runs that are alive."""
        highest = torch.stack([self._found["loss_highest"], *self._values, value])
        found = {
            "grad_leap": self._leap(),
            "loss_highest": highest.nan_to_num(-math.inf, math.inf).amax(0),
        }
        self._found = {name: torch.where(alive, torch.nan, each) for name, each in found.items()}
        self._values = []
        return found

    def _leap(self) -> torch.Tensor:
        so_far = self._found["grad_leap"]
        if len(self._norms) <= max(self._old, 1):
            return so_far
        norms = torch.stack(self._norms).nan_to_num(0.0, 0.0)  # a run that overflows has ended
        largest = torch.maximum(norms.cummax(0).values, self._largest)
        before = norms[:-1].clone()
        for back in (1, 2):
            before[back:] = torch.maximum(before[back:], norms[: -1 - back])
        before = torch.maximum(before, largest[:-1] / HIGHER)
        leaps = torch.where(before > 0, norms[1:] / before, 0.0)[max(self._old - 1, 0) :]
        self._norms, self._largest = self._norms[-3:], largest[-1]
        self._old = len(self._norms)
        return torch.fmax(so_far, leaps.amax(0))
