"""Points as an optimizer can evaluate them, and the cost of each evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import torch

from optimizers.optimizer import NotApplicable

Tree = dict[str, Any]  # tensors (instances, 1, …) by name, nested

# Costs in gradients: a loss with its gradient costs 1, a Hessian as much as `dim` Hessian-vector products.
LOSS, GRADIENT, HVP = 1 / 3, 1.0, 2.0
KINDS = ("losses", "gradients", "hvps", "hessians")

ANSWERS = ("value", "gradient", "hessian", "gauss_newton")

Count: TypeAlias = "float | torch.Tensor"  # a number if it is the same for all runs, else (*runs)


def cost(counts: dict[str, Count], dim: int) -> Count:
    """Return the cost of these counts in gradients: a loss ⅓, a gradient 1, a product 2, a Hessian 2·dim.

    Args:
        counts: The number of evaluations by kind, as in `KINDS`; numbers or (*runs).
        dim: The length of x.

    Returns:
        The cost, a number or (*runs) in float64: thirds add up to other sums in float32.
    """
    losses, gradients, hvps, hessians = (
        each.double() if isinstance(each, torch.Tensor) else each
        for each in (counts[kind] for kind in KINDS)
    )
    return LOSS * losses + GRADIENT * gradients + HVP * hvps + HVP * dim * hessians


class Landscape(Protocol):
    """The part of a problem that an oracle needs, for all runs at once; `problems.Problem` has it.

    `data` is constant over a run, `draw` is the randomness of one step, or None without noise.
    """

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the exact loss (*runs) at x (*runs, dim)."""
        ...

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the minimum, broadcastable to (*runs)."""
        ...

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the exact Hessian (*runs, dim, dim)."""
        ...

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """Return the loss that the optimizer sees, (*runs)."""
        ...

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss that the optimizer sees, (*runs), and its gradient (*runs, dim)."""
        ...

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        """Return the Hessian of the loss that the optimizer sees times a vector, (*runs, dim)."""
        ...

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        """Return the Hessian of the loss that the optimizer sees, (*runs, dim, dim)."""
        ...

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return Jᵀ J (*runs, dim, dim) if the exact loss is ½ |r|² + const, with J = dr/dx, else None."""
        ...

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the gradient that the optimizer sees, and the memory for the next step."""
        ...

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the point that a step to x leads to, (*runs, dim)."""
        ...


class At:
    """A point of all runs that evaluates lazily; see `optimizers.optimizer.Point`.

    A value alone is charged as a loss; with the gradient, in either order, both cost one gradient, as one pass
    computes them. Evaluations at a trial point are not charged again if the next iterate is that point or the current
    one. Without a trial point, a repeated evaluation is charged.
    """

    def __init__(
        self,
        oracle: CountingOracle,
        x: torch.Tensor,
        who: torch.Tensor | None = None,
        trial: bool = False,
        same: At | None = None,
    ):
        self.x = x
        self._same = {} if same is None else same.exact  # answers that need not be computed again
        self._oracle = oracle
        self.who: Count = 1.0 if who is None else who[..., 0].to(x.dtype)
        self._trial = trial
        self.asked: dict[str, Count] = dict.fromkeys(ANSWERS, 0.0)
        for point, there in oracle.remembered(x):
            for answer, runs in point.asked.items():
                self.asked[answer] = _either(self.asked[answer], there * runs)
        self.exact: dict[str, torch.Tensor] = {}  # answers; a value has no trailing 1 here

    @property
    def value(self) -> torch.Tensor:
        """The loss (*runs, 1); at a trial point the largest finite number if it is not finite."""
        if "value" not in self.exact:
            self._oracle.charge("losses", self._new("value"))
            if "value" in self._same:
                self.exact["value"] = self._same["value"]
            else:
                self.exact["value"] = self._clean(self._oracle.loss_of(self.x), self._trial)
        return self.exact["value"].unsqueeze(-1)

    @property
    def gradient(self) -> torch.Tensor:
        """The gradient (*runs, dim)."""
        if "gradient" not in self.exact:
            paid = self.asked["value"]
            new = self._new("gradient")
            self._oracle.charge("gradients", new)
            self._oracle.charge("losses", -new * paid)
            self._new("value")
            if "gradient" in self._same:
                self.exact |= {name: self._same[name] for name in ("value", "gradient")}
            else:
                value, gradient = self._oracle.value_and_gradient_of(self.x)
                # A sum is not finite where a term is not; what is may still add up to more than a number can hold.
                if not math.isfinite(value.sum() + gradient.sum()):
                    value, gradient = self._clean(value, self._trial), self._clean(gradient)
                self.exact |= {"value": value, "gradient": gradient}
        return self.exact["gradient"]

    @property
    def hessian(self) -> torch.Tensor:
        """The Hessian (*runs, dim, dim)."""
        return self._matrix("hessian", self._oracle.hessian_of)

    @property
    def gauss_newton(self) -> torch.Tensor:
        """The Gauss–Newton matrix Jᵀ J (*runs, dim, dim), charged as a Hessian.

        It takes `dim` products with a vector, each of one pass forward and one back, as products with the Hessian do.

        Raises:
            NotApplicable: If the loss is not half a sum of squares, or is seen through noise.
        """
        return self._matrix("gauss_newton", self._oracle.gauss_newton_of)

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        """Return the Hessian times a vector (*runs, dim); only runs of the mask `who` (*runs, 1) are charged."""
        asked = self.who if who is None else self.who * who[..., 0].to(self.x.dtype)
        self._oracle.charge("hvps", asked)
        return self._clean(self._oracle.hvp_of(self.x, vector), asked_for=vector)

    def _matrix(self, name: str, measured: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        if name not in self.exact:
            self._oracle.charge("hessians", self._new(name))
            if name in self._same:
                self.exact[name] = self._same[name]
            else:
                self.exact[name] = self._clean(measured(self.x))
        return self.exact[name]

    def _new(self, answer: str) -> Count:
        """Return which runs of the mask get this answer here for the first time, as 0 or 1, and note it."""
        before = self.asked[answer]
        self.asked[answer] = _either(before, self.who)
        return self.who * (1.0 - before)

    def _clean(
        self,
        answer: torch.Tensor,
        trial_value: bool = False,
        asked_for: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the answer with zeros for the runs in which it is not finite, and mark these runs as broken.

        A value at a trial point that is not finite becomes the largest finite number instead, and breaks no run.
        Where the point, or the vector `asked_for`, is not finite itself, the optimizer is marked as astray.
        """
        runs = self._oracle.runs
        if math.isfinite(answer.sum()):
            return answer
        flat = answer.reshape(*runs, -1) if answer.dim() > len(runs) else answer.unsqueeze(-1)
        finite = torch.isfinite((flat * 0).sum(-1))
        if finite.all():
            return answer
        if trial_value:
            return torch.where(finite, answer, torch.finfo(answer.dtype).max)
        asked = _finite(self.x) if asked_for is None else _finite(self.x) & _finite(asked_for)
        self._oracle.mark(~finite, ~asked)
        return torch.where(finite.reshape(*runs, *[1] * (answer.dim() - len(runs))), answer, 0.0)


def part_of(tree: Tree, instances: slice) -> Tree:
    """Return a slice of the instances of stacked data."""
    return {
        name: part_of(leaf, instances) if isinstance(leaf, dict) else leaf[instances]
        for name, leaf in tree.items()
    }


def _finite(vectors: torch.Tensor) -> torch.Tensor:
    """True where all coordinates are finite, (*runs)."""
    return torch.isfinite(vectors).all(-1)


def _either(first: Count, second: Count) -> Count:
    """Return the logical or of zeros and ones."""
    return first + second - first * second


class CountingOracle:
    """The current point of all runs, its evaluations by an optimizer, and their count.

    `counts` are those of the step; `broken` (*runs) are the runs that met a number that is not finite, `astray` (*runs)
    those of them whose optimizer asked at a point that is not finite itself; `alive` (*runs) are those that have not
    ended: the steps of the others have no effect. All three are replaced, never changed in place.
    """

    def __init__(
        self,
        landscape: Landscape,
        data: Tree,
        runs: tuple[int, int],
        normals: Callable[[], torch.Tensor],
        device: torch.device,
    ):
        self._landscape = landscape
        self._data = data
        self.runs = runs
        self.normal = normals
        self._draw: Tree | None = None
        # The memory of corrupted gradients: of all runs, or of each if runs are only evaluated alone.
        self._memory: torch.Tensor | None = None
        self._memory_alone: dict[tuple[int, int], torch.Tensor | None] = {}
        self._met_alone: set[tuple[int, int]] = set()  # in this step
        self._points: list[At] = []
        self._spectrum: tuple[torch.Tensor, torch.Tensor] | None = None
        self._first_gradient = True
        self._progress: Count | None = None
        self.broken = torch.zeros(runs, dtype=torch.bool, device=device)
        self.astray = self.broken
        self.alive = ~self.broken
        self.noisy = False

    def move(
        self,
        x: torch.Tensor,
        draw: Tree | None,
        alive: torch.Tensor | None = None,
        progress: Count | None = None,
    ) -> None:
        """Begin a step at x. Without noise, what was paid for at the last step's points is not charged again.

        Args:
            x: The current points, (*runs, dim).
            draw: The randomness of the step, or None without noise.
            alive: The runs that have not ended, bool (*runs); as before if None.
            progress: The share of the budget that is spent, a number or (*runs, 1); None without a budget.
        """
        self.noisy = draw is not None
        self._progress = progress
        self._first_gradient = True
        self._met_alone.clear()
        self.alive = self.alive if alive is None else alive
        self._draw = draw
        self.counts: dict[str, Count] = dict.fromkeys(KINDS, 0.0)
        if self.noisy:
            self._points = []
        self.here = At(self, x, same=self._stayed(x))
        self._points = [self.here]

    @property
    def x(self) -> torch.Tensor:
        """The current points (*runs, dim)."""
        return self.here.x

    @property
    def value(self) -> torch.Tensor:
        """The loss that the optimizer sees here (*runs, 1)."""
        return self.here.value

    @property
    def gradient(self) -> torch.Tensor:
        """The gradient that the optimizer sees here (*runs, dim)."""
        return self.here.gradient

    @property
    def hessian(self) -> torch.Tensor:
        """The Hessian that the optimizer sees here (*runs, dim, dim)."""
        return self.here.hessian

    @property
    def gauss_newton(self) -> torch.Tensor:
        """The Gauss–Newton matrix here (*runs, dim, dim)."""
        return self.here.gauss_newton

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        """Return the Hessian that the optimizer sees here times a vector, (*runs, dim)."""
        return self.here.hvp(vector, who)

    @property
    def progress(self) -> Count:
        """The share of the budget that is spent, a number or (*runs, 1)."""
        if self._progress is None:
            raise NotApplicable("the method depends on the share of a budget, and no budget is set")
        return self._progress

    @property
    def floor(self) -> torch.Tensor:
        """The minimum (*runs, 1), for methods of the role "oracle"; not charged."""
        floor = self._landscape.floor(self._data)
        return floor.to(self.x).expand(self.runs).unsqueeze(-1)

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and the largest curvature at the start, each (*runs, 1), for methods of the role "oracle".

        They are not charged.

        Raises:
            NotApplicable: If the smallest is not positive.
        """
        if self._spectrum is None:
            hessian = self._landscape.hessian(self._data["start"], self._data)
            finite = torch.isfinite(hessian).all(-1).all(-1)
            self.mark(~finite, torch.zeros_like(finite))
            unit = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
            curvatures = torch.linalg.eigvalsh(torch.where(finite[..., None, None], hessian, unit))
            low, high = (curvatures[..., [k]].expand(*self.runs, 1) for k in (0, -1))
            rounding = hessian.shape[-1] * torch.finfo(hessian.dtype).eps
            if not (low > rounding * high.abs()).all():
                raise NotApplicable("the Hessian at the start is not positive definite")
            self._spectrum = low, high
        return self._spectrum

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> At:
        """Return the point that a step to x leads to, at the same draw; only the mask `who` (*runs, 1) is charged."""
        point = At(self, self._landscape.project(x, self._data), who, trial=True)
        self._points.append(point)
        return point

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value () and the gradient (dim,) of one run at x (dim,), charged to it: a closure needs them.

        The run's memory of corrupted gradients advances with the first one of a step, as that of all runs does.
        """
        charged = torch.zeros(self.runs, dtype=x.dtype, device=x.device)
        charged[instance, trial] = 1.0
        self.charge("gradients", charged)
        run = slice(instance, instance + 1)
        data = part_of(self._data, run)
        draw = None if self._draw is None else part_of(self._draw, run)
        value, gradient = self._landscape.sampled_value_and_gradient(x.view(1, 1, -1), data, draw)
        if draw is not None:
            alone = instance, trial
            memory = self._memory_alone.get(alone)
            if self._memory is not None:
                memory = self._memory[run, trial : trial + 1]
            gradient, memory = self._landscape.seen(gradient, data, draw, memory)
            if alone not in self._met_alone:
                self._memory_alone[alone] = memory
                self._met_alone.add(alone)
        if not torch.isfinite(value + (gradient * 0).sum()):
            self.mark(charged.bool(), ~_finite(x))
            return torch.zeros_like(value[0, 0]), torch.zeros_like(x)
        return value[0, 0], gradient[0, 0]

    def true_value(self) -> torch.Tensor:
        """Return the exact loss at the current point (*runs), which the optimizer does not see; never charged."""
        if self.noisy or "value" not in self.here.exact:
            return self._landscape.loss(self.x, self._data)
        return self.here.exact["value"]

    def true_gradient(self) -> torch.Tensor | None:
        """Return the exact gradient at the current point (*runs, dim) if it has been evaluated, else None."""
        return None if self.noisy else self.here.exact.get("gradient")

    def forget(self) -> None:
        """Drop the points. They hold the oracle, as it holds them: Python would free their tensors late."""
        self._points = []
        del self.here

    # Used by the points.

    def mark(self, runs: torch.Tensor, astray: torch.Tensor) -> None:
        """Mark these runs (a mask) as broken, and those of them that are in the other mask as astray."""
        self.astray = self.astray | (runs & astray & ~self.broken)
        self.broken = self.broken | runs

    def charge(self, kind: str, runs: Count) -> None:
        """Add the runs, as 0 or 1, to a count of the step."""
        self.counts[kind] = self.counts[kind] + runs

    def _stayed(self, x: torch.Tensor) -> At | None:
        """Return the last step's point if no run has left it although some have evaluated others, else None."""
        if len(self._points) < 2 or ((self.here.x != x).any(-1) & self.alive).any():
            return None
        return self.here

    def remembered(self, x: torch.Tensor) -> list[tuple[At, torch.Tensor]]:
        """Return the earlier points that equal x in some runs, each with those runs as 0 or 1 (*runs)."""
        if len(self._points) < 2:  # no run has evaluated another point
            return []
        looked: Count = 0.0
        for point in self._points[1:]:
            looked = _either(looked, point.who)
        same = ((point, (point.x == x).all(-1)) for point in self._points)
        return [(point, looked * runs.to(x.dtype)) for point, runs in same if runs.any()]

    def loss_of(self, x: torch.Tensor) -> torch.Tensor:
        if self._draw is None:
            return self._landscape.loss(x, self._data)
        return self._landscape.sampled_loss(x, self._data, self._draw)

    def value_and_gradient_of(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and the gradient that the optimizer sees at x.

        The memory of corrupted gradients advances with the first one of a step, at whatever point that is.
        """
        value, gradient = self._landscape.sampled_value_and_gradient(x, self._data, self._draw)
        if self._draw is not None:
            gradient, memory = self._landscape.seen(gradient, self._data, self._draw, self._memory)
            if self._first_gradient:
                self._memory = memory
            self._first_gradient = False
        return value, gradient

    def hvp_of(self, x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return self._landscape.sampled_hvp(x, self._data, self._draw, vector)

    def hessian_of(self, x: torch.Tensor) -> torch.Tensor:
        return self._landscape.sampled_hessian(x, self._data, self._draw)

    def gauss_newton_of(self, x: torch.Tensor) -> torch.Tensor:
        if self._draw is not None:
            raise NotApplicable(
                "residuals are stated of the exact loss, and this one is seen through noise"
            )
        matrix = self._landscape.gauss_newton(x, self._data)
        if matrix is None:
            raise NotApplicable("the problem states no residuals")
        return matrix
