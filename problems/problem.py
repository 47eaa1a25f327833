"""What a problem is: a loss with a dial, a stated truth, and a signature that proves its pathology."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field
from typing import Any, Literal, Self, get_args

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
    """How large one cell of a problem is by default.

    Attributes:
        trials: Settings of the hyperparameters, the defaults among them.
        tuning_seeds: Instances on which the trial is selected.
        seeds: Other instances, on which it is reported.
        dtype: The precision of a run.
    """

    trials: int = 25
    tuning_seeds: int = 5
    seeds: int = 10
    dtype: Literal["float32", "float64"] = "float64"


Scale = Literal["log", "linear", "list"]
SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True)
class Card:
    """What a problem states about itself; `ravine check` and the tests measure it.

    Attributes:
        scale: How to interpolate in the dial: "log", "linear", or "list" if there is nothing between its values.
        ladder: Three values of the dial, from harmless to extreme.
        target: A run is solved if its gap is at most this, unless the problem overrides `solved`.
        budget: What a run may spend, in gradients.
        reference: Name and hyperparameters of an optimizer that solves every rung.
        control: The fields that take the pathology away.
        signature: What `Problem.signature` measures, in words.
        threshold: The least signature that proves the pathology; on the control it stays below.
        truth: What is known about the minimum, the critical points and the rates, in a sentence or two.
        source: Where it is described.
        theory: By optimizer's name, the breaking point that a theorem predicts: (problem, budget) -> dial.
        exceptions: Promises that the problem does not keep, each with its reason: "random_search" (it solves the
            last rung), "reference" (it does not solve every rung), "start_gradient" (zero at some starts), "smooth"
            (no gradient check), "ranked" (all local methods do equally well), "signature" (it is not measured on the
            loss: it is a theorem's number, or reads the fields for a reason), "floor" (runs can get below it).
        removes: By the name of a cause of failure, the fields that remove this cause. Given if no change of the
            optimizer's gradients could remove it: local minima, chains, long paths, gradients of exactly zero.
        breaks: The name of an optimizer that the pathology breaks, and the cause, as in the table `explained.csv`:
            what the problem is there to show. Taking that cause away must help it most.
        same: Other causes that are one thing with the cause in `breaks`, such as an exploding gradient with a cliff,
            or the small gradients around a saddle with the saddle; taking these away may help as much.
        also: A second cause that the problem has, too, as its docstring says: taking away either must help, or where
            neither helps alone, taking away both.
        quick: The fields, and the `ladder`, with which the problem represents its subsection in the quick suite.
        standard: The fields that differ in the standard suite, for problems that would dominate its time.
        floor_is_minimum: False if `floor` is a stated level and the minimum is unknown.
        cell: How large a cell is by default.
        dial: The name of the field that is declared by `dial(...)`; filled in.
    """

    scale: Scale
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
    breaks: tuple[str, str] | None = None
    same: tuple[str, ...] = ()
    also: str = ""
    quick: Mapping[str, Any] | None = None
    standard: Mapping[str, Any] | None = None
    floor_is_minimum: bool = True
    cell: SampleSizes = SampleSizes()
    dial: str = ""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise Refused(f"scale is {self.scale!r}, but must be one of {', '.join(SCALES)}")


@dataclass(frozen=True)
class CriticalPoint:
    """A stated critical point.

    Attributes:
        x: Where it is, (dim,).
        value: The loss there.
        index: The number of negative curvatures.
        nullity: The number of zero curvatures.
    """

    x: torch.Tensor
    value: float
    index: int
    nullity: int = 0


class Problem:
    """A family of losses. Subclasses are frozen dataclasses, one of whose fields is the dial.

    Fields carry their own bounds, declared by `dial` and `ravine.bounded`; a subclass with conditions between
    fields checks them in `__post_init__`, after `super().__post_init__()`.

    Shapes: leading dimensions are runs. `x` is `(*runs, dim)`, a loss `(*runs)`. `data` is what `instance`
    drew, stacked if many instances run: each tensor then has leading dimensions that broadcast against
    `*runs`. So write `x[..., 0]` and `einsum("...i,...ij->...j", …)`; nothing else is needed.
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

    # Required.

    def instance(self, generator: torch.Generator) -> Tree:
        """Draw an instance.

        Called with float64 as the default dtype and on the CPU.

        Args:
            generator: The only source of randomness. Draw an amount that does not depend on the dial if possible:
                then rungs are paired.

        Returns:
            Tensors by name, without leading dimensions; at least "start", (dim,).
        """
        raise NotImplementedError("a problem must define instance")

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the exact loss.

        Args:
            x: Points, (*runs, dim).
            data: The instances, with leading dimensions that broadcast against *runs.

        Returns:
            (*runs).
        """
        raise NotImplementedError("a problem must define loss")

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the minimum f*, stated and not computed from the loss.

        Args:
            data: The instances.

        Returns:
            It broadcasts against (*runs).
        """
        raise NotImplementedError("a problem must define floor")

    def signature(self, data: Tree) -> float:
        """Measure the number that proves the pathology.

        Args:
            data: One instance, without leading dimensions.

        Returns:
            A number, at least the card's threshold; below it on the control.
        """
        raise NotImplementedError("a problem must define signature")

    # Derivatives, by autograd unless a closed form is given.

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and its gradient in one pass.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            The loss (*runs), and the gradient (*runs, dim).
        """
        return _value_and_gradient(lambda point: self.loss(point, data), x)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """Return the Hessian times a vector.

        Args:
            x: Points, (*runs, dim).
            data: The instances.
            vector: (*runs, dim), or with one more leading dimension.

        Returns:
            H v, with the shape of `vector`.
        """
        if type(self).hessian is not Problem.hessian:
            return torch.einsum("...ij,...j->...i", self.hessian(x, data), vector)
        return _hvp(lambda point: self.loss(point, data), x, vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the Hessian.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs, dim, dim).
        """
        return _hessian(lambda point: self.loss(point, data), x)

    # Optional.

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return r if the loss is ½ |r|² + const.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs, count), or None for another loss.
        """
        return None

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return Jᵀ J, with J = dr/dx.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs, dim, dim), or None without residuals.
        """
        if not self.has_own("residuals"):
            return None
        jacobian = _jacobian(lambda point: self.residuals(point, data), x)
        return torch.einsum("...ki,...kj->...ij", jacobian, jacobian)

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree] | None:
        """Return one instance's endless stream of random draws, one per step.

        A run with draws is judged by the mean gap of its last steps: `problems.noisy_runs`.

        Args:
            data: One instance, without leading dimensions.
            generator: The only source of randomness.

        Returns:
            The stream; None if the loss is exact.
        """
        return None

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """Return the loss that the optimizer sees at a draw; its mean over draws is `loss`.

        Args:
            x: Points, (*runs, dim).
            data: The instances.
            draw: The draw of this step.

        Returns:
            (*runs).
        """
        return self.loss(x, data)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `value_and_gradient` of the sampled loss.

        Args:
            x: Points, (*runs, dim).
            data: The instances.
            draw: The draw of this step; None for the exact loss.

        Returns:
            The loss (*runs), and the gradient (*runs, dim).
        """
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.value_and_gradient(x, data)
        return _value_and_gradient(lambda point: self.sampled_loss(point, data, draw), x)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        """Return `hvp` of the sampled loss.

        Args:
            x: Points, (*runs, dim).
            data: The instances.
            draw: The draw of this step; None for the exact loss.
            vector: (*runs, dim), or with one more leading dimension.

        Returns:
            H v, with the shape of `vector`.
        """
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.hvp(x, data, vector)
        return _hvp(lambda point: self.sampled_loss(point, data, draw), x, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        """Return `hessian` of the sampled loss.

        Args:
            x: Points, (*runs, dim).
            data: The instances.
            draw: The draw of this step; None for the exact loss.

        Returns:
            (*runs, dim, dim).
        """
        if draw is None or type(self).sampled_loss is Problem.sampled_loss:
            return self.hessian(x, data)
        return _hessian(lambda point: self.sampled_loss(point, data, draw), x)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the gradient that the optimizer sees, after bias, sign, quantisation or delay.

        Args:
            gradient: That of the sampled loss, (*runs, dim).
            data: The instances.
            draw: The draw of this step.
            memory: What was returned at the step before, leading with *runs; None at first.

        Returns:
            The gradient (*runs, dim), and the memory for the next step.
        """
        return gradient, memory

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the point that a step to x leads to: on the sphere, in the interval.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs, dim).
        """
        return x

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Return which runs are solved.

        Args:
            x: Points, (*runs, dim).
            gap: The gap at x, (*runs); with noise its mean over the last steps, infinite if those are too few.
            gradient: The exact gradient if the optimizer asked for it at x, else None; infinite for ended runs.
            data: The instances.

        Returns:
            bool, (*runs).
        """
        return gap <= self.card.target

    @property
    def solved_when(self) -> str:
        """What a run must reach to be solved, in words. A problem that overrides `solved` overrides this, too."""
        if self.has_own("solved"):
            return "the problem's own test holds"
        if not self.card.floor_is_minimum:
            return f"gap above the stated level at most {self.card.target:g} of that at the start"
        return f"relative gap at most {self.card.target:g}"

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return the Euclidean distance to the *set* of solutions.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs), or None if it is unknown.
        """
        return None

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        """Return some global minimizers of one instance.

        Args:
            data: One instance, without leading dimensions.

        Returns:
            (count, dim), or None if they are unknown.
        """
        return None

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return known critical points of one instance; `ravine check` measures them.

        Args:
            data: One instance, without leading dimensions.

        Returns:
            The points, not necessarily all.
        """
        return ()

    def predicted_share(self) -> float | None:
        """Return the share of runs that any local method solves, if theory predicts it."""
        return None

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return gradient norms along depth or time, starting at the output.

        They are of the exact loss, with respect to the state after each step or the output of each layer.

        Args:
            x: Points, (*runs, dim).
            data: The instances.

        Returns:
            (*runs, length); None without such an axis.
        """
        return None

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """Return extra result columns about the end points of runs.

        Args:
            x: Where the runs ended, (*runs, dim).
            steps: How many steps each took, (*runs).
            data: The instances.

        Returns:
            Numbers (*runs), by the column's name.
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

    # Derived from the above.

    def example(self, seed: int = 0) -> Tree:
        """Return an instance in float64, for claims and pictures; sweeps use other instances.

        Args:
            seed: Seed of the instance.

        Returns:
            Tensors by name, without leading dimensions.
        """
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
        """True if optimizers see a random loss."""
        return self.has_own("draws")

    @property
    def has_whole_dial(self) -> bool:
        """True if the dial is a whole number."""
        declared = {each.name: each.type for each in dataclasses.fields(self)}  # type: ignore[arg-type]
        return declared[self.card.dial] in (int, "int")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...] | None:
        """The shapes of the parameter tensors that x concatenates; None if x is just a vector."""
        return None

    @property
    def budget(self) -> float:
        """The default budget of a run, in gradients."""
        return self.card.budget

    @property
    def dial_column(self) -> str:
        """The result column that has the dial."""
        return f"problem.{self.card.dial}"

    @property
    def settings(self) -> dict[str, Any]:
        """The result columns that identify the problem: its fields and its modifiers."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f"problem.{each.name}": getattr(self, each.name) for each in fields}

    @property
    def floor_attained(self) -> bool | None:
        """True if a minimizer exists, False if the floor is only an infimum, None if the problem does not say.

        A problem that defines `minimizers` and returns None from it has no minimizer.
        """
        if not self.card.floor_is_minimum or not self.has_own("minimizers"):
            return None
        with default_dtype(torch.float64):  # of an example
            return self.minimizers(self.example()) is not None

    def has_own(self, method: str) -> bool:
        """True if a method is not the default of `Problem`.

        Args:
            method: Its name.

        Returns:
            Whether a subclass defines it.
        """
        return getattr(type(self), method) is not getattr(Problem, method)

    def at_dial(self, value: float) -> Self:
        """Return the same problem at another value of its dial.

        Args:
            value: The dial's value; a whole dial rounds it.

        Returns:
            The problem.
        """
        rung = round(value) if self.has_whole_dial else value
        return dataclasses.replace(self, **{self.card.dial: rung})  # type: ignore[type-var]

    def control(self) -> Self:
        """Return the same problem without its pathology."""
        return dataclasses.replace(self, **self.card.control)  # type: ignore[type-var]

    def without(self, cause: str) -> Self:
        """Return the same problem without one of its causes of failure.

        Args:
            cause: One of the causes in the card's `removes`.

        Returns:
            The problem.
        """
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
