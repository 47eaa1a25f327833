"""Optimizers of pytorch_optimizer that need more than parameters, used as their authors use them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_optimizer
import torch

from optimizers.optimizer import NotApplicable


class Muon(pytorch_optimizer.Muon):
    """Muon for matrices, and AdamW for vectors, as its author does: Jordan 2024.

    Kernels of convolutions count as matrices. So do the first and the last layer of a network, which shapes do not
    show; the author gives embeddings and the last layer to AdamW.
    """

    __signature__ = inspect.signature(pytorch_optimizer.Muon)

    def __init__(self, params: Iterable[torch.nn.Parameter], **hyperparameters: Any):
        params = list(params)
        matrices = [each for each in params if each.ndim >= 2]
        vectors = [each for each in params if each.ndim < 2]
        if not matrices:
            raise NotApplicable("Muon needs a matrix among the parameters")
        groups = [{"params": matrices, "use_muon": True}, {"params": vectors, "use_muon": False}]
        super().__init__([each for each in groups if each["params"]], **hyperparameters)


class SAM(pytorch_optimizer.SAM):
    """SGD with momentum, with the gradient at the point of the highest loss within rho: two gradients a step.

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
        """Take a step; the closure is called at the current point, and where the loss is highest."""
        closure()
        super().step(closure)
