"""Put measurements together into a record, as `diagnose` reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.diagnosis import Record
from benchmarks.diagnosis.record import Status
from benchmarks.doctor.measurement import Measured

COLUMNS = (
    "step", "loss", "change", "grad_sq", "g_h_g", "g_s", "s_h_s", "step_norm", "distance_start",
    "lambda_min", "lambda_max", "residual", "decrease", "decrease_negative", "stability", "noise_sq",
    "noise_h", "bias",
)  # fmt: skip


def record_of(
    measured: Sequence[Measured], steps: int, loss: float, floor: float | None, status: Status,
    optimizer: torch.optim.Optimizer,
) -> Record:  # fmt: skip
    """Return measurements as a record: a row for each, and one for the end if the last one is too old to represent it.

    Args:
        measured: The measurements, in order.
        steps: The number of steps so far.
        loss: The last loss.
        floor: The lower bound of the loss; None if it has none.
        status: Whether the run goes on.
        optimizer: Its optimizer; the numbers of the first parameter group are the settings.

    Returns:
        The record; the chain has the measurements with the positions of the last one.
    """
    rows = [each.row for each in measured]
    if not rows or rows[-1]["step"] < steps / 2:
        rows.append({"step": float(steps), "loss": loss})
    positions = measured[-1].positions if measured else []
    chain = np.full((len(rows), len(positions)), math.nan)
    for row, each in zip(chain, measured, strict=False):
        if each.positions == positions:
            row[:] = each.chain
    columns: dict[str, Any] = {
        name: np.array([row.get(name, math.nan) for row in rows], dtype=float) for name in COLUMNS
    }
    return Record(
        status=status,
        **columns,
        chain=chain if len(positions) > 1 else None,
        layers=tuple(positions),
        settings=_settings(optimizer),
        excess=None if floor is None else rows[-1]["loss"] - floor,
    )


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimizer's name, and the numbers in its first parameter group."""
    group = optimizer.param_groups[0]
    found = {
        name: float(value)
        for name, value in group.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    if "betas" in group:
        found["momentum"] = float(group["betas"][0])
    return {"optimizer": type(optimizer).__name__, **found}
