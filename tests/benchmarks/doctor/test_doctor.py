"""The doctor beside a training run: it changes nothing, keeps its time, refuses bad use, and says what to try."""

from __future__ import annotations

import math
import random
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.diagnosis import Verdict
from benchmarks.doctor import Doctor
from benchmarks.doctor.advice import Chart, advice
from benchmarks.doctor.judge import Judgement
from benchmarks.doctor.overhead import Budget, Schedule, Watch
from benchmarks.doctor.report import Report
from optimizers import as_torch
from optimizers.newton_cg import NewtonCG
from ravine import Refused
from tests.benchmarks.doctor.optimizers import adam, lbfgs, sgd
from tests.benchmarks.doctor.reports import unwrapped

STEPS = 12


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(7)
    return [
        (torch.randn(10, 6, generator=generator), torch.randint(3, (10,), generator=generator))
        for _ in range(STEPS)
    ]


def newton(model):
    return as_torch(NewtonCG(), model.parameters())


def train(make, doctored: bool, parts: int = 1, half: bool = False):
    """The weights, buffers, optimizer state and random states after a run; and its doctor."""
    torch.manual_seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002
    model = network()
    optimizer = make(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5) if make is not newton else None
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if half else None
    doctor = Doctor(model, optimizer, overhead=math.inf, scaler=scaler) if doctored else None

    def loss(x, y):
        # A forward pass that draws from all three generators.
        noise = 0.01 * random.random() + 0.01 * np.random.rand()  # noqa: NPY002
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return nn.functional.cross_entropy(model(x + noise), y)

    def clip():
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)

    for x, y in batches():
        closures = [
            lambda x=x, y=y: loss(x, y) for x, y in zip(x.chunk(parts), y.chunk(parts), strict=True)
        ]
        if doctor is not None:
            doctor.step(closures if parts > 1 else closures[0], before_update=clip)
        elif make is newton:
            optimizer.step(closures[0])
        elif make is lbfgs:

            def evaluate(closure=closures[0]):
                optimizer.zero_grad()
                value = closure()
                value.backward()
                return value

            clip()
            optimizer.step(evaluate)
        else:
            optimizer.zero_grad()
            for closure in closures:
                value = closure() / parts if parts > 1 else closure()
                (value if scaler is None else scaler.scale(value)).backward()
            clip()
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
        if schedule is not None:
            schedule.step()
    state = [*model.state_dict().values(), *flat(optimizer.state_dict()["state"])]
    return [*state, torch.rand(3), random.random(), np.random.rand()], doctor, model  # noqa: NPY002


def flat(tree) -> list[torch.Tensor]:
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in flat(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for each in tree for leaf in flat(each)]
    return [tree] if isinstance(tree, torch.Tensor) else []


@pytest.mark.parametrize(
    ("make", "parts", "half"),
    [(sgd, 1, False), (adam, 1, False), (sgd, 2, False), (sgd, 1, True), (lbfgs, 1, False), (newton, 1, False)],
    ids=["sgd", "adam", "accumulated", "mixed precision", "lbfgs", "newton_cg"],
)  # fmt: skip
def test_the_run_is_bitwise_that_without_a_doctor(make, parts, half):
    """With dropout, batch norm, momentum, groups, a schedule, clipping, and all random generators in use."""
    plain, _, _ = train(make, False, parts, half)
    ours, doctor, model = train(make, True, parts, half)
    assert doctor is not None
    assert len(doctor.measured) >= 2
    assert "lambda_max" in doctor.measured[0].row
    assert len(plain) == len(ours)
    for one, other in zip(plain, ours, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert not any(each._forward_hooks for each in model.modules())
    assert all(torch.isfinite(each.grad).all() for each in model.parameters() if each.grad is not None)  # fmt: skip


def test_mixed_precision_measures_the_loss_itself_and_not_the_scaled_one():
    _, exact, _ = train(sgd, True)
    _, half, _ = train(sgd, True, half=True)
    assert exact is not None
    assert half is not None
    # bfloat16 has three digits.
    for name in ("loss", "step_norm"):
        assert half.measured[0].row[name] == pytest.approx(exact.measured[0].row[name], rel=0.1)
    assert half.measured[0].seen["g_s"] == pytest.approx(exact.measured[0].seen["g_s"], rel=0.2)


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


class Detached(torch.autograd.Function):
    """A backward that leaves autograd: nothing fails, and the second derivative is without it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0].detach() * slope


class Refuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.square()

    @staticmethod
    def backward(ctx, slope):
        if torch.is_grad_enabled():
            raise NotImplementedError("the derivative for 'refuses' is not implemented")
        return slope


def doctored(function) -> Doctor:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    doctor = Doctor(model, optimizer, overhead=math.inf)
    for x, _ in batches():
        doctor.step(lambda x=x: function(model(x[:, :3])).square().mean())
    return doctor


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (OnceDifferentiable, "the gradient does not change as its derivative says"),
        (Detached, "the gradient does not change as its derivative says"),
        (Refuses, "the derivative for 'refuses' is not implemented"),
    ],
)
def test_without_second_derivatives_it_says_so_and_goes_on(function, why):
    """A part of the network that has none is found even where nothing fails."""
    doctor = doctored(function.apply)
    assert doctor.first_order_only == why
    for measured in doctor.measured:
        assert math.isnan(measured.row["g_h_g"])
        assert not {"lambda_max", "s_h_s", "decrease"} & {*measured.row}
    assert doctor.measured[0].row["noise_sq"] > 0
    assert f"first-order evidence alone: {why}" in unwrapped(doctor.report())


def test_a_curvature_that_does_not_fit_into_memory_ends_no_training(monkeypatch):
    def ritz(*given):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate much")

    monkeypatch.setattr("benchmarks.doctor.measurement.ritz", ritz)
    doctor = doctored(torch.square)
    assert doctor.first_order_only == "CUDA out of memory."
    assert doctor.measured[-1].row["noise_sq"] > 0


def test_second_derivatives_that_are_right_are_not_doubted():
    assert doctored(torch.square).first_order_only is None


# Its time.


@pytest.mark.parametrize("price", [3.0, 500.0])
def test_measuring_is_held_to_its_share_of_the_gradients(price):
    """Measurements of `price` gradients wherever one is affordable, and a loan of 250."""
    budget, taken = Budget(overhead=0.1, allowance=250.0, seconds=60.0), 0
    for step in range(20_000):
        began = budget.start(step)
        if budget.affords("full", guess=price):
            budget.spend("full", price)
            budget.close("full")
            taken += 1
        assert budget.spent <= 250.0 + 0.1 * budget.training
        budget.end(began, 0.0, 1.0)
    assert taken == pytest.approx((250.0 + 0.1 * 20_000) / price, abs=1.01)


def test_the_clock_caps_measuring_and_the_first_time_is_kept(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    budget = Budget(overhead=0.1, allowance=1e9, seconds=2.0)
    for step in range(100):
        began = budget.start(step)
        measures = budget.affords("full", guess=1.0)
        now += 1.0 if measures else 0.5
        budget.end(began, 0.5, 1.0)
        assert budget.seconds_spent <= 2.0 + 0.1 * now + 0.5
    assert budget.capped is not None
    assert Budget(overhead=0.1, allowance=0.0, seconds=0.0).affords("full", guess=0.0)


def test_a_schedule_is_even_on_a_logarithmic_axis():
    schedule, taken = Schedule(8), []
    for step in range(10_001):
        if schedule.due(step):
            schedule.done(step)
            taken.append(step)
    assert taken[:3] == [0, 1, 2]
    assert len([step for step in taken if 100 < step <= 1000]) == 8
    assert len([step for step in taken if 1000 < step <= 10_000]) == 8


def test_what_happens_is_seen():
    def events(losses, norms) -> list[int]:
        watch = Watch()
        return [k for k, (f, g) in enumerate(zip(losses, norms, strict=True)) if watch.event(k, [f], g)]  # fmt: skip

    falling = [math.exp(-k / 100) for k in range(300)]
    calm = [1.0] * 300
    assert events(falling, calm) == []
    assert events([*falling[:200], 5.0, *falling[201:]], calm) == [200]
    assert events(falling, [*calm[:150], 11.0, *calm[151:]]) == [150]
    level = [max(each, 0.5) for each in falling]
    (stall,) = events(level, calm)
    # 70 steps until it is level, a few that smoothing takes, and a quarter of the run, 50 steps at least.
    assert 120 < stall < 190


def test_a_jump_between_two_looks_is_seen_at_the_second():
    watch = Watch()
    for step in range(100):
        assert not watch.event(step, [1.0 - step / 200], 1.0)
    assert watch.event(103, [0.5, 9.0, 0.5, 0.5], 1.0)
    assert watch.jumped == [103]


@pytest.mark.parametrize("at", [1600, 1607])  # a step that is looked at, and one between two looks
def test_a_late_loss_that_is_not_finite_is_dated(at: int):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 1e-3), allowance=0.0, trials=False)
    for step in range(at + 1):
        factor = math.nan if step == at else 1.0
        doctor.step(lambda factor=factor: factor * model(torch.ones(3, 2)).square().mean())
    assert doctor.not_finite is not None
    assert doctor.not_finite.step == at


def test_between_looks_a_step_is_that_of_the_plain_loop():
    def trained(with_doctor: bool) -> tuple[list[float], torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
        doctor = Doctor(model, optimizer) if with_doctor else None
        losses = []
        for _ in range(1200):
            x = torch.randn(4, 3)

            def clip():
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)

            if doctor is not None:
                loss = doctor.step(lambda x=x: model(x).square().mean(), before_update=clip)
            else:
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                clip()
                optimizer.step()
            losses.append(loss.item())
        return losses, model.weight.detach()

    (losses, weight), (expected, reference) = trained(True), trained(False)
    assert losses == expected
    assert torch.equal(weight, reference)


def test_what_is_kept_grows_with_the_logarithm_of_steps():
    model = nn.Linear(2, 1)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 1e-3), overhead=math.inf)
    counts = {}
    for step in range(1, 1001):
        doctor.step(lambda: model(torch.ones(3, 2)).square().mean())
        counts[step] = len(doctor.measured)
    assert counts[1000] - counts[100] <= 8 + 10  # scheduled, and on events
    assert not any(isinstance(value, torch.Tensor) for value in vars(doctor.measured[0]).values())


# Bad use.


def simple():
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), 0.1)


def after_one_good_step(closure):
    model, optimizer = simple()
    doctor = Doctor(model, optimizer, overhead=math.inf)
    doctor.step(lambda: model(torch.ones(1, 2)).sum())
    doctor.step(closure)


def with_a_weight_that_is_nan():
    model, optimizer = simple()
    nn.init.constant_(model.bias, math.nan)
    Doctor(model, optimizer).step(lambda: model(torch.ones(1, 2)).sum())


def in_evaluation_mode():
    model, optimizer = simple()
    Doctor(model.eval(), optimizer).step(lambda: model(torch.ones(1, 2)).sum())


def with_a_closure_that(closure):
    model, optimizer = simple()
    Doctor(model, optimizer, overhead=math.inf).step(lambda: closure(model))


def goes_backward(model):
    loss = model(torch.ones(1, 2)).square().sum()
    loss.backward()
    return loss


def draws_its_own_batch():
    stream = iter(torch.arange(1.0, 9.0))
    with_a_closure_that(lambda model: model(torch.ones(1, 2)).square().sum() + next(stream))


def without_gradients():
    model, optimizer = simple()
    Doctor(model.requires_grad_(False), optimizer)


def of_another_model():
    Doctor(nn.Linear(2, 1), simple()[1])


def that_climbs():
    model = nn.Linear(2, 1)
    Doctor(model, torch.optim.SGD(model.parameters(), 0.1, maximize=True))


def with_a_loss_from_outside():
    model, optimizer = simple()
    loss = model(torch.ones(1, 2)).sum()
    doctor = Doctor(model, optimizer)
    for _ in range(2):
        doctor.step(lambda: loss)


def with_a_negative_overhead():
    Doctor(*simple(), overhead=-1.0)


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        (lambda: after_one_good_step(None), r"step\(\) needs a closure, or several, .* was given None"),
        (lambda: after_one_good_step(torch.ones(())), "was given a loss"),
        (lambda: after_one_good_step([]), r"was given \[\]"),
        (lambda: with_a_closure_that(lambda model: model(torch.ones(3, 2))), r"tensor of shape \(3, 1\)"),
        (lambda: with_a_closure_that(lambda model: 1.0), "returned 1.0"),
        (lambda: with_a_closure_that(lambda model: model(torch.ones(1, 2)).sum().detach()), "has no graph"),
        (lambda: with_a_closure_that(lambda model: model(torch.full((1, 2), math.inf)).sum()),
         r"the first loss is -?(inf|nan): the weights are finite"),
        (with_a_weight_that_is_nan, "the first loss is nan: bias is not finite"),
        (lambda: with_a_closure_that(goes_backward), "not call backward"),
        (with_a_loss_from_outside, "returned the loss of an earlier call: compute it inside the closure"),
        (lambda: with_a_closure_that(lambda model: {"logits": model(torch.ones(1, 2)), "states": ()}),
         r"returned a dict without a loss, but with logits, states: give the model its labels"),
        (lambda: with_a_closure_that(lambda model: dict.fromkeys(range(999))), r"with 0, 1, .* \[\.\.\.\]: give"),
        (lambda: with_a_closure_that(lambda model: ["text"] * 999), "returned \\['text', 'text', .*\\.\\.\\.\\]"),
        (draws_its_own_batch, "take the next batch outside of it"),
        (in_evaluation_mode, r"call model.train\(\)"),
        (without_gradients, "no parameter of the model requires gradients"),
        (of_another_model, "holds none of the model's parameters"),
        (that_climbs, "minimize -loss"),
        (with_a_negative_overhead, "overhead is -1.0"),
    ],
)  # fmt: skip
def test_bad_use_gets_one_clear_sentence(misuse, said):
    with pytest.raises(Refused, match=said) as refusal:
        misuse()
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("outputs", [dict, OrderedDict])
def test_outputs_with_a_loss_are_understood_as_models_of_transformers_return_them(outputs):
    x, rows = torch.ones(3, 2), []
    for wraps in (lambda loss: loss, lambda loss: outputs(logits=x, loss=loss)):
        torch.manual_seed(0)
        model, optimizer = simple()
        doctor = Doctor(model, optimizer, overhead=math.inf)
        for _ in range(5):
            doctor.step(lambda model=model, wraps=wraps: wraps(model(x).square().mean()))
        rows.append(doctor.measured[0].row)
    assert rows[0] == rows[1]


# What it says.


@pytest.fixture(scope="module")
def doctor() -> Doctor:
    """Of a run whose layers have names that a browser would read."""
    torch.manual_seed(0)
    names = {"<b>one</b>": nn.Linear(6, 8), "relu": nn.ReLU(), "two": nn.Linear(8, 3)}
    model = nn.Sequential()
    for name, module in names.items():
        model.add_module(name, module)
    found = Doctor(model, torch.optim.SGD(model.parameters(), 0.1), overhead=math.inf)
    x, y = batches()[0]
    for _ in range(40):
        found.step(lambda: nn.functional.cross_entropy(model(x), y))
    return found


def test_a_report(doctor):
    report = doctor.report()
    text = str(report)
    assert text.startswith("Verdict: ")
    assert "40 steps, " in text
    assert "measuring took" in text and "Its cost is not limited (overhead=inf)." in text
    assert {"cause", "test", "formula", "value", "threshold", "holds", "source"} == {*report.frame}
    assert list(report.layers.index) == ["<b>one</b>.weight", "<b>one</b>.bias", "two.weight", "two.bias"]  # fmt: skip
    assert report.chain is not None
    assert list(report.chain.index) == ["two", "<b>one</b>"]


def chart(doctor: Doctor, **columns) -> Chart:
    import dataclasses

    changed = {name: np.array([value]) for name, value in columns.items()}
    record = dataclasses.replace(doctor.record, **changed)
    return Chart(record, doctor.measured, doctor.usual_norm)


def said(cause: str, given: Chart) -> str:
    (text,) = advice(Judgement(Verdict(cause, ((cause, 1.0),), (), (), ()), (), {}, {}), given)
    return text


def test_the_rate_at_which_r_is_a_half_makes_it_a_half():
    """On a quadratic r is proportional to the rate; q forbids nothing here, since r never is above 2q."""

    def measured(lr: float) -> Chart:
        x = nn.Parameter(torch.tensor([1.0, 1.0]))
        model = nn.ParameterList([x])
        doctor = Doctor(model, torch.optim.SGD([x], lr), overhead=math.inf)
        for _ in range(4):
            doctor.step(lambda: 0.5 * (torch.tensor([4.0, 4.0]) * x.square()).sum())
        return Chart(doctor.record, doctor.measured, math.nan)

    first = measured(0.45)
    assert first.ratio == pytest.approx(0.9, rel=1e-5)
    assert measured(first.calmer).ratio == pytest.approx(0.5, rel=1e-5)
    assert f"a learning rate of {first.calmer:.2g} " in said("step_too_large", first)


def test_numbers_in_what_to_try(doctor):
    noisy = chart(doctor, noise_h=12.0, g_h_g=3.0, g_s=-1.0, s_h_s=4.0)
    assert "batches 4 times as large" in said("noise", noisy)
    assert "learning rate of 0.025 " in said("noise", noisy)
    assert f"at norm {doctor.usual_norm:.2g}, the running median" in said("cliff", chart(doctor))
    assert "kick along negative curvature (-2; it takes 5 steps" in said(
        "saddle", chart(doctor, lambda_min=-2.0)
    )


def test_every_cause_has_something_to_try(doctor):
    from benchmarks.diagnosis import CAUSES

    for cause in CAUSES:
        assert said(cause, chart(doctor))
    assert advice(Judgement(Verdict("healthy", (), (), (), ()), (), {}, {}), chart(doctor)) == []


def test_vanishing_and_dead_units_name_the_layer():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    nn.init.constant_(model[0].bias, -100.0)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 0.1), overhead=math.inf)
    for _ in range(4):
        doctor.step(lambda: (model(torch.ones(1, 2)) - 1).square().sum())
    given = Chart(doctor.record, doctor.measured, doctor.usual_norm)
    assert "No gradient reaches 0.weight (100% of its units)" in said("no_signal", given)
    assert "At layer 0 the gradient is 0 times what it is at layer 2" in said(
        "vanishing_gradient", given
    )


def test_a_report_without_measurements():
    model, optimizer = simple()
    doctor = Doctor(model, optimizer, overhead=0.0, allowance=0.0)
    doctor.step(lambda: model(torch.ones(1, 2)).sum())
    report = doctor.report()
    assert isinstance(report, Report)
    assert "No curvature was measured" in unwrapped(report)
