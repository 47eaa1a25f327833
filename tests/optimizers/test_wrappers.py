"""Schedules, averaging and adaptive clipping around any optimizer, and the names that wrap."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch
from torch.optim import lr_scheduler

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from optimizers import OPTIMIZERS, NotApplicable
from optimizers.adam import Adam
from optimizers.adopted import shaped
from optimizers.average import Average
from optimizers.clip import AdaptiveClip, Clip
from optimizers.cosine import Cosine
from optimizers.damped_newton import DampedNewton
from optimizers.decay import Decay
from optimizers.momentum import Momentum
from optimizers.registry import WRAPPERS
from optimizers.schedule import Schedule
from optimizers.sgd import SGD
from optimizers.warmup import Warmup
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.modifiers import noisy
from ravine import Refused

STEPS = 50
SHAPES = ((2, 1), (1,))  # of three numbers: some methods need a matrix
# Each schedule of torch for an optimizer of torch, as it is made for a run of STEPS steps.
SCHEDULES = {
    "decay": lambda each: lr_scheduler.LinearLR(each, 1.0, 0.0, total_iters=STEPS),
    "cosine": lambda each: lr_scheduler.CosineAnnealingLR(each, T_max=STEPS, eta_min=0),
    "warmup": lambda each: lr_scheduler.LinearLR(each, start_factor=0.01, total_iters=STEPS // 10),
    "warmup+cosine": lambda each: lr_scheduler.ChainedScheduler(
        [SCHEDULES["warmup"](each), SCHEDULES["cosine"](each)]
    ),
    "warmup+decay+cosine": lambda each: lr_scheduler.ChainedScheduler(
        [SCHEDULES[name](each) for name in ("warmup", "decay", "cosine")]
    ),
}
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


def torch_path(method, data, clip=None, average=None, schedule=None, **values):
    """What torch does with one run after the other, on the valley: (steps + 1, instances, 1, dim)."""
    from benchmarks.checks.walks import smooth_valley

    paths = []
    for k, start in enumerate(data["start"][:, 0]):
        own = {name: each[k : k + 1] for name, each in data.items()}
        x = torch.nn.Parameter(start.clone())
        optimizer = method([x], **values)
        scheduler = None if schedule is None else SCHEDULES[schedule](optimizer)
        norms, points, mean = [], [start], []
        for t in range(STEPS):
            optimizer.zero_grad()
            smooth_valley(x.view(1, 1, -1), own).sum().backward()
            assert x.grad is not None
            if clip is not None:
                norms.append(x.grad.norm())
                torch.nn.utils.clip_grad_norm_([x], torch.stack(norms).quantile(clip).item())
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            mean = [*mean, x.detach().clone()] if average is None or t / STEPS >= average else []
            points.append(
                x.detach().clone() if average is None or not mean else torch.stack(mean).mean(0)
            )
        paths.append(torch.stack(points))
    return torch.stack(paths, dim=1).unsqueeze(2)


@pytest.mark.parametrize(
    ("inner", "method", "values"),
    [
        (SGD(0.7), torch.optim.SGD, {"lr": 0.7}),
        (Momentum(0.02), torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
        (Adam(0.05), torch.optim.Adam, {"lr": 0.05}),
    ],
)
def test_around_a_namesake_of_torch(walk, draw, valley, inner, method, values):
    """Schedules are torch's, the average that of the iterates, the threshold a quantile of the norms."""
    data = draw()
    wrapped = [
        (Average(inner, burn_in=0.4), {"average": 0.4}),
        (AdaptiveClip(inner, quantile=0.3), {"clip": 0.3}),
        (Average(Cosine(inner), burn_in=0.4), {"average": 0.4, "schedule": "cosine"}),
        (Warmup(AdaptiveClip(inner, 0.3)), {"clip": 0.3, "schedule": "warmup"}),
    ]
    wrapped += [(_wrapped(inner, name), {"schedule": name}) for name in SCHEDULES]
    plain = walk(inner, valley, data, steps=STEPS).points
    for optimizer, said in wrapped:
        ours = walk(optimizer, valley, data, steps=STEPS).points
        assert_close(ours, torch_path(method, data, **said, **values))
        assert not torch.allclose(ours, plain)


def _wrapped(inner, names):
    for name in names.split("+"):
        inner = WRAPPERS[name].around(inner)
    return inner


@pytest.mark.parametrize("start", [0.01, 1 / 3, 1.0])
def test_a_warmup_has_its_own_share_of_the_budget_and_its_own_start(walk, draw, valley, start):
    data = draw()
    ours = walk(Warmup(SGD(0.1), warmup=0.6, warmup_start=start), valley, data, steps=STEPS).points
    x = torch.nn.Parameter(data["start"].clone())
    optimizer = torch.optim.SGD([x], lr=0.1)
    scheduler = lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=3 * STEPS // 5)
    for t in range(STEPS):
        assert_close(ours[t], x.detach())
        optimizer.zero_grad()
        valley(x, data).sum().backward()
        optimizer.step()
        scheduler.step()
    assert_close(ours[STEPS], x.detach())


@pytest.mark.parametrize("name", list(WRAPPERS))
def test_a_batch_of_a_wrapped_optimizer_is_its_runs(walk, draw, valley, name):
    optimizer, data = OPTIMIZERS[f"momentum+{name}"], draw()
    values = {"lr": [0.003, 0.01, 0.03]}
    values |= {
        each: [0.2, 0.5, 0.9] for each in ("threshold", "quantile") if each in optimizer.space
    }
    tensors = {
        each: torch.tensor(given, dtype=torch.float64).unsqueeze(-1)
        for each, given in values.items()
    }
    together = walk(optimizer.batched(tensors), valley, data, trials=3, steps=20)
    for trial in range(3):
        alone = optimizer.replace(**{each: given[trial] for each, given in values.items()})
        single = walk(alone, valley, data, steps=20)
        assert_close(together.points[:, :, trial], single.points[:, :, 0])
        assert torch.equal(together.prices[:, :, trial], single.prices[:, :, 0])
        assert (single.prices == 1).all()  # wrapping costs nothing


@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_every_optimizer_can_be_wrapped_or_is_refused_in_a_line(walk, draw, valley, wrapper):
    """Refused are only rates that are not there, and hyperparameters that would be there twice."""
    scheduled = isinstance(WRAPPERS[wrapper], Schedule)
    for name, inner in OPTIMIZERS.items():
        clash = inner.hyperparameters.keys() & WRAPPERS[wrapper].own.keys()
        if clash or (scheduled and "lr" not in inner.hyperparameters):
            with pytest.raises(Refused, match=r"^\w+ cannot wrap .*$"):
                OPTIMIZERS.find(f"{name}+{wrapper}")
            assert not clash or isinstance(inner, Clip)
            continue
        optimizer = OPTIMIZERS[f"{name}+{wrapper}"]
        assert len(optimizer.space) <= 2
        try:
            points = walk(shaped(optimizer, SHAPES), valley, draw(), steps=5).points
        except NotApplicable:
            assert inner.role == "oracle"
            continue
        assert points.isfinite().all()
        assert name == "idle" or not torch.equal(points[-1], points[0])


def test_adaptive_clipping_forgets_what_is_older_than_its_window(walk, start):
    """The norms fall by halves; with a window of two, the lower quantile is this step's norm."""
    data = start(8.0)

    def bowl(x, data):
        return 0.5 * x.square().sum(-1)

    low = walk(AdaptiveClip(SGD(0.5), quantile=0.0, window=2), bowl, data, steps=3)
    assert low.points.flatten().tolist() == pytest.approx([8.0, 4.0, 2.0, 1.0])
    # The smallest norm of two is this step's while they fall; a norm that rises is held to the last.
    norms, _, _ = low.state
    assert norms.flatten().tolist() == pytest.approx([4.0, 2.0], rel=1e-6)
    rising = walk(
        AdaptiveClip(SGD(0.5), quantile=0.0, window=2), lambda *given: -bowl(*given), data, steps=4
    )
    lengths = rising.points.flatten().diff()
    assert lengths.tolist() == pytest.approx([4.0, 4.0, 6.0, 8.0], rel=1e-6)


@pytest.mark.parametrize(("slope", "share"), [(1.0, 1.0), (1e-6, 0.5), (1e-8, 1 / 101)])
def test_the_quantile_1_clips_nothing_but_tiny_gradients(walk, start, slope, share):
    """Clipping a gradient at its own norm, as torch does it, multiplies it by |g|/(|g| + 1e-6)."""
    clip = AdaptiveClip(SGD(1.0), quantile=1.0)
    points = walk(clip, lambda x, data: slope * x.sum(-1), start(0.0), steps=3).points.flatten()
    assert (points / slope).tolist() == pytest.approx([0, -share, -2 * share, -3 * share], rel=2e-6)


@pytest.mark.parametrize("window", [1, 4, 7])
def test_adaptive_clipping_has_the_quantile_of_its_last_norms(window):
    """A gradient of any length, some of them alike; the ordered norms are those of the window, sorted anew."""
    lengths = iter([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0, 9.0, 7.0, 9.0])
    clip, state = AdaptiveClip(SGD(1.0), quantile=0.3, window=window), None
    seen = []
    for length in lengths:
        gradient = torch.tensor([[[length]], [[2 * length]]], dtype=torch.float64)
        oracle = SimpleNamespace(x=gradient, gradient=gradient, alive=None, normal=None)
        state = clip.init(gradient) if state is None else state
        step, state = clip.update(oracle, state)
        seen.append(gradient)
        last = torch.cat(seen[-window:], dim=-1)
        norms, ordered, _ = state
        assert torch.equal(norms, last) and torch.equal(ordered, last.sort(-1).values)
        threshold = last.quantile(0.3, dim=-1, keepdim=True)
        torch.testing.assert_close(-step, torch.minimum(gradient, threshold), rtol=1e-5, atol=0)


def test_names_wrap_from_the_inside_out():
    assert OPTIMIZERS["adam+clip+decay"] == Decay(Clip(Adam()))
    assert OPTIMIZERS["sgd+clip"] == OPTIMIZERS["clipped_sgd"]
    assert "sgd+clip" not in list(OPTIMIZERS)
    assert OPTIMIZERS["momentum+clip_by_value"].hyperparameters["by"] == "value"
    assert OPTIMIZERS["adam+warmup+cosine"] == Cosine(Warmup(Adam()))
    for name, message in (
        ("adam+dekay", "unknown wrapper 'dekay' in 'adam+dekay': did you mean decay"),
        ("adan+decay", "unknown optimizer 'adan': did you mean adam"),
        (
            "damped_newton+decay",
            r"Decay cannot wrap DampedNewton\(.*\): it has no learning rate",
        ),
        ("damped_newton+cosine", "Cosine cannot wrap .* it has no learning rate"),
        ("sgd+warmup+warmup", "Warmup cannot wrap .* both have a warmup"),
        ("sgd+clip+clip", "both have a"),
    ):
        with pytest.raises(Refused, match=message.replace("+", r"\+")):
            OPTIMIZERS.find(name)


def test_what_is_searched_is_the_first_of_the_inner_and_the_wrappers_own():
    assert list(Decay(Momentum()).space) == ["lr", "momentum"]
    assert list(AdaptiveClip(DampedNewton()).space) == ["damping", "quantile"]
    assert Decay(SGD()).replace(lr=0.3).hyperparameters["lr"] == 0.3


def test_a_falling_rate_and_a_mean_beat_a_constant_rate_under_noise():
    """At one and the same rate, noise leaves SGD a gap that neither of the two has."""
    problem = NoisyQuadratic()
    instances = Instances(problem, tuple(map(str, range(5))))
    gaps = {}
    for name in ("sgd", "sgd+decay", "sgd+average"):
        optimizer = OPTIMIZERS[name].replace(lr=0.5)
        outcome = run(optimizer, instances, trials=1, budget=1000, record=False)
        gaps[name] = outcome.numbers["gap_final"].median().item()
    assert gaps["sgd+decay"] < 0.3 * gaps["sgd"]
    assert gaps["sgd+average"] < 0.3 * gaps["sgd"]


def test_an_average_is_taken_of_what_delayed_gradients_lead_to():
    """The memory of a corrupted gradient goes on, although the gradients are asked for elsewhere."""
    problem = noisy(NoisyQuadratic(), "delayed", 3.0)
    instances = Instances(problem, ("a",))
    gaps = [
        run(method, instances, trials=1, budget=36, record=False).numbers["gap_final"].item()
        for method in (
            SGD(0.01),
            Average(SGD(0.01), burn_in=0.999),
            Average(SGD(0.01), burn_in=0.0),
        )
    ]
    assert gaps[1] == pytest.approx(gaps[0], rel=1e-9)  # the mean has not begun
    assert gaps[2] > gaps[0]  # old points are dragged along
