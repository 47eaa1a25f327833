"""The gradient layer by layer: its norm at each layer's output, and the units that it does not reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def outputs(model: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Collect, inside the context, the layers' outputs of a forward pass, in the order of the calls.

    A layer is a module that itself has a weight of two or more dimensions; each call of a layer counts, as
    for a recurrent cell. The gradient at a layer is the one with respect to its output, because weight
    gradients also depend on how many weights share an input. The hooks are removed at the end.
    """
    seen: dict[str, torch.Tensor] = {}

    def hook(name: str):
        def keep(module: torch.nn.Module, given: object, out: object) -> None:
            if isinstance(out, (tuple, list)) and out:
                out = out[0]
            if isinstance(out, torch.Tensor) and out.requires_grad:
                times = sum(each.partition(" ")[0] == name for each in seen)
                seen[f"{name} (call {times + 1})" if times else name] = out

        return keep

    handles = [
        module.register_forward_hook(hook(name or type(module).__name__))
        for name, module in model.named_modules()
        if _is_layer(module)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def calls(model: torch.nn.Module, closure: Callable[[], object]) -> list[torch.nn.Module]:
    """Return the layers that a closure calls, in order, each as often as it is called."""
    made: list[torch.nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, *_: made.append(module))
        for module in model.modules()
        if _is_layer(module)
    ]
    try:
        closure()
    finally:
        for handle in handles:
            handle.remove()
    return made


def _is_layer(module: torch.nn.Module) -> bool:
    return any(each.ndim >= 2 for each in module.parameters(recurse=False))


def dead_units(
    model: torch.nn.Module, names: Sequence[str], gradients: Sequence[torch.Tensor]
) -> dict[str, float]:
    """Return the share of units (rows of a weight) whose gradient is exactly zero, by the weight's name.

    Biases and embeddings are left out: the row of a word that did not occur has a zero gradient, too. A unit whose bias
    has a gradient is not off: its inputs are 0.
    """
    known = dict(zip(names, gradients, strict=True))

    def off(name: str, gradient: torch.Tensor) -> torch.Tensor:
        zero = (gradient.flatten(1) == 0).all(1)
        module, dot, weight = name.rpartition(".")
        bias = known.get(f"{module}{dot}{weight.replace('weight', 'bias')}")
        fits = bias is not None and bias.shape == zero.shape
        return zero & (bias == 0) if fits else zero

    embeddings = {
        id(weight)
        for _, module in model.named_modules()
        if isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
        for weight in module.parameters(recurse=False)
    }
    weights = dict(model.named_parameters())
    return {
        name: off(name, gradient).float().mean().item()
        for name, gradient in zip(names, gradients, strict=True)
        if gradient.ndim >= 2 and id(weights.get(name)) not in embeddings
    }
