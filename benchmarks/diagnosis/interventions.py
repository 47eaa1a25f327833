"""What is wrong with a run, found by taking it away.

A cause holds for a run if the paired run without it (same instance, same setting, same draws) gets to the target
at least five times cheaper, or gets there at all where the run does not. So no problem's name decides: Newton's
method on an ill-conditioned bowl is not ill-conditioned.

Each removal is a view of the problem, of the optimizer's step or of its rate that changes one thing. It happens
behind the method's back, so that the engine charges what the method itself asks, and never the intervention: a
pair differs in cost only by the number of its steps (and of its line searches). In that sense the steps are
counted.

Some removals take more away than one cause. The exact gradient lacks the noise too, so that a wrong direction is
one that holds without the noise; a gradient that is raised on flat ground also leaves a saddle, so that a plateau is
one that a kick does not end; shorter steps also help where the rate is too large everywhere, so that a cliff is what a
tenth of it does not cure; steps that know all curvatures cannot be too large, so that ill-conditioning is asked about
only where a run was never thrown far above its start. What no removal ends alone, two causes together, has no
cause here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.engine import DIVERGED, SOLVED, Instances, Outcome, run
from benchmarks.search import measure_units
from optimizers import Optimizer
from optimizers.clip import AdaptiveClip, Clip
from optimizers.optimizer import Oracle, Point, State
from optimizers.wrapper import OracleView, PointView
from optimizers.wrapper import Wrapper as OptimizerWrapper
from problems import Problem, Tree
from problems.modifiers.modifier import ProblemModifier
from problems.precision import default_dtype

CHEAPER = 5.0  # times: what a removal must gain
RATE = 10.0  # times: how much smaller or larger the rate is
KICK = 0.1  # of the distance to the solutions: how far from a ridge a kick leads
LEASH = 0.27  # of that distance: the longest step; ten of them do not happen to end at a solution
NEAR = 0.05  # of that distance: where a run starts that is to have no other minimum on its way
DAMPING = (1e-6, 1e-2)  # of the largest curvature: exact on a bowl, careful where the ground bends
POLISH = 80  # steps of Newton's flow,
RADIUS = 0.04  # each at most this share of the way to the solutions
BACK = 10.0  # times higher: what counts as thrown, and not as a step that went a little too far
TINY = 1e-100  # instead of a division by zero

Runs = torch.Tensor  # (instances, trials)
Multiplied: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"


@dataclass(frozen=True)
class Pair:
    """A run without something: another problem, another optimizer, or both."""

    problem: Problem
    optimizer: Optimizer


@dataclass(frozen=True)
class Truth:
    """What holds for each run of a batch; arrays are (instances, trials).

    cost: of each removal's run up to the target, infinite where it does not get there, NaN where it was not
        run, for its answer would not count; "base" is the run itself.
    holds: by cause.
    """

    cost: Mapping[str, Runs]
    holds: Mapping[str, Runs]

    def causes(self, instance: int, trial: int) -> tuple[str, ...]:
        """The causes of one run."""
        return tuple(cause for cause in CAUSES if self.holds[cause][instance, trial])


# Views of the problem. What a view draws is what the problem draws, so that runs are paired.


@dataclass(frozen=True)
class View(ProblemModifier):
    """`inner` as the optimizer is shown it, scored as before."""

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.value_and_gradient(x, data["inner"])

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return self.inner.hvp(x, data["inner"], vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.inner.hessian(x, data["inner"])

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.inner.sampled_loss(x, data["inner"], draw)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.sampled_value_and_gradient(x, data["inner"], draw)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return torch.einsum("...ij,...j->...i", self.sampled_hessian(x, data, draw), vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.inner.sampled_hessian(x, data["inner"], draw)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.inner.seen(gradient, data["inner"], draw, memory)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        return self.inner.solved(x, gap, gradient, data["inner"])


@dataclass(frozen=True)
class Noiseless(View):
    """The exact loss; what `seen` does to its gradients it still does."""

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.loss(x, data)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value_and_gradient(x, data)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)


@dataclass(frozen=True)
class Exact(Noiseless):
    """The exact loss and its own gradients."""

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient, memory


@dataclass(frozen=True)
class Kicked(View):
    """Near a critical point that is no minimum, a point is put `KICK` from its ridge, along the lowest curvature.

    Near: Newton's step to it, |H|⁻¹g, is at most half as long as the kick, all of it (`by` "point") or what of it
    lies along negative curvature ("ridge": sooner, but some slopes look like that too).
    side: 1 keeps the side of the ridge that the point is on, −1 takes the other one. At a saddle either will do;
    on a slope, which may curve downwards too, the second leads back up. A Hessian that is shown has |λ| for a
    negative λ (at least a thousandth of the largest), so that Newton's method does not return.
    """

    by: Literal["ridge", "point"]
    side: Literal[1, -1]

    def instance(self, generator: torch.Generator) -> Tree:
        data = super().instance(generator)
        away = distance_to_solutions(self.inner, data["inner"])
        return {**data, "kick": KICK * (data["start"].norm() if away is None else away)[None]}

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        x = self.inner.project(x, data["inner"])
        curvatures, basis = modes(self, x, data)
        rounding = 1e-9 * curvatures.abs().amax(-1, keepdim=True)
        way = _into(basis, self.value_and_gradient(x, data)[1])
        way = way / (curvatures.abs() + rounding).clamp(min=TINY)
        counts = way if self.by == "point" else torch.where(curvatures < 0, way, 0.0)
        near = counts.norm(dim=-1, keepdim=True) < data["kick"] / 2
        near &= curvatures[..., :1] < -rounding
        away, direction = -way[..., :1], basis[..., 0]  # from the ridge
        side = torch.where(away < 0, -self.side, self.side)
        kicked = x + (side * data["kick"] - away) * direction
        return torch.where(near, self.inner.project(kicked, data["inner"]), x)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        curvatures, basis = torch.linalg.eigh(_tame(super().sampled_hessian(x, data, draw)))
        least = 1e-3 * curvatures.abs().amax(-1, keepdim=True)
        raised = torch.where(curvatures < 0, curvatures.abs().maximum(least), curvatures)
        return torch.einsum("...ij,...j,...kj->...ik", basis, raised, basis)


@dataclass(frozen=True)
class Near(View):
    """A start near the known minimizer that is nearest; solved by the gap that counted before."""

    def instance(self, generator: torch.Generator) -> Tree:
        data = super().instance(generator)
        start, known = data["start"], self.inner.minimizers(data["inner"])
        assert known is not None
        solution = known[(known - start).norm(dim=-1).argmin()]
        near = self.inner.project(solution + NEAR * (start - solution), data["inner"])
        heights = [self.inner.loss(x, data["inner"]) - self.floor(data) for x in (near, start)]
        return {**data, "start": near, "share": heights[0] / heights[1]}

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        return super().solved(x, gap * data["share"], gradient, data)


# Views of the optimizer: it is shown other gradients, or its steps are not taken as they are.


@dataclass(frozen=True)
class Shown(OptimizerWrapper):
    """An optimizer that is shown A g and A H, for g and H as they are seen.

    matrix: A at points (*runs, dim) for gradients (*runs, dim), as a function that multiplies vectors.
    """

    matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """The inner optimizer's step for what it is shown."""
        return self.inner.update(_ShownOracle(oracle, self.matrix), state)


class _ShownPoint(PointView):
    def __init__(self, point: Point, matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]):
        super().__init__(point)
        self._matrix = matrix

    @property
    def gradient(self) -> torch.Tensor:
        seen = self._point.gradient
        return self._matrix(self.x, seen)(seen)

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        return self._matrix(self.x, self._point.gradient)(self._point.hvp(vector, who))

    @property
    def hessian(self) -> torch.Tensor:
        columns = self._point.hessian.movedim(-1, 0)
        return self._matrix(self.x, self._point.gradient)(columns).movedim(0, -1)


class _ShownOracle(OracleView):
    def __init__(self, oracle: Oracle, matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]):
        super().__init__(oracle, _ShownPoint(oracle, matrix))
        self._matrix = matrix

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        return _ShownPoint(self._oracle.at(x, who), self._matrix)


def conditioned(problem: Problem, data: Tree, damping: float, most: torch.Tensor | float):
    """All directions that curve upwards curve alike: g_i Λ/(λ_i + damping λmax) along each, Λ = min(λmax, most).

    The steepest stays as it is, so that a rate is as stable as before, or, at a rate that is too large for it, as
    large as this may be: `most` is 1/lr where a step is lr · g. What curves downwards stays too.
    """

    def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
        curvatures, basis = modes(problem, x, data)
        top = curvatures.amax(-1, keepdim=True).clamp(min=0)
        factors = top.clamp(max=most) / (curvatures + damping * top).clamp(min=TINY)
        factors = torch.where(curvatures > 0, factors, 1.0)
        return lambda vector: _along(basis, factors * _into(basis, vector))

    return matrix


def raised(problem: Problem, data: Tree, away: torch.Tensor):
    """A gradient is never shorter than the mean slope to the solutions, (f − f*)/distance from the start.

    away: that distance (*runs). No gradient of a convex function is shorter from nowhere farther: this does
    nothing there.
    """

    def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
        slope = ((problem.loss(x, data) - problem.floor(data)) / away).unsqueeze(-1)
        norm = gradient.norm(dim=-1, keepdim=True)
        factor = (slope / norm.clamp(min=TINY)).clamp(min=1.0, max=1 / TINY)
        return lambda vector: factor * vector

    return matrix


@dataclass(frozen=True)
class Shortened(OptimizerWrapper):
    """Steps that are multiplied by a factor.

    factor: of points and steps, both (*runs, dim), as (*runs, 1).
    """

    factor: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """The inner optimizer's step, shorter."""
        step, state = self.inner.update(oracle, state)
        return step * self.factor(oracle.x, step), state


def held(problem: Problem, data: Tree):
    """As the largest curvature grows beyond that of the start, so the steps shrink."""

    def curvature(x: torch.Tensor) -> torch.Tensor:
        return modes(problem, x, data)[0].amax(-1, keepdim=True).clamp(min=0)

    first = curvature(data["start"])
    return lambda x, step: (first / curvature(x).clamp(min=TINY)).clamp(max=1.0)


def leashed(away: torch.Tensor):
    """No step is longer than `LEASH` of the way from the start to the solutions, `away` (*runs)."""
    longest = LEASH * away.unsqueeze(-1)
    return lambda x, step: (longest / step.norm(dim=-1, keepdim=True).clamp(min=TINY)).clamp(
        max=1.0
    )


# The removals.


def removals(
    optimizer: Optimizer, instances: Instances
) -> Iterator[tuple[str, Callable[[], Pair]]]:
    """What can be taken away from the runs of an optimizer on these instances, by the removal's name.

    Its first word is the cause; a cause may have several removals, "saddle 1" and "saddle -1", say.
    """
    problem, data = instances.problem, instances.data
    values = optimizer.hyperparameters
    if "lr" in values:
        rate = _tensor(values["lr"], instances)
        yield "step_too_large", lambda: Pair(problem, optimizer.batched({"lr": rate / RATE}))
        yield "step_too_small", lambda: Pair(problem, optimizer.batched({"lr": rate * RATE}))
    if problem.noisy:
        yield "noise", lambda: Pair(Noiseless(problem), optimizer)
    if problem.has_own("seen"):
        yield "wrong_direction", lambda: Pair(Exact(problem), optimizer)
    for cause in problem.card.removes:
        yield f"{cause} control", lambda cause=cause: _without(cause, optimizer, instances)
    with default_dtype(torch.float64):
        known = problem.minimizers(instances.trees[0]) is not None
    if known:
        for cause in ("local_minimum", "no_signal", "plateau"):
            yield f"{cause} near", lambda: Pair(Near(problem), optimizer)
    for by in ("ridge", "point"):
        for side in (1, -1):
            yield (
                f"saddle {by} {side}",
                lambda by=by, side=side: Pair(Kicked(problem, by, side), optimizer),
            )
    away = distance_to_solutions(problem, data)
    if away is not None:
        yield "plateau raised", lambda: Pair(problem, Shown(optimizer, raised(problem, data, away)))

    yield "sharpening held", lambda: Pair(problem, Shortened(optimizer, held(problem, data)))
    norm = problem.value_and_gradient(data["start"], data)[1].norm(dim=-1, keepdim=True)
    clipped = {"threshold": norm.clamp(min=TINY)}
    if away is not None:
        yield "cliff leash", lambda: Pair(problem, Shortened(optimizer, leashed(away)))
    if "threshold" not in values:
        yield "cliff start", lambda: Pair(problem, Clip(optimizer).batched(clipped))
    if "quantile" not in values:
        yield "cliff median", lambda: Pair(problem, AdaptiveClip(optimizer, quantile=0.5))
    in_gradients = "lr" in values and optimizer.space["lr"].unit == "length/gradient"
    most = 1 / _tensor(values["lr"], instances) if in_gradients else math.inf
    for damping in DAMPING:
        shown = Shown(optimizer, conditioned(problem, data, damping, most))
        careful = shown if away is None else Shortened(shown, leashed(away))
        yield f"ill_conditioning {damping:g}", lambda careful=careful: Pair(problem, careful)


def truth(
    optimizer: Optimizer, instances: Instances, trials: int, budget: float, base: Outcome
) -> Truth:
    """What holds for the runs of `base`, which is `engine.run` of the other arguments, recorded.

    A removal is run only where its answer counts: not where an earlier one of the same cause has answered.
    """
    costs = _cost(base)
    enough = torch.where(torch.isfinite(costs), costs / CHEAPER, budget)
    cost = {"base": costs}
    helps: dict[str, Runs] = {}
    holds = {cause: torch.zeros_like(costs, dtype=torch.bool) for cause in CAUSES}
    for name, pair in removals(optimizer, instances):
        cause = name.split()[0]
        asked = _asked(name, base, instances, helps, holds) & (enough >= 1)
        cost[name] = torch.full_like(costs, math.nan)
        if asked.any():
            other = pair()
            view = dataclasses.replace(instances, problem=other.problem)
            outcome = run(other.optimizer, view, trials, float(enough[asked].max()), record=False)
            cost[name] = torch.where(asked, _cost(outcome), math.nan)
        helps[name] = cost[name] <= enough
        if name.startswith("saddle") and name.endswith(" 1"):
            continue  # it takes both sides
        holds[cause] = holds[cause] | helps[name]
    thrown = _thrown(base)
    holds["exploding_gradient"] &= thrown | holds["cliff"]
    holds["vanishing_gradient"] &= ~thrown
    return Truth(cost, holds)


def _asked(
    name: str, base: Outcome, instances: Instances, helps: Mapping[str, Runs], holds: Mapping[str, Runs]
) -> Runs:  # fmt: skip
    """Where the answer of a removal counts, given those before it."""
    cause = name.split()[0]
    asked = ~holds[cause]
    missed = torch.tensor([[each != SOLVED for each in row] for row in base.status])
    match name.split():
        case ["no_signal", _]:
            asked &= missed & _flat(base, instances) & (base.numbers["grad_sq_final"] == 0)
        case ["local_minimum", how]:
            asked &= missed & ~_diverged(base)
            if asked.any():
                asked &= in_a_basin(instances, _ends(base), strict=how == "near")
        case ["ill_conditioning", _]:
            asked &= _uneven(base, instances) & ~holds["cliff"] & ~_thrown(base)
        case ["saddle", "ridge", "1"]:
            asked &= _bent(base, instances)
        case ["saddle", "point", "1"]:
            asked &= helps["saddle ridge 1"]
        case ["saddle", by, "-1"]:
            asked &= helps[f"saddle {by} 1"]
        case ["wrong_direction"]:
            asked &= ~holds["noise"]
        case ["plateau", "near"]:
            asked &= missed & _flat(base, instances)
        case ["plateau", "raised"]:
            asked &= ~holds["saddle"] & ~holds["local_minimum"] & _bent(base, instances)
        case ["step_too_small"]:
            asked &= ~_diverged(base)
        case ["cliff", *_]:
            asked &= _set_back(base) & ~holds["step_too_large"]
        case ["sharpening", "held"]:
            asked &= _stiffened(base, instances)
    return asked


def _flat(base: Outcome, instances: Instances) -> Runs:
    """Whether a run ended where neither slope nor curvature is worth anything over the way to the solutions."""
    problem, data, x = instances.problem, instances.data, _ends(base)
    away = distance_to_solutions(problem, data)
    if away is None:
        return torch.zeros(x.shape[:-1], dtype=torch.bool)
    value, gradient = problem.value_and_gradient(x, data)
    curved = modes(problem, x, data)[0].abs().amax(-1)
    worth = gradient.norm(dim=-1) * away + 0.5 * curved * away.square()
    return worth < 0.1 * (value - problem.floor(data))


def _bent(base: Outcome, instances: Instances) -> Runs:
    """Whether not all was seen to curve upwards: where it does there is neither saddle nor plateau."""
    return torch.stack([curved[..., 0] <= 0 for curved in _seen(base, instances)]).any(0)


def _uneven(base: Outcome, instances: Instances) -> Runs:
    """Whether curvatures were seen of which the largest was more than `CHEAPER` times the least positive one."""

    def uneven(curved: torch.Tensor) -> Runs:
        positive = torch.where(curved > 0, curved, math.inf)
        return curved[..., -1] > CHEAPER * positive.amin(-1)

    return torch.stack([uneven(curved) for curved in _seen(base, instances)]).any(0)


def _stiffened(base: Outcome, instances: Instances) -> Runs:
    """Whether a run diverged, or its largest curvature was seen to double."""
    first, *others = [curved[..., -1] for curved in _seen(base, instances)]
    return torch.stack([_diverged(base), *(other > 2 * first for other in others)]).any(0)


def _seen(base: Outcome, instances: Instances) -> list[torch.Tensor]:
    """The curvatures (*runs, dim) at the start, on the way, and at the end."""
    trace, problem, data = base.trace, instances.problem, instances.data
    assert trace is not None, "the run is not recorded"
    return [modes(problem, point.x, data)[0] for point in trace.kept]


def in_a_basin(instances: Instances, x: torch.Tensor, strict: bool) -> Runs:
    """Whether Newton's flow from x (instances, trials, dim) ends in a minimum that is not good enough.

    That is where ½ gᵀ|H|⁻¹g is nothing (1e-12 of the start's height) and the problem does not count as solved,
    while the least curvature is worth a millionth of that height over the way to the solutions, if `strict`, and
    else none is negative (by more than 1e-6 of the largest, which is positive).
    """
    problem, data = instances.problem, instances.data
    height = problem.loss(data["start"], data) - problem.floor(data)
    away = distance_to_solutions(problem, data)
    length = data["start"].norm(dim=-1) if away is None else away
    radius = (RADIUS * length).expand(x.shape[:-1]).unsqueeze(-1).clone()
    value, gradient = problem.value_and_gradient(x, data)
    settled = torch.zeros_like(value, dtype=torch.bool)
    for _ in range(POLISH):
        curvatures, basis = modes(problem, x, data)
        top = curvatures.amax(-1, keepdim=True)
        along = _into(basis, gradient) / (curvatures.abs() + 1e-9 * top.clamp(min=TINY))
        settled = (0.5 * (along * _into(basis, gradient)).sum(-1) <= 1e-12 * height) & (
            (curvatures[..., 0] * length.square() >= 1e-6 * height)
            if strict
            else (curvatures >= -1e-6 * top).all(-1) & (top[..., 0] > 0)
        )
        if settled.all():
            break
        step = -_along(basis, along)
        step = step * (radius / step.norm(dim=-1, keepdim=True).clamp(min=TINY)).clamp(max=1.0)
        there = problem.project(x + step, data)
        new_value, new_gradient = problem.value_and_gradient(there, data)
        better = (new_value < value).unsqueeze(-1)
        x, gradient = torch.where(better, there, x), torch.where(better, new_gradient, gradient)
        value = torch.where(better[..., 0], new_value, value)
        radius = torch.where(better, radius, radius / 4)
    gap = (value - problem.floor(data)) / height
    return settled & ~problem.solved(x, gap, gradient, data)


def distance_to_solutions(problem: Problem, data: Tree) -> torch.Tensor | None:
    """Of the start (*runs), or None where solutions are not known or at infinity."""
    found = problem.distance(data["start"], data)
    return None if found is None or not torch.isfinite(found).all() else found


def modes(problem: Problem, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
    """Curvatures of the exact loss, the least first, and their directions as columns."""
    return torch.linalg.eigh(_tame(problem.hessian(x, data)))


def _tame(hessian: torch.Tensor) -> torch.Tensor:
    """The unit matrix where a run is so far out that its Hessian has no eigenvalues in these numbers."""
    fine = (hessian.abs() < 1e100).all(-1).all(-1)[..., None, None]
    unit = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return torch.where(fine, hessian, unit)


def _into(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...ij,...i->...j", basis, vector)


def _along(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...ij,...j->...i", basis, vector)


def _without(cause: str, optimizer: Optimizer, instances: Instances) -> Pair:
    """The problem without what its card says how to remove, at the same rate in its own units."""
    other = instances.problem.without(cause)
    rate = optimizer.hyperparameters.get("lr")
    if rate is not None:
        unit = optimizer.space["lr"].unit
        every = slice(None)
        before = measure_units(instances, every)[unit]
        after = measure_units(dataclasses.replace(instances, problem=other), every)[unit]
        optimizer = optimizer.batched({"lr": _tensor(rate, instances) * (after / before)})
    return Pair(other, optimizer)


def _tensor(value: float | torch.Tensor, instances: Instances) -> torch.Tensor:
    return torch.as_tensor(value, dtype=instances.dtype, device=instances.device)


def _cost(outcome: Outcome) -> Runs:
    return outcome.numbers["cost_to_target"].nan_to_num(math.inf)


def _diverged(outcome: Outcome) -> Runs:
    return torch.tensor([[each == DIVERGED for each in row] for row in outcome.status])


def _ends(outcome: Outcome) -> torch.Tensor:
    assert outcome.trace is not None, "the run is not recorded"
    return outcome.trace.end


def _set_back(outcome: Outcome) -> Runs:
    """Whether a run was ever ten times as high as it had been at some row before, or diverged."""
    lowest = _columns(outcome)["gap"].nan_to_num(math.inf).cummin(0).values
    peaks = _peaks(outcome)
    higher = (peaks[1:] > BACK * lowest[:-1]) & torch.isfinite(peaks[1:])
    return higher.any(0) | _diverged(outcome)


def _thrown(outcome: Outcome) -> Runs:
    """Whether a run was ever ten times as high as where it started, or diverged."""
    return (_peaks(outcome).nan_to_num(-math.inf) > BACK).any(0) | _diverged(outcome)


def _peaks(outcome: Outcome) -> Runs:
    """The highest gap on the way to each row from the one before (rows, *runs), NaN where a run had ended."""
    seen = _columns(outcome)
    above = (seen["loss_highest"] - seen["loss"]) / seen["excess"][0]
    return torch.fmax(seen["gap"], seen["gap"] + above)


def _columns(outcome: Outcome) -> dict[str, torch.Tensor]:
    """The rows of the trace and below them its last points; NaN where a run had ended."""
    trace = outcome.trace
    assert trace is not None, "the run is not recorded"
    over = torch.isnan(trace.columns["step"])
    return {
        name: torch.cat([trace.columns[name].masked_fill(over, math.nan), trace.last[name][None]])
        for name in ("loss", "gap", "excess", "loss_highest")
    }
