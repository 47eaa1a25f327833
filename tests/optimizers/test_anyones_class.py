"""Classes as people write them: each has one trait that its signature does not tell, or tells in its own way."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch.optim import Optimizer as TorchOptimizer

from benchmarks.catalog.contenders import contender
from optimizers import NotApplicable, log
from optimizers.adopted import Adopted, shaped, told
from optimizers.decay import Decay
from optimizers.failure import remedy_for
from optimizers.optimizer import Fault
from optimizers.sgd import SGD
from optimizers.signature import arguments, default_hyperparameters
from ravine import Refused

STEPS = 20


class Plain(TorchOptimizer):
    """Gradient descent, on which the others build."""

    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.change(p, group))

    def change(self, p, group):
        return group["lr"] * p.grad


def paths(walk, draw, valley, *optimizers, trials=1):
    data = draw()
    return [walk(each, valley, data, trials=trials, steps=STEPS).points for each in optimizers]


# Modes.


class Modes(Plain):
    """Begins in eval mode, as the package schedulefree does."""

    training = False

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def step(self, closure=None):
        if not self.training:
            raise RuntimeError("not in train mode")
        super().step()


def test_a_class_with_modes_is_put_into_train_mode(walk, draw, valley):
    modes, plain = paths(walk, draw, valley, Adopted(Modes), Adopted(Plain))
    assert torch.equal(modes, plain)


# Closures.


class Needed(Plain):
    """Needs its optional closure, and evaluates at another point."""

    def step(self, closure=None):
        loss = closure()
        before = [p.detach().clone() for p in self.param_groups[0]["params"]]
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.add_(0.1 * p.grad)
        closure()
        with torch.no_grad():
            for p, was in zip(self.param_groups[0]["params"], before, strict=True):
                p.copy_(was)
        super().step()
        return loss


class NeededAfter(Needed):
    """Wants the gradient before it asks for more, as those who call backward() first."""

    def step(self, closure=None):
        torch.stack([p.grad.norm() for p in self.param_groups[0]["params"]])
        return super().step(closure)


class LossOfGradients(Plain):
    """Polyak's step: wants the loss of the gradients that are there, `step(lambda: float(loss))`."""

    def __init__(self, params, max_lr=1.0):
        super().__init__(params, max_lr)

    def step(self, closure=None):
        squares = sum(float(p.grad.square().sum()) for p in self.param_groups[0]["params"])
        self.param_groups[0]["lr"] = min(0.01, float(closure()) / squares)
        super().step()


@pytest.mark.parametrize(
    ("method", "price"), [(Needed, 2), (NeededAfter, 2), (LossOfGradients, 1)], ids=str
)
def test_an_optional_closure_that_is_needed_is_given(walk, draw, valley, method, price):
    found = walk(Adopted(method), valley, draw(), trials=2, steps=STEPS)
    assert found.points.isfinite().all() and (found.points[1] != found.points[0]).all()
    assert (found.prices == price).all()


def test_such_a_step_is_what_a_loop_of_ones_own_does(walk, start):
    """f = ½ x²: x ← x − lr · (x + 0.1 x)."""
    bowl = walk(Adopted(Needed), lambda x, data: 0.5 * x.square().sum(-1), start(1.0), steps=2)
    assert bowl.points.flatten().tolist() == pytest.approx([1.0, 0.989, 0.989**2])


# Precision.


class Single(Plain):
    """Keeps a state in float32, and mixes it with the parameters from some step on."""

    late = 0

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            state["t"] = state.get("t", 0) + 1
            mean = state.setdefault("mean", torch.zeros(p.shape, dtype=torch.float32))
            if state["t"] > self.late:
                mean.lerp_(p.grad, 0.9)
            else:
                mean.copy_(p.grad)
            p.sub_(self.param_groups[0]["lr"] * mean)


class SingleLate(Single):
    late = 3


class SingleLater(Single):
    late = 15


@pytest.mark.parametrize("method", [Single, SingleLate, SingleLater])
def test_a_class_for_float32_says_so_in_whatever_step_and_runs_there(walk, draw, valley, method):
    adopted = Adopted(method)
    assert adopted.space == {"lr": log(1e-5, 1e1, "length/gradient")}
    with pytest.raises(
        NotApplicable, match=r"^it computes in float32 only: give dtype=float32 \(R"
    ):
        walk(adopted, valley, draw(), steps=STEPS)
    data = {name: each.float() for name, each in draw().items()}
    assert walk(adopted, valley, data, steps=STEPS).points.isfinite().all()


# Arguments.


class Many(Plain):
    """Has defaults of every kind."""

    def __init__(
        self, params, lr=torch.tensor(0.01), betas=[0.9, 0.999], clip=None, warmup: int | None = None,  # noqa: B006, B008
        mode: str | None = None, nesterov=False, eps: float = 0, at: tuple[float, float] | None = None,
    ):  # fmt: skip
        assert not isinstance(lr, torch.Tensor) or lr.ndim == 0
        super().__init__(params, float(lr))
        self.given = betas, clip, warmup, mode, nesterov, eps, at


class Sentinel(Plain):
    missing = object()

    def __init__(self, params, lr=missing, decay=missing):
        if lr is self.missing or decay is self.missing:
            raise TypeError("it is missing")
        super().__init__(params, lr)


class Inherits(Many):
    def __init__(self, params, *, scale=2.0, **rest):
        super().__init__(params, mode="fixed", **rest)


class Keywords(Plain):
    def __init__(self, params, **given):
        super().__init__(params, given.get("lr", 0.05))
        self.defaults["beta"] = given.get("beta", 0.9)


class AsksByName(Plain):
    def __init__(self, params, **given):
        super().__init__(params, given["lr"])


def test_defaults_of_every_kind_are_read():
    every = {
        "lr": pytest.approx(0.01),
        "betas": [0.9, 0.999],
        "clip": None,
        "warmup": None,
        "mode": None,
    }
    every |= {"nesterov": False, "eps": 0.0, "at": None}
    assert default_hyperparameters(Many) == every
    inherited = {name: each for name, each in every.items() if name != "mode"}
    assert default_hyperparameters(Inherits) == {"scale": 2.0, **inherited}
    assert default_hyperparameters(Keywords) == {"lr": 0.05, "beta": 0.9}
    assert Adopted(AsksByName).missing_defaults == ("lr",)
    assert Adopted(Sentinel).missing_defaults == ("lr", "decay")


@pytest.mark.parametrize("method", [Many, Inherits, Keywords, AsksByName])
def test_the_rate_is_searched_however_it_is_passed(method):
    assert Adopted(method).space == {"lr": log(1e-5, 1e1, "length/gradient")}


@pytest.mark.parametrize(
    ("given", "place", "value"),
    [
        ({"betas": (0.5, 0.6)}, 0, [0.5, 0.6]),
        ({"betas.1": 0.6}, 0, [0.9, 0.6]),
        ({"betas": [0.5, 0.6], "betas.0": 0.1}, 0, [0.1, 0.6]),
        ({"clip": 3}, 1, 3),
        ({"clip": "norm"}, 1, "norm"),
        ({"clip": True}, 1, True),
        ({"warmup": 7}, 2, 7),
        ({"mode": "fast"}, 3, "fast"),
        ({"eps": 1}, 5, 1.0),
        ({"at": [1.0, 2.0]}, 6, (1.0, 2.0)),
    ],
)
def test_every_argument_is_settable(given, place, value):
    found = contender(Many, given).optimizer.init(torch.zeros(1, 1, 3))[0].instances[0].given[place]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        (Many, {"warmup": 60.5}, "Many.warmup is 60.5, but must be a whole number"),
        (Many, {"betas": [0.5]}, "Many.betas is [0.5], but must be a list of numbers (default: [0.9, 0.999])"),
        (Many, {"mode": 3}, "Many.mode is 3, but must be a word"),
        (Many, {"beta": 3}, "unknown hyperparameter Many.beta: did you mean betas?"),
        (Many, {"betas.2": 3}, "unknown hyperparameter Many.betas.2: did you mean betas"),
        (Sentinel, {}, "Sentinel.decay has no default: give it a value, as in optimizers.Sentinel.decay=0.1"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_refused_in_one_line(method, given, said):
    with pytest.raises(Refused) as refusal:
        contender(method, given)
    assert str(refusal.value).startswith(said) and "\n" not in str(refusal.value)


def test_a_range_of_an_element_is_searched_by_its_distance_from_one():
    space = contender(torch.optim.Adam, {"betas.0": (0.8, 0.99), "betas.1": (0.1, 0.9)}).space
    assert (space["betas.0"].scale, space["betas.1"].scale) == ("complement", "log")
    assert (space["betas.0"].low, space["betas.0"].high) == pytest.approx((0.01, 0.2))


def test_elements_that_differ_between_trials(walk, draw, valley):
    data, adam = draw(), Adopted(torch.optim.Adam)
    column = torch.tensor([[0.5], [0.8]], dtype=torch.float64)
    both = walk(adam.batched({"betas.0": column}), valley, data, trials=2, steps=STEPS).points
    for trial, beta in enumerate((0.5, 0.8)):
        alone = walk(adam.replace(betas=(beta, 0.999)), valley, data, steps=STEPS).points
        assert torch.equal(both[:, :, [trial]], alone)


def test_what_no_command_can_write_is_not_applicable_and_wrapped_in_a_file():
    class Around(Plain):
        def __init__(self, params, inner: type[TorchOptimizer], lr=0.01):
            super().__init__(params, lr)

    class Mine(Around):
        def __init__(self, params, lr=0.01):
            super().__init__(params, inner=torch.optim.SGD, lr=lr)

    around = contender(Around).optimizer
    with pytest.raises(
        NotApplicable,
        match=r"Around cannot be made: it wants inner, a class or an object: give it in a file",
    ):
        around.init(torch.zeros(1, 1, 3))
    assert "lr" in Adopted(Mine).space and Adopted(Mine).init(torch.zeros(1, 1, 3))


# The number of steps.


class Scheduled(torch.optim.SGD):
    """Has a schedule inside."""

    def __init__(self, params, total_steps: int, lr: float = 0.1):
        super().__init__(params, lr=lr)
        self.total = total_steps
        self.schedule = torch.optim.lr_scheduler.LinearLR(self, 1.0, 0.0, total_steps)

    def step(self, closure=None):
        super().step()
        self.schedule.step()


@pytest.mark.parametrize(
    "name", ["total_steps", "num_training_steps", "T_max", "num_iterations", "num_steps"]
)
def test_the_number_of_steps_is_told(name):
    space: dict = {}
    exec(  # an argument of this name
        f"class Told(Plain):\n def __init__(self, params, {name}: int, lr: float = 0.1):\n"
        f"  super().__init__(params, lr)\n  self.total = {name}",
        {"Plain": Plain}, space,
    )  # fmt: skip
    adopted = contender(space["Told"]).optimizer
    assert adopted.missing_defaults == () and adopted.space["lr"].unit == "length/gradient"
    runs = told(Decay(adopted), 60.5).init(torch.zeros(1, 1, 3))[0]
    assert runs.instances[0].total == 60
    assert told(adopted.replace(**{name: 7}), 60).hyperparameters[name] == 7


def test_a_number_of_steps_that_is_not_of_the_run_is_left_alone():
    assert told(Adopted(torch.optim.LBFGS), 60).hyperparameters["max_iter"] == 20
    assert told(SGD(), 60) == SGD()


# Other names of the learning rate.


def renamed(name: str, default: float = 0.01) -> type[Plain]:
    space: dict = {}
    code = f"class Renamed(Plain):\n def __init__(self, params, {name}={default}):\n  super().__init__(params, {name})"
    exec(code, {"Plain": Plain}, space)
    return space["Renamed"]


@pytest.mark.parametrize("name", ["learning_rate", "eta", "alpha", "step_size"])
def test_a_rate_of_another_name_is_searched(walk, draw, valley, name):
    adopted = Adopted(renamed(name))
    assert (adopted.rate, adopted.space) == (name, {name: log(1e-5, 1e1, "length/gradient")})
    falling, built_in = paths(walk, draw, valley, Decay(adopted), Decay(SGD(lr=0.01)))
    torch.testing.assert_close(falling, built_in, rtol=1e-10, atol=1e-12)


def test_what_does_not_double_the_step_is_no_rate():
    class Mean(Plain):
        def __init__(self, params, alpha=0.5, learning_rate=0.01):
            super().__init__(params, learning_rate)
            self.defaults["alpha"] = alpha

        def change(self, p, group):
            mean = self.state[p].setdefault("mean", torch.zeros_like(p))
            return group["lr"] * mean.lerp_(p.grad, 1 - self.defaults["alpha"])

    class NoRate(Plain):
        def __init__(self, params, alpha=0.5):
            super().__init__(params, 0.01 / (1 + alpha))

    assert list(Adopted(Mean).space) == ["learning_rate"]
    assert Adopted(NoRate).space == {} and Adopted(NoRate).works


# Random numbers.


class Noisy(Plain):
    """Draws from a global generator, from some step on."""

    after = 0

    def draw(self, p):
        return torch.randn_like(p)

    def change(self, p, group):
        state = self.state[p]
        state["t"] = state.get("t", 0) + 1
        noise = self.draw(p) if state["t"] > self.after else 0.0
        return group["lr"] * (p.grad + noise)


class NoisyLate(Noisy):
    after = 14


class OfNumpy(Noisy):
    def draw(self, p):
        return torch.from_numpy(np.random.standard_normal(p.shape)).to(p)  # noqa: NPY002


class OfPython(Noisy):
    def draw(self, p):
        return random.gauss(0, 1)


class AtFirst(Plain):
    """Draws when it is made."""

    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, lr)
        self.factor = float(torch.rand(()))

    def change(self, p, group):
        return self.factor * group["lr"] * p.grad


def streams(instances, dim=3):
    """Normal numbers of each instance, as the engine draws them: the same for all trials."""
    generators = [torch.Generator().manual_seed(k) for k in range(instances)]
    return lambda: torch.stack(
        [torch.randn(1, dim, generator=each, dtype=torch.float64) for each in generators]
    )


class Instances:
    """An oracle of |x|²/2 for some instances and trials."""

    def __init__(self, x, normal):
        self.x, self.normal = x, normal
        self.alive = torch.ones(x.shape[:-1], dtype=torch.bool)

    @property
    def gradient(self):
        return self.x.clone()


def run(method, instances, trials):
    """The end of all runs; begun again if the class turns out to draw."""
    from optimizers.optimizer import RunAgain

    while True:
        x, normal = torch.ones(instances, trials, 3, dtype=torch.float64), streams(instances)
        adopted = Adopted(method)
        try:
            state = adopted.init(x)
            for _ in range(STEPS):
                step, state = adopted.update(Instances(x, normal), state)  # type: ignore[arg-type]
                x = x + step
            return x
        except RunAgain:
            continue


@pytest.mark.parametrize("method", [Noisy, NoisyLate, OfNumpy, OfPython, AtFirst])
def test_random_draws_are_those_of_the_instance(method):
    before = torch.get_rng_state(), np.random.get_state()[2], random.getstate()  # noqa: NPY002
    ends = run(method, 3, 2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[2], random.getstate()) == before[1:]  # noqa: NPY002
    assert torch.equal(ends[:, 0], ends[:, 1])  # trials share the stream
    assert len({float(each) for each in ends[:, 0, 0]}) == 3  # instances do not
    torch.randn(7), np.random.standard_normal(7), random.random()  # noqa: NPY002
    assert torch.equal(run(method, 3, 2), ends)
    assert torch.equal(run(method, 1, 1), ends[:1, :1])


def test_what_draws_is_told_from_what_does_not():
    from optimizers.needs import needs

    for method, draws in (
        (Noisy, True),
        (AtFirst, True),
        (Plain, False),
        (torch.optim.Adam, False),
    ):
        Adopted(method).init(torch.ones(1, 1, 3))
        assert needs(method).draws is draws


# What torch chooses for a lone parameter.


class Foreach(Plain):
    def __init__(self, params, lr: float = 0.01, foreach: bool | None = None):
        super().__init__(params, lr)
        self.foreach = foreach


def test_foreach_is_left_to_classes_that_are_not_torch_s():
    def chosen(method):
        return Adopted(method).init(torch.zeros(1, 1, 3))[0].instances[0]

    assert chosen(Foreach).foreach is None
    assert chosen(torch.optim.Adam).defaults["foreach"] is False


# Groups.


class Groups(Plain):
    """Muon-like: its groups say which of them are matrices."""

    def __init__(self, param_groups, lr: float = 0.01):
        groups = [*param_groups]
        for each in groups:
            assert "use_muon" in each
        super().__init__(groups, lr)

    def change(self, p, group):
        assert group["use_muon"] is (p.ndim >= 2)
        return group["lr"] * p.grad * (2.0 if group["use_muon"] else 1.0)


@pytest.mark.parametrize("shapes", [None, ((3, 4),), ((2, 3), (), (3,), (2, 1))])
def test_matrices_and_vectors_come_in_groups_if_a_class_asks_for_them(shapes):
    adopted = shaped(Adopted(Groups), shapes)
    oracle = Instances(torch.ones(1, 1, 12, dtype=torch.float64), None)
    step, _ = adopted.update(oracle, adopted.init(oracle.x))  # type: ignore[arg-type]
    twice = [2.0 if len(each) >= 2 else 1.0 for each in shapes or [(12,)]]
    sizes = [math.prod(each) for each in shapes or [(12,)]]
    expected = torch.cat([torch.full((n,), -0.01 * k) for n, k in zip(sizes, twice, strict=True)])
    torch.testing.assert_close(step[0, 0], expected.double())


# What fails.


class Shared(Plain):
    """Counts the steps of all instances together."""

    count = 0

    def change(self, p, group):
        type(self).count += 1
        return group["lr"] * p.grad / type(self).count


class Unseeded(Plain):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, lr)
        self.generator = np.random.default_rng()

    def change(self, p, group):
        return group["lr"] * p.grad * self.generator.random()


class Late(Plain):
    """Has a fault in its 15th step."""

    words = False
    t = 0

    def step(self, closure=None):
        self.t += 1
        if self.t == 15:
            if self.words:
                raise ValueError("it has had enough")
            self.t / 0
        super().step()


class LateWords(Late):
    words = True


class Smaller(Plain):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.data = p.data[:-1] if p.ndim else p.data


class Model(Plain):
    def __init__(self, model, lr: float = 0.01):
        super().__init__(model.parameters(), lr)


class Named(Plain):
    def __init__(self, named_parameters, lr: float = 0.01):
        super().__init__([p for name, p in named_parameters if name.endswith("weight")], lr)


class Graph(Plain):
    def step(self, closure=None):
        (p,) = self.param_groups[0]["params"]
        torch.autograd.grad(p.grad.sum(), p)


class Told(Plain):
    """What to do instead."""

    def step(self, closure=None, hessian=None):
        for p, h in zip(self.param_groups[0]["params"], hessian, strict=True):
            p.data -= self.param_groups[0]["lr"] * p.grad / (h.abs() + 1e-3)


class NeedsPackage(Plain):
    def step(self, closure=None):
        import a_package_that_nobody_has  # type: ignore[import-not-found] # noqa: F401


class OnlyMatrices(Plain):
    def change(self, p, group):
        assert p.ndim == 2, p.ndim
        return group["lr"] * p.grad


class NotMade(Plain):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, lr / len([]))


PLACE = r"\(test_anyones_class.py:\d+; given parameter of shape \(3,\)\)"


@pytest.mark.parametrize(
    ("method", "kind", "said"),
    [
        (Shared, Fault, "Shared steps otherwise if two instances of it step in turn: .*: keep state in self.state"),
        (Unseeded, Fault, "Unseeded steps otherwise .* draws from a generator of its own without a seed"),
        (Late, Fault, f"ZeroDivisionError: division by zero {PLACE}$"),
        (LateWords, Fault, f"ValueError: it has had enough {PLACE}$"),
        (NotMade, Fault, f"ZeroDivisionError: float division by zero {PLACE}$"),
        (Smaller, Fault, r"Smaller changed the shape of a parameter from \(3,\) to \(2,\)$"),
        (Model, NotApplicable, f"AttributeError: .* {PLACE}: it wants a model: give it one in a file of your own"),
        (Named, NotApplicable, f".* {PLACE}: it wants named parameters: name them in a file of your own"),
        (Graph, NotApplicable, f"RuntimeError: .* {PLACE}: gradients here have no graph: let `step"),
        (NeedsPackage, NotApplicable, f"ModuleNotFoundError: .* {PLACE}: install a_package_that_nobody_has$"),
        (TorchOptimizer, NotApplicable, "Optimizer is a base, without a step: name a class"),
    ],
)  # fmt: skip
def test_what_fails_is_said_in_one_line_with_its_place_and_a_remedy(
    walk, draw, valley, method, kind, said
):
    with pytest.raises(kind, match=f"^{said}") as found:
        walk(contender(method).optimizer, valley, draw(dim=3), steps=STEPS)
    assert "\n" not in str(found.value)


def test_a_class_for_matrices_alone_says_so_on_a_vector():
    with pytest.raises(NotApplicable, match=f"^AssertionError: .* {PLACE}$"):
        contender(OnlyMatrices).optimizer.init(torch.zeros(1, 1, 3, dtype=torch.float64))


def test_the_remedies_help(walk, draw, valley):
    class MyModel(Model):
        def __init__(self, params, lr=0.01):
            super().__init__(torch.nn.ParameterList(params), lr=lr)

    class MyNamed(Named):
        def __init__(self, params, lr=0.01):
            super().__init__([(f"{k}.weight", p) for k, p in enumerate(params)], lr=lr)

    plain, *others = paths(walk, draw, valley, *map(Adopted, (Plain, MyModel, MyNamed)))
    assert all(torch.equal(plain, each) for each in others)
    data = {**draw(instances=1), "normal": torch.ones(1, 1, 60, 1, dtype=torch.float64)}
    assert walk(Adopted(Told), valley, data, steps=STEPS).points.isfinite().all()
    assert remedy_for(ValueError("no remedy is known"), Plain) == ""


def test_annotations_are_read():
    kinds = {name: each.kinds for name, each in arguments(Many).items()}
    assert kinds["warmup"] == {int} and kinds["mode"] == {str} and kinds["clip"] == set()
    assert kinds["at"] == {tuple} and kinds["eps"] == {float}
