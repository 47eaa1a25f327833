"""Adopted classes: their hyperparameters, their unit, and their freedom to be as they are."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch.optim import lr_scheduler

from optimizers import NotApplicable, log
from optimizers.adam import Adam
from optimizers.adopted import Adopted, shaped
from optimizers.average import Average
from optimizers.clip import AdaptiveClip, Clip
from optimizers.cosine import Cosine
from optimizers.decay import Decay
from optimizers.momentum import Momentum
from optimizers.optimizer import Fault, RunAgain
from optimizers.sgd import SGD
from optimizers.signature import default_hyperparameters
from optimizers.warmup import Warmup
from ravine import Refused

SHAPES = ((2, 3), (), (3,), (2, 1))  # 12 numbers
# The same formula in another order of operations, in float64.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


class Descent(torch.optim.Optimizer):
    """As users write it: no annotations, a rate that must be given, arguments of any kind."""

    def __init__(
        self, params, lr, decay=0, steps=5, name="plain", sizes=(1.0, 2.0), hook=None, *, flag=False
    ):
        if lr < 0:
            raise ValueError(f"Invalid learning rate: {lr}\nin two lines")
        super().__init__(params, {"lr": lr, "decay": decay})

    def step(self, closure=None):  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


class Replacing(Descent):
    """Gives its parameters new memory, and spoils their gradients."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.mul_(-group["lr"])
                p.data = p.data + p.grad
                p.grad = None


class Faulty(torch.optim.SGD):
    def step(self, closure=None):
        undefined  # type: ignore[name-defined] # noqa: B018, F821


class Coupled(Descent):
    """A step along g / |g| of all parameters: a number depends on all others."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            norm = torch.cat([p.grad.flatten() for p in group["params"]]).norm()
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad / norm)


class Leaf(torch.optim.SGD):
    """Lacks torch.no_grad(), as first attempts do; nothing raises because of it."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad


def test_hyperparameters_are_read_from_the_signature():
    own = {"lr": None, "decay": 0.0, "steps": 5, "name": "plain", "sizes": (1.0, 2.0)}
    assert default_hyperparameters(Descent) == {**own, "hook": None, "flag": False}
    numbers = {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}
    words = {"nesterov": False, "maximize": False}
    assert default_hyperparameters(torch.optim.SGD) == {**numbers, **words}
    assert isinstance(default_hyperparameters(torch.optim.LBFGS)["lr"], float)
    assert isinstance(default_hyperparameters(torch.optim.LBFGS)["max_iter"], int)


def test_what_has_no_default_must_be_given(walk, start, draw, valley):
    adopted = Adopted(Descent)
    assert adopted.missing_defaults == ("lr",)
    assert adopted.space == {"lr": log(1e-5, 1e1, "length/gradient")}
    with pytest.raises(Refused, match=r"Descent\.lr has no default"):
        adopted.init(torch.zeros(1, 1, 2))
    given = adopted.replace(lr=0.1)
    assert given.missing_defaults == ()
    points = walk(given, lambda x, data: 0.5 * x.square().sum(-1), start(1.0), steps=2).points
    assert points.flatten().tolist() == pytest.approx([1.0, 0.9, 0.81])
    rates = {"lr": torch.tensor([[0.1], [0.2]], dtype=torch.float64)}
    assert walk(adopted.batched(rates), valley, draw(), trials=2, steps=1).points.isfinite().all()


def test_given_values_replace_defaults():
    adopted = Adopted(torch.optim.SGD, {"momentum": 0.9}).replace(lr=0.5)
    assert adopted.hyperparameters["momentum"] == 0.9
    assert adopted.hyperparameters["lr"] == 0.5
    assert repr(adopted) == "SGD(momentum=0.9, lr=0.5)"


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        (torch.optim.SGD, {"lr": -1.0}, "SGD cannot be used: Invalid learning rate: -1.0"),
        (torch.optim.SGD, {"nesterov": True}, "Nesterov momentum requires"),
        (torch.optim.SGD, {"momentun": 0.9}, "did you mean momentum"),
        (torch.optim.Adam, {"lr": "fast"}, "Adam cannot be used: TypeError"),
        (torch.optim.Muon, {"lr": -1.0}, "Learning rate should be >= 0"),
        (torch.optim.Muon, {"ns_steps": 1000}, "Muon cannot be used: Number of steps must be less"),
        (Descent, {"lr": -1.0}, "Invalid learning rate: -1.0 in two lines"),
    ],
)
def test_refuses_in_one_line(method, values, message):
    with pytest.raises(Refused) as refusal:
        Adopted(method, values)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("values", [{}, {"lr": 0.1}])
@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Faulty,
            r"NameError: name 'undefined' is not defined \(test_adopted.py:\d+; given parameter of s",
        ),
        (
            Leaf,
            r"RuntimeError: a leaf Variable that requires grad .*: write @torch.no_grad\(\) above `s",
        ),
    ],
)
def test_a_class_that_fails_whatever_its_values_has_a_fault(method, values, message):
    with pytest.raises(Fault, match=f"^{message}"):
        Adopted(method, values).init(torch.zeros(1, 1, 3))


@pytest.mark.parametrize(
    ("method", "unit"),
    [
        ("ASGD", "length/gradient"),
        ("Adadelta", "length"),
        ("Adafactor", "none"),
        ("Adagrad", "length"),
        ("AdamW", "length"),
        ("Adamax", "length"),
        ("LBFGS", "none"),
        ("NAdam", "length"),
        ("RAdam", "length"),
        ("Rprop", "length"),
    ],
)
def test_unit_of_the_learning_rate(method, unit):
    adopted = Adopted(getattr(torch.optim, method))
    assert adopted.space["lr"].unit == unit
    assert adopted.space["lr"].high == (2.0 if unit == "none" else 1e1)


def test_a_class_may_replace_memory_and_spoil_gradients(walk, draw, valley):
    data = draw()
    plain, replacing = (
        walk(Adopted(method, {"lr": 0.01}), valley, data, trials=2, steps=50).points
        for method in (Descent, Replacing)
    )
    torch.testing.assert_close(replacing, plain)


class Frozen:
    """An oracle whose point never moves."""

    def __init__(self, x):
        self.x = x
        self.gradient = torch.ones_like(x)
        self.alive = torch.ones(x.shape[:-1], dtype=torch.bool)


@pytest.mark.parametrize("method", [Descent, Replacing, torch.optim.SGD])
def test_begins_each_step_where_the_run_is(method):
    """A run may be frozen, or its point projected, whatever the instance would have liked."""
    adopted = Adopted(method, {"lr": 0.5})
    oracle = Frozen(torch.zeros(2, 2, 3, dtype=torch.float64))
    state = adopted.init(oracle.x)
    for _ in range(3):
        step, state = adopted.update(oracle, state)  # type: ignore[arg-type]
        assert torch.equal(step, torch.full_like(step, -0.5))
    assert torch.equal(oracle.x, torch.zeros_like(oracle.x))
    assert torch.equal(oracle.gradient, torch.ones_like(oracle.x))


def test_hooks_are_called():
    called = []

    class Hooked(torch.optim.SGD):
        def __init__(self, params, lr=0.5):
            super().__init__(params, lr)
            self.register_step_post_hook(lambda *_: called.append("own"))

    for method, expected in ((Hooked, ["own"] * 4), (torch.optim.SGD, [])):
        adopted = Adopted(method)
        oracle = Frozen(torch.zeros(2, 2, 3, dtype=torch.float64))
        state = adopted.init(oracle.x)
        called.clear()
        adopted.update(oracle, state)  # type: ignore[arg-type]
        assert called == expected


def test_each_run_has_its_own_value(walk, draw, valley):
    """Searched are any two numbers, not the learning rate alone."""
    data = draw()
    columns = {
        "lr": torch.tensor([[0.01], [0.02], [0.03]], dtype=torch.float64),
        "momentum": torch.tensor([[0.0], [0.5], [0.9]], dtype=torch.float64),
    }
    adopted = Adopted(torch.optim.SGD)
    batch = walk(adopted.batched(columns), valley, data, trials=3, steps=50).points
    for trial, (lr, momentum) in enumerate([(0.01, 0.0), (0.02, 0.5), (0.03, 0.9)]):
        alone = walk(adopted.replace(lr=lr, momentum=momentum), valley, data, steps=50).points
        torch.testing.assert_close(batch[:, :, [trial]], alone, rtol=1e-10, atol=1e-12)


def test_keeps_single_precision(walk, draw, valley):
    data = {name: each.float() for name, each in draw().items()}
    points = walk(Adopted(torch.optim.Adam), valley, data, steps=3).points
    assert points.dtype == torch.float32


# Parameters of other shapes than one vector.


class Matrices(torch.optim.SGD):
    """Takes a vector without a word, and fails on it."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * p.grad / p.shape[1]


NOWHERE = "RuntimeError: SparseAdam does not support dense gradients, please consider Adam instead"
MUON = "ValueError: Muon only supports 2D parameters whereas we found a parameter with size: torch.Size"


@pytest.mark.parametrize(
    ("method", "shapes", "reason"),
    [
        (torch.optim.Muon, None, f"{MUON}([12])"),
        (torch.optim.Muon, SHAPES, f"{MUON}([])"),
        (torch.optim.SparseAdam, None, NOWHERE),
        (torch.optim.SparseAdam, SHAPES, NOWHERE),
    ],
)
def test_a_class_that_cannot_take_a_shape_is_not_applicable(method, shapes, reason):
    adopted = shaped(Clip(Adopted(method)), shapes)
    with pytest.raises(NotApplicable) as found:
        adopted.init(torch.zeros(1, 1, 12))
    said = str(found.value)
    assert said.startswith(reason) and f"given parameter{'s' * bool(shapes)} of shape" in said


def test_a_shape_on_which_a_class_fails_without_a_word_is_a_fault():
    with pytest.raises(
        Fault, match=r"^IndexError: tuple index out of range \(test_adopted.py:\d+; g.*\(12,\)\)$"
    ):
        Adopted(Matrices).init(torch.zeros(1, 1, 12))


def test_what_is_applicable_nowhere_stays_so_with_values():
    for values in ({}, {"lr": 0.1}):
        adopted = Adopted(torch.optim.SparseAdam, values)
        assert adopted.space == {} and adopted.works is False
        with pytest.raises(NotApplicable, match="does not support dense gradients"):
            adopted.init(torch.zeros(1, 1, 12))


@pytest.mark.parametrize("method", [torch.optim.Muon, Matrices])
def test_the_unit_is_measured_where_the_class_can_step(method):
    unit = {"Muon": "length", "Matrices": "length/gradient"}[method.__name__]
    assert Adopted(method).space == {"lr": log(1e-5, 1e1, unit)}
    runs, *_ = Adopted(method).on(((3, 4),)).init(torch.zeros(1, 1, 12))
    assert [each.shape for each in runs.of(0)] == [(3, 4)]


def test_parameters_have_the_shapes_in_order_and_the_numbers_of_x():
    x = torch.arange(48.0).view(2, 2, 12)
    runs, *_ = shaped(Decay(Adopted(Coupled)), SHAPES).init(x)
    for k in range(4):
        (group,) = runs.instances[k].param_groups
        assert tuple(each.shape for each in group["params"]) == SHAPES
        assert torch.equal(
            torch.cat([each.flatten() for each in group["params"]]), x.view(4, 12)[k]
        )
    runs.place(-x)
    assert torch.equal(runs.points(), -x)
    assert torch.equal(torch.cat([each.flatten() for each in runs.of(3)]), -x[1, 1])


def torch_path(method, function, data, shapes, steps, **values):
    """What torch does with a model that has these parameters, one run: (steps + 1, dim)."""
    sizes = [math.prod(shape) for shape in shapes]
    start = data["start"][0, 0].split(sizes)
    parameters = [
        torch.nn.Parameter(each.clone().view(shape))
        for each, shape in zip(start, shapes, strict=True)
    ]
    optimizer = method(parameters, **values)

    def loss():
        optimizer.zero_grad()
        value = function(torch.cat([each.flatten() for each in parameters]).view(1, 1, -1), data)
        value.sum().backward()
        return value.sum()

    points = []
    for _ in range(steps + 1):
        points.append(torch.cat([each.detach().flatten() for each in parameters]))
        if method is torch.optim.LBFGS:
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()
    return torch.stack(points)


@pytest.mark.parametrize(
    ("method", "values", "steps"),
    [
        (torch.optim.Adafactor, {"lr": 0.1}, 30),  # by row and column: shapes matter
        (torch.optim.Adam, {"lr": 0.01}, 30),
        (torch.optim.LBFGS, {"lr": 0.5, "max_iter": 3}, 5),  # soon the differences are rounding
        (Replacing, {"lr": 0.01}, 30),
    ],
)
def test_a_model_of_several_tensors_steps_as_in_torch(walk, draw, valley, method, values, steps):
    shapes, data = ((2, 3), (4,), (2, 1)), draw(instances=3, dim=12)
    ours = walk(Adopted(method, values).on(shapes), valley, data, trials=2, steps=steps).points
    for instance in range(3):
        own = {name: each[[instance]] for name, each in data.items()}
        theirs = torch_path(method, valley, own, shapes, steps, **values)
        for trial in range(2):
            assert_close(ours[:, instance, trial], theirs)
    flat = walk(Adopted(method, values), valley, data, trials=2, steps=steps).points
    assert torch.allclose(flat, ours) == (method is not torch.optim.Adafactor)


def test_shapes_change_nothing_for_what_is_built_in():
    method = Clip(Momentum())
    assert shaped(method, SHAPES) == method


# Wrappers, which show an adopted class other gradients, other points and other rates.

STEPS = 50


@pytest.mark.parametrize(
    ("wrapped", "built_in"),
    [
        (Decay(Adopted(torch.optim.SGD, {"momentum": 0.9})), Decay(Momentum())),
        (Decay(Clip(Adopted(torch.optim.SGD))), Decay(Clip(SGD()))),
        (Average(Adopted(torch.optim.SGD)), Average(SGD())),
        (Average(Decay(Adopted(torch.optim.SGD))), Average(Decay(SGD()))),
        (Cosine(Warmup(Adopted(torch.optim.Adam))), Cosine(Warmup(Adam()))),
        (Average(Cosine(Clip(Adopted(torch.optim.SGD)))), Average(Cosine(Clip(SGD())))),
        (AdaptiveClip(Adopted(torch.optim.SGD)), AdaptiveClip(SGD())),
        (Clip(Adopted(torch.optim.SGD), by="value"), Clip(SGD(), by="value")),
    ],
    ids=repr,
)
def test_wrappers_wrap_an_adopted_class_like_a_built_in(walk, draw, valley, wrapped, built_in):
    data = draw()
    rates = {"lr": torch.tensor([[0.003], [0.01], [0.03]], dtype=torch.float64)}
    ours, theirs = (
        walk(each.batched(rates), valley, data, trials=3, steps=STEPS)
        for each in (wrapped, built_in)
    )
    assert_close(ours.points, theirs.points)
    assert_close(ours.prices, theirs.prices)


class TwoRates(torch.optim.SGD):
    """Its matrices are slower than its vectors."""

    def __init__(self, params, lr=0.01, momentum=0.0):
        params = list(params)
        vectors = {"params": [each for each in params if each.ndim < 2], "lr": 0.02}
        matrices = {"params": [each for each in params if each.ndim >= 2]}
        super().__init__([vectors, matrices], lr, momentum)


def _cosine(each):
    return lr_scheduler.CosineAnnealingLR(each, T_max=STEPS)


def _warmup(each):
    return lr_scheduler.LinearLR(each, start_factor=0.01, total_iters=STEPS // 10)


@pytest.mark.parametrize("lr", [None, 0.005])
@pytest.mark.parametrize(
    ("wrap", "schedule"),
    [
        (Decay, lambda each: lr_scheduler.LambdaLR(each, lambda t: 1 - t / STEPS)),
        (Cosine, _cosine),
        (Warmup, _warmup),
        (
            lambda inner: Cosine(Warmup(inner)),
            lambda each: lr_scheduler.ChainedScheduler([_warmup(each), _cosine(each)]),
        ),
    ],
    ids=["decay", "cosine", "warmup", "warmup+cosine"],
)
def test_a_scheduled_rate_is_what_a_scheduler_of_torch_makes_of_it(
    walk, draw, valley, lr, wrap, schedule
):
    """Where groups have their own rates, each keeps its share."""
    shapes, data = ((2, 3), (6,)), draw(instances=1, dim=12)
    given = {} if lr is None else {"lr": lr}
    adopted = Adopted(TwoRates, {"momentum": 0.9, **given}).on(shapes)
    ours = walk(wrap(adopted), valley, data, steps=STEPS).points[:, 0, 0]

    def scheduled(parameters, **values):
        optimizer = TwoRates(parameters, **values)
        scheduler = schedule(optimizer)
        optimizer.register_step_post_hook(lambda *_: scheduler.step())
        return optimizer

    theirs = torch_path(scheduled, valley, data, shapes, STEPS - 1, momentum=0.9, **given)
    assert_close(ours[:STEPS], theirs)


def test_rates_are_left_alone_where_nobody_changes_them(walk, draw, valley):
    rates = {"lr": torch.tensor([[0.003], [0.01], [0.03]], dtype=torch.float64)}
    for wrapped in (Adopted(torch.optim.SGD), Clip(Adopted(torch.optim.SGD))):
        runs, *_ = walk(wrapped.batched(rates), valley, draw(), trials=3, steps=2).state
        groups = [each.param_groups[0] for each in runs.instances]
        assert [each["lr"] for each in groups] == [
            0.003,
            0.01,
            0.03,
        ]  # one instance of SGD per trial
        assert not any("initial_lr" in each for each in groups)


def test_a_rate_may_differ_from_run_to_run():
    """As where runs have spent different shares of their budgets."""
    oracle = Frozen(torch.zeros(2, 2, 3, dtype=torch.float64))
    oracle.progress = torch.tensor([[[0.0], [0.25]], [[0.5], [1.0]]], dtype=torch.float64)
    decay = Decay(Adopted(torch.optim.SGD, {"lr": 0.4}))
    with pytest.raises(RunAgain):  # runs of a trial have one rate where they are stepped together
        decay.update(oracle, decay.init(oracle.x))  # type: ignore[arg-type]
    step, _ = decay.update(oracle, decay.init(oracle.x))  # type: ignore[arg-type]
    torch.testing.assert_close(step, -0.4 * (1 - oracle.progress).expand_as(step))


class Stubborn(torch.optim.Optimizer):
    """Keeps its rate to itself."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {})
        self.lr = lr

    step = torch.no_grad()(
        lambda self, closure=None: [
            p.sub_(self.lr * p.grad) for p in self.param_groups[0]["params"]
        ]
    )


def test_a_rate_that_no_schedule_can_change(walk, draw, valley):
    assert walk(Adopted(Stubborn), valley, draw(), steps=1).points.isfinite().all()
    with pytest.raises(NotApplicable, match="Stubborn has no learning rate that a schedule can ch"):
        walk(Decay(Adopted(Stubborn)), valley, draw(), steps=1)


# Classes that have two points, and those that ask for curvature.


class Mean(Descent):
    """Is evaluated at the mean of its points, the start aside."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, lr)
        self.points, self.at = [], None

    def step(self, closure=None):
        super().step()
        (p,) = self.param_groups[0]["params"]
        self.points.append(p.data.clone())

    def eval(self):
        (p,) = self.param_groups[0]["params"]
        p.data = torch.stack(self.points).mean(0)

    def train(self):
        (p,) = self.param_groups[0]["params"]
        p.data = self.points[-1]


def test_a_class_with_two_points_is_asked_at_one_and_is_at_the_other(walk, draw, valley):
    data = draw()
    ours = walk(Adopted(Mean), valley, data, trials=2, steps=STEPS)
    theirs = walk(Average(SGD(lr=0.01), burn_in=0.0), valley, data, trials=2, steps=STEPS)
    assert_close(ours.points, theirs.points)
    assert (ours.prices == 1).all()


class Curved(torch.optim.Optimizer):
    """Newton's step on the diagonal, of whose curvature it is told every third step."""

    def __init__(
        self,
        params,
        lr=0.5,
        update_period: int = 3,
        num_samples: int = 1,
        hessian_distribution="any",
    ):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None, hessian=None):
        for group in self.param_groups:
            if hessian is not None:
                group["told"] = hessian
            for p, h in zip(group["params"], group["told"], strict=True):
                p -= group["lr"] * p.grad / h


@pytest.mark.parametrize(
    ("values", "squares"),
    [
        ({}, [4.0, 0.25]),
        ({"hessian_distribution": "rademacher"}, [1.0, 1.0]),
        ({"num_samples": 2}, [(4.0 + 0.25) / 2, (1.0 + 9.0) / 2]),
    ],
)
@pytest.mark.parametrize("shapes", [None, ((2, 1), (1,))])
def test_a_class_that_asks_for_curvature_is_given_an_estimate(walk, start, values, squares, shapes):
    """f = ½ Σ k x_k²: of the Hessian diag(k), z ⊙ Hz is z² k, and by hand x ← (1 − ½/z²) x."""
    numbers = [2.0, -0.5, 1.0, 3.0]  # z, the same in all coordinates, whenever it is asked for
    data = {**start(1.0, 2.0, 3.0), "normal": torch.tensor(numbers).view(1, 1, 4, 1).double()}
    steepness = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    bowl = walk(
        Adopted(Curved, values).on(shapes),
        lambda x, data: 0.5 * (steepness * x.square()).sum(-1),
        data,
        steps=4,
    )
    first, second = squares
    factors = [1.0, *[1 - 0.5 / first] * 3, 1 - 0.5 / second]
    expected = torch.tensor(factors, dtype=torch.float64).cumprod(0).view(-1, 1, 1, 1)
    assert_close(bowl.points, expected * data["start"])
    samples = values.get("num_samples", 1)
    assert bowl.prices.flatten().tolist() == [1 + 2 * samples, 1, 1, 1 + 2 * samples]
