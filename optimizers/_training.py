"""Ravine's optimizers for training a model: a `torch.optim.Optimizer` whose closure returns the loss.

The underscore keeps the registry from importing this file: a subclass of torch's class needs torch at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from optimizers.adopted import shaped
from optimizers.optimizer import NotApplicable, Optimizer
from optimizers.oracle import KINDS, LOSS, Count, CountingOracle, Tree, cost
from ravine import Refused

Closure = Callable[[], torch.Tensor]


def as_torch(
    optimizer: Optimizer,
    parameters: Iterable[torch.nn.Parameter],
    *,
    budget: float | None = None,
    floor: float | None = None,
) -> AsTorch:
    """Return a `torch.optim.Optimizer` that takes the steps of one of ours.

    `step(closure)` needs a closure that computes and returns the loss without calling `backward`. The optimizer
    evaluates losses, gradients and Hessian-vector products, all with the same random numbers (dropout), and `cost`
    counts them in gradients, as a sweep does. Hyperparameters are in `param_groups[0]`, where learning rate
    schedules change them.

    Args:
        optimizer: An object such as `SaddleFreeNewton(lr=1.0)`.
        parameters: The parameters of a model, as one group of one dtype and device.
        budget: In gradients, for methods that depend on the share of it that is spent (decay, cosine, warmup, average).
        floor: The smallest possible loss, for `polyak_step`.

    Returns:
        The optimizer.

    Raises:
        Refused: For parameters that cannot be one vector.

    Examples:
        >>> import torch
        >>> from optimizers import as_torch
        >>> from optimizers.newton import Newton
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> newton = as_torch(Newton(), [weight])
        >>> newton.step(lambda: (weight - 1).square().sum()).item()
        8.0
        >>> weight.tolist(), newton.cost
        ([1.0, 1.0], 5.0)
    """
    return AsTorch(optimizer, parameters, budget=budget, floor=floor)


class AsTorch(torch.optim.Optimizer):
    """One of Ravine's optimizers on the parameters of a model; see `as_torch`.

    All parameters that require gradients are one vector x, of one dtype and on one device. A step that meets a number
    that is not finite is not taken; the returned loss is the closure's, infinite and NaN included.

    Raises:
        Refused: For parameters that cannot be one vector.
        NotApplicable: In `step`, if the method needs residuals, or a budget or floor that was not given.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Iterable[torch.nn.Parameter],
        budget: float | None = None,
        floor: float | None = None,
    ):
        super().__init__(parameters, dict(optimizer.hyperparameters))
        self._model = _Model([p for p in self.param_groups[0]["params"] if p.requires_grad], floor)
        kinds = {(p.dtype, p.device) for p in self._model.parameters}
        if len(self.param_groups) > 1 or len(kinds) != 1:
            raise Refused(
                "parameters must be one group, of one dtype and on one device, some requiring gradients, but are "
                f"{len(self.param_groups)} groups of {sorted(map(str, kinds)) or 'no such parameters'}"
            )
        optimizer = shaped(optimizer, tuple(tuple(p.shape) for p in self._model.parameters))
        self._optimizer = optimizer
        self._budget = budget
        x = self._model.x
        self._oracle = CountingOracle(
            self._model, {"start": x}, (1, 1), lambda: torch.randn_like(x), x.device
        )
        self.counts: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        self._first.setdefault("state", optimizer.init(x))
        self._first.setdefault("cost", 0.0)

    @property
    def cost(self) -> float:
        """The cost so far, in gradients."""
        return self._first["cost"]

    @property
    def _first(self) -> dict[str, Any]:
        """The state, stored as torch stores it, so that `state_dict` has it."""
        return self.state[self._model.parameters[0]]

    def step(self, closure: Closure | None = None) -> torch.Tensor:  # type: ignore[override]
        """Take a step and return the loss before it.

        Args:
            closure: A function that computes and returns the loss, without calling `backward`.

        Returns:
            The loss, ().

        Raises:
            Refused: If there is no closure, or it does not return the loss.
            NotApplicable: If the method needs residuals, or a budget or floor that was not given.
        """
        if closure is None:
            raise Refused("step() needs a closure that returns the loss: step(lambda: loss(model))")
        group = self.param_groups[0]
        given = {name: group[name] for name in self._optimizer.hyperparameters}
        optimizer = self._optimizer
        if given != optimizer.hyperparameters:
            optimizer = optimizer.replace(**given)
        self._model.begin(closure)
        x = self._model.x
        progress = None if self._budget is None else min(1.0, self.cost / self._budget)
        self._oracle.move(x, {}, progress=progress)  # each step may see another minibatch
        try:
            step, state = optimizer.update(self._oracle, self._first["state"])
            loss = self._model.seen_first
            if loss is None:  # a method that evaluates nothing
                loss = self._model.loss(x, {})[0, 0]
        except BaseException:  # the closure's own errors, too
            self._model.place(x)
            raise
        paid: dict[str, Count] = {kind: _number(self._oracle.counts[kind]) for kind in KINDS}
        if self._oracle.broken.any():
            step, state = torch.zeros_like(x), self._first["state"]
            self._oracle.broken = torch.zeros_like(self._oracle.broken)
        self._model.place(x + step)
        self._first["state"] = state
        self._first["cost"] += max(_number(cost(paid, x.shape[-1])), LOSS)
        for kind in KINDS:
            self.counts[kind] += _number(paid[kind])
        return loss


def _number(count: Count) -> float:
    return count.item() if isinstance(count, torch.Tensor) else count


class _Model:
    """A landscape of one run: the closure's loss as a function of the parameters."""

    def __init__(self, parameters: list[torch.nn.Parameter], floor: float | None):
        self.parameters = parameters
        self._floor = floor
        self._slope: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def x(self) -> torch.Tensor:
        """A copy of the parameters as one vector, (1, 1, dim)."""
        return torch.cat([p.detach().flatten() for p in self.parameters]).view(1, 1, -1)

    def place(self, x: torch.Tensor) -> None:
        """Set the parameters to x."""
        if torch.equal(x, self.x):
            return
        self._slope = None  # its graph is of the old values
        with torch.no_grad():
            sizes = [p.numel() for p in self.parameters]
            for p, values in zip(self.parameters, x.flatten().split(sizes), strict=True):
                p.copy_(values.view_as(p))

    def begin(self, closure: Closure) -> None:
        """Begin a step with this closure."""
        self._closure = closure
        self._random: tuple[torch.Tensor, ...] | None = None
        self._slope = None
        self.seen_first: torch.Tensor | None = None

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        with torch.no_grad():
            return self._at(x).view(1, 1)

    def floor(self, data: Tree) -> torch.Tensor:
        if self._floor is None:
            raise NotApplicable("the method needs the minimum: as_torch(…, floor=0.0)")
        return self.parameters[0].new_tensor(self._floor)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        point, gradient = self._differentiable(x)
        return self._products(point, gradient, eye, several=True).view(1, 1, *eye.shape)

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.loss(x, data)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            value = self._at(x)
            gradient = self._gradient(value)
        return value.detach().view(1, 1), gradient.view_as(x)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        point, gradient = self._differentiable(x)
        return self._products(point, gradient, vector.flatten()).view_as(vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return None

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient, memory

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x

    def _at(self, x: torch.Tensor) -> torch.Tensor:
        """Return the closure's loss with the parameters at x and the random numbers of the step's first call."""
        self.place(x)
        cuda = [x.device] if x.device.type == "cuda" else []
        if self._random is None:
            self._random = (
                torch.get_rng_state(),
                *(torch.cuda.get_rng_state(each) for each in cuda),
            )
            loss = self._closure()
        else:
            with torch.random.fork_rng(cuda):
                torch.set_rng_state(self._random[0])
                for each, state in zip(cuda, self._random[1:], strict=True):
                    torch.cuda.set_rng_state(state, each)
                loss = self._closure()
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise Refused(f"the closure must return the loss, a tensor of one number, not {loss!r}")
        if self.seen_first is None:
            self.seen_first = loss.detach()
        return loss

    def _gradient(self, loss: torch.Tensor, differentiable: bool = False) -> torch.Tensor:
        if not loss.requires_grad:
            raise Refused("the closure's loss does not depend on the parameters: compute it inside")
        try:
            parts = torch.autograd.grad(
                loss, self.parameters, create_graph=differentiable, materialize_grads=True
            )
        except RuntimeError as error:
            if "backward through the graph a second time" not in str(error):
                raise
            raise Refused(
                "the closure must return the loss and not call backward() on it"
            ) from error
        return torch.cat([each.flatten() for each in parts])

    def _differentiable(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x and the gradient there with its graph, computed once for all products at x."""
        if self._slope is None or not torch.equal(self._slope[0], x):
            with torch.enable_grad():
                loss = self._at(x)
                self._slope = x, self._gradient(loss, differentiable=True)
        return self._slope

    def _products(
        self, x: torch.Tensor, gradient: torch.Tensor, vectors: torch.Tensor, several: bool = False
    ) -> torch.Tensor:
        """Return the Hessian times one vector (dim,), or several (count, dim)."""
        if not gradient.requires_grad:  # a linear loss
            return torch.zeros_like(vectors)
        parts = torch.autograd.grad(
            gradient, self.parameters, vectors, retain_graph=True, is_grads_batched=several,
            materialize_grads=True,
        )  # fmt: skip
        return torch.cat([each.reshape(*vectors.shape[:-1], -1) for each in parts], dim=-1)
