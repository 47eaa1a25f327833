"""Layer by layer: what the gradient is where it arrives, and which units it does not reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def outputs(model: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Within, what the layers put out in a forward pass, in the order in which they were called.

    A layer is a module with a weight of two or more dimensions of its own; one that is called several times,
    as a recurrent cell is, counts each time. The gradient that arrives at a layer is that with respect to
    its output: weight gradients also depend on how many weights share an input. The hooks are taken off
    again.
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
        if any(each.ndim >= 2 for each in module.parameters(recurse=False))
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def dead_units(
    model: torch.nn.Module, names: Sequence[str], gradients: Sequence[torch.Tensor]
) -> dict[str, float]:
    """The share of units, rows of a weight, whose gradient is exactly zero; by the name of the weight.

    Weights alone count, and no embeddings: the row of a word that did not occur has no gradient either.
    """
    embeddings = {
        id(weight)
        for _, module in model.named_modules()
        if isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
        for weight in module.parameters(recurse=False)
    }
    weights = dict(model.named_parameters())
    return {
        name: (gradient.flatten(1) == 0).all(1).float().mean().item()
        for name, gradient in zip(names, gradients, strict=True)
        if gradient.ndim >= 2 and id(weights.get(name)) not in embeddings
    }
