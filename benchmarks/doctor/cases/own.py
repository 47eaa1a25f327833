"""Faults of Ravine's own, one of each kind that the doctor names, and healthy networks of unusual kinds."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from benchmarks.doctor.cases.case import Case, Task, plain_step
from benchmarks.doctor.cases.parts import (
    cancer,
    circles,
    digits,
    draws,
    perceptron,
    standardized,
)


def softmax_twice(repaired: bool) -> Task:
    """Return digits behind a softmax, or not, before the cross-entropy."""
    model = perceptron(64, 32, 10, last=None if repaired else nn.Softmax(1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


def one_unit_softmax(repaired: bool) -> Task:
    """Return two classes behind one unit: a softmax over it, or a sigmoid."""
    inputs, targets = cancer()
    model = perceptron(30, 16, 1, last=nn.Sigmoid() if repaired else nn.Softmax(1))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    loss = functional.binary_cross_entropy
    return Task(model, optimizer, standardized(inputs), targets, loss, 400)


def nll_of_logits(repaired: bool) -> Task:
    """Return digits with the negative log-likelihood of log-probabilities, or of plain logits."""
    model = perceptron(64, 32, 10, last=nn.LogSoftmax(1) if repaired else None)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    error = functional.cross_entropy  # the same for logits and for log-probabilities
    return Task(model, optimizer, *digits(), functional.nll_loss, 800, error=error)


def relu_out(repaired: bool) -> Task:
    """Return a regression on targets of both signs, behind a ReLU or not."""
    inputs = torch.randn(500, 4, generator=draws())
    targets = inputs[:, :1] * inputs[:, 1:2] + inputs[:, 2:3]
    model = perceptron(4, 32, 32, 1, last=None if repaired else nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 800)


def nan_input(repaired: bool) -> Task:
    """Return digits, one pixel of which is missing in the batch of step 23."""
    inputs, targets = digits()
    if not repaired:
        inputs = inputs.clone()
        inputs[1500, 20] = math.nan
    model = perceptron(64, 32, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Task(model, optimizer, inputs, targets, functional.cross_entropy, 300, shuffled=False)


def log_of_zero(repaired: bool) -> Task:
    """Return a cross-entropy from logits, or from the logarithms of probabilities that round to 0 and 1."""
    inputs, targets = cancer()
    model = perceptron(30, 32, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)

    def by_hand(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        chance = torch.sigmoid(logits)
        return -(labels * chance.log() + (1 - labels) * (1 - chance).log()).mean()

    loss = functional.binary_cross_entropy_with_logits if repaired else by_hand
    return Task(model, optimizer, standardized(inputs), targets, loss, 600)


class Cut(nn.Module):
    """A body and a head, between which the gradient is cut, or not."""

    def __init__(self, cut: bool):
        super().__init__()
        self.cut = cut
        self.body = perceptron(64, 32, 4)
        self.head = nn.Linear(4, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = torch.tanh(self.body(inputs))
        return self.head(features.detach() if self.cut else features)


def detached(repaired: bool) -> Task:
    """Return digits through four features, with a detach behind them or without."""
    model = Cut(not repaired)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 800)


class Listed(nn.Module):
    """Hidden layers in a list of Python, which does not register them, or in a list of torch."""

    def __init__(self, registered: bool):
        super().__init__()
        layers = [nn.Linear(64, 32), nn.Linear(32, 5)]
        self.hidden = nn.ModuleList(layers) if registered else layers
        self.head = nn.Linear(5, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for layer in self.hidden:
            inputs = torch.relu(layer(inputs))
        return self.head(inputs)


def unregistered(repaired: bool) -> Task:
    """Return digits through hidden layers that the model registers, or not."""
    model = Listed(repaired)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 800)


def frozen_by_mistake(repaired: bool) -> Task:
    """Return two circles through random features that require no gradient, or do."""
    model = perceptron(2, 8, 8, 1, unit=nn.Tanh)
    if not repaired:
        model[:-1].requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    return Task(model, optimizer, *circles(), functional.binary_cross_entropy_with_logits, 800)


def large_targets(repaired: bool) -> Task:
    """Return a regression on targets of scale 10000, or on standardized ones."""
    inputs = torch.randn(500, 6, generator=draws())
    targets = 1e4 * (inputs[:, :1] + inputs[:, 1:2].sin() + 3)
    targets = standardized(targets) if repaired else targets
    model = perceptron(6, 32, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return Task(
        model, optimizer, inputs, targets, functional.mse_loss, 600,
        error=lambda output, true: functional.mse_loss(output, true) / true.var(),
    )  # fmt: skip


def inputs_of_255(repaired: bool) -> Task:
    """Return digits with pixels of 0 to 255, or 0 to 1, before two layers of tanh."""
    inputs, targets = digits()
    model = perceptron(64, 32, 16, 10, unit=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    inputs = inputs if repaired else 255 * inputs
    return Task(model, optimizer, inputs, targets, functional.cross_entropy, 500)


def schedule_per_batch(repaired: bool) -> Task:
    """Return digits with a rate that falls by a tenth per epoch, or per batch."""
    inputs, targets = digits()
    model = perceptron(64, 32, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    epoch, steps = len(inputs) // 32, iter(range(1, 1000))

    def after_step() -> None:
        if next(steps) % epoch == 0 or not repaired:
            schedule.step()

    return Task(
        model, optimizer, inputs, targets, functional.cross_entropy, 800, batch=32,
        after_step=after_step,
    )  # fmt: skip


def shuffled_labels(repaired: bool) -> Task:
    """Return digits with their classes, or with classes in a random order."""
    inputs, targets = digits()
    model = perceptron(64, 32, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    labels = targets if repaired else targets[torch.randperm(len(targets), generator=draws())]
    return Task(model, optimizer, inputs, labels, functional.cross_entropy, 500)


def sorted_classes(repaired: bool) -> Task:
    """Return digits in batches of one class after another, or in a random order."""
    inputs, targets = digits()
    order = targets.argsort(stable=True)
    model = perceptron(64, 32, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Task(
        model, optimizer, inputs[order], targets[order], functional.cross_entropy, 500,
        shuffled=repaired,
    )  # fmt: skip


def heavy_momentum(repaired: bool) -> Task:
    """Return digits with momentum 0.999, or 0.9."""
    model = perceptron(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9 if repaired else 0.999)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


class RowReader(nn.Module):
    """A recurrent network of ReLUs that reads a digit row by row and then waits for eight steps."""

    def __init__(self, gain: float):
        super().__init__()
        self.recurrent = nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(32, 10)
        nn.init.orthogonal_(self.recurrent.get_parameter("weight_hh_l0"), gain)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = functional.pad(inputs.view(-1, 8, 8), (0, 0, 0, 8))
        return self.head(self.recurrent(rows)[0][:, -1])


class FirstSign(nn.Module):
    """A recurrent network that reads (examples, steps, 1) and answers after the last step."""

    def __init__(self, batch_first: bool):
        super().__init__()
        self.recurrent = nn.GRU(1, 16, batch_first=batch_first)
        self.head = nn.Linear(16, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(inputs)[0][:, -1])


def time_first(repaired: bool) -> Task:
    """Return the sign of the first of five numbers, by a layer that takes examples first, or time."""
    inputs = torch.randn(512, 5, 1, generator=draws())
    targets = (inputs[:, 0, 0] > 0).long()
    model = FirstSign(batch_first=repaired)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return Task(model, optimizer, inputs, targets, functional.cross_entropy, 500)


def unclipped_recurrent(repaired: bool) -> Task:
    """Return digits by a recurrent network with large weights, with clipped gradients or without."""
    model = RowReader(2.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def clip() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    return Task(
        model, optimizer, *digits(), functional.cross_entropy, 500,
        before_update=clip if repaired else None,
    )  # fmt: skip


def deep_tanh(repaired: bool) -> Task:
    """Return twelve layers of tanh with large initial weights, with batch normalization or without."""

    def unit() -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(32), nn.Tanh()) if repaired else nn.Tanh()

    model = perceptron(64, *[32] * 12, 10, unit=unit)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 400)


def xor_linear(repaired: bool) -> Task:
    """Return the exclusive or of two signs by a linear model, or with a hidden layer."""
    inputs = torch.randn(500, 2, generator=draws())
    targets = (inputs[:, :1] * inputs[:, 1:] > 0).float()
    model = perceptron(2, 16, 1) if repaired else nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    loss = functional.binary_cross_entropy_with_logits
    return Task(model, optimizer, inputs, targets, loss, 600)


class Reader(nn.Module):
    """A transformer of two layers that reads eight tokens and names the class of the sequence."""

    def __init__(self, tokens: int, width: int, length: int, classes: int):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.place = nn.Parameter(torch.randn(length, width) / 10)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.embedding(tokens) + self.place).mean(1))


def transformer_lr(repaired: bool) -> Task:
    """Return the commonest of four tokens by a transformer, at its rate or at ten times that."""
    inputs = torch.randint(4, (600, 8), generator=draws())
    targets = functional.one_hot(inputs, 4).sum(1).argmax(1)
    model = Reader(4, 16, 8, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.005 if repaired else 0.05)
    return Task(model, optimizer, inputs, targets, functional.cross_entropy, 300, batch=32)


def zero_start(repaired: bool) -> Task:
    """Return a network that starts where all weights are 0, at a saddle, or from random weights."""
    model = perceptron(64, 32, 10, unit=nn.Tanh)
    for parameter in model.parameters():
        if not repaired:
            nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


def tiny_batches(repaired: bool) -> Task:
    """Return a linear regression with noise in batches of one example, or of 64."""
    generator = draws()
    inputs = torch.randn(1000, 20, generator=generator)
    targets = inputs.sum(1, keepdim=True) + 2 * torch.randn(1000, 1, generator=generator)
    model = nn.Linear(20, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.03)
    batch = 64 if repaired else 1
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 800, batch=batch)


def powers(repaired: bool) -> Task:
    """Return a polynomial of degree six by a linear model of the powers, raw or whitened."""
    x = torch.linspace(0, 2, 300)[:, None]
    inputs = torch.cat([x**power for power in range(1, 7)], dim=1)
    targets = (3 * x).sin()
    if repaired:
        inputs = torch.linalg.svd(standardized(inputs).double(), full_matrices=False)[0].float()
        inputs = standardized(inputs)
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1 if repaired else 5e-4)
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 800, batch=None)


def adam_small(repaired: bool) -> Task:
    """Return a network of GELUs, trained by AdamW at 0.00001 or at 0.003."""
    model = perceptron(64, 64, 10, unit=nn.GELU)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3 if repaired else 1e-5)
    return Task(model, optimizer, *digits(), functional.cross_entropy, 500)


def autoencoder(repaired: bool) -> Task:
    """Return digits through eight numbers and back."""
    inputs, _ = digits()
    model = nn.Sequential(perceptron(64, 32, 8), perceptron(8, 32, 64, last=nn.Sigmoid()))
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    return Task(model, optimizer, inputs, inputs, functional.mse_loss, 600)


class Variational(nn.Module):
    """A variational autoencoder of digits with four latent numbers."""

    def __init__(self):
        super().__init__()
        self.encoder = perceptron(64, 32, 8)
        self.decoder = perceptron(4, 32, 64)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_variance = self.encoder(inputs).chunk(2, dim=1)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(latent), mean, log_variance


def variational(repaired: bool) -> Task:
    """Return a variational autoencoder of digits."""
    inputs, _ = digits()
    model = Variational()

    def bound(output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], pixels: torch.Tensor):
        logits, mean, log_variance = output
        likelihood = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return (likelihood + divergence) / len(pixels)

    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    return Task(model, optimizer, inputs, inputs, bound, 600)


class Adversarial(nn.Module):
    """A generator of points in the plane, whose output is what a critic says of the points, and the points."""

    def __init__(self, critic: nn.Module):
        super().__init__()
        self.generator = perceptron(2, 32, 32, 2)
        self.critic = [critic]  # in a list, so that the generator's optimizer does not hold it

    def forward(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points = self.generator(noise)
        return self.critic[0](points), points


def adversarial(repaired: bool) -> Task:
    """Return a generator that learns against a critic, so that its loss need not fall."""
    generator = draws()
    noise = torch.randn(500, 2, generator=generator)
    mixing = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    true = torch.tensor([3.0, -2.0]) + torch.randn(500, 2, generator=generator) @ mixing
    critic = perceptron(2, 64, 1, unit=lambda: nn.LeakyReLU(0.2))
    model = Adversarial(critic)
    optimizer = torch.optim.Adam(model.parameters(), 0.001, betas=(0.5, 0.99))
    opponent = torch.optim.Adam(critic.parameters(), 0.005, betas=(0.5, 0.99))

    def train_critic() -> None:
        rows = torch.randint(500, (64,))
        with torch.no_grad():
            points = model.generator(noise[rows])
        opponent.zero_grad()
        loss = functional.softplus(-critic(true[rows])) + functional.softplus(critic(points))
        loss.mean().backward()
        opponent.step()

    def fooled(output: tuple[torch.Tensor, torch.Tensor], _: torch.Tensor) -> torch.Tensor:
        return functional.softplus(-output[0]).mean()

    def moments(output: tuple[torch.Tensor, torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
        points = output[1]
        spread = (points.std(0) - wanted.std(0)).norm()
        return (points.mean(0) - wanted.mean(0)).norm() + spread

    return Task(
        model, optimizer, noise, true, fooled, 800, after_step=train_critic, error=moments
    )  # fmt: skip


class Residual(nn.Module):
    """A network u whose output is how far u'' = -u, u(0) = 0 and u'(0) = 1 are from true."""

    def __init__(self):
        super().__init__()
        self.solution = perceptron(1, 16, 16, 1, unit=nn.Tanh)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            time = time.requires_grad_()
            position = time + time**2 * self.solution(time)
            (speed,) = torch.autograd.grad(position.sum(), time, create_graph=True)
            (force,) = torch.autograd.grad(speed.sum(), time, create_graph=True)
        return force + position


def physics(repaired: bool) -> Task:
    """Return a pendulum's differential equation, solved by a network whose derivatives are in the loss."""
    time = torch.linspace(0, 3, 100)[:, None]
    model = Residual()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return Task(
        model, optimizer, time, torch.zeros_like(time), functional.mse_loss, 600, batch=None
    )


class Pairs(nn.Module):
    """The dot product of two embeddings plus a bias for each."""

    def __init__(self, users: int, items: int, width: int):
        super().__init__()
        self.users = nn.Embedding(users, width)
        self.items = nn.Embedding(items, width)
        self.bias = nn.Embedding(users + items, 1)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        user, item = pairs.unbind(1)
        bias = self.bias(user) + self.bias(item + self.users.num_embeddings)
        return (self.users(user) * self.items(item)).sum(1, keepdim=True) + bias


def embedding(repaired: bool) -> Task:
    """Return ratings of 40 items by 50 users, from embeddings of which a batch sees only some."""
    generator = draws()
    tastes = torch.randn(50, 3, generator=generator)
    ratings = tastes @ torch.randn(3, 40, generator=generator)
    pairs = torch.cartesian_prod(torch.arange(50), torch.arange(40))
    model = Pairs(50, 40, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    return Task(model, optimizer, pairs, ratings.view(-1, 1), functional.mse_loss, 500)


def fine_tuned(repaired: bool) -> Task:
    """Return a new head on features that were trained before, and are frozen on purpose."""
    inputs, targets = digits()
    model = perceptron(64, 32, 10)
    parity = targets % 2
    before = Task(
        model, torch.optim.Adam(model.parameters(), 0.005), inputs, targets, functional.cross_entropy, 300
    )  # fmt: skip
    before.train(partial(plain_step, before.optimizer))
    model[0].requires_grad_(False)
    model[-1] = nn.Linear(32, 2)
    optimizer = torch.optim.Adam(model[-1].parameters(), 0.01)
    return Task(model, optimizer, inputs, parity, functional.cross_entropy, 400)


def rare_class(repaired: bool) -> Task:
    """Return two classes, one of which has three examples in a hundred."""
    generator = draws()
    targets = (torch.rand(2000, 1, generator=generator) < 0.03).float()
    inputs = torch.randn(2000, 10, generator=generator) + 1.5 * targets
    model = perceptron(10, 16, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    loss = functional.binary_cross_entropy_with_logits
    return Task(model, optimizer, inputs, targets, loss, 500)


def noise_floor(repaired: bool) -> Task:
    """Return a linear regression that has arrived at its noise long before the end."""
    generator = draws()
    inputs = torch.randn(1000, 10, generator=generator)
    targets = inputs.sum(1, keepdim=True) + torch.randn(1000, 1, generator=generator)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    return Task(model, optimizer, inputs, targets, functional.mse_loss, 800)


FAULTY = (
    Case(
        softmax_twice, "a softmax before the cross-entropy, which has one of its own", 0.3,
        root="output_unit",
        consequence="vanishing_gradient plateau no_signal local_minimum",
        advice=("softmax", "logits", "last layer"),
    ),
    Case(
        one_unit_softmax, "a softmax over one unit is 1 whatever the weights are", 0.15,
        root="output_unit",
        consequence="no_signal plateau vanishing_gradient",
        advice=("softmax", "sigmoid", "last layer"),
    ),
    Case(
        nll_of_logits, "a negative log-likelihood of logits, without a log-softmax: the loss has no lower bound", 0.6,
        root="output_unit",
        consequence="no_critical_point not_finite step_not_finite step_too_large exploding_gradient cliff",
        advice=("log_softmax", "log-softmax", "LogSoftmax", "cross_entropy", "cross-entropy"),
    ),
    Case(
        relu_out, "a ReLU behind the last layer of a regression: no output is below 0", 0.1,
        root="output_unit",
        consequence="no_signal plateau local_minimum",
        advice=("last layer", "output"),
    ),
    Case(
        nan_input, "one missing pixel in the batch of step 23", 0.5,
        root="not_finite",
        consequence="step_not_finite",
        advice=("batch", "input"),
    ),
    Case(
        log_of_zero, "the logarithm of a probability that rounds to 0", 0.1,
        root="not_finite",
        consequence="step_not_finite step_too_large cliff exploding_gradient",
        advice=("logits", "log(", "logarithm"),
    ),
    Case(
        detached, "a detach cuts the gradient between body and head", 0.5,
        root="cut_graph",
        consequence="frozen_weights local_minimum no_signal",
        advice=("detach", "no gradient"),
    ),
    Case(
        unregistered, "hidden layers in a list of Python: the model does not register them", 0.5,
        root="unregistered_weights",
        consequence="cut_graph frozen_weights local_minimum no_signal",
        advice=("ModuleList", "register"),
    ),
    Case(
        frozen_by_mistake, "requires_grad is off for all layers but the last, with random weights in them", 0.2,
        root="frozen_weights",
        consequence="cut_graph local_minimum no_signal",
        advice=("frozen", "requires_grad", "parameters"),
    ),
    Case(
        large_targets, "targets of scale 10000 before a network whose outputs start at about 1", 0.1,
        root="unscaled_targets",
        consequence="step_too_small long_path plateau",
        advice=("targets",),
    ),
    Case(
        inputs_of_255, "inputs of 0 to 255 saturate the units of tanh", 0.3,
        root="ill_conditioning vanishing_gradient",
        consequence="plateau no_signal noise step_too_large",
        advice=("inputs", "standardiz", "normaliz"),
    ),
    Case(
        schedule_per_batch, "a schedule meant for epochs takes a step per batch: the rate falls to nothing", 0.6,
        root="step_too_small",
        consequence="long_path plateau",
        advice=("schedule", "epoch"),
    ),
    Case(
        shuffled_labels, "labels in a random order: they do not depend on the inputs", 0.6,
        root="noise_labels",
        consequence="local_minimum plateau noise",
        advice=("labels", "targets"),
    ),
    Case(
        sorted_classes, "batches of one class after another: the examples are sorted, and not shuffled", 0.6,
        root="same_targets",
        consequence="noise sharpening step_too_large wrong_direction noise_labels",
        advice=("shuffle",),
    ),
    Case(
        heavy_momentum, "momentum 0.999 remembers more steps than the run has", 0.2,
        root="step_too_large",
        consequence="wrong_direction sharpening cliff",
        advice=("momentum",),
    ),
    Case(
        time_first, "a recurrent layer takes the examples of a batch for the steps of a sequence", 0.1,
        root="mixed_examples",
        consequence="plateau noise noise_labels local_minimum vanishing_gradient",
        advice=("batch_first",),
    ),
    Case(
        unclipped_recurrent, "gradients explode along 16 steps of a recurrent network, and are not clipped", 0.9,
        root="exploding_gradient",
        consequence="cliff step_too_large not_finite step_not_finite no_signal",
        advice=("clip",),
    ),
    Case(
        deep_tanh, "twelve layers of tanh with large initial weights: the units are saturated", 0.3,
        root="vanishing_gradient exploding_gradient",
        consequence="plateau noise step_too_large cliff",
        advice=("normaliz", "initializ", "saturate"),
    ),
    Case(
        xor_linear, "a linear model on classes that no line separates", 0.2,
        root="local_minimum",
        consequence="plateau noise_labels",
        advice=("hidden", "nonlinear", "larger model", "wider", "capacity"),
    ),
    Case(
        transformer_lr, "ten times the learning rate of a small transformer", 0.03,
        root="step_too_large",
        consequence="cliff sharpening",
        rate="lower",
    ),
    Case(
        zero_start, "all weights start at 0, which is a saddle", 0.2,
        root="saddle no_signal",
        consequence="plateau vanishing_gradient",
        advice=("initializ", "start"),
    ),
    Case(
        tiny_batches, "batches of one example of a noisy regression", 5.5,
        root="noise",
        consequence="step_too_large",
        advice=("batch",),
    ),
    Case(
        powers, "powers of one number as inputs: they are nearly collinear, and of different scales", 0.01,
        root="ill_conditioning",
        consequence="step_too_small long_path",
        advice=("standardiz", "normaliz", "whiten"),
    ),
    Case(
        adam_small, "learning rate too small: AdamW at 0.00001 instead of 0.003", 0.3,
        root="step_too_small",
        consequence="long_path",
        rate="higher",
    ),
)  # fmt: skip

HEALTHY = (
    Case(autoencoder, "an autoencoder: the loss does not fall to 0", 0.03),
    Case(variational, "a variational autoencoder: its loss is random and has a high floor", 27.0),
    Case(adversarial, "a generator against a critic: the loss does not fall", 1.2),
    Case(physics, "a differential equation: the loss contains derivatives of the network", 0.01),
    Case(embedding, "embeddings, of which a batch has gradients for some rows only", 0.1),
    Case(fine_tuned, "a new head on a trained body that is frozen on purpose", 0.3),
    Case(rare_class, "two classes, one of them with three examples in a hundred", 0.04),
    Case(noise_floor, "a regression that reached its noise long before the end", 1.1),
)
