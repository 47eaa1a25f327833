"""A loop of someone else's that is watched: it stays bitwise what it was, and what passes by is read rightly."""

from __future__ import annotations

import copy
import io
import math
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import benchmarks.doctor
from benchmarks.doctor import Doctor, watch
from benchmarks.doctor.watched import NOT_SHOWN, SHOWN
from ravine import Refused
from tests.benchmarks.doctor.optimizers import adam, lbfgs, sgd
from tests.benchmarks.doctor.reports import unwrapped

STEPS = 12


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def batches(count: int = STEPS) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(7)
    return [
        (torch.randn(16, 6, generator=draw), torch.randint(3, (16,), generator=draw))
        for _ in range(count)
    ]


def train(make, watched=False, parts=1, half=False, closure=False, keep=False):
    """A plain loop: accumulation, clipping, a schedule, mixed precision, closures as trainers have them."""
    model = network()
    optimizer = make(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=half)
    seen = watch(model, optimizer) if watched else None

    def evaluate(x, y, of=1):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return cross_entropy(model(x), y) / of

    def closed(x, y):
        loss = evaluate(x, y)
        optimizer.zero_grad()  # between forward and backward, as Lightning does
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        return loss

    losses = []
    for x, y in batches():
        if closure:
            losses.append(optimizer.step(lambda x=x, y=y: closed(x, y)).item())
        else:
            optimizer.zero_grad(set_to_none=not keep)
            of = [evaluate(*each, of=parts) for each in zip(x.chunk(parts), y.chunk(parts), strict=True)]  # fmt: skip
            for loss in of:
                scaler.scale(loss).backward()
            losses.append(sum(loss.item() for loss in of))
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
        schedule.step()
    if seen is not None:
        seen.close()
    state = [*model.state_dict().values(), *leaves(optimizer.state_dict()["state"])]
    return [*state, torch.rand(3)], losses, seen, model


def leaves(tree) -> list[torch.Tensor]:
    if isinstance(tree, dict):
        return [leaf for each in tree.values() for leaf in leaves(each)]
    if isinstance(tree, (list, tuple)):
        return [leaf for each in tree for leaf in leaves(each)]
    return [tree] if isinstance(tree, torch.Tensor) else []


LOOPS = {
    "sgd": (sgd, {}),
    "adam": (adam, {}),
    "accumulated": (sgd, {"parts": 2}),
    "gradients kept as zeros": (sgd, {"keep": True}),
    "mixed precision": (sgd, {"half": True}),
    "closure": (adam, {"closure": True}),
    "lbfgs": (lbfgs, {"closure": True}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_loop_is_bitwise_that_without_a_watch_and_its_losses_are_seen(name):
    make, options = LOOPS[name]
    plain, losses, _, _ = train(make, **options)
    ours, _, seen, model = train(make, watched=True, **options)
    assert all(torch.equal(*pair) for pair in zip(plain, ours, strict=True))
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    assert seen is not None
    assert seen.steps == STEPS
    assert seen.log.loss.value == pytest.approx(losses, rel=1e-6)
    assert "added their gradients" not in unwrapped(seen.report())
    assert len(seen.measured) == 3  # from steps 0, 4 and 8 on, of four steps each
    assert seen.log.grad_norm.value.max() <= 0.5 * (1 + 1e-5) or make is lbfgs  # clipped
    assert list(seen.log.lr.value[[4, 5, 10]] / seen.log.lr.value[0]) == [1, 0.5, 0.25]


def test_what_is_wrapped_is_put_back_whatever_happens():
    backward, scale = torch.autograd.backward, torch.amp.GradScaler.scale
    model = network()
    optimizer = sgd(model)
    with watch(model, optimizer):
        assert torch.autograd.backward is not backward
    with pytest.raises(ValueError, match="batch_size"), watch(model, optimizer):
        cross_entropy(model(torch.ones(2, 6)), torch.ones(3).long()).backward()
    one, other = watch(model, optimizer), watch(model, optimizer)
    one.close(), other.close(), one.close()
    assert torch.autograd.backward is backward
    assert torch.amp.GradScaler.scale is scale
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_model_is_saved_and_copied_while_it_is_watched():
    model = network()
    with watch(model, sgd(model)):
        torch.save(model, io.BytesIO())
        copy.deepcopy(model)


def plainly(model, optimizer, steps, order="first", noise=0.0):
    """A plain loop with zero_grad first, after the forward pass, or nowhere."""
    for x, y in batches(steps):
        if order == "first":
            optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        if order == "behind":
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("order", ["first", "behind", "nowhere"])
def test_a_forgotten_zero_grad_is_found_and_none_is_where_it_stands_behind_the_forward_pass(order):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer) as watched:
        plainly(model, optimizer, 10, order)
    said = "9 of 10 steps added their gradients to those of the step before, first step 1"
    assert (said in unwrapped(watched.report())) == (order == "nowhere")


def test_other_optimizers_and_losses_of_others_do_not_count():
    """Two nets against each other: the loss of the one goes through the other, whose optimizer is watched."""
    torch.manual_seed(0)
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    of_maker, of_judge = (torch.optim.SGD(each.parameters(), 0.1) for each in (maker, judge))
    losses = []
    with watch(judge, of_judge) as watched:
        for _ in range(8):
            z = torch.randn(4, 2)
            of_judge.zero_grad()
            loss = judge(maker(z).detach()).mean() + 0.1 * judge(z).square().mean()
            loss.backward()
            losses.append(loss.item())
            of_judge.step()
            of_maker.zero_grad()
            (-judge(maker(z)).mean()).backward()
            of_maker.step()
            maker(z).square().mean().backward()
    assert watched.steps == 8
    assert watched.log.loss.value == pytest.approx(losses)
    assert "added their gradients" not in unwrapped(watched.report())


def test_the_first_number_that_is_not_finite_is_named_with_its_step():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer) as watched:
        for step, (x, y) in enumerate(batches()):
            if step == 5:
                x[3, 2] = math.nan
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    report = unwrapped(watched.report())
    assert "The loss is nan at step 5: all weights are finite, so look at the batch" in report
    assert "The gradient of 0.weight and 5 more is not finite at step 5." in report
    assert "The weights of 0.weight and 5 more are not finite after step 5." in report
    assert watched.record.status == "diverged"


def test_a_loss_that_breaks_because_weights_did_names_the_weights():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e38)
    with watch(model, optimizer) as watched:
        for _ in range(4):
            optimizer.zero_grad()
            (100 * model(torch.ones(3, 2)).mean()).backward()
            optimizer.step()
    assert "the weights of weight and 1 more are not finite then" in unwrapped(watched.report())


class Drawn(nn.Module):
    """A loss gᵀw whose gradient g is drawn, with a known mean and covariance, and does not depend on w."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(50))
        self.mean = torch.full((50,), 0.2)

    def forward(self):
        return (self.mean + torch.randn(50)) @ self.w


def test_mean_gradient_and_noise_are_estimated_without_bias():
    torch.manual_seed(0)
    model = Drawn()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    rows = []
    for _ in range(300):
        with watch(model, optimizer, floor=None) as watched:
            for _ in range(4):
                optimizer.zero_grad()
                model().backward()
                optimizer.step()
        rows.append(watched.measured[0].row)
    slope, noise = (torch.tensor([row[name] for row in rows]) for name in ("grad_sq", "noise_sq"))
    # |m|² = 50·0.04 = 2, and tr S = 50; within three standard errors.
    assert abs(slope.mean() - 2) < 3 * slope.std() / 300**0.5
    assert abs(noise.mean() - 50) < 3 * noise.std() / 300**0.5
    assert "A step's gradient is mostly noise" in unwrapped(watched.report()) or slope[-1] <= 0


def test_the_gradient_along_depth_and_the_layers_are_those_of_the_doctor():
    x, y = batches(1)[0]
    seen = []
    for doctored in (False, True):
        model = layers()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        watched = Doctor(model, optimizer, overhead=math.inf) if doctored else watch(model, optimizer)  # fmt: skip
        for _ in range(4):
            if isinstance(watched, Doctor):
                watched.step(lambda model=model: cross_entropy(model(x), y))
            else:
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
                assert watched.steps
        if not isinstance(watched, Doctor):
            watched.close()
        seen.append(watched.measured[0])
    ours, doctors = seen
    assert ours.positions == doctors.positions == ["2", "0"]
    assert ours.chain == pytest.approx(doctors.chain)
    for name, numbers in doctors.layers.items():
        for column in ("weight", "step", "step / weight", "dead units"):
            assert ours.layers[name][column] == pytest.approx(numbers[column], nan_ok=True)
    assert ours.row["step_norm"] == pytest.approx(doctors.row["step_norm"])


def test_a_gradient_that_vanishes_along_depth_is_diagnosed():
    torch.manual_seed(0)
    layers = [each for _ in range(12) for each in (nn.Linear(6, 6), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as watched:
        plainly(model, optimizer, 60)
    assert watched.report().verdict.cause == "vanishing_gradient"


def test_dead_units_are_seen_though_the_last_bias_learns():
    model = layers()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as watched:
        plainly(model, optimizer, 8)
    report = watched.report()
    assert report.by_layer["0.weight"]["dead units"] == 1
    assert report.verdict.cause == "no_signal"
    assert "no_signal" not in report.verdict.ruled_out


def test_scaled_gradients_of_a_fused_optimizer_are_unscaled():
    norms = []
    for half in (False, True):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=half)
        with watch(model, optimizer) as watched:
            for x, y in batches():
                optimizer.zero_grad()
                scaler.scale(cross_entropy(model(x), y)).backward()
                scaler.step(optimizer)
                scaler.update()
        norms.append(watched.log.grad_norm.value)
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_a_step_that_the_scaler_skips_does_not_count():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    with watch(model, optimizer) as watched:
        for x, y in batches():
            optimizer.zero_grad()
            scaler.scale(100 * cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert 0 < watched.steps < STEPS
    assert watched.log.loss.value.max() < 1000
    assert torch.isfinite(torch.tensor(watched.log.loss.value)).all()


def test_the_report_says_what_needs_a_closure():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as watched:
        assert "No step of this optimizer was seen" in unwrapped(watched.report())
        plainly(model, optimizer, 40)
    report = unwrapped(watched.report())
    assert "Only doctor.step(closure) shows" in report
    assert "40 values, steps 0 to 39" in report
    assert math.isfinite(watched.report().record.grad_sq[-1])


def test_the_page_says_the_same():
    text = (Path(benchmarks.doctor.__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
    rows = (" | ".join(row) for row in zip_longest(SHOWN, NOT_SHOWN, fillvalue=""))
    assert "\n".join(f"| {row} |".replace("  |", " |") for row in rows) in text


@pytest.mark.parametrize("rate", [0.01, 2.0])
def test_a_step_too_large_shows_itself_where_the_loss_diverges(rate):
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    with watch(model, optimizer) as watched:
        for x, _ in batches(60):
            optimizer.zero_grad()
            (model(x) - x[:, :3]).square().sum(1).mean().backward()
            optimizer.step()
    report = watched.report()
    assert ("step_too_large" in dict(report.verdict.causes)) == (rate > 1)
    assert "doctor.step" not in " ".join(report.to_try)


@pytest.mark.parametrize("decay", [0.7, 1.0])
def test_a_learning_rate_that_decays_too_fast_is_seen(decay):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.001)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    with watch(model, optimizer) as watched:
        for x, y in batches(60):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    assert ("step_too_small" in {each.cause for each in watched.report().run.faults}) == (decay < 1)


def test_a_warm_up_that_is_too_slow_is_seen_and_the_report_says_that_it_can_be():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(1, (done + 1) / 1000))
    with watch(model, optimizer) as watched:
        for step in range(240):
            plainly(model, optimizer, 1)
            if (step + 1) % 16 == 0:
                schedule.step()
    report = watched.report()
    assert report.verdict.cause == "step_too_small"
    shown, _, only = unwrapped(report).partition("Only doctor.step(closure) shows")
    assert "decays too fast or warms up too slowly" in shown
    assert only.lstrip().startswith("constant steps that are too small")


def test_measurements_grow_with_the_logarithm_of_the_steps():
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer) as watched:
        plainly(model, optimizer, 1000)
    assert [each.row["step"] for each in watched.measured][:4] == [0, 4, 8, 12]
    assert 15 <= len(watched.measured) <= 25


def test_an_optimizer_of_another_model_is_refused():
    with pytest.raises(Refused, match="the optimizer holds none of the model's parameters"):
        watch(network(), sgd(network()))


def test_layers_that_are_frozen_in_turn_and_a_rate_that_is_none():
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer) as watched:
        for step, (x, y) in enumerate(batches()):
            for k in (0, 2):
                model[k].requires_grad_(k == step % 4 // 2 * 2)
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watched.steps == STEPS
    assert "Verdict" in unwrapped(watched.report())

    class WithoutRate(torch.optim.Optimizer):
        def step(self):
            pass

    model = layers()
    optimizer = WithoutRate(model.parameters(), {"lr": None})
    with watch(model, optimizer) as watched:
        plainly(model, optimizer, 30)
    assert "The learning rate" not in unwrapped(watched.report())


def test_a_floor_that_a_loss_was_below_is_no_floor_anywhere():
    """A loss below 0 shows that 0 is no lower bound, so the run has not arrived, and its fault is named."""
    reports = []
    for floor in (0.0, None):
        model = layers()
        optimizer = torch.optim.SGD(model.parameters(), 1e-4)
        with watch(model, optimizer, floor=floor) as watched:
            for x, y in batches(40):
                (cross_entropy(model(x), y) - 20).backward()  # gradients are never zeroed
                optimizer.step()
        reports.append(watched.report())
    assert reports[0].run.floor is None
    assert reports[0].verdict.cause == "gradients_not_zeroed"
    assert unwrapped(reports[0]) == unwrapped(reports[1])
