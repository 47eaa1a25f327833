"""How runs end, what they are charged, and that no run feels another."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmarks.engine.instances import Instances, generator
from benchmarks.engine.loop import CEILING, _range, run
from benchmarks.engine.recorder import scheduled
from optimizers import Optimizer
from optimizers.controls import Idle, RandomSearch
from optimizers.damped_newton import DampedNewton
from optimizers.momentum import Momentum
from optimizers.newton import Newton
from optimizers.saddle_free_newton import SaddleFreeNewton
from optimizers.sgd import SGD
from problems import Card
from problems.noisy_runs import steps_judged
from tests.benchmarks.problems_for_tests import Bowl, Hole, NoisyBowl, card


@dataclass(frozen=True)
class Scripted(Optimizer):
    """Moves each trial toward the minimizer by given shares of the way, step after step."""

    shares: tuple[tuple[float, ...], ...] = ()

    def init(self, x):
        return (0, x)

    def update(self, oracle, state):
        index, start = state
        share = oracle.x.new_tensor(
            [row[min(index, len(row) - 1)] for row in self.shares]
        ).unsqueeze(-1)
        towards = -oracle.gradient  # of a bowl with steepness 1: the whole way
        return share * towards, (index + 1, start)


@dataclass(frozen=True)
class Normalized(Optimizer):
    """Descends, and asks once more at a point that is NaN where the gradient is 0: as what a run that broke is told."""

    def update(self, oracle, state):
        gradient = oracle.gradient
        asked = oracle.at(oracle.x + 0.0 * gradient / gradient.norm(dim=-1, keepdim=True))
        return -0.9 * asked.gradient, state


def outcome(optimizer, problem=None, trials=1, budget=100.0, seeds=("a", "b"), **values):
    """Status and numbers of a batch."""
    tensors = {
        name: torch.tensor(each, dtype=torch.float64).unsqueeze(-1) for name, each in values.items()
    }
    instances = Instances(problem or Bowl(), seeds)
    found = run(optimizer.batched(tensors), instances, trials, budget)
    return found.status, found.numbers, found.trace


def test_a_run_is_solved_after_ten_steps_inside_the_target_and_costs_what_the_entry_cost():
    status, numbers, _ = outcome(SGD(lr=0.5))
    assert status == [["solved"], ["solved"]]
    entry = next(k for k in range(100) if 0.25**k <= 1e-4)
    assert (numbers["cost_to_target"] == entry).all()
    assert (numbers["steps"] == entry + 9).all()
    assert (numbers["gap_final"] <= 1e-4).all()


class Raised(Bowl):
    """A bowl whose minimum is 7."""

    def loss(self, x, data):
        return 7 + super().loss(x, data)

    def floor(self, data):
        return torch.tensor(7.0)


def test_the_gap_is_what_is_left_of_the_way_down_wherever_the_minimum_lies():
    low, high = (outcome(SGD(lr=0.1), problem, budget=30)[1] for problem in (Bowl(), Raised()))
    assert torch.allclose(low["gap_final"], high["gap_final"], rtol=1e-9)


class Resting(Bowl):
    """A bowl that is solved where the gradient is small, whatever the gap is."""

    def solved(self, x, gap, gradient, data):
        if gradient is None:
            return torch.zeros_like(gap, dtype=torch.bool)
        return gradient.norm(dim=-1) < 1e-2


def test_a_run_that_has_ended_keeps_the_cost_of_its_entry():
    """Where a problem judges by the gradient, too, which is infinite for runs that have ended."""
    status, numbers, _ = outcome(SGD(), Resting(), trials=2, lr=[0.9, 0.3])
    assert status == [["solved"] * 2] * 2
    assert numbers["cost_to_target"].isfinite().all()
    assert (numbers["cost_to_target"] == numbers["steps"] - 9).all()
    assert (numbers["cost_to_target"][:, 0] < numbers["cost_to_target"][:, 1]).all()


def test_one_huge_gap_does_not_hide_those_that_follow():
    """It is the mean of the last steps that counts: a sum must not lose them beside 1e24."""
    status, numbers, _ = outcome(Jumping(), NoisyBowl(noise=1e-9), budget=100)
    assert status == [["missed"]] * 2
    assert ((numbers["gap_final"] - 1).abs() < 0.01).all()


@dataclass(frozen=True)
class Visiting(Optimizer):
    """Goes to the minimizer of a bowl, and from there far away for one step at some of its steps."""

    at: tuple[int, ...] = ()
    far: float = 1.0

    def init(self, x):
        return (0,)

    def update(self, oracle, state):
        (index,) = state
        away = torch.full_like(oracle.x, self.far)
        return -oracle.gradient + (away if index + 1 in self.at else 0), (index + 1,)


@pytest.mark.parametrize(("before_the_end", "status"), [(39, "missed"), (40, "solved")])
def test_a_long_noisy_run_is_judged_by_its_last_tenth(before_the_end, status):
    """Of 400 steps, the last 40: one far away among them, and the mean is above the target."""
    visiting = Visiting(at=(399 - before_the_end,))
    found, numbers, _ = outcome(visiting, NoisyBowl(noise=0.0), budget=399)
    assert (numbers["steps"] == 399).all() and found == [[status]] * 2


def test_a_run_that_comes_back_from_above_the_ceiling_begins_to_count_anew():
    """It is there every other step, more than ten times, and never ten times in a row."""
    _, numbers, _ = outcome(Visiting(at=tuple(range(1, 99, 2)), far=1e5), budget=100)
    assert numbers["diverged_at"].isnan().all()


@dataclass(frozen=True)
class Jumping(Optimizer):
    """Jumps far away once, and back to the start."""

    def init(self, x):
        return (0,)

    def update(self, oracle, state):
        (index,) = state
        away = torch.full_like(oracle.x, 2.0**40)
        step = away if index == 2 else -away if index == 3 else torch.zeros_like(away)
        return step, (index + 1,)


def test_a_run_that_leaves_the_target_again_is_not_solved_then():
    in_and_out = (1.0, -1e3, 0.0)
    status, numbers, _ = outcome(Scripted(shares=(in_and_out,)), budget=30)
    assert status == [["solved"]] * 2  # from exactly 0 nothing leads away: the gradient is 0
    leaves = (0.999, -1e3, 0.0)
    status, numbers, _ = outcome(Scripted(shares=(leaves,)), budget=30)
    assert status == [["missed"]] * 2
    assert numbers["cost_to_target"].isnan().all()
    assert (numbers["gap_best"] < 1e-4).all() and (numbers["gap_final"] > 0.5).all()


def test_newton_with_four_steps_is_solved_at_the_end_of_its_budget():
    status, numbers, _ = outcome(Newton(lr=0.995), budget=4 * 7)
    assert status == [["solved"]] * 2
    assert (numbers["steps"] == 4).all() and (numbers["cost_to_target"] == 7).all()


def test_a_step_over_the_budget_is_neither_taken_nor_charged():
    for budget, steps in ((7.0, 1), (13.9, 1), (14.0, 2)):
        _, numbers, _ = outcome(Newton(lr=1e-3), budget=budget)
        assert (numbers["steps"] == steps).all() and (numbers["cost"] == 7 * steps).all()


def test_asking_nothing_costs_a_third_a_step():
    status, numbers, _ = outcome(Idle(), budget=10)
    assert status == [["missed"]] * 2
    assert (numbers["steps"] == 30).all() and (numbers["gap_final"] == 1).all()


def test_divergence_is_a_gap_above_a_million_for_ten_steps():
    status, numbers, _ = outcome(SGD(lr=4.0))
    first = next(k for k in range(100) if 9.0**k > 1e6)
    assert status == [["diverged"]] * 2
    assert (numbers["diverged_at"] == first + 9).all()


def test_ten_steps_above_a_million_that_do_not_follow_each_other_are_no_divergence():
    away = (-1e4, *[0.0] * 7, 0.9999)  # eight steps far above, and back
    status, numbers, _ = outcome(Scripted(shares=((*away, *away, 0.0),)), budget=40)
    assert status == [["missed"]] * 2
    assert (numbers["gap_final"] < 2).all() and numbers["diverged_at"].isnan().all()


@pytest.mark.parametrize(
    "optimizer", [SGD(), Momentum(momentum=0.0), SaddleFreeNewton(damping=1e-12)]
)
def test_a_run_that_meets_nan_is_diverged_at_its_last_finite_point_and_no_other_run_feels_it(
    optimizer,
):
    """The Hessian is NaN there too, and eigh would refuse the whole batch."""
    calm = ("a", "b", "c")
    together = outcome(optimizer, Hole(radius=0.01), 3, seeds=calm, lr=[0.05, 0.9, 0.05])
    alone = outcome(optimizer, Bowl(), 3, seeds=calm, lr=[0.05, 0.01, 0.05])
    assert [row[1] for row in together[0]] == ["diverged"] * 3
    for name in ("gap_final", "loss_final", "cost", "steps"):
        assert torch.equal(together[1][name][:, [0, 2]], alone[1][name][:, [0, 2]])
    assert torch.isfinite(together[1]["loss_final"]).all()
    assert (together[1]["diverged_at"][:, 1] == 3).all()  # 0.1³ of the way is inside, 0.1² is not


@dataclass(frozen=True)
class Kink(Hole):
    """A bowl whose loss is finite within `radius` of the minimizer, but not its gradient."""

    def loss(self, x, data):
        loss = Bowl.loss(self, x, data)
        inside = super().loss(x, data).isnan()
        return loss + torch.where(inside, 0.0 * loss, 1.0).sqrt() - (~inside).to(loss)


@dataclass(frozen=True)
class Asking(Optimizer):
    """Descends, and asks for something at a point of its own from step 2 on."""

    what: str = "gradient"

    def init(self, x):
        return (0,)

    def update(self, oracle, state):
        (index,) = state
        descent = -0.1 * oracle.gradient
        if index >= 2:
            away = oracle.x + float("nan")
            if self.what == "gradient":
                assert (oracle.at(away).gradient == 0).all()
            elif self.what == "product":
                assert (oracle.hvp(away) == 0).all()
            else:
                for instance in range(3):
                    oracle.single(instance, 0, away[instance, 0])
        return descent, (index + 1,)


@pytest.mark.parametrize(
    ("optimizer", "problem", "culprit", "at", "ended"),
    [
        (Scripted(shares=((0.1, 0.1, float("nan")),)), Bowl(), "step", 2, 3),
        (Scripted(shares=((0.1, float("inf")),)), Bowl(), "step", 1, 2),
        (Scripted(shares=((0.1, float("-inf")),)), NoisyBowl(), "step", 1, 2),
        (Asking(what="gradient"), Bowl(), "step", 2, 2),
        (Asking(what="product"), Bowl(), "step", 2, 2),
        (Asking(what="closure"), Bowl(), "step", 2, 2),
        (SGD(lr=0.9), Hole(radius=0.01), "loss", 3, 3),
        (Normalized(), Hole(radius=0.01), "loss", 3, 3),
        (SGD(lr=0.9), Kink(radius=0.01), "gradient", 3, 3),
        (SGD(lr=4.0), Bowl(), "", None, 16),
        (SGD(lr=0.5), Bowl(), "", None, None),
    ],
    ids=repr,
)
def test_what_was_the_first_not_to_be_finite_is_known(optimizer, problem, culprit, at, ended):
    """A step is to blame where loss and gradient were finite; what follows from their NaN is not the step's fault."""
    found = run(optimizer, Instances(problem, ("a", "b", "c")), 1, 100.0)
    assert found.not_finite == [[culprit]] * 3
    for name, step in (("not_finite_at", at), ("diverged_at", ended)):
        if step is None:
            assert found.numbers[name].isnan().all()
        else:
            assert (found.numbers[name] == step).all()
    assert found.numbers["loss_final"].isfinite().all()


def test_a_step_that_is_not_finite_is_no_other_runs():
    shares = ((0.5, 0.5), (0.5, float("nan")))
    found = run(Scripted(shares=shares), Instances(Bowl(), ("a", "b")), 2, 100.0)
    assert found.not_finite == [["", "step"]] * 2
    assert found.status == [["solved", "diverged"]] * 2


def test_a_batch_is_the_stack_of_its_runs_where_trials_dim_and_instances_are_equal():
    rates = [0.01, 0.1, 0.3]
    seeds = ("a", "b", "c")
    for optimizer in (SGD(), Momentum(), DampedNewton(), RandomSearch()):
        name = next(iter(optimizer.space))
        _, batch, _ = outcome(optimizer, Bowl(steepness=0.7), 3, 40.0, seeds, **{name: rates})
        for i, seed in enumerate(seeds):
            for j, rate in enumerate(rates):
                _, single, _ = outcome(
                    optimizer, Bowl(steepness=0.7), 1, 40.0, (seed,), **{name: [rate]}
                )
                for column in ("gap_final", "steps", "cost"):
                    assert torch.allclose(batch[column][i, j], single[column][0, 0], rtol=1e-9)


def test_noise_belongs_to_seed_and_step_and_is_shared_by_trials_and_optimizers():
    _, numbers, _ = outcome(SGD(), NoisyBowl(), 2, lr=[0.1, 0.1])
    assert torch.equal(numbers["loss_final"][:, 0], numbers["loss_final"][:, 1])
    assert numbers["loss_final"][0, 0] != numbers["loss_final"][1, 0]
    _, again, _ = outcome(Momentum(momentum=0.0), NoisyBowl(), 1, lr=[0.1])
    assert torch.equal(numbers["loss_final"][:, :1], again["loss_final"])


def test_the_noise_of_an_instance_has_other_numbers_than_the_instance():
    """A problem that draws as many numbers for both would otherwise have noise along its minimizer."""
    instances = Instances(NoisyBowl(), ("a",))
    minimizer = instances.data["minimizer"]
    assert not torch.allclose(next(instances.draws())["noise"], minimizer, rtol=1e-3)


def test_a_noisy_run_is_judged_by_the_mean_of_the_true_gap_at_its_end():
    status, numbers, _ = outcome(SGD(), NoisyBowl(noise=1e-3), 2, 60.0, lr=[0.5, 0.001])
    assert status == [["solved", "missed"]] * 2
    assert (numbers["steps"] == 60).all()  # noise may throw it out again: no early end
    # Once in, always in: the last half of the steps up to the entry has a mean below the target, and not before.
    entry = next(
        t
        for t in range(4, 60)
        if sum(0.25**k for k in range(t - t // 2 + 1, t + 1)) <= 1e-4 * (t // 2)
    )
    assert (numbers["steps_to_target"][:, 0] == entry).all()
    assert (numbers["cost_to_target"][:, 0] == entry).all()
    status, _, _ = outcome(SGD(), NoisyBowl(noise=1.0), 1, 60.0, lr=[0.5])
    assert status == [["missed"]] * 2


def test_another_seed_differs_and_the_same_repeats_bitwise():
    first = outcome(Momentum(), lr=[0.01], seeds=("a", "b"))[1]["loss_final"]
    again = outcome(Momentum(), lr=[0.01], seeds=("b", "a"))[1]["loss_final"]
    assert torch.equal(first, again.flip(0))
    assert first[0] != first[1]
    assert torch.equal(
        torch.randn(4, generator=generator("x", 1)), torch.randn(4, generator=generator("x", 1))
    )
    assert not torch.equal(
        torch.randn(4, generator=generator("x", 1)), torch.randn(4, generator=generator("x", 2))
    )


def test_the_record_predicts_what_a_gradient_step_does_to_a_quadratic():
    _, numbers, trace = outcome(SGD(lr=0.1), budget=50)
    row = trace.run(0, 0)
    steps = row["step"]
    assert steps[0] == 0 and steps[-1] == numbers["steps"][0, 0]
    inner = slice(0, len(steps) - 1)
    assert row["predicted"][inner] == pytest.approx(row["change"][inner], rel=1e-5)
    # the book's ½ε²gᵀHg − εgᵀg
    book = 0.5 * 0.1**2 * row["g_h_g"] - 0.1 * row["grad_sq"]
    assert row["predicted"][inner] == pytest.approx(book[inner], rel=1e-5)
    assert row["gap"][-1] == pytest.approx(float(numbers["gap_final"][0, 0]), rel=1e-6)


def test_between_rows_the_record_keeps_the_largest_leap_and_the_highest_loss(monkeypatch):
    given = {"budget": 400, "trials": 3, "lr": [0.001, 0.05, 0.3]}
    _, _, trace = outcome(Momentum(momentum=0.9), **given)
    monkeypatch.setattr("benchmarks.engine.recorder.scheduled", lambda step: True)
    _, numbers, every = outcome(Momentum(momentum=0.9), **given)
    for trial in range(3):
        row, all_ = trace.run(0, trial), every.run(0, trial)
        norms = np.sqrt(all_["grad_sq"])
        ends = range(1, len(norms))
        before = [max([*norms[max(k - 3, 0) : k], norms[:k].max() / 10]) for k in ends]
        leaps = norms[1:] / before
        steps = row["step"].astype(int)
        assert numbers["steps"][0, trial] == steps[-1]  # 400, or fewer: each run ends by itself
        assert np.diff(steps).max() > 5
        assert np.isnan(row["grad_leap"][:2]).all()  # the first gradient has none before it
        for k, (first, now) in enumerate(itertools.pairwise(steps[1:]), 2):
            assert row["grad_leap"][k] == pytest.approx(leaps[first - 1 : now - 1].max(), rel=1e-5)
            assert row["loss_highest"][k] == all_["loss"][first : now + 1].max()
    assert len({int(each) for each in numbers["steps"][0]}) > 1
    assert np.isnan(outcome(RandomSearch())[2].run(0, 0)["grad_leap"]).all()
    assert np.isnan(outcome(SGD(), NoisyBowl(), lr=[0.1])[2].run(0, 0)["grad_leap"]).all()


def test_the_record_is_never_charged_and_changes_nothing():
    instances = Instances(Bowl(), ("a", "b"))
    recorded = run(Momentum(), instances, 1, 50.0)
    bare = run(Momentum(), instances, 1, 50.0, record=False)
    for name, column in bare.numbers.items():
        assert torch.equal(column.nan_to_num(), recorded.numbers[name].nan_to_num()), name


EVENTFUL = {
    "solved, missed, diverged": (SGD(), Bowl(), {"lr": [0.5, 0.001, 3.0]}),
    "in and out": (Momentum(momentum=0.95), Bowl(), {"lr": [0.9, 0.5, 0.001]}),
    "not finite": (SGD(), Hole(), {"lr": [0.5, 0.001, 0.9]}),
    "judged by the gradient": (SGD(), Resting(), {"lr": [0.5, 0.001, 3.0]}),
    "noisy": (SGD(), NoisyBowl(noise=1e-3), {"lr": [0.5, 0.001, 3.0]}),
    "out of budget run by run": (DampedNewton(), Bowl(), {"lr": [0.5, 0.001, 3.0]}),
}


@pytest.mark.parametrize("case", EVENTFUL)
def test_a_step_is_judged_alike_whether_or_not_its_range_says_that_nothing_happens(
    case, monkeypatch
):
    """To the last bit: where the range of the gaps tells that no run can have ended, tests are left out."""
    optimizer, problem, rates = EVENTFUL[case]
    status, numbers, trace = outcome(optimizer, problem, trials=3, **rates)

    def wide(gap):
        low, high = _range(gap)
        return min(low, -1.0), max(high, 2 * CEILING)

    monkeypatch.setattr("benchmarks.engine.loop._range", wide)
    again = outcome(optimizer, problem, trials=3, **rates)
    assert again[0] == status
    exactly = {"rtol": 0, "atol": 0, "equal_nan": True}
    torch.testing.assert_close(again[1], numbers, **exactly)
    torch.testing.assert_close(again[2].columns, trace.columns, **exactly)


@dataclass(frozen=True)
class Level(Bowl):
    """1 at the start, and elsewhere the target, as the run's precision rounds it."""

    card: ClassVar[Card] = card(target=1e-3)  # float32 rounds it up

    def loss(self, x, data):
        there = x.new_tensor(self.card.target)
        return torch.where((x == data["start"]).all(-1), 1.0, there)

    def value_and_gradient(self, x, data):
        return self.loss(x, data), torch.zeros_like(x)

    def hvp(self, x, data, vector):
        return torch.zeros_like(vector)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gap_that_equals_the_target_is_inside_in_either_precision(dtype):
    instances = Instances(Level(), ("a", "b"), dtype)
    assert run(RandomSearch(), instances, 1, 100.0).status == [["solved"]] * 2


def test_the_schedule_has_about_twenty_steps_a_decade():
    for low in (100, 1000, 10_000):
        assert 19 <= sum(scheduled(step) for step in range(low, 10 * low)) <= 21
    assert all(scheduled(step) for step in range(11))


LEFT = (0.999, -1e3, 0.999, 0.0)  # inside after the first step, outside after the second, and back


def test_a_run_that_comes_back_has_the_cost_of_its_last_entry():
    status, numbers, _ = outcome(Scripted(shares=(LEFT,)), budget=30)
    assert status == [["solved"]] * 2
    for name in ("cost_to_target", "steps_to_target"):
        assert (numbers[name] == 3).all()
    assert (numbers["steps"] == 12).all()  # ten steps inside from there on


def test_of_two_runs_only_the_one_that_left_enters_again():
    stays = (0.999, 0.0)
    _, numbers, _ = outcome(Scripted(shares=(LEFT, stays)), trials=2, budget=30)
    assert numbers["cost_to_target"].tolist() == [[3.0, 1.0]] * 2


def test_a_noisy_run_has_the_cost_from_which_its_mean_gap_stays_at_the_target():
    script = (0.999, 0.999, *[0.0] * 5, -1e6, 0.999, 0.999, 0.0)
    status, numbers, _ = outcome(Scripted(shares=(script,)), NoisyBowl(noise=1e-12), budget=60)
    error = np.cumprod([1.0, *(1 - share for share in script), *[1.0] * (60 - len(script))])
    means = [
        np.mean(error[t - steps_judged(t) + 1 : t + 1] ** 2) if t >= 4 else 1 for t in range(61)
    ]
    inside = np.array(means) <= 1e-4
    assert inside[4:8].all() and not inside[8] and inside[-1]
    assert status == [["solved"]] * 2
    assert (numbers["cost_to_target"] == 1 + np.flatnonzero(~inside).max()).all()
    assert (numbers["steps_to_target"] == numbers["cost_to_target"]).all()


def test_newton_with_four_noisy_steps_is_judged_by_its_last_two():
    status, numbers, _ = outcome(Newton(lr=0.995), NoisyBowl(noise=1e-9), budget=4 * 7)
    assert status == [["solved"]] * 2
    assert (numbers["steps"] == 4).all() and (numbers["steps_to_target"] == 4).all()
    halves = Scripted(shares=((0.0, 0.0, 0.999, -1e3),))
    assert outcome(halves, NoisyBowl(noise=1e-9), budget=4)[0] == [["missed"]] * 2


@pytest.mark.parametrize(
    ("problem", "budget", "expected"),
    [
        (NoisyBowl(), 6.0, "no_step"),
        (NoisyBowl(), 7.0, "too_few_steps"),
        (NoisyBowl(), 27.0, "too_few_steps"),
        (NoisyBowl(), 28.0, "missed"),
        (Bowl(), 6.0, "no_step"),
        (Bowl(), 7.0, "missed"),
    ],
    ids=repr,
)
def test_a_run_with_too_few_steps_is_not_judged(problem, budget, expected):
    """A step of Newton's costs 7 here."""
    status, numbers, _ = outcome(Newton(lr=1e-3), problem, budget=budget)
    assert status == [[expected]] * 2
    assert numbers["cost_to_target"].isnan().all()


def test_what_diverges_is_diverged_however_few_its_steps_are():
    nan = Scripted(shares=((0.1, float("nan")),))
    assert outcome(nan, NoisyBowl())[0] == [["diverged"]] * 2


def test_each_purpose_has_random_numbers_of_its_own():
    """An instance, the noise of the steps, the noise that is measured, and the optimizer."""
    instances = Instances(NoisyBowl(), ("a", "b"))
    drawn = [
        instances.data["minimizer"],
        next(instances.draws())["noise"],
        next(instances.draws("diagnosis"))["noise"],
        instances.normals()(),
    ]
    assert all(each.shape == (2, 1, 3) for each in drawn)
    numbers = torch.stack(drawn).flatten().tolist()
    assert len(set(numbers)) == len(numbers)
