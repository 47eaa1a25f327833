"""What each task of the study promises; its network is compared with that of torch.nn."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
import torch
from torch import nn

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.study import TASKS
from optimizers import OPTIMIZERS
from optimizers.adopted import Adopted, shaped
from optimizers.decay import Decay
from problems.precision import default_dtype

FAMILIES = {
    "convex", "shallow", "deep", "factors", "convolution", "recurrent", "attention", "regression",
}  # fmt: skip


def dense(activation, *widths):
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


class Sine(nn.Module):
    def forward(self, inputs):
        return torch.sin(30 * inputs)


class Factors(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Embedding(128, 8), nn.Embedding(64, 8)

    def forward(self, places):
        return (self.left(places[:, 0]) * self.right(places[:, 1])).sum(-1)


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.RNN(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, images):
        return self.last(self.layer(images.view(-1, 8, 8))[0][:, -1])


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(97, 12)
        self.layer, self.last = nn.GRU(12, 24, batch_first=True), nn.Linear(24, 97)

    def forward(self, characters):
        return self.last(self.layer(self.table(characters))[0]).mT


def trunk():
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)


class CausalTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.places = nn.Embedding(97, 16), nn.Embedding(16, 16)
        self.trunk, self.last = trunk(), nn.Linear(16, 97)

    def forward(self, characters):
        mask = nn.Transformer.generate_square_subsequent_mask(16, dtype=torch.float64)
        return self.last(self.trunk(self.table(characters) + self.places.weight, mask)).mT


class RowTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.places, self.first = nn.Embedding(8, 16), nn.Linear(8, 16)
        self.trunk, self.last = trunk(), nn.Linear(16, 10)

    def forward(self, images):
        vectors = self.first(images.view(-1, 8, 8)) + self.places.weight
        return self.last(self.trunk(vectors).mean(1))


def digits_cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


def denoiser():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding=1),
    )  # fmt: skip


# By name of the task: the same network of torch.nn, and the loss of its outputs.
REFERENCES = {
    "softmax_digits": (lambda: nn.Linear(64, 10), nn.CrossEntropyLoss()),
    "softmax_cancer": (lambda: nn.Linear(30, 2), nn.CrossEntropyLoss()),
    "shallow_digits": (lambda: dense(nn.ReLU, 64, 32, 10), nn.CrossEntropyLoss()),
    "shallow_wrong_labels": (lambda: dense(nn.ReLU, 64, 32, 10), nn.CrossEntropyLoss()),
    "deep_tanh": (lambda: dense(nn.Tanh, 64, *8 * [16], 10), nn.CrossEntropyLoss()),
    "deep_relu": (lambda: dense(nn.ReLU, 64, *12 * [16], 10), nn.CrossEntropyLoss()),
    "autoencoder": (lambda: dense(nn.Tanh, 64, 32, 8, 32, 64), nn.MSELoss()),
    "completion": (Factors, nn.MSELoss()),
    "cnn_digits": (digits_cnn, nn.CrossEntropyLoss()),
    "denoising": (denoiser, nn.MSELoss()),
    "rnn_digits": (Rnn, nn.CrossEntropyLoss()),
    "gru_text": (Gru, nn.CrossEntropyLoss()),
    "transformer_text": (CausalTransformer, nn.CrossEntropyLoss()),
    "transformer_digits": (RowTransformer, nn.CrossEntropyLoss()),
    "diabetes": (lambda: dense(nn.Tanh, 10, 32, 32, 1), nn.MSELoss()),
    "image_of_sines": (lambda: dense(Sine, 2, 32, 32, 1), nn.MSELoss()),
}

# By name of the task: the rate from which Adam's falls linearly to 0, 1e-3 as by default or 1e-2 for small models, and
# the share of the best constant prediction's loss below which training must come. The level was set before any run.
TRAINING = {
    "softmax_digits": (1e-2, 0.5),
    "softmax_cancer": (1e-2, 0.5),
    "shallow_digits": (1e-3, 0.5),
    "shallow_wrong_labels": (1e-3, 0.8),  # a fifth of the labels cannot be foretold
    "deep_tanh": (1e-3, 0.5),
    "deep_relu": (1e-3, 0.5),
    "autoencoder": (1e-3, 0.5),
    "completion": (1e-2, 0.5),
    "cnn_digits": (1e-3, 0.5),
    "denoising": (1e-3, 0.5),
    "rnn_digits": (1e-3, 0.5),
    "gru_text": (1e-2, 0.8),  # the unigrams' entropy; English has about 0.4 of it
    "transformer_text": (1e-2, 0.8),
    "transformer_digits": (1e-3, 0.5),
    "diabetes": (1e-3, 0.6),  # linear regression leaves 0.5
    "image_of_sines": (1e-3, 0.5),
}

each_task = pytest.mark.parametrize("name", sorted(TASKS))


def instances(name, count=2, dtype=torch.float64):
    return Instances(TASKS[name], tuple(f"seed {k}" for k in range(count)), dtype)


def test_tasks_are_two_of_each_family():
    families = [task.family for task in TASKS.values()]
    assert set(families) == FAMILIES
    assert all(families.count(family) == 2 for family in FAMILIES)
    assert set(REFERENCES) == set(TRAINING) == set(TASKS)


@each_task
def test_network_is_that_of_torch(name):
    """Loss and gradient on a minibatch and on the whole are those of the same network in torch.nn."""
    task = TASKS[name]
    module, loss_of = REFERENCES[name]
    data = instances(name, 1)
    x = data.data["start"][0, 0]
    with default_dtype(torch.float64):
        module = module()
    assert tuple(tuple(each.shape) for each in module.parameters()) == task.shapes
    nn.utils.vector_to_parameters(x, module.parameters())
    draw = next(data.draws())
    training, held_out = task.parts()
    chosen = draw["chosen"][0, 0]
    value, gradient = task.sampled_value_and_gradient(data.data["start"], data.data, draw)
    expected = loss_of(module(training.inputs[chosen]), training.wanted[chosen])
    expected_gradient = torch.autograd.grad(expected, [*module.parameters()])
    torch.testing.assert_close(value[0, 0], expected)
    flat = torch.cat([each.flatten() for each in expected_gradient])
    torch.testing.assert_close(gradient[0, 0], flat)
    assert flat.norm() > 0
    for part, found in ((training, task.full_loss(x)), (held_out, task.test_loss(x))):
        torch.testing.assert_close(found, loss_of(module(part.inputs), part.wanted))


@each_task
def test_a_batch_of_runs_equals_its_single_runs(name):
    task, several = TASKS[name], instances(name)
    draw = next(several.draws())
    x = several.data["start"] * torch.tensor([0.5, 1.0, 1.5]).view(
        1, 3, 1
    )  # 2 instances × 3 trials
    value, gradient = task.sampled_value_and_gradient(x, several.data, draw)
    whole, unseen, watched = task.full_loss(x), task.test_loss(x), task.loss(x, several.data)
    for instance in range(2):
        alone = {"chosen": draw["chosen"][instance, 0]}
        for trial in range(3):
            at, point = (instance, trial), x[instance, trial]
            own, slope = task.sampled_value_and_gradient(point, several.data, alone)
            torch.testing.assert_close(value[at], own)
            torch.testing.assert_close(gradient[at], slope)
            torch.testing.assert_close(whole[at], task.full_loss(point))
            torch.testing.assert_close(unseen[at], task.test_loss(point))
            torch.testing.assert_close(watched[at], task.loss(point, several.data))


@each_task
def test_seeds_decide_starts_and_minibatches(name):
    first, again, other = (
        Instances(TASKS[name], (seed,)) for seed in ("one seed", "one seed", "another seed")
    )
    draws = [[each["chosen"] for each in islice(some.draws(), 3)] for some in (first, again, other)]
    assert torch.equal(first.data["start"], again.data["start"])
    assert not torch.equal(first.data["start"], other.data["start"])
    assert all(map(torch.equal, draws[0], draws[1]))
    assert not any(map(torch.equal, draws[0], draws[2]))


@each_task
def test_an_epoch_has_each_example_at_most_once(name):
    task = TASKS[name]
    count = len(task.parts()[0].inputs)
    draws = task.draws({}, torch.Generator().manual_seed(0))
    for _ in range(2):
        epoch = torch.cat([each["chosen"] for each in islice(draws, count // task.batch)])
        assert len(epoch.unique()) == len(epoch) > count - task.batch


@each_task
def test_no_example_is_in_both_parts(name):
    training, held_out = (
        {
            (*row.tolist(), *wanted.flatten().tolist())
            for row, wanted in zip(part.inputs.flatten(1), part.wanted, strict=True)
        }
        for part in TASKS[name].parts()
    )
    assert training
    assert held_out
    assert not training & held_out


def test_a_fifth_of_the_labels_is_wrong_and_none_of_those_held_out():
    (training, held_out), (right, right_held_out) = (
        TASKS[name].parts() for name in ("shallow_wrong_labels", "shallow_digits")
    )
    assert torch.equal(training.inputs, right.inputs)
    assert (training.wanted != right.wanted).sum() == int(0.2 * len(right.wanted))
    assert training.wanted.unique().tolist() == list(range(10))
    assert torch.equal(held_out.wanted, right_held_out.wanted)


@each_task
def test_engine_runs_it(name):
    """A built-in optimizer and torch's own take the same steps, and no run is called solved."""
    task, some = TASKS[name], instances(name)
    built_in = OPTIMIZERS["sgd"].replace(lr=1e-4)
    torchs = shaped(Adopted(torch.optim.SGD, {"lr": 1e-4}), task.shapes)
    ends = [run(each, some, 1, 5) for each in (built_in, torchs)]
    for end in ends:
        assert end.status == [["missed"], ["missed"]]
        assert torch.equal(end.numbers["steps"], torch.full((2, 1), 5.0, dtype=torch.float64))
    for column in ("end.train_loss", "end.test_loss"):
        torch.testing.assert_close(ends[0].numbers[column], ends[1].numbers[column])


@pytest.mark.slow
@each_task
def test_adam_trains_it(name):
    """In 1000 steps in single precision, on each of three seeds."""
    task, some = TASKS[name], instances(name, 3, torch.float32)
    lr, share = TRAINING[name]
    end = run(Decay(OPTIMIZERS["adam"].replace(lr=lr)), some, 1, 1000, record=False)
    assert end.numbers["end.train_loss"].max() < share * constant_loss(task)


def constant_loss(task):
    """The loss of the best prediction that does not depend on the inputs."""
    wanted = task.parts()[0].wanted
    if wanted.is_floating_point():
        return (wanted - wanted.mean(0)).square().mean().item()
    shares = wanted.flatten().bincount() / wanted.numel()
    return torch.special.entr(shares).sum().item()
