"""What is recorded along a run: on a logarithmic schedule, on the exact loss, and never charged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from problems import Problem, Tree

if TYPE_CHECKING:
    from optimizers.oracle import Count, Oracle

PER_DECADE = 20
POSITIONS_UP_TO = 3  # dimensions in which positions are kept
SPECTRUM_UP_TO = 512  # dimensions in which the Hessian is diagonalized

CURVATURE = ("lambda_min", "lambda_max", "negative_fraction")


def scheduled(step: int) -> bool:
    """About 20 steps a decade: every step up to 10, every hundredth near 1000."""
    if step < 10:
        return True
    decade = 10 ** (len(str(step)) - 1)
    k = round(PER_DECADE * math.log10(step / decade))
    return any(round(decade * 10 ** (near / PER_DECADE)) == step for near in (k - 1, k, k + 1))


@dataclass
class Trace:
    """The record of a batch.

    columns: (rows, instances, trials) each, float32; "step" is NaN where a run had ended.
    last: the same of the point at which each run ended, (instances, trials).
    tenth: a row after a tenth of the budget, and where the runs were there; end: where they ended.
    """

    columns: dict[str, torch.Tensor]
    last: dict[str, torch.Tensor]
    start: torch.Tensor
    tenth: tuple[int, torch.Tensor] | None
    end: torch.Tensor

    def add_spectra(self, problem: Problem, data: Tree, rows: list[int], trials: list[int]) -> None:
        """Curvature at the start, after a tenth of the budget and at the end of these runs.

        `data` is that of the instances `rows` alone.
        """
        at = (torch.tensor(rows)[:, None], torch.tensor(trials)[None, :])
        shape = next(iter(self.columns.values())).shape
        for name in CURVATURE:
            self.columns[name] = torch.full(shape, torch.nan, dtype=torch.float32)
            self.last[name] = torch.full(shape[1:], torch.nan, dtype=torch.float32)
        for name, found in spectrum(problem, self.end[at], data).items():
            self.last[name][at] = found
        for row, x in [(0, self.start), *([self.tenth] if self.tenth else [])]:
            for name, found in spectrum(problem, x[at], data).items():
                self.columns[name][row][at] = found

    def run(self, instance: int, trial: int) -> dict[str, np.ndarray]:
        """The rows of one run, its end included."""
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
    """Collects the rows of a batch while it runs."""

    def __init__(self, problem: Problem, data: Tree, start: torch.Tensor, budget: float):
        self._problem = problem
        self._data = data
        self._start = start
        self._budget = budget
        self._rows: list[dict[str, torch.Tensor]] = []
        self._pending: torch.Tensor | None = (
            None  # the loss of the row whose change is not known yet
        )
        self._tenth: tuple[int, torch.Tensor] | None = None

    def observe(
        self, index: int, spent: Count, oracle: Oracle, value: torch.Tensor, gap: torch.Tensor,
        moved: torch.Tensor, alive: torch.Tensor,
    ) -> None:  # fmt: skip
        """Record step `index`, which leads from oracle.x to `moved`, if it is due."""
        if self._pending is not None:
            self._rows[-1]["change"] = value - self._pending
            self._pending = None
        if not scheduled(index):
            return
        x = oracle.x
        gradient = oracle.true_gradient()
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
        row["step"] = torch.where(alive, float(index), torch.nan)
        row["cost"] = torch.as_tensor(spent, dtype=x.dtype, device=x.device).expand_as(gap)
        if (
            self._tenth is None
            and index > 0
            and float(torch.as_tensor(spent).max()) >= self._budget / 10
        ):
            self._tenth = (len(self._rows), x)
        self._rows.append(row)
        self._pending = value

    def finish(
        self, x: torch.Tensor, value: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor,
        steps: torch.Tensor, spent: torch.Tensor,
    ) -> Trace:  # fmt: skip
        """The record, with the point at which each run ended."""
        last = self._point(x, value, gap, gradient, self._problem.hvp(x, self._data, gradient))
        last["step"], last["cost"] = steps, spent
        for row in self._rows:
            row.setdefault("change", torch.full_like(gap, torch.nan))
        names = self._rows[0] if self._rows else {}
        columns = {
            name: torch.stack([row[name] for row in self._rows]).float().cpu() for name in names
        }
        points = {name: each.float().cpu() for name, each in last.items()}
        return Trace(columns, points, self._start, self._tenth, x)

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
            "grad_sq": gradient.square().sum(-1),
            "g_h_g": (gradient * h_g).sum(-1),
            "distance_start": (x - self._start).norm(dim=-1),
        }
        distance = self._problem.distance(x, self._data)
        row["distance"] = torch.full_like(value, torch.nan) if distance is None else distance
        if x.shape[-1] <= POSITIONS_UP_TO:
            row |= {f"x.{axis}": x[..., axis] for axis in range(x.shape[-1])}
        return row


def spectrum(problem: Problem, x: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
    """Least and largest eigenvalue of the Hessian, and the share of negative ones, at x (*runs, dim)."""
    hessian = problem.hessian(x, data)
    finite = torch.isfinite(hessian).all(-1).all(-1)
    values = torch.linalg.eigvalsh(torch.where(finite[..., None, None], hessian, 0.0))
    negative = (values < 0).to(values.dtype).mean(-1)
    found = dict(zip(CURVATURE, (values[..., 0], values[..., -1], negative), strict=True))
    return {
        name: torch.where(finite, each, torch.nan).float().cpu() for name, each in found.items()
    }
