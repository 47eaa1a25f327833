"""What a problem is: a loss with a dial, a stated truth, and a signature that proves its pathology."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field
from typing import Any, Literal, Self

import torch

from problems.claims import Claim, claims_of, evidence, take_methods
from problems.portrait import Curves, Plane
from problems.precision import default_dtype
from ravine import Refused, bounded, check_fields, registered_name, warn_outdated

Tree = dict[str, Any]  # tensors by name, nested


def dial(
    default: float, *, low: float | None = None, high: float | None = None, above: float | None = None,
    below: float | None = None,
) -> Any:  # fmt: skip
    """Declare the field that a problem's ladder walks, and the values that it accepts.

    ::

        condition: float = dial(1e3, low=1)
        steps: int = bounded(50, low=1)

    Args:
        default: The value where none is given.
        low: The least value; `above` instead excludes it.
        high: The largest value; `below` instead excludes it.
        above: A number that every value is larger than.
        below: A number that every value is smaller than.

    Returns:
        A `dataclasses.field`, as that of `bounded`.
    """
    return bounded(default, low=low, high=high, above=above, below=below, dial=True)


@dataclass(frozen=True)
class SampleSizes:
    """How large one cell of a problem is by default: its trials, its instances, its precision."""

    trials: int = 25
    tuning_seeds: int = 5
    seeds: int = 10
    dtype: Literal["float32", "float64"] = "float64"


@dataclass(frozen=True)
class Card:
    """What a problem states about itself; the tests hold it to every word.

    scale, ladder: how to interpolate in the dial, the field that says how bad it is ("list" where there is
        nothing between its values), and three coarse rungs of it from harmless to extreme.
    target: a run is solved where its relative gap is at most this (unless the problem says otherwise in
        `solved`); budget: what a run may spend, in gradient-equivalents.
    reference: name and values of an optimizer that solves every rung.
    signature, threshold: what `Problem.signature` measures, in words, and the least value that proves the
        pathology; control: the fields that take the pathology away, where the signature must stay below.
    removes: by the name of a cause of failure, the fields that take this cause away from the problem. Stated
        where nothing that is done to an optimizer's gradients would: local minima, chains, long ways.
    truth: what is known about the minimum, the critical points and the rates, in a sentence or two.
    source: where it is described.
    theory: by optimizer's name, the breaking point that a theorem predicts: (problem, budget) -> dial.
    exceptions: promises that this problem does not keep, each with its reason, by the promise's name:
        "random_search" (solves the last rung), "reference" (does not solve every rung), "start_gradient"
        (zero at some starts), "smooth" (no gradient check), "ranked" (all local methods fare alike).
    quick: the fields, and the `ladder`, with which it stands for its subsection in the suite of this name; None
        where another problem does.
    standard: what differs in the suite of all problems, of one that would take longer there than all others.
    floor_is_minimum: False where `floor` is a stated level and the minimum is unknown.
    dial: the name of the field that is declared by `dial(...)`; never given.
    """

    scale: Literal["log", "linear", "list"]
    ladder: tuple[float, ...]
    target: float
    budget: float
    reference: tuple[str, Mapping[str, float]]
    control: Mapping[str, Any]
    signature: str
    threshold: float
    truth: str
    source: str
    theory: Mapping[str, Callable[[Any, float], float]] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)
    removes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = None
    standard: Mapping[str, Any] | None = None
    floor_is_minimum: bool = True
    cell: SampleSizes = SampleSizes()
    dial: str = ""


@dataclass(frozen=True)
class CriticalPoint:
    """A stated critical point: where, the loss there, and how many curvatures are negative and zero."""

    x: torch.Tensor
    value: float
    index: int
    nullity: int = 0


class Problem:
    """A family of losses. Subclasses are frozen dataclasses, one of whose fields is the dial.

    Fields carry their own bounds, declared by `dial` and `ravine.bounded`; a subclass with conditions between
    fields checks them in `__post_init__`, after `super().__post_init__()`.

    Shapes: leading dimensions are runs. `x` is `(*runs, dim)`, a loss `(*runs)`. `data` is what `instance`
    drew, stacked by whoever runs many: each tensor then has leading dimensions that broadcast against
    `*runs`, so write `x[..., 0]` and `einsum("...i,...ij->...j", …)` and nothing else is needed.
    """

    card: Card

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        old = take_methods(cls)
        forms = ["@claim(…) above a function below the class, not @Claim(…) above a method"] * old
        card = getattr(cls, "card", None)
        if isinstance(card, Card):  # a modifier's is a property
            marked = _dials(cls)
            if len(marked) == 1:
                cls.card = dataclasses.replace(card, dial=marked[0])
            elif marked or not card.dial:
                count = f"{len(marked)} dials ({', '.join(marked)})" if marked else "no dial"
                raise Refused(f"problem {cls.__name__} has {count}: declare one field by dial(…)")
            elif "card" in vars(cls):
                value = getattr(cls, card.dial, "…")
                forms.append(f"{card.dial}: … = dial({value}, …), not Card(dial={card.dial!r})")
        if forms:
            warn_outdated(cls, f"write {', and '.join(forms)}")

    def __post_init__(self) -> None:
        check_fields(registered_name(type(self)), self)

    # What must be given.

    def instance(self, generator: torch.Generator) -> Tree:
        """What one seed draws, without leading dimensions: at least "start", of shape (dim,).

        Called with float64 as the default dtype and on the CPU; all randomness comes from `generator`, in
        an amount that does not depend on the dial where that is possible (rungs are then paired).
        """
        raise NotImplementedError

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """The exact loss: (*runs, dim) -> (*runs)."""
        raise NotImplementedError

    def floor(self, data: Tree) -> torch.Tensor:
        """The minimum, written and not computed from the loss; broadcasts against (*runs)."""
        raise NotImplementedError

    def signature(self, data: Tree) -> float:
        """The number that proves the pathology, measured on one instance (`data` without leading dimensions)."""
        raise NotImplementedError

    # What has a default: closed forms, tested against autograd.

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss (*runs) and gradient (*runs, dim) in one pass."""
        return _value_and_gradient(lambda point: self.loss(point, data), x)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """Hessian-vector products H v, (*runs, dim); `vector` may have one more leading dimension."""
        if type(self).hessian is not Problem.hessian:
            return torch.einsum("...ij,...j->...i", self.hessian(x, data), vector)
        return _hvp(lambda point: self.loss(point, data), x, vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Hessian (*runs, dim, dim)."""
        return _hessian(lambda point: self.loss(point, data), x)

    # What is optional.

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """r (*runs, count), where the loss is ½ |r|² + const; None where it is no such sum of squares."""
        return None

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Jᵀ J (*runs, dim, dim) with J = dr/dx, the Hessian without the residuals' own curvature; or None."""
        if not self.has_own("residuals"):
            return None
        jacobian = _jacobian(lambda point: self.residuals(point, data), x)
        return torch.einsum("...ki,...kj->...ij", jacobian, jacobian)

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree] | None:
        """One instance's endless stream of randomness, an item a step; None where the loss is exact."""
        return None

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """What the optimizer sees of the loss at this draw; its mean over draws is `loss`."""
        return self.loss(x, data)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`value_and_gradient` of the sampled loss."""
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.value_and_gradient(x, data)
        return _value_and_gradient(lambda point: self.sampled_loss(point, data, draw), x)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        """`hvp` of the sampled loss."""
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.hvp(x, data, vector)
        return _hvp(lambda point: self.sampled_loss(point, data, draw), x, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        """`hessian` of the sampled loss."""
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.hessian(x, data)
        return _hessian(lambda point: self.sampled_loss(point, data, draw), x)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the optimizer sees of the gradient: bias, sign, quantisation, delay.

        `memory` leads with *runs; it is None at first, and what was returned at the step before.
        """
        return gradient, memory

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """The point that a step really leads to: on the sphere, in the interval."""
        return x

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Which runs are where they should be, as bool (*runs), given the relative gap (*runs).

        `gradient` is the exact one where the optimizer has asked for it at x, and None elsewhere; it is
        infinite for runs that have ended.
        """
        return gap <= self.card.target

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Euclidean distance to the *set* of solutions (*runs), or None where that is unknown."""
        return None

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        """Some global minimizers of one instance (count, dim), or None where they are unknown."""
        return None

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Stated critical points of one instance, the certified part of the truth; not always all there are."""
        return ()

    def predicted_share(self) -> float | None:
        """The share of runs that any local method solves, where the truth says so, for problems without ranks."""
        return None

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Norms of the gradient along depth or time, the output's end first (*runs, length); None without such an axis.

        Of the exact loss, with respect to what is at each position: the state of a recurrent network after each
        step, the output of each layer.
        """
        return None

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """Result columns of this problem's own: numbers (*runs) about the points where runs ended.

        `steps` (*runs) is how many each of them took.
        """
        return {}

    def portrait(self) -> Curves | Plane:
        """Return what a picture of the pathology shows: the curvatures at the start, unless more is known.

        That is the function `portrait` of the problem's evidence, or this method of its own.
        """
        for module in reversed(evidence(type(self))):
            if hasattr(module, "portrait"):
                return module.portrait(self)
        data = self.example()
        curvatures = torch.linalg.eigvalsh(self.hessian(data["start"], data))
        return Curves(
            caption="Curvatures at the start.",
            x_label="rank",
            y_label="eigenvalue of the Hessian",
            dots={"": (torch.arange(1, len(curvatures) + 1), curvatures)},
            y_scale="log" if curvatures[0] > 0 else "linear",
        )

    # What follows.

    def example(self, seed: int = 0) -> Tree:
        """An instance in float64, for claims and pictures; those of a sweep are other ones."""
        with default_dtype(torch.float64):
            return self.instance(torch.Generator().manual_seed(seed))

    @property
    def claims(self) -> dict[str, Claim]:
        """The claims about this problem, by the name of the function that measures them."""
        return claims_of(type(self))

    @property
    def dial(self) -> float:
        """The value of the dial."""
        return float(getattr(self, self.card.dial))

    @property
    def noisy(self) -> bool:
        """Whether optimizers see it through randomness."""
        return self.has_own("draws")

    @property
    def has_whole_dial(self) -> bool:
        """Whether the dial is declared a whole number."""
        declared = {each.name: each.type for each in dataclasses.fields(self)}  # type: ignore[arg-type]
        return declared[self.card.dial] in (int, "int")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...] | None:
        """The parameter tensors whose concatenation x is, in order; None where x is just a vector."""
        return None

    @property
    def budget(self) -> float:
        """What a run may spend by default, in gradient-equivalents."""
        return self.card.budget

    @property
    def dial_column(self) -> str:
        """The result column that has the dial."""
        return f"problem.{self.card.dial}"

    @property
    def settings(self) -> dict[str, Any]:
        """The result columns that say which problem it is: its fields, and what modifies it."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f"problem.{each.name}": getattr(self, each.name) for each in fields}

    @property
    def floor_attained(self) -> bool | None:
        """Whether some point has the floor as its loss, as far as the problem states it; None where it does not.

        A problem that states its minimizers, and states none, has none: the floor is an infimum.
        """
        if not self.card.floor_is_minimum or not self.has_own("minimizers"):
            return None
        with default_dtype(torch.float64):  # of an example
            return self.minimizers(self.example()) is not None

    def has_own(self, method: str) -> bool:
        """Whether a method is not the default one of `Problem`."""
        return getattr(type(self), method) is not getattr(Problem, method)

    def at_dial(self, value: float) -> Self:
        """The same problem at another rung; a dial that is declared a whole number stays one."""
        rung = round(value) if self.has_whole_dial else value
        return dataclasses.replace(self, **{self.card.dial: rung})  # type: ignore[type-var]

    def control(self) -> Self:
        """The same problem without its pathology."""
        return dataclasses.replace(self, **self.card.control)  # type: ignore[type-var]

    def without(self, cause: str) -> Self:
        """The same problem without one of the causes that its card says how to remove."""
        return dataclasses.replace(self, **self.card.removes[cause])  # type: ignore[type-var]


def _dials(kind: type[Problem]) -> list[str]:
    """Return the names of the fields of a class that are declared as its dial."""
    declared = dict(getattr(kind, "__dataclass_fields__", {}))
    declared |= {name: each for name, each in vars(kind).items() if isinstance(each, Field)}
    return [name for name, each in declared.items() if "dial" in each.metadata]


def _value_and_gradient(loss: Callable, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        value = loss(point)
        (gradient,) = torch.autograd.grad(value.sum(), point)
    return value.detach(), gradient


def _hvp(loss: Callable, x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point).sum(), point, create_graph=True)
        if not gradient.requires_grad:  # a linear loss
            return torch.zeros_like(vector)
        several = vector.dim() > x.dim()
        (product,) = torch.autograd.grad(
            gradient, point, vector, is_grads_batched=several, materialize_grads=True
        )
    return product


def _hessian(loss: Callable, x: torch.Tensor) -> torch.Tensor:
    dim = x.shape[-1]
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point).sum(), point, create_graph=True)
        if not gradient.requires_grad:
            return x.new_zeros(*x.shape, dim)
        basis = torch.eye(dim, dtype=x.dtype, device=x.device).view(dim, *(1,) * (x.dim() - 1), dim)
        (rows,) = torch.autograd.grad(
            gradient,
            point,
            basis.expand(dim, *x.shape),
            is_grads_batched=True,
            materialize_grads=True,
        )
    return rows.movedim(0, -2)


def _jacobian(residuals: Callable, x: torch.Tensor) -> torch.Tensor:
    """(*runs, count, dim)."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        values = residuals(point)
        count = values.shape[-1]
        basis = torch.eye(count, dtype=x.dtype, device=x.device)
        basis = basis.view(count, *(1,) * (x.dim() - 1), count).expand(count, *values.shape)
        (rows,) = torch.autograd.grad(
            values, point, basis, is_grads_batched=True, materialize_grads=True
        )
    return rows.movedim(0, -2)
