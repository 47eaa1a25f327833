"""Validate a problem before a sweep: loss shape, no mixing of runs, finite loss and gradient at the start."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import torch

from benchmarks.engine.instances import Instances, draw_instance
from benchmarks.engine.protocol import stream
from problems import Problem, Tree
from ravine import Refused

LIKELY = 10**9  # bytes that are there on any machine
MEMORY = Path("/proc/meminfo")  # on Linux
ROUNDING = {
    torch.float64: 1e-9,
    torch.float32: 1e-3,
}  # a batch may add in another order than a single run


def check_problem(
    name: str, problem: Problem, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> None:
    """Raise Refused with the reason if a problem cannot be swept."""
    seeds = tuple(stream(k) for k in range(3))
    _check_memory(name, problem, dtype)
    try:
        instances = Instances(problem, seeds, dtype, device)
    except KeyError as error:
        raise Refused(
            f"problem {name}: every instance must draw the same names, and {error} is missing"
        ) from error
    except RuntimeError as error:
        asked = re.search(r"tried to allocate (\d+) bytes", str(error))
        if asked is None:
            raise
        raise Refused(
            f"problem {name} needs {int(asked[1]):,} bytes for one array, and {_available():,} are available"
        ) from error
    data = instances.data
    if "start" not in data:
        raise Refused(
            f"problem {name}: instance() must draw a 'start', and draws {', '.join(data) or 'nothing'}"
        )
    start = data["start"]
    if start.dim() != 3:
        raise Refused(
            f"problem {name}: 'start' has shape {tuple(start.shape[2:])}, but must be (dim,)"
        )
    # Three instances × three trials: shapes that could hide a mix-up of the two.
    x = start + 0.01 * torch.arange(3, dtype=dtype, device=device).view(1, 3, 1)
    try:
        loss = problem.loss(x, data)
    except (RuntimeError, IndexError) as error:
        raise Refused(
            f"problem {name}: the loss of x {tuple(x.shape)} fails: {_line(error)}"
        ) from error
    if tuple(loss.shape) != (3, 3):
        raise Refused(
            f"problem {name}: the loss of x {tuple(x.shape)} has shape {tuple(loss.shape)}, but must be (3, 3)"
        )
    alone = torch.cat([problem.loss(x[:, k : k + 1], data) for k in range(3)], dim=1)
    # To the digits of the gap: a loss may itself be a small difference of large numbers.
    rounding = ROUNDING[dtype] * (loss.abs() + (loss - problem.floor(data)).abs())
    if ((loss - alone).abs() > rounding).any() or (loss.isnan() != alone.isnan()).any():
        raise Refused(
            f"problem {name}: the loss mixes runs: a run has another loss alone than in a batch"
        )
    value, gradient = problem.value_and_gradient(start, data)
    if not torch.isfinite(value).all():
        raise Refused(
            f"problem {name}: the loss at the start is {value.flatten().tolist()}, but must be finite"
        )
    if not torch.isfinite(gradient).all():
        raise Refused(f"problem {name}: the gradient at the start is not finite")
    floor = problem.floor(data)
    if not (value > floor).all():
        raise Refused(
            f"problem {name}: the loss at the start must be above the floor {floor.flatten().tolist()}"
        )
    gap = torch.ones_like(value)
    if problem.solved(start, gap, gradient, data).any():
        raise Refused(f"problem {name}: it is solved at the start already")


def _check_memory(name: str, problem: Problem, dtype: torch.dtype) -> None:
    """Refuse a problem of which three instances × three trials do not fit, before anything is computed.

    A run holds at least four vectors: its start, its point, the gradient and the step. Where a matrix of that dimension
    would be large, an instance is drawn without its numbers first, to see how much memory it takes.
    """
    dim = getattr(problem, "dim", 0)
    needed = 3 * 3 * 4 * dim * dtype.itemsize if isinstance(dim, int) else 0
    if needed and dim**2 * dtype.itemsize > LIKELY // 3 and needed <= _available():
        needed += 3 * _instance_numbers(problem) * (torch.float64.itemsize + dtype.itemsize)
    if needed > LIKELY and needed > _available():
        raise Refused(
            f"problem {name} of dimension {dim} needs at least {needed:,} bytes for three instances × three trials, "
            f"and {_available():,} are available"
        )


def _instance_numbers(problem: Problem) -> int:
    """Return how many numbers an instance has; 0 if it cannot be drawn without them."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # slow to import

    def count(tree: Tree) -> int:
        return sum(
            count(each) if isinstance(each, dict) else each.numel() for each in tree.values()
        )

    try:
        with FakeTensorMode():
            return count(draw_instance(problem, stream(0)))
    except Exception:  # its code asks for a number, or multiplies by a tensor of another instance
        return 0


def _available() -> int:
    """Return the bytes of memory that can be had; where the system does not say, all that can be addressed."""
    if MEMORY.exists():  # unlike free memory, it counts what only caches files
        known = re.search(r"^MemAvailable: *(\d+) kB$", MEMORY.read_text(), re.MULTILINE)
        if known:
            return 1024 * int(known[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on Linux
        return sys.maxsize


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
