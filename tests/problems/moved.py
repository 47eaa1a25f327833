"""Move a problem's examples and draws to another device, as a sweep on that device would."""

from __future__ import annotations

import dataclasses

import torch


def moved(tree, device):
    """Return the same tree with all its tensors on a device."""
    return {
        name: moved(leaf, device) if isinstance(leaf, dict) else torch.as_tensor(leaf).to(device)
        for name, leaf in tree.items()
    }


def on_device(problem, device):
    """Return the same problem with its examples and draws on a device; they are made on the CPU."""
    kind = type(problem)

    def example(self, seed=0):
        return moved(kind.example(self, seed), device)

    def draws(self, data, generator):
        return (moved(draw, device) for draw in kind.draws(self, moved(data, "cpu"), generator))

    own = {"example": example, "draws": draws} if problem.noisy else {"example": example}
    fields = {each.name: getattr(problem, each.name) for each in dataclasses.fields(problem)}
    return type(kind.__name__, (kind,), own)(**fields)
