"""Trials: a copy takes the steps of the same loop with one thing changed, and the run does not notice."""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.doctor import Doctor, proposals
from benchmarks.doctor.losses import Losses
from benchmarks.doctor.no_side_effects import RandomState
from benchmarks.doctor.proposals import FIRST, _without_decay
from benchmarks.doctor.trials import (
    BATCHES,
    Change,
    Shadow,
    Tried,
    added,
    bypassed,
    restarted,
    standardized,
)
from tests.benchmarks.doctor.reports import unwrapped

BEGIN, STEPS = 3, 12  # a copy begins at this step, and takes so many


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3), nn.Tanh()
    )


class Averaged(torch.optim.Optimizer):
    """Steps along a mean of all gradients, which it keeps in attributes of its own."""

    def __init__(self, parameters, lr: float):
        super().__init__(parameters, {"lr": lr})
        self.count = 0
        self.sums: dict[torch.Tensor, torch.Tensor] = {}

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[override]
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.sums[p] = self.sums.get(p, torch.zeros_like(p)) + p.grad
                    p.sub_(self.sums[p], alpha=group["lr"] / self.count)


def groups(model):
    return [{"params": model[:2].parameters()}, {"params": model[4:].parameters(), "lr": 0.03}]


OPTIMIZERS = {
    "sgd with momentum": lambda model: torch.optim.SGD(
        groups(model), 0.1, momentum=0.9, weight_decay=0.01
    ),
    "adam": lambda model: torch.optim.Adam(model.parameters(), 0.01),
    "adamw": lambda model: torch.optim.AdamW(groups(model), 0.01),
    "its own attributes": lambda model: Averaged(model.parameters(), 0.1),
}
SCHEDULES = {
    "none": None,
    "steps": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5),
    "one cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, 40, cycle_momentum=not isinstance(optimizer, Averaged)
    ),
}


def clip(model) -> Callable[[], object]:
    return lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.5)


def loop(
    make,
    schedule=None,
    change: Change | None = None,
    beside: Callable | None = None,
    parts: Callable | None = None,
):
    """A loop with one thing changed from step BEGIN on, or with a copy beside it; the losses from there on."""
    model = network()
    optimizer = make(model)
    decay = None if schedule is None else schedule(optimizer)
    shadow, losses, sums = None, [], None
    change = change or Change("nothing", "", STEPS)
    for step in range(BEGIN + STEPS):
        x, y = normal(10, 6, seed=step), normal(10, 3, seed=100 + step)
        active = step >= BEGIN and beside is None
        if step == BEGIN and beside is not None:
            shadow = beside(model, optimizer)
        if step == BEGIN and active and parts is not None:
            parts(model, optimizer)
        beginning = RandomState.now([])
        model.zero_grad()

        def closure(x=x, y=y):
            return functional.mse_loss(model(x), y)

        with change.model() if active and change.model is not None else torch.enable_grad():
            loss = closure()
        loss.backward()
        clip(model)()
        if shadow is not None:
            shadow.step(model, [closure], beginning, clip(model))
            losses.append(shadow.losses[-1])
        elif active:
            losses.append(loss.item())
        takes = True
        if active and change.batches > 1:
            gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            sums = (
                gradients if sums is None else [a + b for a, b in zip(sums, gradients, strict=True)]
            )
            takes = (step - BEGIN + 1) % change.batches == 0
            if takes:
                for p, total in zip(model.parameters(), sums or [], strict=True):
                    p.grad = total / change.batches
                sums = None
        if active and change.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), change.clip)
        rates = [group["lr"] for group in optimizer.param_groups]
        if active:
            for group in optimizer.param_groups:
                group["lr"] *= change.factor
        if takes:
            optimizer.step()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        if decay is not None:
            decay.step()
    if shadow is not None:
        names = {id(p): name for name, p in model.named_parameters()}
        return losses, {
            names[id(real)]: own.detach() for real, own in zip(shadow.real, shadow.own, strict=True)
        }
    return losses, {name: p.detach() for name, p in model.named_parameters()}


CHANGES = {
    "nothing": Change("nothing", "", STEPS),
    "a tenth of the rate": Change("", "", STEPS, factor=0.1),
    "ten times the rate": Change("", "", STEPS, factor=10.0),
    "clipped": Change("", "", STEPS, clip=0.01),
    "larger batch": Change("", "", STEPS, batches=4),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_takes_the_steps_of_a_loop_with_one_thing_changed(optimizer, schedule, change):
    """Bitwise, with dropout, batch norm, parameter groups, clipping and schedules of rate and momentum."""
    make, decay, changed = OPTIMIZERS[optimizer], SCHEDULES[schedule], CHANGES[change]
    expected = loop(make, decay, changed)
    found = loop(
        make, decay, beside=lambda model, opt: Shadow(changed, BEGIN, list(model.parameters()), opt)
    )
    assert found[0] == expected[0]
    assert {*found[1]} == {*expected[1]}
    for name, weights in expected[1].items():
        assert torch.equal(found[1][name], weights), name


@pytest.mark.parametrize("schedule", ["none", "steps"])
def test_a_copy_without_the_last_unit(schedule):
    """The hook belongs to the model of each loop."""
    made = {}

    def beside(model, optimizer):
        return Shadow(
            Change("", "", STEPS, model=bypassed(model[5])),
            BEGIN,
            list(model.parameters()),
            optimizer,
        )

    def parts(model, optimizer):
        made["hook"] = model[5].register_forward_hook(lambda _, inputs, out: inputs[0])

    make, decay = OPTIMIZERS["adam"], SCHEDULES[schedule]
    expected, found = loop(make, decay, parts=parts), loop(make, decay, beside=beside)
    assert found[0] == expected[0]
    assert all(torch.equal(found[1][name], each) for name, each in expected[1].items())


@pytest.mark.parametrize(
    ("frozen", "held"), [(True, []), (False, []), (True, ["weight", "bias"]), (True, ["bias"])]
)
def test_a_copy_with_all_weights_in_the_optimizer(frozen, held):
    """This works even if the optimizer already holds all or some of the frozen weights."""

    def lacking(model):
        model[4].requires_grad_(not frozen)
        moved = [*model[:4].parameters(), *(getattr(model[4], name) for name in held)]
        return torch.optim.SGD(moved, 0.1, momentum=0.9)

    def beside(model, optimizer):
        missing = list(model[4].parameters())
        return Shadow(
            Change("", "", STEPS, start=added(missing)), BEGIN, list(model.parameters()), optimizer
        )

    def parts(model, optimizer):
        model[4].requires_grad_(True)
        settings = {
            name: value for name, value in optimizer.param_groups[0].items() if name != "params"
        }
        missing = [each for name, each in model[4].named_parameters() if name not in held]
        optimizer.add_param_group(settings | {"params": missing})

    expected, found = loop(lacking, parts=parts), loop(lacking, beside=beside)
    assert found[0] == expected[0]
    assert all(torch.equal(found[1][name], each) for name, each in expected[1].items())


def test_a_copy_that_starts_otherwise_leaves_frozen_weights_as_they_are():
    """As in fine-tuning, where the optimizer often holds the frozen body, too."""

    def freezing(model):
        model[0].requires_grad_(False)
        return torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.1)

    def beside(model, optimizer):
        change = Change("", "", STEPS, start=_without_decay)
        return Shadow(change, BEGIN, list(model.parameters()), optimizer)

    def parts(model, optimizer):
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0

    expected, found = loop(freezing, parts=parts), loop(freezing, beside=beside)
    assert found[0] == expected[0]
    assert all(torch.equal(found[1][name], each) for name, each in expected[1].items())


def test_a_group_that_is_added_follows_the_schedule():
    model = network()
    optimizer = torch.optim.SGD(model[:4].parameters(), 0.1)
    missing = list(model[4].parameters())
    shadow = Shadow(
        Change("", "", STEPS, start=added(missing)), 0, list(model.parameters()), optimizer
    )
    optimizer.param_groups[0]["lr"] = 0.025
    shadow.step(model, [lambda: model(normal(10, 6)).square().mean()], RandomState.now([]), None)
    assert [group["lr"] for group in shadow.optimizer.param_groups] == [0.025, 0.025]


def test_layers_are_standardized_only_inside():
    model = network()
    x = normal(10, 6)
    seen = []
    model[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with standardized([model[0]])():
        model(x)
    model(x)
    assert seen[0].mean(0) == pytest.approx(torch.zeros(8), abs=1e-6)
    assert seen[0].std(0, correction=0) == pytest.approx(torch.ones(8), abs=1e-3)
    assert torch.equal(seen[1], model[0](x))


def test_another_start_is_another_one_and_the_same_each_time():
    model = network()
    before = [each.clone() for each in model.state_dict().values()]
    random_state = torch.get_rng_state()
    optimizer = torch.optim.Adam(model.parameters())
    one, other = (
        Shadow(Change("", "", 9, start=restarted(model)), 0, list(model.parameters()), optimizer)
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.own, other.own, strict=True))
    assert not torch.equal(one.own[0], model[0].weight)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert torch.equal(random_state, torch.get_rng_state())


# The run beside them.


def flat(tree) -> list:
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in flat(tree[key])]
    return (
        [leaf for each in tree for leaf in flat(each)]
        if isinstance(tree, (list, tuple))
        else [tree]
    )


def lacking(model):
    return torch.optim.SGD(model[:4].parameters(), 0.1, momentum=0.9)


def trained(
    make, trials, steps: int, frozen: bool = False, built: Callable[[], nn.Sequential] = network
) -> tuple[list, Doctor | None]:
    """All that a loop leaves behind, without a doctor if trials is None."""
    torch.manual_seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002
    model = built()
    if frozen:
        model[4].requires_grad_(False)
    optimizer = make(model)
    decay = torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)
    called = []
    hook = model[0].register_forward_hook(lambda *_: called.append(1))
    doctor = None if trials is None else Doctor(model, optimizer, trials=trials, overhead=math.inf)
    for step in range(steps):
        x, y = normal(10, 6, seed=step), normal(10, 3, seed=100 + step)

        def closure(x=x, y=y):
            noise = 0.01 * random.random() + 0.01 * np.random.rand()  # noqa: NPY002
            return functional.mse_loss(model(x + noise), y)

        if doctor is None:
            optimizer.zero_grad()
            closure().backward()
            clip(model)()
            optimizer.step()
        else:
            doctor.step(closure, before_update=clip(model))
        decay.step()
    hook.remove()
    left = [
        *model.state_dict().values(), *flat(optimizer.state_dict()), *flat(decay.state_dict()),
        *(p.grad for p in model.parameters()), *(p.requires_grad for p in model.parameters()),
        torch.rand(3), random.random(), np.random.rand(), model.training,  # noqa: NPY002
        [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()],
        *(value for name, value in vars(optimizer).items() if name in ("count", "sums")),
    ]  # fmt: skip
    return flat(left), doctor


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "frozen", "lacking"])
def test_the_run_is_bitwise_as_without_trials(optimizer):
    """Weights, buffers, optimizer, schedule, gradients, random states, hooks and what requires gradients."""
    frozen, steps = optimizer == "frozen", 8
    make = lacking if optimizer in ("frozen", "lacking") else OPTIMIZERS[optimizer]
    plain, _ = trained(make, None, steps, frozen)
    tried, doctor = trained(make, True, steps, frozen)
    assert doctor is not None and doctor._trials is not None
    assert len(doctor._trials._going) >= 3
    assert not doctor._trials.failures
    assert len(plain) == len(tried)
    for one, other in zip(plain, tried, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_also_where_trials_end_and_others_begin():
    steps = FIRST + 5
    plain, _ = trained(lacking, None, steps)
    tried, doctor = trained(lacking, True, steps)
    assert doctor is not None and doctor._trials is not None
    began = {each.began for each in (*doctor._trials._going, *doctor._trials._over)}
    assert began == {0, FIRST}
    for one, other in zip(plain, tried, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


class Recurrent(nn.Module):
    """A cell that forgets what it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.cell = nn.BatchNorm1d(6), nn.Linear(8, 8)
        self.read, self.drop = nn.Linear(6, 8), nn.Dropout(0.3)
        with torch.no_grad():
            self.cell.weight.mul_(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.read(self.norm(x))
        for _ in range(8):
            state = self.cell(self.drop(state)).tanh()
        return state


def recurrent() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Recurrent(), nn.Linear(8, 3), nn.Tanh())


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [each for _ in range(7) for each in (nn.Linear(6, 6), nn.Sigmoid())]
    return nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.3), *hidden, nn.Linear(6, 3), nn.Tanh())


@pytest.mark.parametrize(
    ("built", "vanishing"),
    [(deep, "hidden layers standardized"), (recurrent, "orthogonal recurrent weights")],
)
def test_the_run_is_bitwise_the_same_whatever_is_tried(built, vanishing, monkeypatch):
    """All that the doctor can try is tried; where the gradient vanishes, it calls the closure to find the layers."""
    for name, value in {"STEEP": 0.0, "JUMPS": -1, "DEAD": 0.0}.items():
        monkeypatch.setattr(proposals, name, value)
    causes = (("ill_conditioning", 1.0),)
    monkeypatch.setattr(proposals, "diagnose", lambda record: SimpleNamespace(causes=causes))
    seeded: list[int] = []

    def make(model):
        return torch.optim.SGD(model[:-2].parameters(), 0.1, momentum=0.9, weight_decay=0.01)

    plain, _ = trained(make, None, FIRST + 5, built=built)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "manual_seed_all", seeded.append)
        tried, doctor = trained(make, True, FIRST + 5, built=built)
    assert doctor is not None and doctor._trials is not None
    names = {each.change.name for each in (*doctor._trials._going, *doctor._trials._over)}
    assert names >= {
        "all weights in the optimizer", "no Tanh behind the last layer", "another start", "no weight decay",
        vanishing, "whitened inputs of the layers", f"batches {BATCHES} times as large",
    }  # fmt: skip
    for one in ("learning rate 0.01 ", "learning rate 1 ", "gradients clipped"):
        assert any(each.startswith(one) for each in names), one
    assert not doctor._trials.failures
    for one, other in zip(plain, tried, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert {*seeded} <= {0} and len(seeded) <= 2  # the loop's own seeds


def test_a_loss_of_derivatives_is_looked_at_where_the_gradient_vanishes():
    """As in a differential equation: without a graph such a loss cannot be computed."""
    model = deep()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 0.1), overhead=math.inf, trials=True)

    def closure():
        x = normal(10, 6, seed=doctor.steps).requires_grad_()
        out = model(x)
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        return (out - 1).square().mean() + slope.square().mean()

    for _ in range(FIRST + 1):
        doctor.step(closure)
    assert doctor._trials is not None
    names = {each.change.name for each in doctor._trials._going}
    assert "hidden layers standardized" in names


def test_a_report_changes_nothing():
    """Also that of a run that diverged, for which changes are tried at its last minibatch."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 1e6, momentum=0.9)
    doctor = Doctor(model, optimizer)
    for step in range(12):
        doctor.step(
            lambda step=step: functional.mse_loss(
                model(normal(10, 6, seed=step)), normal(10, 3, seed=step)
            )
        )
    before = [*(each.clone() for each in model.state_dict().values()), torch.get_rng_state()]
    gradients = [p.grad for p in model.parameters()]
    assert unwrapped(doctor.report()) == unwrapped(doctor.report())
    after = [*model.state_dict().values(), torch.get_rng_state()]
    assert all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, after, strict=True)
    )
    assert all(a is b for a, b in zip(gradients, (p.grad for p in model.parameters()), strict=True))


# Gains.


def quadratic(rate: float, change: Change, steps: int, began: int = 0) -> Tried:
    """Descend ½x² from 1 with a copy beside it, and return what the copy did."""
    model = nn.ParameterList([torch.ones(1, dtype=torch.float64)])
    optimizer = torch.optim.SGD(model.parameters(), rate)
    run, shadow = Losses(), None
    for step in range(steps):
        optimizer.zero_grad()
        loss = 0.5 * model[0].square().sum()
        loss.backward()
        run.add(loss.item())
        if step == began:
            shadow = Shadow(change, step, list(model.parameters()), optimizer)
        optimizer.step()
        if shadow is not None and not shadow.done:
            shadow.step(model, [lambda: 0.5 * model[0].square().sum()], RandomState.now([]), None)
    assert shadow is not None
    tried = shadow.tried(run, 0.0)
    assert tried is not None
    return tried


@pytest.mark.parametrize("began", [0, 100])
def test_a_rate_ten_times_too_small(began):
    """(1 − 10η)ˢ = (1 − η)ᵗ at t = 10 s. Levels are means of a fifth of the copy's steps, which costs a tenth."""
    tried = quadratic(1e-3, Change("", "", 100, factor=10.0), 1200, began)
    assert tried.clear and tried.lower
    assert not tried.helps  # the run got lower itself, later
    assert 0.9 * 10 < tried.gain < 10.1


def test_a_run_that_is_too_short_gives_a_lower_bound():
    """Where it ended, after 500 steps, a copy is after 50 and the tenth."""
    tried = quadratic(1e-3, Change("", "", 100, factor=10.0), 500)
    assert tried.helps
    assert 0.8 * 10 < tried.gain < 0.9 * 10


def test_a_rate_too_large():
    """|1 − 2.5| > 1: it diverges, so that it never gets where the copy gets."""
    tried = quadratic(2.5, Change("", "step_too_large", 100, factor=0.1), 1200)
    assert tried.gain == math.inf
    assert tried.helps and tried.clear and tried.lower
    assert "this run" in tried.sentence


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_what_does_not_help_gains_nothing(factor):
    tried = quadratic(1e-2, Change("", "", 100, factor=factor), 400)
    assert not tried.helps and not tried.clear
    assert tried.gain == 1.0 if factor == 1 else tried.gain < 0.3


def test_a_larger_batch_of_equal_gradients_gains_nothing_with_the_same_data():
    tried = quadratic(1e-3, Change("", "noise", 640, batches=16), 700)
    assert not tried.helps
    assert tried.gain < 1.1


def test_a_copy_that_diverges_has_not_helped():
    tried = quadratic(0.5, Change("", "", 200, factor=10.0), 200)
    assert not tried.helps
    assert "not finite" in tried.sentence or tried.loss > tried.run


def test_too_few_steps_tell_nothing():
    model = nn.Linear(2, 1)
    shadow = Shadow(
        Change("", "", 9), 0, list(model.parameters()), torch.optim.SGD(model.parameters(), 0.1)
    )
    shadow.losses = [1.0] * 9
    assert shadow.tried(Losses(), 0.0) is None


# When there are trials, and what they cost.


class Counted:
    """A loop on a linear regression, and how often its closure is called."""

    def __init__(
        self, trials, rate: float, steps: int, *, parts: int = 1, noise: float = 0.0, **more
    ):
        self.calls = 0
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(self.model.parameters(), rate)
        self.doctor = Doctor(self.model, optimizer, trials=trials, **more)
        for step in range(steps):
            closures = [
                lambda step=step, k=k: self.loss(normal(20, 3, seed=step + 1000 * k), noise)
                for k in range(parts)
            ]
            self.doctor.step(closures)

    def loss(self, x, noise):
        self.calls += 1
        y = x.sum(1, keepdim=True)
        return functional.mse_loss(self.model(x), y + noise * normal(*y.shape, seed=5))

    @property
    def trials(self):
        assert self.doctor._trials is not None
        return self.doctor._trials

    @property
    def began(self) -> set[int]:
        return {each.began for each in (*self.trials._going, *self.trials._over)}


def test_a_run_that_has_arrived_begins_no_trial_unless_it_is_asked_to():
    arrives = {"rate": 0.1, "steps": FIRST + 3}
    assert Counted("auto", **arrives).began == {0}
    assert Counted(True, **arrives).began == {0, FIRST}
    assert Counted("auto", 1e-4, FIRST + 3).began == {0, FIRST}


def test_no_trials_cost_nothing():
    run = Counted(False, 1e-4, FIRST + 3)
    assert run.began == set()
    assert run.doctor._budget.by_kind.get("trials", 0.0) == 0.0
    assert run.doctor.report().run.tried == ()


@pytest.mark.parametrize("parts", [1, 2])
def test_what_is_charged_is_what_closures_were_called_for(parts):
    """A copy's step is a gradient of each closure; copies that go on are charged in advance."""
    steps = FIRST + 20
    tried = Counted(True, 1e-4, steps, parts=parts, overhead=0.0)
    without = Counted(False, 1e-4, steps, parts=parts, overhead=0.0)
    taken = sum(len(each.losses) for each in (*tried.trials._going, *tried.trials._over)) * parts
    ahead = sum(each.change.steps - len(each.losses) for each in tried.trials._going) * parts
    assert tried.doctor._budget.by_kind["trials"] == taken + ahead
    assert tried.calls >= without.calls + taken - parts


@pytest.mark.parametrize("allowance", [0.0, 100.0, 400.0, 1000.0, 4000.0])
def test_the_price_stays_within_the_budget(allowance):
    run = Counted(True, 1e-4, 3 * FIRST + 5, allowance=allowance, overhead=0.5)
    budget = run.doctor._budget
    loan = allowance * min(1.0, (1 + math.log10(3 * FIRST + 5)) / 4)
    assert budget.spent <= loan + 0.5 * budget.training + 20  # of the measurement that is going on
    assert budget.by_kind.get("trials", 0.0) <= 0.6 * (loan + 0.5 * budget.training)


def test_an_optimizer_that_cannot_be_copied_is_a_remark():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    optimizer.lock = threading.Lock()  # type: ignore[attr-defined]
    doctor = Doctor(model, optimizer)
    for _ in range(3):
        doctor.step(lambda: model(normal(20, 3)).square().mean())
    assert "Some changes could not be tried: cannot pickle" in unwrapped(doctor.report())
    assert doctor.report().run.tried == ()


class Wrapping(torch.optim.Optimizer):
    """Leaves the steps to another optimizer."""

    def __init__(self, inner: torch.optim.Optimizer):
        super().__init__(
            [p for group in inner.param_groups for p in group["params"]], inner.defaults
        )
        self.inner = inner

    def step(self, closure=None):  # type: ignore[override]
        self.inner.step()


@pytest.mark.parametrize("rate", [2.0, 1e30])
@pytest.mark.parametrize("registered", [0, 5])
@pytest.mark.parametrize("kind", ["pre", "post", "pre, of an optimizer within"])
def test_an_optimizer_with_step_hooks_is_not_tried(kind, registered, rate):
    """Copies have no hooks, and without a hook that clips, for example, the learning rate would seem too large."""
    torch.manual_seed(0)
    model = nn.Linear(5, 1)
    optimizer = inner = torch.optim.SGD(model.parameters(), rate)
    if "within" in kind:
        optimizer = Wrapping(inner)
    doctor = Doctor(model, optimizer)

    def clipping(*_):
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)

    for step in range(30):
        if step == registered and kind == "post":
            optimizer.register_step_post_hook(lambda *_: None)
        elif step == registered:
            inner.register_step_pre_hook(clipping)
        x = normal(64, 5)
        doctor.step(lambda x=x: functional.mse_loss(model(x), x.sum(1, keepdim=True)))
    report = doctor.report()
    assert report.run.tried == ()
    assert "could not be tried: the optimizer has step hooks" in unwrapped(report)
    assert "before_update" in unwrapped(report)


@pytest.mark.parametrize(
    "error", [AssertionError("too large"), IndexError("too large"), ZeroDivisionError()]
)
def test_a_closure_that_fails_for_a_copy_does_not_end_the_run(error):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    doctor = Doctor(model, optimizer)

    def closure():
        loss = model(normal(20, 3)).square().mean()
        if loss > 1e3:
            raise error
        return loss

    for _ in range(30):
        doctor.step(closure)
    assert doctor.loss < 1e-3
    assert f"Some changes could not be tried: {error or type(error).__name__}" in str(
        doctor.report()
    )


def test_a_run_that_diverges_at_once_is_tried_on_its_last_minibatch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 5.0))
    x, y = normal(50, 3), normal(50, 3).sum(1, keepdim=True)
    updates = []
    while doctor.not_finite is None and doctor.steps < 60:
        doctor.step(
            lambda: functional.mse_loss(model(x), y), before_update=lambda: updates.append(0)
        )
    spent, updated = doctor._budget.spent, len(updates)
    report = doctor.report()
    assert report.verdict.cause == "step_too_large"
    assert any(each.change.factor < 1 and each.helps for each in report.run.tried)
    assert (
        doctor._budget.spent - spent >= len(updates) - updated > 60
    )  # each of its steps is paid for


def test_a_run_that_diverged_has_a_report_after_its_last_minibatch_is_gone():
    model = nn.Linear(3, 1)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 50.0))
    batch = {"x": normal(50, 3)}
    while doctor.not_finite is None:
        doctor.step(lambda: functional.mse_loss(model(batch["x"]), batch["x"][:, :1]))
    tried = doctor.report().run.tried
    batch.clear()
    report = doctor.report()
    assert len(report.run.tried) < len(tried)
    assert "Some changes could not be tried: 'x'" in unwrapped(report)


# One script, one report.


def script(sleep: float = 0.0, **more) -> str:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    doctor = Doctor(model, torch.optim.Adam(model.parameters(), 1e-3), **more)
    for step in range(FIRST + 10):
        x = normal(16, 6, seed=step)

        def closure(x=x):
            if sleep and random.random() < 0.05:
                time.sleep(sleep)
            return functional.cross_entropy(model(x), x[:, :3].argmax(1))

        doctor.step(closure)
    assert doctor.report().run.tried or "seconds" in more
    return re.sub(r"\d+% of the wall time \(\S+ s\)", "", unwrapped(doctor.report()))


REPORT: list[str] = []


def idle() -> str:
    if not REPORT:
        REPORT.append(script())
    return REPORT[0]


def test_a_busy_machine_gives_the_same_report():
    assert script(sleep=0.003) == idle()


def test_a_machine_that_is_40_times_slower_gives_the_same_report(monkeypatch):
    clock = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: 40 * clock())
    assert script(seconds=math.inf) == idle()


def test_a_cap_that_binds_is_said(monkeypatch):
    clock = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: 40 * clock())
    report = script(seconds=0.0)
    assert "there was not always time to measure" in report
    assert "there was not always time to measure" not in idle()


# Whatever the network.


def any_network(
    seed: int,
) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[int], object], dict]:
    """A small network, an optimizer, a closure for each step and a doctor's settings, all drawn at random."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    width, classes, rows = draw.randint(1, 9), draw.randint(1, 4), draw.choice([1, 2, 7, 16])
    units = [
        nn.ReLU,
        nn.Tanh,
        nn.Sigmoid,
        nn.GELU,
        nn.Identity,
        nn.LeakyReLU,
        lambda: nn.Dropout(0.5),
    ]
    parts: list[nn.Module] = []
    for _ in range(draw.randint(0, 4)):
        parts += [nn.Linear(width, width, bias=draw.random() < 0.7), draw.choice(units)()]
        if draw.random() < 0.3:
            parts.append(nn.LayerNorm(width) if rows == 1 else nn.BatchNorm1d(width))
    model = nn.Sequential(
        *parts, nn.Linear(width, classes), *([draw.choice(units)()] if draw.random() < 0.4 else [])
    )
    with torch.no_grad():
        for each in model.parameters():
            each *= draw.choice([0.0, 1e-3, 1.0, 1.0, 1.0, 30.0])
    if len(parts) > 2 and draw.random() < 0.3:
        parts[0].requires_grad_(False)
    held = [each for each in model.parameters() if each.requires_grad]
    kinds = [
        lambda lr: torch.optim.SGD(held, lr, momentum=0.9, nesterov=True), lambda lr: torch.optim.Adam(held, lr),
        lambda lr: torch.optim.AdamW(held, lr, amsgrad=True), lambda lr: torch.optim.RMSprop(held, lr),
        lambda lr: torch.optim.Adagrad(held, lr), lambda lr: torch.optim.NAdam(held, lr),
        lambda lr: torch.optim.LBFGS(held, lr, max_iter=3), lambda lr: torch.optim.Rprop(held, lr),
        lambda lr: torch.optim.SGD(held[-1:], lr),
    ]  # fmt: skip
    optimizer = draw.choice(kinds)(10 ** draw.uniform(-4, 1))
    kind, scale = draw.randint(0, 3), 10 ** draw.uniform(-3, 3)

    def loss(step: int):
        x = scale * normal(rows, width, seed=step)
        if kind == 0:
            return functional.cross_entropy(model(x), torch.zeros(rows).long() + step % classes)
        if kind == 1:
            return functional.mse_loss(model(x), x.sum(1, keepdim=True).expand(rows, classes))
        if kind == 2:
            return model(x).square().sum(1).mean() - 1
        return functional.binary_cross_entropy_with_logits(
            model(x), (x[:, :1] > 0).float().expand(rows, classes)
        )

    settings = {"trials": draw.choice([True, "auto", False]), "floor": draw.choice([0.0, None])}
    return model, optimizer, loss, settings


def left_by(seed: int, doctored: bool) -> list[torch.Tensor]:
    model, optimizer, loss, settings = any_network(seed)
    doctor = Doctor(model, optimizer, **settings)
    for step in range(14):

        def evaluate(step=step):
            optimizer.zero_grad()
            value = loss(step)
            value.backward()
            return value

        if doctored:
            doctor.step(lambda step=step: loss(step))
        else:
            optimizer.step(evaluate)
    assert unwrapped(doctor.report())
    return list(model.parameters())


@pytest.mark.parametrize("seed", range(24))
def test_whatever_the_network_the_doctor_neither_fails_nor_changes_its_weights(seed):
    plain = left_by(seed, False)
    for one, other in zip(plain, left_by(seed, True), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


def test_a_trial_that_is_over_keeps_its_losses_and_no_weights():
    model = nn.Linear(4, 3)
    doctor = Doctor(model, torch.optim.Adam(model.parameters(), 1e-4))
    for _ in range(FIRST + 1):
        doctor.step(lambda: model(torch.ones(8, 4)).square().mean())
    assert doctor._trials is not None
    over = doctor._trials._over
    assert over
    for shadow in over:
        assert shadow.losses
        assert not shadow.own
        assert not hasattr(shadow, "optimizer")
    assert doctor.report().run.tried
