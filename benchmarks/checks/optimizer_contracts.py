"""The contracts of optimizers, from fields to steps; the docstring of each is the promise that `check` prints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas
import torch

from benchmarks.checks.contract import Contract, Finding, NothingStated, ensure, examine
from benchmarks.checks.walks import (
    RUNS,
    Given,
    Loss,
    Walk,
    Walker,
    draw,
    on_its_shapes,
    shapes_for,
    smooth_valley,
    walk,
)
from benchmarks.engine.cell import run_cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import Protocol
from benchmarks.engine.status import DIVERGED, SOLVED
from benchmarks.engine.trial_choice import choose
from optimizers import NotApplicable, Optimizer
from optimizers.adopted import Adopted
from optimizers.failure import Shapes
from optimizers.learning_rate_unit import DIM, LR, measured_unit
from optimizers.oracle import KINDS
from optimizers.wrapper import Wrapper
from problems import Card, Problem, Tree, bounded, dial
from problems.precision import default_dtype
from ravine import Refused
from ravine.fields import BOUNDS

# In a batch, BLAS adds in another order; the condition of Hessians enlarges the rounding.
RTOL, ATOL = 1e-8, 1e-10
SEARCHED_AT_MOST = 2
STEPS = 20  # of a walk
BEFORE_REST = 5  # steps: near a minimum some make uncharged calls, whose results they ignore
# The kind of cost of each call to a problem.
ASKED = {
    "loss": "losses", "sampled_loss": "losses", "residuals": "losses",
    "value_and_gradient": "gradients", "sampled_value_and_gradient": "gradients",
    "hvp": "hvps", "sampled_hvp": "hvps",
    "hessian": "hessians", "sampled_hessian": "hessians", "gauss_newton": "hessians",
}  # fmt: skip
_ORIGIN = torch.zeros(1, 1, RUNS, dtype=torch.float64)  # of the bowls
CONTRACTS: list[Contract] = []


def contract(holds: Any) -> Any:
    """Declare a contract of optimizers."""
    CONTRACTS.append(Contract(holds))
    return holds


def examined(optimizer: Optimizer) -> Iterator[Finding]:
    """Yield the findings of each contract; an adopted class whose learning rate has no default gets a small one."""
    inner = _parts(optimizer)[-1]
    if isinstance(inner, Adopted) and inner.missing_defaults == (inner.rate,):
        optimizer = optimizer.replace(**{inner.rate: LR})
    for each in CONTRACTS:
        with default_dtype(torch.float64):
            yield examine(each, optimizer)


# The fields.


@contract
def refuses_bad_hyperparameters(optimizer: Optimizer) -> None:
    """Hyperparameters outside their bounds are refused in one line."""
    fields = {
        each.name: each for part in _parts(optimizer) for each in dataclasses.fields(part) if each.metadata  # type: ignore[arg-type]
    }  # fmt: skip
    numbers = [
        name for name, value in optimizer.hyperparameters.items()
        if isinstance(value, float) and not isinstance(_owner(optimizer, name), Adopted)
    ]  # fmt: skip
    if not numbers:
        raise NothingStated("its class checks its own arguments")
    wrong = []
    for name in numbers:
        limits = fields[name].metadata.get(BOUNDS) if name in fields else None
        if limits is None:
            wrong.append(f"{name} has no bounds: write {name}: Hyper = hyper(…, low=…)")
            continue
        outside = [math.nan, math.inf, -math.inf, "fast", None, True, limits["low"] - 1]
        outside += [limits["low"]] * limits["open_low"] + [limits["high"]] * limits["open_high"]
        wrong += [text for value in outside if (text := _not_refused(optimizer, name, value))]
    ensure(not wrong, "; ".join(wrong))


def _not_refused(optimizer: Optimizer, name: str, value: Any) -> str:
    try:
        optimizer.replace(**{name: value})
    except Refused as refusal:
        said = str(refusal)
        return (
            "" if name in said and "\n" not in said else f"the refusal of {name}={value!r}: {said}"
        )
    except Exception as error:
        return f"{name}={value!r} raises {type(error).__name__}: {error}"
    return f"{name}={value!r} is accepted"


@contract
def searches_at_most_two_of_its_hyperparameters(optimizer: Optimizer) -> str:
    """At most two of its hyperparameters are searched."""
    if not optimizer.space:
        raise NothingStated("no hyperparameter is searched")
    names = ", ".join(optimizer.space)
    ensure(len(optimizer.space) <= SEARCHED_AT_MOST, f"{names} are searched")
    discounts = {each.discount for each in optimizer.space.values()} - {None}
    unknown = (set(optimizer.space) | discounts) - set(optimizer.hyperparameters)
    ensure(not unknown, f"{', '.join(map(str, unknown))} is not among its hyperparameters")
    return f"searched: {names}"


@contract
def has_a_learning_rate_in_the_unit_that_it_states(optimizer: Optimizer) -> str:
    """The learning rate behaves like the unit that it states."""
    name = optimizer.rate
    if name not in optimizer.hyperparameters:
        raise NothingStated("it has no learning rate")
    with _Applicable():
        found = measured_unit(on_its_shapes(optimizer, torch.zeros(1, 1, DIM, dtype=torch.float64)))
    said = f"{name} behaves like {'a number without a unit' if found == 'none' else found}"
    if name not in optimizer.space:
        raise NothingStated(f"{said}, and is not searched")
    if isinstance(_owner(optimizer, name), Adopted):
        raise NothingStated(f"{said}; declared: none")
    stated = optimizer.space[name].unit
    ensure(found == stated, f"{said}, and not like {stated}: write search=log(…, unit={found!r})")
    return said


# The steps.


@contract
def keeps_shapes(optimizer: Optimizer) -> None:
    """A step has the shape and the dtype of x, for any numbers of instances, trials and dimensions."""
    for dtype in (torch.float64, torch.float32):
        for instances, trials, dim in ((2, 4, 3), (1, 1, 1)):
            data = {name: each.to(dtype) for name, each in draw(instances, dim).items()}
            with _Applicable():
                walker = Walker(optimizer, Given(smooth_valley), data, trials)
                for k in range(3):
                    x = walker.x
                    step = walker.step(k / STEPS)
                    shapes = f"{tuple(step.shape)}, and x {tuple(x.shape)}"
                    ensure(step.shape == x.shape, f"a step has the shape {shapes}")
                    ensure(step.dtype == x.dtype, f"a step is {step.dtype}, and x {x.dtype}")


@contract
def repeats_its_steps(optimizer: Optimizer) -> None:
    """The step is a function of its arguments: the same walk twice gives the same points."""
    first, second = (_walk(optimizer, smooth_valley) for _ in range(2))
    ensure(torch.equal(first.points, second.points), "two walks from the same start differ")


@contract
def shares_nothing_between_walks(optimizer: Optimizer) -> None:
    """Two walks at the same time do not influence each other."""
    starts = [draw(), draw()]
    starts[1]["start"] = starts[1]["start"] + 1
    alone = [_walk(optimizer, smooth_valley, data=data).points[-1] for data in starts]
    with _Applicable():
        walkers = [Walker(optimizer, Given(smooth_valley), data) for data in starts]
        for k in range(STEPS):
            for each in walkers:
                each.step(k / STEPS)
    for each, end in zip(walkers, alone, strict=True):
        ensure(torch.equal(each.x, end), "a walk ends elsewhere while another one goes on")


@contract
def leaves_its_state_alone(optimizer: Optimizer) -> None:
    """The same state leads to the same step: an update changes neither the state nor x."""
    if any(isinstance(part, Adopted) for part in _parts(optimizer)):
        raise NothingStated("a class of torch changes its state in place")
    with _Applicable():
        walker = Walker(optimizer, Given(smooth_valley), draw())
        for k in range(3):
            walker.step(k / STEPS)
        x, steps = walker.x.clone(), []
        for _ in range(2):
            again = Walker(optimizer, Given(smooth_valley), draw())
            again.x, again.state = walker.x, walker.state
            steps.append(again.step(3 / STEPS))
            ensure(torch.equal(walker.x, x), "an update changes x in place")
    ensure(torch.equal(*steps), "a second update with the same state is another step")


@contract
def does_not_mix_runs(optimizer: Optimizer) -> None:
    """A batch gives the same points as its runs one by one, with as many trials and instances as dimensions."""
    values = {name: _around(optimizer, name) for name in optimizer.space}
    tensors = {
        name: torch.tensor(given, dtype=torch.float64).unsqueeze(-1)
        for name, given in values.items()
        if None not in given
    }
    # A matrix of one column would not show that columns are mixed up.
    data = draw(dim=RUNS if shapes_for(optimizer, _ORIGIN) is None else 2 * RUNS)
    together = _walk(optimizer.batched(tensors), smooth_valley, trials=RUNS, data=data)
    for trial in range(RUNS):
        alone = optimizer.replace(**{name: values[name][trial] for name in tensors})
        for instance in range(RUNS):
            own = {name: each[instance : instance + 1] for name, each in data.items()}
            with _Applicable():
                single = walk(alone, smooth_valley, own, steps=STEPS)
            where = f"trial {trial} of instance {instance}"
            points = together.points[:, instance, trial], single.points[:, 0, 0]
            off = float((points[0] - points[1]).abs().max())
            ensure(
                torch.allclose(*points, rtol=RTOL, atol=ATOL),
                f"{where} walks elsewhere in a batch: {off:.1e} away",
            )
            prices = (
                together.prices[:, instance, trial],
                single.prices[:, 0, 0].to(together.prices.dtype),
            )
            ensure(torch.allclose(*prices), f"{where} pays another price in a batch")


@contract
def ends_no_other_run_where_a_gradient_is_nan(optimizer: Optimizer) -> None:
    """A gradient that is NaN ends its run and no other."""
    seeds = tuple("abcdef")
    instances = Instances(_Poisoned(), seeds)
    bad = instances.data["bad"].flatten().bool()
    sound = Instances(_Poisoned(), tuple(c for c, lost in zip(seeds, bad, strict=True) if not lost))
    with _Applicable():
        mixed, alone = (
            run(on_its_shapes(optimizer, _ORIGIN), each, trials=1, budget=60, record=False)
            for each in (instances, sound)
        )
    status = [row[0] for row in mixed.status]
    if (alone.numbers["gradients"] > 0).all():
        ends = [each == DIVERGED for each in status]
        ensure(ends == bad.tolist(), f"the runs end {', '.join(status)}; NaN: {bad.int().tolist()}")
    others = [each for each, lost in zip(status, bad, strict=True) if not lost]
    ensure(others == [row[0] for row in alone.status], "the other runs end otherwise beside it")
    for number in ("gap_final", "cost"):
        pair = mixed.numbers[number][~bad], alone.numbers[number]
        ensure(
            torch.allclose(*pair, rtol=1e-8, atol=1e-12),
            f"{number} of the other runs differs beside it",
        )


@contract
def stays_where_nothing_leads_away(optimizer: Optimizer) -> str:
    """It stays where the gradient is 0, unless it declares `moves_at_rest`."""
    points = _walk(optimizer, _flat).points
    moves = not torch.equal(points, points[:1].expand_as(points))
    if any(isinstance(part, Adopted) for part in _parts(optimizer)):
        raise NothingStated(f"it {'moves' if moves else 'stays'} where the gradient is 0")
    ensure(
        moves == optimizer.moves_at_rest,
        f"it {'moves' if moves else 'stays'} where the gradient is 0, and moves_at_rest is {optimizer.moves_at_rest}",
    )
    return "it moves at rest, as declared" if moves else ""


@contract
def survives_a_loss_without_curvature(optimizer: Optimizer) -> None:
    """It takes finite steps on a linear loss, in one dimension and in three."""
    for dim in (1, RUNS):
        points = _walk(optimizer, _linear, data=draw(dim=dim)).points
        ensure(points.isfinite().all(), f"in {dim} dimensions it takes a step that is not finite")


@contract
def survives_a_singular_hessian(optimizer: Optimizer) -> None:
    """With its default or a small learning rate, it does not climb in a trough whose Hessian is singular."""
    known = optimizer.rate in optimizer.hyperparameters
    small = optimizer.replace(**{optimizer.rate: LR}) if known else optimizer
    for loss in (_trough(1.0, 1.0, 1.0), _trough(0.3, -1.7, 0.9)):
        # Steps of constant length go back and forth across the trough, and may end higher if they are long.
        ends = [_walk(each, loss).points[-1] for each in (optimizer, small)]
        ensure(all(end.isfinite().all() for end in ends), "it takes a step that is not finite")
        begin = loss(draw()["start"], {})
        ensure(any((loss(end, {}) <= begin).all() for end in ends), "it ends higher than it began")


@contract
def does_not_depend_on_units(optimizer: Optimizer) -> None:
    """Its search solves as many instances if the loss and the space are measured in other units."""
    if not optimizer.space:
        raise NothingStated("nothing is searched")
    # These have units, and are not searched.
    absolute = [name for name in ("eps", "weight_decay") if optimizer.hyperparameters.get(name)]
    optimizer = optimizer.replace(**dict.fromkeys(absolute, 0.0))
    plain = _solved_when_tuned(optimizer, 1, 1)
    if not plain:
        raise NothingStated("in seven trials it solves none of the bowls")
    # Far beyond the six decades of a searched learning rate; with larger gradients, as clipping has an absolute eps.
    # Powers of two are exact, so all units round alike: otherwise rounding decides which of few instances are solved.
    for up, down in ((26, 0), (0, 20), (26, 14)):
        other = _solved_when_tuned(optimizer, 2.0**up, 2.0**-down)
        ensure(
            other == plain,
            f"with losses × 2^{up} and lengths × 2^-{down} it solves {other} instances, and not {plain}",
        )


def _solved_when_tuned(optimizer: Optimizer, height: float, width: float) -> int:
    """Return how many instances of a stretched bowl the tuned trial solves."""
    problem = _Bowl(height=height, width=width, parameters=shapes_for(optimizer, _ORIGIN))
    size = Protocol(trials=7, tuning_seeds=2, seeds=3, budget=200).settled(problem)
    with _Applicable():
        cell = run_cell(problem, Contender("checked", optimizer, dict(optimizer.space)), size)
    runs = pandas.DataFrame(dict(cell.runs))
    tuned = runs[runs["trial"] == choose(runs)["tuned"]]
    return int((tuned["status"] == SOLVED).sum())


@contract
def says_whether_it_asks_for_hessians(optimizer: Optimizer) -> str:
    """It uses Hessians if and only if it declares so, and each step has a price."""
    found = _walk(optimizer, smooth_valley)
    ensure(
        optimizer.uses_hessian == (found.hessians > 0),
        f"uses_hessian is {optimizer.uses_hessian}, and it asks for {found.hessians:g} Hessians in {STEPS} steps",
    )
    ensure((found.prices >= 0).all() and found.prices.isfinite().all(), "a step has no price")
    return f"a step costs {found.prices.double().mean():.3g} gradients in {RUNS} dimensions"


@contract
def pays_for_what_it_asks(optimizer: Optimizer) -> None:
    """It is charged for each loss, gradient and Hessian that is computed for it."""
    watched = _Watched(Given(smooth_valley))
    told = int(optimizer.role == "oracle")  # an oracle gets the curvatures at the start for free
    charged = dict.fromkeys(watched.asked, 0.0)
    with _Applicable():
        walker = Walker(optimizer, watched, draw(instances=1))  # type: ignore[arg-type]
        for k in range(BEFORE_REST):
            walker.step(k / STEPS)
            for kind, count in walker.oracle.counts.items():
                charged[kind] += float(torch.as_tensor(count).sum())
            asked = {kind: len(points) for kind, points in watched.asked.items()}
            # A gradient comes with its loss.
            asked["losses"] = len(watched.asked["losses"] - watched.asked["gradients"])
            asked["hessians"] -= told
            for kind, count in asked.items():
                said = (
                    f"{count} {kind} are computed in {k + 1} steps, and {charged[kind]:g} charged"
                )
                ensure(count <= charged[kind] + 1e-6, said)


class _Watched:
    """A problem that records every call and its point, also those that the oracle does not count."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self.asked: dict[str, set[bytes]] = {kind: set() for kind in KINDS}

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._problem, name)
        if name not in ASKED:
            return answer

        def ask(*given: Any) -> Any:
            points = [each.detach().numpy() for each in given if isinstance(each, torch.Tensor)]
            self.asked[ASKED[name]].add(b"".join(each.tobytes() for each in points))
            return answer(*given)

        return ask


# What the contracts use.


def _parts(optimizer: Optimizer) -> list[Optimizer]:
    """Return the optimizer and those that it wraps."""
    return [optimizer, *(_parts(optimizer.inner) if isinstance(optimizer, Wrapper) else [])]


def _owner(optimizer: Optimizer, name: str) -> Optimizer:
    """Return the part of a wrapped optimizer that has a hyperparameter."""
    for part in _parts(optimizer):
        own = part.own if isinstance(part, Wrapper) else part.hyperparameters
        if name in own:
            return part
    return optimizer


def _around(optimizer: Optimizer, name: str) -> list[float | None]:
    """Return the default of a hyperparameter, and a value on each side of it."""
    value = optimizer.hyperparameters[name]
    if value is None:
        return [None] * RUNS
    if optimizer.space[name].scale == "complement":
        return [1 - 2 * (1 - value), value, 1 - (1 - value) / 2]
    return [value / 2, value, 1.5 * value]


class _Applicable:
    """A context in which NotApplicable becomes NothingStated."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, NotApplicable):
            raise NothingStated(f"not applicable: {error}") from None


def _walk(optimizer: Optimizer, loss: Loss, trials: int = 1, data: Tree | None = None) -> Walk:
    with _Applicable():
        return walk(optimizer, loss, data or draw(), trials=trials, steps=STEPS)


def _flat(x: torch.Tensor, data: Tree) -> torch.Tensor:
    return (0 * x).sum(-1)


def _linear(x: torch.Tensor, data: Tree) -> torch.Tensor:
    return x.sum(-1)


def _trough(*normal: float) -> Loss:
    """Return the loss ½ (nᵀx)²."""
    return lambda x, data: 0.5 * (x * torch.tensor(normal, dtype=x.dtype)).sum(-1) ** 2


@dataclass(frozen=True)
class _Bowl(Problem):
    """height · Σ λᵢ ((x − m)/width)ᵢ² / 2 with curvatures λ from 1 to 1/steepness, of any height and width."""

    steepness: float = dial(3.0)
    height: float = bounded(1.0)
    width: float = bounded(1.0)
    parameters: Shapes | None = None

    card = Card(
        scale="log", ladder=(1.0, 3.0), target=1e-4, budget=60, reference=("newton", {}),
        control={"steepness": 1.0}, signature="none", threshold=0.0, truth="0 at m", source="none",
    )  # fmt: skip

    @property
    def shapes(self) -> Shapes | None:
        return self.parameters

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, way = self.width * torch.randn(2, RUNS, generator=generator)
        return {"start": minimizer + way, "minimizer": minimizer}

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        curvatures = torch.logspace(0, -math.log10(self.steepness), RUNS, dtype=x.dtype)
        return (self.height * curvatures).sqrt() * (x - data["minimizer"]) / self.width

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * self.residuals(x, data).square().sum(-1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)


@dataclass(frozen=True)
class _Poisoned(_Bowl):
    """A bowl whose gradient at the start is NaN for about half of the instances."""

    def instance(self, generator: torch.Generator) -> Tree:
        return {**super().instance(generator), "bad": torch.rand((), generator=generator).round()}

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = super().value_and_gradient(x, data)
        poisoned = (data["bad"] > 0) & (x == data["start"]).all(-1)
        return value, torch.where(poisoned.unsqueeze(-1), torch.nan, gradient)
