"""Small networks with one fault each, on scikit-learn's digits, to test whether the doctor finds the fault.

`ravine doctor NAME` trains one of them and prints its report; `python -m benchmarks.doctor.validate` counts how often
it is right. No threshold is fitted to them.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.doctor.doctor import Doctor
from ravine import Refused, nearest

PIXELS, CLASSES = 64, 10
READ, WAIT = (
    16,
    16,
)  # steps of the recurrent networks: with four pixels of the digit each, then without input


@dataclass(frozen=True)
class Demo:
    """A network, its fault, and the verdict that was expected before the first run.

    make: returns the model and its optimizer; the model returns logits, or logits and hidden states.
    """

    expected: str
    about: str
    make: Callable[[], tuple[torch.nn.Module, torch.optim.Optimizer]]
    batch: int | None = 64  # None: all digits
    steps: int = 1000
    spread: float = 1.0  # scale of the last pixel over scale of the first

    def train(self, seed: int = 0, **options: Any) -> Doctor:
        """Train the network of a seed with a doctor, and return the doctor; `options` are the doctor's."""
        inputs, targets = _digits()
        inputs = inputs * torch.logspace(0, math.log10(self.spread), PIXELS)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, optimizer = self.make()
            doctor = Doctor(model, optimizer, **options)
            x, y = inputs, targets
            for _ in range(self.steps):
                if self.batch is not None:
                    rows = torch.randint(len(inputs), (self.batch,))
                    x, y = inputs[rows], targets[rows]
                loss = doctor.step(lambda: _loss(model(x), y))  # noqa: B023
                if not torch.isfinite(loss):
                    break
        return doctor


def _loss(output: Any, targets: torch.Tensor) -> object:
    """Return the cross-entropy, with the hidden states if there are any."""
    logits, states = output if isinstance(output, tuple) else (output, None)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    return loss if states is None else (loss, states)


@functools.cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1797 digits of 64 pixels in [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)


class Recurrent(torch.nn.Module):
    """The linear recurrence h ← W h + U x: READ steps with four pixels each, WAIT without; logits of the last h.

    W is an orthogonal matrix times the spectral radius. The network is linear as in Deep Learning, section 8.2.5:
    tanh would bound the states, and with them the powers of W.
    """

    def __init__(self, radius: float, units: int = 32):
        super().__init__()
        self.inner = torch.nn.Linear(units, units, bias=False)
        self.outer = torch.nn.Linear(PIXELS // READ, units)
        self.read = torch.nn.Linear(units, CLASSES)
        with torch.no_grad():
            torch.nn.init.orthogonal_(self.inner.weight, gain=radius)
            self.outer.bias.zero_()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        state, states = x.new_zeros(len(x), self.inner.in_features), []
        blank = torch.zeros_like(x[:, : PIXELS // READ])
        for part in [*x.split(PIXELS // READ, dim=1), *[blank] * WAIT]:
            state = self.inner(state) + self.outer(part)
            states.append(state)
        return self.read(state), states


def _layers(*widths: int, unit: Callable[[], torch.nn.Module]) -> Iterator[torch.nn.Module]:
    for k, (width, following) in enumerate(itertools.pairwise(widths)):
        if k:
            yield unit()
        yield torch.nn.Linear(width, following)


def _perceptron(lr: float, momentum: float = 0.0):
    model = torch.nn.Sequential(*_layers(PIXELS, 64, CLASSES, unit=torch.nn.ReLU))
    return model, torch.optim.SGD(model.parameters(), lr, momentum)


def _linear(lr: float):
    model = torch.nn.Linear(PIXELS, CLASSES)
    return model, torch.optim.SGD(model.parameters(), lr)


def _deep_sigmoid():
    model = torch.nn.Sequential(*_layers(PIXELS, *[32] * 29, CLASSES, unit=torch.nn.Sigmoid))
    return model, torch.optim.SGD(model.parameters(), 0.1)


def _dead():
    hidden = torch.nn.Linear(PIXELS, 64)
    torch.nn.init.constant_(hidden.bias, -20.0)
    model = torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))
    return model, torch.optim.SGD(model.parameters(), 0.1)


def _recurrent(radius: float, lr: float):
    model = Recurrent(radius)
    return model, torch.optim.SGD(model.parameters(), lr)


DEMOS = {
    "healthy": Demo(
        "healthy", "a perceptron with 64 hidden units at a good learning rate",
        functools.partial(_perceptron, 0.1, 0.9), steps=300,
    ),
    "scaled_inputs": Demo(
        "ill_conditioning", "logistic regression on pixels whose scales go from 1 to 1000",
        functools.partial(_linear, 5e-5), batch=None, spread=1000.0,
    ),
    "rate_too_large": Demo(
        "step_too_large", "the healthy perceptron at ten times its learning rate",
        functools.partial(_perceptron, 1.0, 0.9), steps=300,
    ),
    "rate_too_small": Demo(
        "step_too_small", "the healthy perceptron at a tenth of its learning rate",
        functools.partial(_perceptron, 0.01, 0.9), steps=300,
    ),
    "batch_of_one": Demo(
        "noise", "the healthy perceptron, without momentum, on one digit at a time",
        functools.partial(_perceptron, 0.2), batch=1,
    ),
    "deep_sigmoid": Demo(
        "vanishing_gradient", "30 layers of sigmoids", _deep_sigmoid,
    ),
    "recurrent_exploding": Demo(
        "exploding_gradient", "a recurrent network whose weights have spectral radius 1.3",
        functools.partial(_recurrent, 1.3, 0.03),
    ),
    "recurrent_vanishing": Demo(
        "vanishing_gradient", "a recurrent network whose weights have spectral radius 0.7",
        functools.partial(_recurrent, 0.7, 0.003),
    ),
    "dead_relus": Demo(
        "no_signal", "a perceptron whose hidden units are all off", _dead,
    ),
}  # fmt: skip


def find(name: str) -> Demo:
    """Return the demo of this name; raise Refused, with the nearest name, if there is none."""
    if name not in DEMOS:
        raise Refused(f"unknown network {name!r}: {nearest(name, DEMOS)}")
    return DEMOS[name]
