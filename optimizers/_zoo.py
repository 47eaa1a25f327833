"""Optimizers of pytorch_optimizer that want more than parameters: what their authors do around them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_optimizer
import torch


class Muon(pytorch_optimizer.Muon):
    """Matrices by Muon, and vectors by AdamW, as its author does: Jordan 2024.

    Kernels of convolutions count as matrices. What comes first and what comes last in a network
    does too, for shapes do not tell; he gives embeddings and the last layer to AdamW.
    """

    __signature__ = inspect.signature(pytorch_optimizer.Muon)

    def __init__(self, params: Iterable[torch.nn.Parameter], **hyperparameters: Any):
        params = list(params)
        matrices = [each for each in params if each.ndim >= 2]
        vectors = [each for each in params if each.ndim < 2]
        if not matrices:
            raise ValueError("Muon needs a matrix among the parameters")
        groups = [{"params": matrices, "use_muon": True}, {"params": vectors, "use_muon": False}]
        super().__init__([each for each in groups if each["params"]], **hyperparameters)


class SAM(pytorch_optimizer.SAM):
    """SGD with momentum, by the gradient where the loss is highest within rho: two gradients a step.

    Foret, Kleiner, Mobahi & Neyshabur 2021, arXiv:2010.01412.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.9,
        rho: float = 0.05,
        adaptive: bool = False,
    ):
        super().__init__(
            params, torch.optim.SGD, rho=rho, adaptive=adaptive, lr=lr, momentum=momentum
        )

    def step(self, closure: Callable[[], Any]) -> None:  # type: ignore[override]
        """The closure is called here, and where the loss is highest."""
        closure()
        super().step(closure)
