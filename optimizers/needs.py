"""What anyone's class needs for a step, as its signature says and as trials have shown."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import torch

# The key of parameter groups by which Muon-like classes tell matrices from vectors.
MUON = "use_muon"


@dataclass
class Needs:
    """What a class needs for a step.

    Attributes:
        closure: `step` needs a closure, as torch.optim.LBFGS's does.
        hessian: `step` takes a hessian.
        two_points: It has `train` and `eval`.
        gradients: Although it needs a closure, it also needs the gradients before.
        groups: Its parameters have to come in groups, with the key `use_muon`.
        draws: It draws from a global random generator, so that each run needs a stream of its own.
        coupled: Runs that share an instance of it have been seen to depend on each other.
        shared: It keeps state between its instances; None until tried.
    """

    closure: bool
    hessian: bool
    two_points: bool
    gradients: bool = False
    groups: bool = False
    draws: bool = False
    coupled: bool = False
    shared: bool | None = None


@functools.cache
def needs(method: type[torch.optim.Optimizer]) -> Needs:
    """Return what is known of a class's needs; what a trial shows is written into it."""
    _, *given = inspect.signature(method.step).parameters.values()
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return Needs(
        any(each.default is each.empty and each.kind not in variadic for each in given),
        any(each.name == "hessian" for each in given),
        hasattr(method, "train") and hasattr(method, "eval"),
    )


@functools.cache
def reads_groups(method: type[torch.optim.Optimizer]) -> bool:
    """True if the source of a class has the key by which Muon-like classes tell matrices from vectors."""
    for each in method.__mro__:
        if each.__module__.partition(".")[0] not in ("torch", "builtins"):
            try:
                if MUON in inspect.getsource(each):
                    return True
            except (OSError, TypeError):  # typed in a notebook
                return True
    return False


def grouped(parameters: list[torch.nn.Parameter], in_groups: bool) -> list[Any]:
    """Return parameters as a class takes them: plain, or matrices and vectors in groups."""
    if not in_groups:
        return parameters
    groups = [
        {"params": [each for each in parameters if (each.ndim >= 2) is matrices], MUON: matrices}
        for matrices in (True, False)
    ]
    return [each for each in groups if each["params"]]
