"""Write the few lines of a user's own file that give a class what no command can: a model, an optimizer, groups."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from optimizers.global_generators import undisturbed

MODELS = {"model", "module", "net", "network"}
OPTIMIZERS = {"optimizer", "base_optimizer", "inner_optimizer", "opt"}
NAMED = {"named_parameters", "named_params"}
GROUPS = {"param_groups", "parameter_groups"}
WANTS = (
    (MODELS, "a model: give it one"),
    (OPTIMIZERS, "an optimizer: give it one"),
    (NAMED, "named parameters: name them"),
    (GROUPS, "groups: make them"),
)
UNKNOWN = "…"


def remedy(method: type, odd: tuple[str, ...] = (), first: str = "") -> str:
    """Return what helps a class that does not take a list of parameters alone, with the lines of the file.

    Args:
        method: The class.
        odd: Its required arguments that no command can write.
        first: What its first argument is called; by default as in its signature.

    Returns:
        The remedy, which was tried unless it leaves something open; "" if the first argument is no other than the usual
        and `odd` is empty.
    """
    first = first or next(iter(inspect.signature(method).parameters), "")
    wants = next((words for names, words in WANTS if first in names), "")
    if not wants and not odd:
        return ""
    wants = wants or f"{odd[0]}, a class or an object: give it"
    code = _written(method, odd, first)
    if UNKNOWN not in code and not _runs(method, code):
        return (
            f"it wants {wants.partition(':')[0]}, and fails with one made of the parameters alone"
        )
    return f"it wants {wants} in a file of your own, as in `{code}`"


def _written(method: type, odd: tuple[str, ...], first: str) -> str:
    """Return a class derived from another that is made from parameters alone, in one line."""
    name, (_, *others) = method.__name__, inspect.signature(method).parameters.values()
    given = [_stand_in(first) or "params"]
    for each in others:
        if each.name in odd or (each.default is each.empty and _stand_in(each.name)):
            is_class = "type[" in str(each.annotation).lower()
            given.append(f"{each.name}={_stand_in(each.name, is_class) or UNKNOWN}")
    takes_rate = "lr" in inspect.signature(method).parameters
    if takes_rate or any(each.endswith("=torch.optim.SGD") for each in given):
        given.append("lr=lr")
    return (
        f"class My{name}({name}): "
        f"def __init__(self, params, lr=0.01): super().__init__({', '.join(given)})"
    )


def _stand_in(name: str, is_class: bool = False) -> str:
    """Return what can be given for an argument of this name, made of `params` and `lr`; "" for any other."""
    if name in MODELS:
        return "torch.nn.ParameterList(params)"
    if name in OPTIMIZERS:
        return "torch.optim.SGD" if is_class else "torch.optim.SGD(params, lr=lr)"
    if name in NAMED:
        return '[(f"{k}.weight", p) for k, p in enumerate(params)]'
    if name in GROUPS:
        return '[{"params": list(params), "lr": lr}]'
    return "params" if name == "params" else ""


def _runs(method: type, code: str) -> bool:
    """True if what was written can take a step, on a matrix or on a vector, without a closure or with one."""
    for shape in ((2, 2), (4,)):
        for closed in (False, True):
            for dtype in (torch.float64, torch.float32):
                one = torch.nn.Parameter(torch.ones(shape, dtype=dtype))
                one.grad = torch.ones_like(one)
                given = [lambda one=one: one.detach().sum()] if closed else []
                try:
                    with undisturbed():
                        made = derived(method, code)([one])
                        if hasattr(made, "train"):
                            made.train()
                        made.step(*given)
                    return True
                except Exception:  # a class may raise anything
                    continue
    return False


def derived(method: type, code: str) -> type:
    """Return the class of a remedy.

    Args:
        method: The class from which it is derived.
        code: What was written between the remedy's ticks.
    """
    head, _, body = code.partition(": ")
    names: dict[str, Any] = {"torch": torch, method.__name__: method, "__name__": __name__}
    exec(f"{head}:\n    {body}", names)
    return names[f"My{method.__name__}"]
