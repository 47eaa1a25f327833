"""Ten faults from public questions and published tools, written anew in PyTorch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from benchmarks.doctor.cases.case import Case, Task
from benchmarks.doctor.cases.parts import (
    cancer,
    circles,
    digits,
    draws,
    perceptron,
    standardized,
)


def lr_raw(repaired: bool) -> Task:
    """Return a line through raw inputs of 0 to 10."""
    generator = draws()
    inputs = 10 * torch.rand(200, 1, generator=generator)
    targets = 3 * inputs + 4 + 0.1 * torch.randn(200, 1, generator=generator)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01 if repaired else 0.1)
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 1500, batch=32)


def cnn_lr(repaired: bool) -> Task:
    """Return a small convolutional network on digits, with Nesterov's momentum."""
    inputs, targets = digits()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(144, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    rate = 0.02 if repaired else 0.5
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True)
    images = inputs.view(-1, 1, 8, 8)
    return Task(model, optimizer, images, targets, functional.cross_entropy, 500, batch=32)


def adam_lr(repaired: bool) -> Task:
    """Return a network with two hidden layers on digits, trained by Adam."""
    model = perceptron(64, 64, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 0.003 if repaired else 0.3)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


def rmsprop_small(repaired: bool) -> Task:
    """Return a line from tens of degrees Celsius to degrees Fahrenheit, by RMSprop."""
    inputs = torch.linspace(-4, 4, 100)[:, None]
    model = nn.Linear(1, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), 0.1 if repaired else 0.001)
    return Task(model, optimizer, inputs, 18 * inputs + 32, functional.mse_loss, 1000, batch=None)


def unscaled_inputs(repaired: bool) -> Task:
    """Return a network on the breast cancer data; on raw features only a tiny rate is stable."""
    inputs, targets = cancer()
    model = perceptron(30, 16, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05 if repaired else 1e-5)
    loss = functional.binary_cross_entropy_with_logits
    inputs = standardized(inputs) if repaired else inputs
    return Task(model, optimizer, inputs, targets, loss, 1000, batch=32)


def vanish_circles(repaired: bool) -> Task:
    """Return twelve hidden layers on two circles: sigmoids, or ReLUs with He's initialization."""
    model = perceptron(2, *[16] * 12, 1, unit=nn.ReLU if repaired else nn.Sigmoid)
    for layer in model:
        if repaired and isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    return Task(model, optimizer, *circles(), functional.binary_cross_entropy_with_logits, 800)


def dying_relu(repaired: bool) -> Task:
    """Return a perceptron whose hidden biases of -20 turn all its ReLUs off."""
    model = perceptron(64, 64, 10)
    if not repaired:
        nn.init.constant_(model[0].get_parameter("bias"), -20.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


def sigmoid_out(repaired: bool) -> Task:
    """Return a regression on targets of about 20, behind a sigmoid or not."""
    inputs = torch.randn(400, 3, generator=draws())
    targets = 20 + 5 * inputs[:, :1] - 3 * inputs[:, 1:2]
    model = perceptron(3, 32, 1, last=None if repaired else nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 1500, batch=32)


def frozen(repaired: bool) -> Task:
    """Return a narrow network whose optimizer is given the last layer alone, or all layers."""
    model = perceptron(64, 6, 10)
    held = model if repaired else model[-1]
    optimizer = torch.optim.SGD(held.parameters(), 0.1, momentum=0.9)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 800)


def broadcast(repaired: bool) -> Task:
    """Return a regression with outputs of shape (N, 1), and targets of shape (N,) or (N, 1)."""
    inputs = torch.randn(500, 5, generator=draws())
    targets = inputs @ torch.tensor([1.0, -2, 0.5, 0, 3])
    model = perceptron(5, 32, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    targets = targets[:, None] if repaired else targets
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 800, batch=32)


PUBLIC = (
    Case(
        lr_raw, "learning rate too large: 0.1, where inputs of 0 to 10 allow about 0.03", 0.05,
        root="step_too_large",
        rate="lower",
        source="Stack Overflow 48934338 (DeepFD 13)",
    ),
    Case(
        cnn_lr, "learning rate too large for SGD with momentum", 0.3,
        root="step_too_large",
        consequence="cliff no_signal",
        rate="lower",
        source="Stack Overflow 37624102 (DeepFD 34)",
    ),
    Case(
        adam_lr, "learning rate too large for Adam: the loss oscillates", 0.3,
        root="step_too_large",
        consequence="cliff no_signal",
        rate="lower",
        source="AUTOTRAINER, oscillating loss",
    ),
    Case(
        rmsprop_small, "learning rate too small: RMSprop at 0.001 instead of 0.1", 1.0,
        root="step_too_small",
        consequence="long_path",
        rate="higher",
        source="Stack Overflow 51181393 (DeepFD 45)",
    ),
    Case(
        unscaled_inputs, "inputs of very different scales", 0.15,
        root="ill_conditioning",
        consequence="step_too_large step_too_small",
        advice=("standardiz", "normaliz"),
        source="Stack Overflow 39525358 and 47724077 (DeepFD 11, 14)",
    ),
    Case(
        vanish_circles, "the gradient vanishes through twelve layers of sigmoids", 0.3,
        root="vanishing_gradient",
        consequence="plateau",
        advice=("residual", "normaliz", "initializ", "saturate"),
        source="AUTOTRAINER, vanishing gradient (circles)",
    ),
    Case(
        dying_relu, "all hidden ReLUs are off, so that only the last bias gets a gradient", 0.3,
        root="no_signal",
        consequence="plateau vanishing_gradient saddle",
        advice=("leaky", "smaller biases", "initializ"),
        source="AUTOTRAINER, dying ReLU",
    ),
    Case(
        sigmoid_out, "a sigmoid behind the last layer of a regression: no output exceeds 1", 1.0,
        root="output_unit",
        consequence="plateau no_signal no_critical_point local_minimum vanishing_gradient unscaled_targets",
        advice=("output", "last layer", "targets"),
        source="Stack Overflow 48221692 (DeepFD 20)",
    ),
    Case(
        frozen, "the optimizer holds the last layer only: all other weights stay as they are", 0.8,
        root="frozen_weights",
        consequence="local_minimum no_signal",
        advice=("frozen", "holds", "parameters"),
        source="PyTorch forum",
    ),
    Case(
        broadcast, "shapes (N, 1) and (N,) broadcast: every output is compared with every target", 0.5,
        root="broadcast_shapes",
        consequence="local_minimum noise_labels",
        advice=("shape", "broadcast"),
        source="PyTorch forum",
    ),
)  # fmt: skip
