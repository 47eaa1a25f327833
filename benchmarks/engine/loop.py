"""Run all instances × trials of one problem and one optimizer as one tensor program."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import ROUNDING
from benchmarks.engine.recorder import Recorder, Trace
from benchmarks.engine.status import DIVERGED, MISSED, NO_STEP, SOLVED, TOO_FEW_STEPS
from optimizers import Optimizer
from optimizers.optimizer import RunAgain
from optimizers.oracle import KINDS, LOSS, Count, CountingOracle, cost
from problems import Problem, Tree
from problems.noisy_runs import FEWEST, steps_judged

HOLD = 10  # consecutive steps inside the target (solved) or above the ceiling (diverged) that end a run
CEILING = 1e6  # gap above which a run counts as diverging
# What was the first not to be finite, in the order in which one leads to the other.
NOT_FINITE = ("", "loss", "gradient", "step")


@dataclass
class Outcome:
    """The outcome of every run; arrays are (instances, trials).

    not_finite: what was the first not to be finite, of `NOT_FINITE`.
    """

    status: list[list[str]]
    not_finite: list[list[str]]
    numbers: dict[str, torch.Tensor]
    trace: Trace | None


class _Ends:
    """Keep the numbers of each run from the step at which it ends."""

    def __init__(self, runs: tuple[int, int], device: torch.device):
        self.alive = torch.ones(runs, dtype=torch.bool, device=device)
        self.any_alive = True
        self.all_alive = True
        self.kept: dict[str, torch.Tensor] = {}

    def end(self, who: torch.Tensor, **values: Count) -> None:
        """End these runs, and keep these values of them."""
        who = who & self.alive
        if not who.any():
            return
        for name, value in values.items():
            if name not in self.kept:
                self.kept[name] = torch.full(
                    who.shape, float("nan"), dtype=torch.float64, device=who.device
                )
            self.kept[name] = torch.where(
                who, torch.as_tensor(value).to(self.kept[name]), self.kept[name]
            )
        self.alive = self.alive & ~who
        self.any_alive = bool(self.alive.any())
        self.all_alive = False

    def of_living(self, values: torch.Tensor, others: torch.Tensor | float) -> torch.Tensor:
        """Return the values (*runs) or (*runs, dim) of the runs that are alive, and `others` of the ended ones."""
        if self.all_alive:
            return values
        alive = self.alive if values.dim() == self.alive.dim() else self.alive.unsqueeze(-1)
        return torch.where(alive, values, others)


def run(
    optimizer: Optimizer, instances: Instances, trials: int, budget: float, record: bool = True
) -> Outcome:
    """Run settings as `_run` does, from the start again if an optimizer turns out to need it."""
    while True:
        try:
            return _run(optimizer, instances, trials, budget, record)
        except RunAgain:
            continue


def _run(
    optimizer: Optimizer, instances: Instances, trials: int, budget: float, record: bool
) -> Outcome:
    """Run `trials` settings of an optimizer on every instance until solved, diverged or out of budget.

    `optimizer` has a tensor (trials, 1) for each hyperparameter that differs between trials. A step is
    taken only if its cost fits into the budget. Measurements made here are not charged.
    """
    problem, data = instances.problem, instances.data
    start = data["start"]
    runs, dim = (start.shape[0], trials), start.shape[-1]
    x = start.expand(*runs, dim).clone()
    floor = problem.floor(data)
    scale = problem.loss(start, data) - floor
    draws = instances.draws()
    oracle = CountingOracle(problem, data, runs, instances.normals(), x.device)
    ends = _Ends(runs, x.device)
    recorder = Recorder(problem, data, x, budget, optimizer) if record else None
    state = optimizer.init(x)
    nobody = oracle.broken
    own_test = problem.has_own("solved")
    # Rounded as beside a gap.
    target = math.inf if own_test else torch.tensor(problem.card.target, dtype=x.dtype).item()

    before = x
    spent: Count = 0.0
    total: dict[str, Count] = dict.fromkeys(KINDS, 0.0)
    best = torch.full(runs, float("inf"), dtype=x.dtype, device=x.device)
    entry_cost = torch.full(runs, float("inf"), dtype=torch.float64, device=x.device)
    entry_step = entry_cost.clone()
    above = torch.zeros(runs, dtype=torch.int64, device=x.device)
    summed: list[torch.Tensor] = []  # of the true gap, for noisy runs
    high_before = inside_before = False
    step_index = 0

    while ends.any_alive:
        share = spent / budget
        oracle.move(
            x,
            next(draws),
            ends.alive,
            progress=share.to(x).unsqueeze(-1) if isinstance(share, torch.Tensor) else share,
        )
        was_alive = ends.alive
        step, state = optimizer.update(oracle, state)
        value = oracle.true_value()
        gap = (value - floor) / scale
        now = {"steps": step_index, "cost": spent, **total}

        low, high = _range(gap)  # in most steps it tells that no run ends
        if oracle.broken is not nobody or not math.isfinite(low) or not math.isfinite(high):
            broken = oracle.broken | ~torch.isfinite(gap)
            culprit, at = _first_not_finite(oracle, problem, data, step_index)
            ends.end(
                broken,
                diverged_at=step_index,
                not_finite=culprit,
                not_finite_at=at,
                solved=0.0,
                **now,
            )
            x = torch.where((broken & torch.isfinite(before).all(-1)).unsqueeze(-1), before, x)
            gap = torch.where(broken, float("inf"), gap)
            step = torch.where(broken.unsqueeze(-1), 0.0, step)
            oracle.broken = oracle.astray = nobody
            low, high = _range(gap)
        best = ends.of_living(torch.minimum(best, gap), best)

        if high_before or high > CEILING:
            high_before = True
            above = torch.where(gap > CEILING, above + 1, 0)
            ends.end(above >= HOLD, diverged_at=step_index, solved=0.0, **now)

        judged = gap
        if oracle.noisy:
            # Clamped at the ceiling: a larger gap would swamp all later terms of the running sum.
            summed.append(gap.double().clamp(max=CEILING) + (summed[-1] if summed else 0.0))
            judged = _trailing_mean(summed, steps_judged(step_index))
        inside = nobody
        if oracle.noisy or low <= target:
            gradient = oracle.true_gradient()
            seen = None if gradient is None else ends.of_living(gradient, float("inf"))
            inside = problem.solved(x, judged, seen, data)
        any_inside = inside is not nobody and bool((ends.alive & inside).any())
        if inside_before or any_inside:
            inside_before = any_inside
            outside = ends.alive & ~inside  # a run that has ended keeps its entry
            entering = ends.alive & inside
            now_spent = torch.as_tensor(spent).to(entry_cost)
            entry_cost = torch.where(entering, torch.minimum(entry_cost, now_spent), entry_cost)
            entry_cost = entry_cost.masked_fill(outside, float("inf"))
            entry_step = torch.where(entering, entry_step.clamp(max=step_index), entry_step)
            entry_step = entry_step.masked_fill(outside, float("inf"))
            if not oracle.noisy:
                ends.end(entry_step <= step_index + 1 - HOLD, solved=1.0, **now)

        price = cost(oracle.counts, dim)
        price = price.clamp(min=LOSS) if isinstance(price, torch.Tensor) else max(price, LOSS)
        over = spent + price > budget * (1 + ROUNDING)
        if over if isinstance(over, bool) else over.any():
            who = torch.as_tensor(over, device=x.device)
            ends.end(who, solved=inside.to(torch.float64), **now)

        moved = ends.of_living(problem.project(x + step, data), x)
        if recorder is not None:
            if ends.alive is not was_alive:
                recorder.ended(was_alive & ~ends.alive, x, oracle.true_gradient(), state, share)
            recorder.observe(step_index, spent, oracle, value, gap, moved, ends.alive, state, share)
        spent = spent + price
        total = {kind: total[kind] + oracle.counts[kind] for kind in KINDS}
        before, x = x, moved
        step_index += 1

    oracle.forget()
    fewest = FEWEST if oracle.noisy else 1
    return _outcome(
        problem, data, x, floor, scale, best, entry_cost, entry_step, ends, recorder, fewest
    )


def _first_not_finite(
    oracle: CountingOracle, problem: Problem, data: Tree, step_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what was the first not to be finite in the runs that broke, as a place in `NOT_FINITE`, and at which step.

    A step is to blame for a point that is not finite: the current one, which the step before led to, or another one at
    which the optimizer asked. Loss and gradient were finite before, else the run would have ended there.
    """
    arrived = ~torch.isfinite(oracle.x).all(-1)
    by_itself = torch.isfinite(problem.loss(oracle.x, data))
    culprit = torch.where(by_itself, NOT_FINITE.index("gradient"), NOT_FINITE.index("loss"))
    culprit = torch.where(arrived | oracle.astray, NOT_FINITE.index("step"), culprit)
    return culprit, torch.where(arrived, step_index - 1, step_index)


def _range(gap: torch.Tensor) -> tuple[float, float]:
    """Return the least and the largest gap of all runs; both are NaN if one is."""
    low, high = torch.aminmax(gap)
    return low.item(), high.item()


def _trailing_mean(summed: list[torch.Tensor], window: int) -> torch.Tensor:
    """Return the mean over the last `window` terms of a sum, from the sums so far; infinite over none."""
    if window == 0:
        return torch.full_like(summed[-1], float("inf"))
    return (summed[-1] - summed[-1 - window]) / window


def _outcome(
    problem: Problem, data: Tree, x: torch.Tensor, floor: torch.Tensor, scale: torch.Tensor,
    best: torch.Tensor, entry_cost: torch.Tensor, entry_step: torch.Tensor, ends: _Ends,
    recorder: Recorder | None, fewest: int,
) -> Outcome:  # fmt: skip
    """Measure the last points, and collect the status and the numbers of each run.

    fewest: how many steps a run must take to be judged.
    """
    first_gradient = problem.value_and_gradient(data["start"], data)[1]
    loss, gradient = problem.value_and_gradient(x, data)
    gap = (loss - floor) / scale
    kept = ends.kept
    diverged = ~torch.isnan(kept.get("diverged_at", torch.full_like(kept["steps"], float("nan"))))
    solved = kept["solved"] == 1.0
    if problem.has_own("solved"):
        # A problem's own test may need a gradient, and some optimizers never ask for one.
        at_rest = problem.solved(x, gap, gradient, data) & ~diverged & ~solved
        entry_cost = torch.where(at_rest, kept["cost"], entry_cost)
        entry_step = torch.where(at_rest, kept["steps"], entry_step)
        solved = solved | at_rest
    ends_of_runs = (diverged.tolist(), solved.tolist(), kept["steps"].tolist())
    status = [
        [_status(*run, fewest) for run in zip(*row, strict=True)]
        for row in zip(*ends_of_runs, strict=True)
    ]
    unknown = float("nan")
    never = torch.full_like(gap, unknown)
    culprits = kept.get("not_finite", never).nan_to_num(NOT_FINITE.index("")).int().tolist()
    not_finite = [[NOT_FINITE[each] for each in row] for row in culprits]
    numbers = {
        "gap_initial": torch.ones_like(gap),
        "gap_final": gap,
        "gap_best": torch.minimum(best, gap),
        "loss_final": loss,
        "grad_sq_initial": first_gradient.square().sum(-1).expand_as(gap),
        "grad_sq_final": gradient.square().sum(-1),
        "steps": kept["steps"],
        "cost": kept["cost"],
        "steps_to_target": torch.where(solved, entry_step, unknown),
        "cost_to_target": torch.where(solved, entry_cost, unknown),
        **{kind: kept[kind] for kind in KINDS},
        "diverged_at": kept.get("diverged_at", never),
        "not_finite_at": kept.get("not_finite_at", never),
        **{f"end.{name}": each for name, each in problem.at_end(x, kept["steps"], data).items()},
    }
    trace = None
    if recorder is not None:
        trace = recorder.finish(x, loss, gap, gradient, kept["steps"], kept["cost"])
    numbers = {name: each.double().cpu() for name, each in numbers.items()}
    return Outcome(status, not_finite, numbers, trace)


def _status(diverged: bool, solved: bool, steps: float, fewest: int) -> str:
    if diverged:
        return DIVERGED
    if solved:
        return SOLVED
    if steps == 0:
        return NO_STEP
    return TOO_FEW_STEPS if steps < fewest else MISSED
