"""The interface of an optimizer: hyperparameters, two pure functions, and what it can evaluate at a step."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, Self

import torch

from optimizers import _old_form
from optimizers.hyperparameter import Space
from ravine import check_fields

State = tuple  # of tensors (*runs, …), and of what all runs share, such as the number of steps


class NotApplicable(Exception):
    """A method cannot be used on a problem, which is a fault of neither: the result is a row with the reason."""


class Fault(Exception):
    """A method failed by a fault of its own: the result is a row with an error, in one line that says where."""


class RunAgain(Exception):
    """What was just learned of a method changes how its runs are made: all of them have to begin again."""


class Point(Protocol):
    """A point of all runs at once. Each evaluation is charged when it is first used."""

    @property
    def x(self) -> torch.Tensor:
        """The points, (*runs, dim)."""
        ...

    @property
    def value(self) -> torch.Tensor:
        """The loss, (*runs, 1)."""
        ...

    @property
    def gradient(self) -> torch.Tensor:
        """The gradient, (*runs, dim)."""
        ...

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        """Return the Hessian times a vector, (*runs, dim); only runs of the mask `who` (*runs, 1) are charged."""
        ...

    @property
    def hessian(self) -> torch.Tensor:
        """The Hessian, (*runs, dim, dim)."""
        ...

    @property
    def gauss_newton(self) -> torch.Tensor:
        """Jᵀ J of the residuals, (*runs, dim, dim). Raises NotApplicable if the problem has none."""
        ...


class Oracle(Point, Protocol):
    """The current point and other points, as an optimizer can evaluate them at a step.

    No answer is infinite or NaN: a run in which that happened has ended, and gets zeros. `alive` (*runs) are the runs
    that have not ended; the steps of the others have no effect.
    """

    @property
    def alive(self) -> torch.Tensor:
        """The runs that have not ended, bool (*runs)."""
        ...

    @property
    def progress(self) -> float | torch.Tensor:
        """The share of the budget that is spent, in [0, 1], a number or (*runs, 1)."""
        ...

    @property
    def floor(self) -> torch.Tensor:
        """The minimum (*runs, 1): only for methods of the role "oracle", which are given it."""
        ...

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and the largest curvature at the start, each (*runs, 1): only for methods of the role "oracle".

        Raises NotApplicable if the smallest is not positive.
        """
        ...

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        """Return another point at the same draw of the noise; only runs of the mask `who` (*runs, 1) are charged."""
        ...

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value () and the gradient (dim,) of one run at x (dim,), charged to it."""
        ...

    def normal(self) -> torch.Tensor:
        """Return standard normal numbers that broadcast against x; all trials share the optimizer's stream."""
        ...


class Optimizer:
    """A method. Subclasses are frozen dataclasses whose fields are hyperparameters, declared by `hyper`.

        lr: Hyper = hyper(0.01, search=log(1e-5, 1e1, unit="length/gradient"), low=0)

    `x` is (*runs, dim). In `update`, a hyperparameter annotated `Hyper` may be a tensor that broadcasts
    against x, one value per run; so `-self.lr * oracle.gradient` is right for one run and for many. Values per
    run keep a trailing dimension of 1. To shift a matrix write
    `diag_embed(self.damping * ones_like(oracle.x))`, never `damping * eye`.

    A subclass that changes a hyperparameter's default, range or bounds declares it anew.

    Attributes:
        space: The searched ranges by name, in the order of the fields.
        role: "ranked"; "control" and "oracle" are shown without a rank ("oracle" is given the known solution).
        uses_hessian: True if it evaluates dense Hessians: batches are made small enough for them.
        moves_at_rest: True if it moves even if the gradient is 0.
        rate: The name of its learning rate, if it has one.
    """

    space = Space()
    bounds: ClassVar[Mapping[str, dict[str, Any]]] = {}  # the old form: see _old_form.py
    role: ClassVar[Literal["ranked", "control", "oracle"]] = "ranked"
    uses_hessian: ClassVar[bool] = False
    moves_at_rest: ClassVar[bool] = False
    rate: ClassVar[str] = "lr"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _old_form.announce(cls)

    def init(self, x: torch.Tensor) -> State:
        """Return the state before the first step.

        Args:
            x: The start, (*runs, dim).

        Returns:
            A tuple of tensors; empty for a method without a state.
        """
        return ()

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the step from the current point, and the state after it.

        Args:
            oracle: The current point (`oracle.x`) and its evaluations (`oracle.gradient`, `.value`, `.hvp(v)`,
                `.hessian`, `.at(x)`), each charged once.
            state: What `init` or the previous step returned.

        Returns:
            The step (*runs, dim), and the next state.
        """
        raise NotImplementedError("an optimizer must define update")

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """Return the share of the stability limit in use per unit of curvature, D (*runs, 1 or dim).

        On a quadratic with Hessian H the method diverges if q = λmax(D^½ H D^½) > 1, where D = lr P⁻¹/limit with
        the method's preconditioner P.

        Args:
            state: The state after the step at a point.
            gradient: The gradient at that point, (*runs, dim).
            progress: The share of the budget spent before.

        Returns:
            D, or None if no such limit is known.
        """
        return None

    def __post_init__(self) -> None:
        check_fields(type(self).__name__, self)
        _old_form.check(self)

    def vectors(self, dim: int) -> int:
        """Return how many numbers per coordinate of x the largest tensor has, which bounds a batch's size.

        Args:
            dim: The number of coordinates.

        Returns:
            dim for a method that uses the Hessian, else 1.
        """
        return dim if self.uses_hessian else 1

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Every hyperparameter's value by name; a wrapper's and its inner optimizer's side by side."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}  # type: ignore[arg-type]

    @property
    def missing_defaults(self) -> tuple[str, ...]:
        """The hyperparameters without a value, which must be given or searched."""
        return ()

    def replace(self, **values: Any) -> Self:
        """Return the same method with other hyperparameters, checked against their bounds.

        Args:
            **values: The new values, by name.

        Returns:
            The optimizer.
        """
        return dataclasses.replace(self, **values)  # type: ignore[type-var]

    def batched(self, values: Mapping[str, torch.Tensor]) -> Self:
        """Return the same method with a tensor for each hyperparameter named.

        Args:
            values: Tensors (trials, 1), by name.

        Returns:
            The optimizer.
        """
        return self._changed(**values)

    def _changed(self, **attributes: Any) -> Self:
        """Return a copy with other attributes, unchecked: a frozen dataclass has no other way."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other
