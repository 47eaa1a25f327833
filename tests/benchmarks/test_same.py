"""Two optimizers side by side: planted faults are found, and ways to write the same method are the same."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache

import pytest
import torch

from benchmarks import assert_same_optimizer, same
from benchmarks.checks.lockstep import Steps, tolerance
from benchmarks.checks.same_inputs import inputs
from optimizers import OPTIMIZERS, Hyper, Optimizer, hyper
from optimizers.adagrad import Adagrad
from optimizers.adam import Adam
from optimizers.adamw import AdamW
from optimizers.adopted import Adopted
from optimizers.amsgrad import AMSGrad
from optimizers.clip import Clip
from optimizers.decay import Decay
from optimizers.lion import Lion
from optimizers.momentum import Momentum, Nesterov
from optimizers.normalized_sgd import NormalizedSGD
from optimizers.rmsprop import RMSprop
from optimizers.sgd import SGD
from tests.benchmarks.mutants import MUTANTS

T = torch.optim
SAME = {"identical", "rounding", "rescaled"}
# A fault that is another way to write the method is found and named, but is no other method.
REWRITTEN = {
    "adam: gradient not weighted": "lr / (1 − beta1)",
    "adamw: decay without the rate": "weight_decay / lr",
    "schedule_free_sgd: beta the other way": "1 − beta",
    "adam: betas swapped": "beta2 and beta1",
    "lion: betas swapped": "beta2 and beta1",
    "adam: another default of beta2": "beta2=0.99",
    "clipped_sgd: clips coordinates": "by=value",
}


EACH = 4  # of the many pairs, every fourth is compared with all other tests, the others among the slow ones


def some(names):
    return [
        pytest.param(name, marks=[pytest.mark.slow] if k % EACH else [])
        for k, name in enumerate(names)
    ]


def test_there_are_at_least_forty_faults():
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("name", some(MUTANTS))
def test_a_planted_fault_is_found_and_named(name):
    mutant, original, words = MUTANTS[name]
    found = same(mutant, original)
    assert found.kind not in ("identical", "rounding")
    if name in REWRITTEN:
        assert any(REWRITTEN[name] in each for each in found.how)
    else:
        assert found.kind == "different"
        assert words in found.reason


# The same methods in other words.


def written_as(original, update, init=None):
    """An optimizer like the original with another update."""
    methods = {"update": update} if init is None else {"update": update, "init": init}
    kind = dataclass(frozen=True)(type("Rewritten", (type(original),), methods))
    return kind(**vars(original))


def polyak(self, oracle, state):
    """x_{t+1} = x_t − lr g + momentum (x_t − x_{t−1})."""
    step = -self.lr * oracle.gradient + self.momentum * state[0]
    return step, (step,)


def exponential(self, oracle, state):
    """A mean of gradients: the velocity times 1 − momentum."""
    mean = self.momentum * state[0] + (1 - self.momentum) * oracle.gradient
    return -self.lr * mean, (mean,)


def two_velocities(self, oracle, state):
    """−lr (g + momentum v) with v in front of lr."""
    velocity = self.momentum * state[0] - self.lr * oracle.gradient
    return self.momentum * velocity - self.lr * oracle.gradient, (velocity,)


def folded(self, oracle, state):
    """The correction of both means in the rate, and eps scaled with it; lerp for the means."""
    mean, square, t = state
    t = t + 1
    mean = mean.lerp(oracle.gradient, 1 - self.beta1)
    square = square.lerp(oracle.gradient.square(), 1 - self.beta2)
    root = (1 - self.beta2**t) ** 0.5
    rate = self.lr * root / (1 - self.beta1**t)
    return -rate * mean / (square.sqrt() + self.eps * root), (mean, square, t)


def sums(self, oracle, state):
    """Means without their weights, which the correction makes up for."""
    mean, square, t = state
    mean = self.beta1 * mean + oracle.gradient
    square = self.beta2 * square + oracle.gradient**2
    count, counts = (sum(b**k for k in range(t + 1)) for b in (self.beta1, self.beta2))
    return -self.lr * (mean / count) / ((square / counts).sqrt() + self.eps), (mean, square, t + 1)


def shrunk_first(self, oracle, state):
    """x (1 − lr weight_decay) before the step."""
    left = oracle.x * (1 - self.lr * self.weight_decay)
    step, state = folded(self, oracle, state)
    return left + step - oracle.x, state


def largest_root(self, oracle, state):
    """The largest root, not the root of the largest."""
    mean, square, largest, t = state
    t = t + 1
    mean = torch.lerp(oracle.gradient, mean, self.beta1)
    square = torch.lerp(oracle.gradient**2, square, self.beta2)
    largest = torch.maximum(largest, square.sqrt())
    root = largest / (1 - self.beta2**t) ** 0.5
    return -self.lr * mean / (1 - self.beta1**t) / (root + self.eps), (mean, square, largest, t)


def kept_root(self, oracle, state):
    """The root is kept, and squared for the next mean."""
    root = (self.alpha * state[0] ** 2 + (1 - self.alpha) * oracle.gradient**2).sqrt()
    return -self.lr * oracle.gradient / (root + self.eps), (root,)


def by_hypot(self, oracle, state):
    """The root of the sum of squares, a square more each time."""
    root = torch.hypot(state[0], oracle.gradient)
    return -self.lr * oracle.gradient / (root + self.eps), (root,)


def sign_of_sum(self, oracle, state):
    """Signs of the mean over 1 − β₁."""
    (mean,) = state
    sign = (mean * (self.beta1 / (1 - self.beta1)) + oracle.gradient).sign()
    decayed = oracle.x * (1 - self.lr * self.weight_decay)
    mean = torch.lerp(oracle.gradient, mean, self.beta2)
    return decayed - self.lr * sign - oracle.x, (mean,)


def by_norm(self, oracle, state):
    norm = oracle.gradient.square().sum(-1, keepdim=True).sqrt()
    return -self.lr * torch.where(norm > 0, oracle.gradient / norm, 0.0), state


def clipped_first(self, oracle, state):
    """min(1, c/|g|) as c / max(c, |g|)."""
    norm = torch.linalg.vector_norm(oracle.gradient, dim=-1, keepdim=True) + 1e-6
    return -self.inner.lr * oracle.gradient * self.threshold / norm.clamp(min=self.threshold), state


REORDERED = {
    "heavy ball of the points": (written_as(Momentum(), polyak), Momentum()),
    "mean of gradients": (written_as(Momentum(), exponential), Momentum()),
    "rate in the velocity": (written_as(Nesterov(), two_velocities), Nesterov()),
    "corrections in the rate": (written_as(Adam(), folded), Adam()),
    "sums for means": (written_as(Adam(), sums), Adam()),
    "weights shrunk first": (written_as(AdamW(), shrunk_first), AdamW()),
    "largest root": (written_as(AMSGrad(), largest_root), AMSGrad()),
    "kept root": (written_as(RMSprop(), kept_root), RMSprop()),
    "hypot": (written_as(Adagrad(), by_hypot), Adagrad()),
    "sign of a sum": (written_as(Lion(), sign_of_sum), Lion()),
    "norm": (written_as(NormalizedSGD(), by_norm), NormalizedSGD()),
    "clipped": (written_as(Clip(SGD()), clipped_first), Clip(SGD())),
}
NAMESAKES = {
    "sgd": Adopted(T.SGD),
    "momentum": Adopted(T.SGD, {"momentum": 0.9}),
    "nesterov": Adopted(T.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": Adopted(T.Adam),
    "rmsprop": Adopted(T.RMSprop),
    "adagrad": Adopted(T.Adagrad),
    "amsgrad": Adopted(T.Adam, {"amsgrad": True}),
    "adamw": Adopted(T.AdamW),
}
COPIED = [
    kind
    for _, kind in inspect.getmembers(T, inspect.isclass)
    if issubclass(kind, T.Optimizer) and kind not in (T.Optimizer, T.SparseAdam, T.LBFGS)
]
SLOW = {"nonlinear_cg", "lbfgs", "krylov_saddle_free_newton", "newton_cg"}  # as is T.LBFGS
BUILT_IN = [
    name for name, each in OPTIMIZERS.items() if type(each).__module__.startswith("optimizers")
]
ALIKE = {
    **REORDERED,
    **{f"torch: {name}": (OPTIMIZERS[name], each) for name, each in NAMESAKES.items()},
    **{f"torch, clipped: {name}": (Clip(OPTIMIZERS[name]), Clip(NAMESAKES[name])) for name in ("momentum", "adamw")},
    **{f"torch, decaying: {name}": (Decay(OPTIMIZERS[name]), Decay(NAMESAKES[name])) for name in ("nesterov", "adam")},
    "torch: Adam with decoupled decay": (
        Adopted(T.Adam, {"weight_decay": 0.01, "decoupled_weight_decay": True}),
        AdamW(),
    ),
    **{f"copy: {kind.__name__}": (kind, type(f"My{kind.__name__}", (kind,), {})) for kind in COPIED},
    **{f"itself: {name}": (OPTIMIZERS[name],) * 2 for name in BUILT_IN if name not in SLOW},
}  # fmt: skip


def test_there_are_at_least_sixty_pairs():
    assert len(ALIKE) >= 60


@pytest.mark.parametrize("name", some(ALIKE))
def test_the_same_method_is_the_same(name):
    found = same(*ALIKE[name])
    assert found.kind in SAME, found
    if name.startswith(("copy", "itself")):
        assert found.kind == "identical"


def test_the_published_packages_agree_where_they_are_the_same():
    po = pytest.importorskip("pytorch_optimizer")
    assert same("lion", po.Lion).kind == "rounding"
    assert same(T.NAdam, po.NAdam).same
    assert same("schedule_free_sgd", po.ScheduleFreeSGD).same
    muon = same("zoo/muon", T.Muon)
    assert muon.kind == "settings"
    assert muon.how == ("weight_decay=0 of Muon",)


def test_a_factor_in_the_rate_is_found_and_named():
    found = same(REORDERED["mean of gradients"][0], Momentum())
    assert found.kind == "rescaled"
    assert found.how == ("lr of Momentum = lr · (1 − momentum) of Rewritten",)


def test_another_default_rate_is_no_other_method():
    found = same(Adam(lr=0.1), Adam())
    assert found.kind == "rescaled"
    assert "default learning rate: 0.1" in str(found)


def test_switches_that_make_the_two_the_same_are_named():
    found = same("amsgrad", T.Adam)
    assert found.kind == "settings"
    assert "amsgrad=True of Adam" in str(found)
    found = same("nesterov", T.SGD)
    assert found.how == ("nesterov=True of SGD", "momentum=0.9 of SGD")
    assert same("nesterov", T.SGD, settings={"momentum": 0.9, "nesterov": True}).same


def test_settings_reach_both_by_the_names_of_either():
    for settings in ({"betas": [0.8, 0.99]}, {"beta1": 0.8, "beta2": 0.99}):
        found = same("adam", T.Adam, settings=settings)
        assert found.same
        assert "defaults" not in str(found)


def test_the_assertion_says_where_and_why():
    assert_same_optimizer("adam", T.Adam)
    mutant, original, _ = MUTANTS["adam: eps inside the root"]
    with pytest.raises(AssertionError, match="place of eps: Mutant divides by"):
        assert_same_optimizer(mutant, original)


@dataclass(frozen=True)
class InFloat(Optimizer):
    """SGD in float32 inside."""

    lr: Hyper = hyper(1e-3, low=0)

    def update(self, oracle, state):
        return (-self.lr * oracle.gradient.float()).to(oracle.x.dtype), state


def test_what_computes_in_float32_is_the_same_to_its_rounding():
    found = same(InFloat, "sgd")
    assert found.kind == "rounding"
    assert "InFloat computes with a rounding unit of 1e-07" in " ".join(str(found).split())


def test_nothing_is_compared_where_a_path_has_ended():
    found = same(SGD(lr=1e3), Adopted(T.SGD, {"lr": 1e3}))
    assert found.same


def test_a_difference_is_a_share_of_the_longest_step_so_far():
    group = inputs()[0].only([1])
    ones = torch.ones(3, 1, 6, dtype=torch.float64)
    second = ones.clone()
    second[1, 0, 2] = 1.5
    seen = Steps(group, 0 * ones, ones, second, torch.ones(3, 1, dtype=torch.bool))
    assert seen.difference.flatten().tolist() == [0.0, 0.5 / 1.5, 0.0]
    assert seen.differs(1e-16).flatten().tolist() == [False, True, False]


def test_the_tolerance_is_between_rounding_and_a_fault():
    assert 1e-12 < tolerance(torch.finfo(torch.float64).eps) < 1e-11
    assert 1e-6 < tolerance(torch.finfo(torch.float32).eps) < 1e-5


# The command.

MINE = """
import math
import torch
from {helper} import rate

class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                decay = group["weight_decay"] * p
                p.sub_(rate(group["lr"]) * (p.grad.sign(){decay}))
"""
RANDOM = """
import random
import torch

class Drawn(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * random.random() * p.grad)

own = random.Random()

class OfItsOwn(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * own.random() * p.grad)

class Noisy(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * (p.grad + torch.randn_like(p)))

class NoisyToo(Noisy):
    pass

class NoisyOtherwise(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * (p.grad + torch.rand_like(p)))

class Model(torch.optim.SGD):
    def __init__(self, model, lr: float = 0.1):
        super().__init__(model.parameters(), lr=lr)
"""


FAULTS = """
import torch

class Late(torch.optim.SGD):
    taken = 0

    def step(self, closure=None):
        self.taken += 1
        if self.taken > 50:
            self.buffer.mul_(2)
        return super().step()

class Breaks(torch.optim.SGD):
    def __init__(self, params, lr=1e-3, momentum=0.0):
        super().__init__(params, lr=lr, momentum=momentum)

    def step(self, closure=None):
        if self.param_groups[0]["momentum"]:
            self.buffer.mul_(2)
        return super().step()

class Refuses(torch.optim.SGD):
    def __init__(self, params, lr=1e-3, momentum=0.0):
        if momentum:
            raise ValueError("no momentum here")
        super().__init__(params, lr=lr, momentum=momentum)

class Exits(torch.optim.SGD):
    def __init__(self, params, lr=1e-3, fast=False):
        if fast:
            print("not installed")
            exit()
        super().__init__(params, lr=lr)

class Undefined(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad / p.grad.norm())
"""


@cache
def two_versions(decay):
    return MINE.format(helper="beside", decay=decay)


@pytest.fixture
def versions(files):
    for name, decay in (("old", " + decay"), ("new", ""), ("copy", " + decay")):
        (files / name).mkdir()
        (files / name / "mine.py").write_text(two_versions(decay))
        (files / name / "beside.py").write_text("def rate(lr):\n    return lr\n")
    return files


def test_two_versions_of_one_file_load_side_by_side(ravine, versions):
    code, out, _ = ravine("same old/mine.py:Mine copy/mine.py:Mine")
    assert code == 0
    assert out.startswith("old/mine.py:Mine and copy/mine.py:Mine are the same method, to the bit.")
    code, out, _ = ravine("same old/mine.py:Mine new/mine.py:Mine")
    assert code == 1
    said = " ".join(out.split())
    assert "are different from step 1 on, with weight_decay=0.1." in said
    assert "new/mine.py:Mine does not decay" in said
    assert max(map(len, out.splitlines())) <= 80
    assert "Mine" not in OPTIMIZERS


def test_each_version_imports_what_lies_beside_it(ravine, versions):
    (versions / "copy" / "beside.py").write_text("def rate(lr):\n    return 2 * lr\n")
    code, out, _ = ravine("same old/mine.py:Mine copy/mine.py:Mine")
    assert code == 0
    assert "lr of copy/mine.py:Mine = 0.5 · lr of old/mine.py:Mine" in " ".join(out.split())


def test_versions_that_register_themselves_load_side_by_side(ravine, files):
    text = (
        "from dataclasses import dataclass\nfrom optimizers import register\nfrom optimizers.sgd import SGD\n"
        '@register("own")\n@dataclass(frozen=True)\nclass Own(SGD):\n    pass\n'
    )
    for name in ("a.py", "b.py"):
        (files / name).write_text(text)
    code, out, err = ravine("same a.py:Own b.py:Own")
    assert (code, err) == (0, "")
    assert "to the bit" in out
    assert "own" not in OPTIMIZERS


def test_chance_is_said_and_not_judged(ravine, files):
    (files / "r.py").write_text(RANDOM)
    code, out, _ = ravine("same r.py:Drawn sgd")
    assert code == 1
    assert "Drawn draws random numbers" in out
    code, _, err = ravine("same r.py:OfItsOwn sgd")
    assert code == 2
    assert "OfItsOwn steps otherwise if two instances of it step in turn" in err
    code, out, _ = ravine("same r.py:Noisy r.py:NoisyToo")
    assert code == 0
    assert "with the same seed" in " ".join(out.split())
    code, out, _ = ravine("same r.py:Noisy sgd")
    assert code == 1
    assert "Noisy draws random numbers" in out
    code, _, err = ravine("same r.py:Noisy r.py:NoisyOtherwise")
    assert code == 2
    assert "cannot be told" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("same f.py:Late sgd", 1, "Late fails: AttributeError"),
        ("same f.py:Late f.py:Late", 2, "cannot be compared: AttributeError"),
        (
            "same torch.optim.SGD f.py:Breaks",
            1,
            "are different, with momentum=0.5. by Breaks fails",
        ),
        ("same torch.optim.SGD f.py:Refuses", 0, "not at momentum=0.5: Refuses"),
        ("same f.py:Exits lion", 1, "are different from step 1 on"),
        ("same momentum f.py:Refuses", 2, "Refuses does not take the values of momentum"),
        ("same normalized_sgd f.py:Undefined", 1, "Undefined divides by 0"),
    ],
)
def test_what_fails_where_the_other_does_not_is_said(ravine, files, words, code, said):
    (files / "f.py").write_text(FAULTS)
    answer = ravine(words)
    assert answer.code == code
    assert said in " ".join((answer.out + answer.err).split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("same adam", "compare two optimizers, and not 1"),
        ("same adam sgd lion", "and not 3"),
        ("same adam adem", "did you mean adam?"),
        ("same adam --fast", "unknown flag --fast"),
        ("same adam adam+clp", "did you mean clip?"),
        ("same adam cliff", "unknown optimizer 'cliff'"),
        ("same adam adam optimizer.bta1=1", "did you mean beta1?"),
        ("same adam adam optimizer.beta1=2", "beta1 is 2"),
        ("same adam adam optimizer.lr=[1e-3,1]", "must be one value"),
        ("same adam adam lr=1", "is no setting"),
        ("same adam torch.optim.SparseAdam", "SparseAdam cannot be compared"),
        ("same adam nowhere.py:X", "no file nowhere.py"),
        ("same adam torch.optim.Adem", "did you mean Adam?"),
    ],
)
def test_bad_input_is_one_line(ravine, words, said):
    code, out, err = ravine(words)
    assert code == 2
    assert said in err
    assert out == ""
    assert len(err.splitlines()) == 1


def test_what_wants_a_model_is_said_in_one_line(ravine, files):
    (files / "r.py").write_text(RANDOM)
    code, _, err = ravine("same r.py:Model sgd")
    assert code == 2
    assert len(err.splitlines()) == 1
