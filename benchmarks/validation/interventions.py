"""Find the true causes of a run by removing them one at a time.

A cause holds for a run if the paired run without it (same instance, setting and draws) reaches the target at least
five times cheaper, or reaches it at all if the run does not. So the problem's name does not decide: Newton's method
on an ill-conditioned quadratic is not ill-conditioned.

Each removal is a view of the problem, of the optimizer's step or of its rate that changes one thing. The engine
charges what the optimizer itself asks for, and not the intervention: the costs of a pair differ only by the number of
steps (and of line searches).

Some removals remove more than one cause, and are restricted:

- The exact gradient has no noise either, so a wrong direction holds only if removing the noise alone does not help.
- A gradient that is raised on flat ground also leaves a saddle, so a plateau holds only if a kick does not help.
- Shorter steps also help if the rate is too large everywhere, so a cliff holds only if a tenth of the rate does not.
- Steps scaled by curvature cannot be too large, so ill-conditioning is tested only if the run was never thrown far
  above its start.

A run with two causes, neither of which helps when it is removed alone, has no cause here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import Outcome, run
from benchmarks.engine.search_space import measure_units
from benchmarks.engine.status import DIVERGED, SOLVED
from optimizers import Optimizer
from optimizers.clip import AdaptiveClip, Clip
from optimizers.optimizer import Oracle, Point, State
from optimizers.wrapper import OracleView, PointView
from optimizers.wrapper import Wrapper as OptimizerWrapper
from problems import Problem, Tree
from problems.modifiers.modifier import ProblemModifier
from problems.precision import default_dtype

CHEAPER = 5.0  # a removal must make the run this many times cheaper to count
RATE = 10.0  # factor by which the rate is made smaller or larger
# KICK, LEASH, NEAR and RADIUS are in units of the distance from the start to the solutions.
KICK = 0.1  # distance from a ridge after a kick
LEASH = 0.27  # longest step; no whole number of them is the whole distance
NEAR = 0.05  # distance from a solution of a start with no other minimum on the way
DAMPING = (1e-6, 1e-2)  # δ/λmax: exact on a quadratic, careful if the curvature changes
POLISH = 80  # steps of Newton's flow
RADIUS = 0.04  # longest step of Newton's flow
BACK = 10.0  # ratio of heights above which a run was thrown; a step a little too far gives less
TINY = 1e-100  # avoids a division by zero

Runs = torch.Tensor  # (instances, trials)
Multiplied: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"


@dataclass(frozen=True)
class Pair:
    """The paired run without a cause: another problem, another optimizer, or both."""

    problem: Problem
    optimizer: Optimizer


@dataclass(frozen=True)
class Truth:
    """The true causes of each run of a batch; arrays are (instances, trials).

    cost: by removal, the cost to the target without it: infinite if the target is missed, NaN if the removal was
        not run because its answer would not count; "base" is the run itself.
    holds: by cause, whether it holds.
    """

    cost: Mapping[str, Runs]
    holds: Mapping[str, Runs]

    def causes(self, instance: int, trial: int) -> tuple[str, ...]:
        """Return the causes of one run."""
        return tuple(cause for cause in CAUSES if self.holds[cause][instance, trial])


# Views of the problem. They draw what the problem draws, so that runs are paired.


@dataclass(frozen=True)
class View(ProblemModifier):
    """A problem that the optimizer sees changed and that is scored as `inner`."""

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
    """A view with the exact loss; `inner.seen` still changes its gradients."""

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
    """A view with the exact loss and the exact gradient."""

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient, memory


@dataclass(frozen=True)
class Kicked(View):
    """A view that moves a point near a saddle to `KICK` from its ridge, along the most negative curvature.

    by: a point is near if |H|⁻¹g is at most half as long as the kick: the whole vector ("point"), or its part along
        negative curvature ("ridge", which is true sooner, but also on some slopes).
    side: 1 keeps the point's side of the ridge, −1 takes the other one. At a saddle both lead down; on a slope, which
        may also curve downwards, −1 leads back up.

    Hessians have |λ| for a negative λ (at least a thousandth of the largest |λ|), so that Newton's method does not
    return to the saddle.
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
    """A view that starts near the nearest known minimizer; it is solved at the same gap as before."""

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


# Views of the optimizer: it sees other gradients, or its steps are changed.


@dataclass(frozen=True)
class Shown(OptimizerWrapper):
    """An optimizer that sees A g and A H instead of g and H.

    matrix: of points and gradients, both (*runs, dim), the matrix A as a function that multiplies vectors.
    """

    matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step for A g and A H."""
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
    """Return A that gives all positive curvatures one size: gᵢ Λ/(λᵢ + damping λmax), with Λ = min(λmax, most).

    The largest curvature is kept, so that the rate is as stable as before. If the rate is too large for it, Λ is the
    largest curvature that it allows: `most` is 1/lr if the step is lr · g. Negative curvatures are kept.
    """

    def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
        curvatures, basis = modes(problem, x, data)
        top = curvatures.amax(-1, keepdim=True).clamp(min=0)
        factors = top.clamp(max=most) / (curvatures + damping * top).clamp(min=TINY)
        factors = torch.where(curvatures > 0, factors, 1.0)
        return lambda vector: _along(basis, factors * _into(basis, vector))

    return matrix


def raised(problem: Problem, data: Tree, away: torch.Tensor):
    """Return A that makes no gradient shorter than (f − f*)/away, the mean slope to the solutions.

    away: distance from the start to the solutions (*runs). On a convex function, at points no farther from the
    solutions than the start, no gradient is shorter: A is the identity.
    """

    def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
        slope = ((problem.loss(x, data) - problem.floor(data)) / away).unsqueeze(-1)
        norm = gradient.norm(dim=-1, keepdim=True)
        factor = (slope / norm.clamp(min=TINY)).clamp(min=1.0, max=1 / TINY)
        return lambda vector: factor * vector

    return matrix


@dataclass(frozen=True)
class Shortened(OptimizerWrapper):
    """An optimizer whose steps are multiplied by a factor.

    factor: of points and steps, both (*runs, dim), the factor (*runs, 1).
    """

    factor: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step times the factor."""
        step, state = self.inner.update(oracle, state)
        return step * self.factor(oracle.x, step), state


def held(problem: Problem, data: Tree):
    """Return the factor min(1, λmax(start)/λmax(x)): steps shrink as the largest curvature grows."""

    def curvature(x: torch.Tensor) -> torch.Tensor:
        return modes(problem, x, data)[0].amax(-1, keepdim=True).clamp(min=0)

    first = curvature(data["start"])
    return lambda x, step: (first / curvature(x).clamp(min=TINY)).clamp(max=1.0)


def leashed(away: torch.Tensor):
    """Return the factor that limits |s| to LEASH · away, the distance from the start to the solutions (*runs)."""
    longest = LEASH * away.unsqueeze(-1)
    return lambda x, step: (longest / step.norm(dim=-1, keepdim=True).clamp(min=TINY)).clamp(
        max=1.0
    )


# Removals.


def removals(
    optimizer: Optimizer, instances: Instances
) -> Iterator[tuple[str, Callable[[], Pair]]]:
    """Yield the name and the paired run of each removal for an optimizer on these instances.

    The first word of the name is the cause; a cause may have several removals, such as "cliff leash" and "cliff start".
    """
    problem, data = instances.problem, instances.data
    values = optimizer.hyperparameters
    name = optimizer.rate
    if name in values:
        rate = _tensor(values[name], instances)
        yield "step_too_large", lambda: Pair(problem, optimizer.batched({name: rate / RATE}))
        yield "step_too_small", lambda: Pair(problem, optimizer.batched({name: rate * RATE}))
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
    in_gradients = name in values and optimizer.space[name].unit == "length/gradient"
    most = 1 / _tensor(values[name], instances) if in_gradients else math.inf
    for damping in DAMPING:
        shown = Shown(optimizer, conditioned(problem, data, damping, most))
        careful = shown if away is None else Shortened(shown, leashed(away))
        yield f"ill_conditioning {damping:g}", lambda careful=careful: Pair(problem, careful)


def truth(
    optimizer: Optimizer, instances: Instances, trials: int, budget: float, base: Outcome
) -> Truth:
    """Return the true causes of the runs of `base`, the recorded outcome of `run` with the other arguments.

    A removal is run only if its answer counts, for instance not if an earlier one has shown that the cause holds.
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
            continue  # both sides must help
        holds[cause] = holds[cause] | helps[name]
    thrown = _thrown(base)
    holds["exploding_gradient"] &= thrown | holds["cliff"]
    holds["vanishing_gradient"] &= ~thrown
    return Truth(cost, holds)


def _asked(
    name: str, base: Outcome, instances: Instances, helps: Mapping[str, Runs], holds: Mapping[str, Runs]
) -> Runs:  # fmt: skip
    """Return the runs (bool) for which the answer of a removal counts, given the earlier answers."""
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
    """Return the runs that ended on flat ground: |g| d + ½ |λ|max d² < 0.1 (f − f*).

    d is the distance from the start to the solutions.
    """
    problem, data, x = instances.problem, instances.data, _ends(base)
    away = distance_to_solutions(problem, data)
    if away is None:
        return torch.zeros(x.shape[:-1], dtype=torch.bool)
    value, gradient = problem.value_and_gradient(x, data)
    curved = modes(problem, x, data)[0].abs().amax(-1)
    worth = gradient.norm(dim=-1) * away + 0.5 * curved * away.square()
    return worth < 0.1 * (value - problem.floor(data))


def _bent(base: Outcome, instances: Instances) -> Runs:
    """Return the runs with a curvature ≤ 0 at a recorded point: others met neither saddle nor plateau."""
    return torch.stack([curved[..., 0] <= 0 for curved in _seen(base, instances)]).any(0)


def _uneven(base: Outcome, instances: Instances) -> Runs:
    """Return the runs whose largest curvature was, at a recorded point, over CHEAPER times the least positive one."""

    def uneven(curved: torch.Tensor) -> Runs:
        positive = torch.where(curved > 0, curved, math.inf)
        return curved[..., -1] > CHEAPER * positive.amin(-1)

    return torch.stack([uneven(curved) for curved in _seen(base, instances)]).any(0)


def _stiffened(base: Outcome, instances: Instances) -> Runs:
    """Return the runs that diverged, or whose largest curvature more than doubled at a recorded point."""
    first, *others = [curved[..., -1] for curved in _seen(base, instances)]
    return torch.stack([_diverged(base), *(other > 2 * first for other in others)]).any(0)


def _seen(base: Outcome, instances: Instances) -> list[torch.Tensor]:
    """Return the curvatures (*runs, dim) at the start, on the way, and at the end."""
    trace, problem, data = base.trace, instances.problem, instances.data
    assert trace is not None, "the run is not recorded"
    return [modes(problem, point.x, data)[0] for point in trace.kept]


def in_a_basin(instances: Instances, x: torch.Tensor, strict: bool) -> Runs:
    """Return the runs for which Newton's flow from x (instances, trials, dim) ends in a minimum that is not a solution.

    With h = f₀ − f* and d the distance from the start to the solutions, the end is a minimum if ½ gᵀ|H|⁻¹g ≤ 1e-12 h
    and, if `strict`, λmin d² ≥ 1e-6 h, else λmin ≥ −1e-6 λmax and λmax > 0.
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
    """Return the distance from the start to the solutions (*runs); None if they are unknown or at infinity."""
    found = problem.distance(data["start"], data)
    return None if found is None or not torch.isfinite(found).all() else found


def modes(problem: Problem, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenvalues of the exact loss's Hessian, ascending, and the eigenvectors as columns."""
    return torch.linalg.eigh(_tame(problem.hessian(x, data)))


def _tame(hessian: torch.Tensor) -> torch.Tensor:
    """Replace Hessians with entries that are too large for an eigendecomposition by the identity."""
    fine = (hessian.abs() < 1e100).all(-1).all(-1)[..., None, None]
    unit = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return torch.where(fine, hessian, unit)


def _into(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...ij,...i->...j", basis, vector)


def _along(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...ij,...j->...i", basis, vector)


def _without(cause: str, optimizer: Optimizer, instances: Instances) -> Pair:
    """Return the pair after `Card.removes` was applied for a cause, at the same rate in the problem's units."""
    other = instances.problem.without(cause)
    name = optimizer.rate
    rate = optimizer.hyperparameters.get(name)
    if rate is not None:
        unit = optimizer.space[name].unit
        every = slice(None)
        before = measure_units(instances, every)[unit]
        after = measure_units(dataclasses.replace(instances, problem=other), every)[unit]
        optimizer = optimizer.batched({name: _tensor(rate, instances) * (after / before)})
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
    """Return the runs that diverged or were ever BACK times as high as at an earlier row."""
    lowest = _columns(outcome)["gap"].nan_to_num(math.inf).cummin(0).values
    peaks = _peaks(outcome)
    higher = (peaks[1:] > BACK * lowest[:-1]) & torch.isfinite(peaks[1:])
    return higher.any(0) | _diverged(outcome)


def _thrown(outcome: Outcome) -> Runs:
    """Return the runs that diverged or were ever BACK times as high as their start."""
    return (_peaks(outcome).nan_to_num(-math.inf) > BACK).any(0) | _diverged(outcome)


def _peaks(outcome: Outcome) -> Runs:
    """Return the highest gap between the previous row and each row (rows, *runs); NaN after a run has ended."""
    seen = _columns(outcome)
    above = (seen["loss_highest"] - seen["loss"]) / seen["excess"][0]
    return torch.fmax(seen["gap"], seen["gap"] + above)


def _columns(outcome: Outcome) -> dict[str, torch.Tensor]:
    """Return the rows of the trace and, below them, the last points; NaN after a run has ended."""
    trace = outcome.trace
    assert trace is not None, "the run is not recorded"
    over = torch.isnan(trace.columns["step"])
    return {
        name: torch.cat([trace.columns[name].masked_fill(over, math.nan), trace.last[name][None]])
        for name in ("loss", "gap", "excess", "loss_highest")
    }
