"""Faults of the program: each is found where it is, with the numbers seen, and not in its healthy twin."""

from __future__ import annotations

import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.doctor import Doctor, watch
from benchmarks.doctor.measurement import parted
from benchmarks.doctor.program import ASKED, Program
from ravine import Refused

Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], object]


SLOWLY = partial(torch.optim.SGD, lr=1e-3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes(count: int = 3, seed: int = 1, rows: int = 32) -> torch.Tensor:
    return torch.randint(count, (rows,), generator=torch.Generator().manual_seed(seed))


X, Y = normal(32, 4), classes()
HALVES = classes(2)[:, None].float()
SLOPE = X @ torch.tensor(
    [[1.0], [-2.0], [0.5], [1.0]]
)  # targets of a regression, of mean 0 and size 2


def layers(*behind: nn.Module, out: int = 3, inputs: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, out), *behind)


def crossed(model, x, y):
    return functional.cross_entropy(model(x), y)


def squared(model, x, y):
    return functional.mse_loss(model(x), y)


def trained(
    model: nn.Module, loss: Loss, x: torch.Tensor = X, y: torch.Tensor = Y, *, steps: int = 5,
    optimizer: Callable = SLOWLY, held=None, schedule=None,
) -> Doctor:  # fmt: skip
    """A few steps on shuffled batches with a doctor."""
    chosen = optimizer(model.parameters() if held is None else held)
    decay = None if schedule is None else schedule(chosen)
    doctor = Doctor(model, chosen, trials=False, allowance=1000)
    for step in range(steps):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))
        doctor.step(lambda order=order: loss(model, x[order], y[order]))
        if decay is not None:
            decay.step()
    return doctor


def faults(*args, **keywords) -> dict[str, str]:
    """The faults that were found, and why."""
    return {each.cause: each.why for each in trained(*args, **keywords).report().run.faults}


# The last unit against the loss.


def crossed_after(*ways: Callable) -> Loss:
    """Cross-entropy of what functions make of the outputs."""

    def loss(model, x, y):
        out = model(x)
        for way in ways:
            out = way(out)
        return functional.cross_entropy(out, y)

    return loss


def with_logits(model, x, y):
    return functional.binary_cross_entropy_with_logits(model(x), y)


def of_probabilities(model, x, y):
    return functional.binary_cross_entropy(model(x), y)


def log_likelihood(model, x, y):
    return functional.nll_loss(model(x), y)


def soft(model, x, y):
    return functional.cross_entropy(model(x), functional.one_hot(y, 3).float())


def smoothed(model, x, y):
    return functional.cross_entropy(model(x), y, label_smoothing=0.1)


def weighted(model, x, y):
    return functional.cross_entropy(model(x), y, weight=torch.tensor([1.0, 2.0, 3.0]))


def pixelwise(model, x, y):
    return functional.cross_entropy(model(x[:, None, None, :]).movedim(-1, 1), y[:, None, None])


def hand_written(model, x, y):
    return (model(x) - y).square().mean()


UNITS = {
    "softmax before cross_entropy": (nn.Softmax(1), 3, crossed, Y, "softmax"),
    "a function": (nn.Identity(), 3, crossed_after(partial(torch.softmax, dim=-1)), Y, "softmax"),
    "sigmoid before cross_entropy": (nn.Sigmoid(), 3, crossed, Y, "sigmoid"),
    "relu before cross_entropy": (nn.ReLU(), 3, crossed, Y, "relu"),
    "tanh before cross_entropy": (nn.Tanh(), 3, crossed, Y, "tanh"),
    "soft targets": (nn.Softmax(1), 3, soft, Y, "softmax"),
    "smoothed labels": (nn.Softmax(1), 3, smoothed, Y, "softmax"),
    "weighted classes": (nn.Softmax(1), 3, weighted, Y, "softmax"),
    "pixels": (nn.Softmax(-1), 3, pixelwise, Y, "softmax"),
    "reshaped": (nn.Sequential(nn.Softmax(1), nn.Flatten()), 3, crossed, Y, "softmax"),
    "sigmoid before logits": (nn.Sigmoid(), 1, with_logits, HALVES, "sigmoid"),
    "relu before logits": (nn.ReLU(), 1, with_logits, HALVES, "relu"),
    "squeezed": (
        nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), 1, with_logits, HALVES[:, 0], "sigmoid",
    ),
    "one unit under softmax": (nn.Softmax(1), 1, of_probabilities, HALVES, "single unit"),
    "likewise from the back": (nn.Softmax(-1), 1, squared, HALVES, "single unit"),
    "nll_loss of logits": (nn.Identity(), 3, log_likelihood, Y, "log-probabilities"),
    "nll_loss of probabilities": (nn.Softmax(1), 3, log_likelihood, Y, "log-probabilities"),
    "sigmoid on a regression": (nn.Sigmoid(), 1, squared, SLOPE + 5, "targets out of its range"),
    "tanh on a regression": (nn.Tanh(), 1, squared, SLOPE + 5, "targets out of its range"),
    "relu on a regression": (nn.ReLU(), 1, squared, SLOPE - 5, "targets out of its range"),
    "absolute": (
        nn.Sigmoid(), 1, lambda model, x, y: functional.l1_loss(model(x), y), SLOPE + 5, "out of its range",
    ),
    "written by hand": (nn.Sigmoid(), 1, hand_written, SLOPE + 5, "out of its range"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_an_output_unit_that_the_loss_does_not_want(name):
    unit, out, loss, y, said = UNITS[name]
    found = faults(layers(unit, out=out), loss, y=y)
    assert said in found["output_unit"]


FITTING_UNITS = {
    "logits": (nn.Identity(), 3, crossed, Y),
    "smoothed": (nn.Identity(), 3, smoothed, Y),
    "soft": (nn.Identity(), 3, soft, Y),
    "pixels": (nn.Identity(), 3, pixelwise, Y),
    "one logit": (nn.Identity(), 1, with_logits, HALVES),
    "sigmoid and binary_cross_entropy": (nn.Sigmoid(), 1, of_probabilities, HALVES),
    "log_softmax and nll_loss": (nn.LogSoftmax(1), 3, log_likelihood, Y),
    "log of softmax": (
        nn.Softmax(1), 3, lambda model, x, y: functional.nll_loss(model(x).log(), y), Y,
    ),
    "sigmoid with targets in its range": (nn.Sigmoid(), 1, squared, torch.sigmoid(SLOPE)),
    "tanh with targets in its range": (nn.Tanh(), 1, squared, torch.tanh(SLOPE)),
    "relu with positive targets": (nn.ReLU(), 1, squared, SLOPE.abs()),
    "plain regression": (nn.Identity(), 1, squared, SLOPE),
    "a softmax of attention over one word": (
        nn.TransformerEncoderLayer(3, 1, 4, batch_first=True), 3,
        lambda model, x, y: functional.cross_entropy(model(x[:, None])[:, 0], y), Y,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTING_UNITS)
def test_an_output_unit_that_fits_is_silent(name):
    unit, out, loss, y = FITTING_UNITS[name]
    assert faults(layers(unit, out=out), loss, y=y) == {}


def test_the_best_constant_output_is_that_of_the_targets():
    """The mean for a squared error, the frequencies for the others, whatever the last unit is."""
    batch = partial(trained, steps=ASKED)
    entropy = -sum(p * math.log(p) for p in (Y.bincount() / 32).tolist())
    share = HALVES.mean().item()
    binary = -share * math.log(share) - (1 - share) * math.log(1 - share)
    for unit, out, loss, y, expected in (
        (nn.Identity(), 1, squared, SLOPE, SLOPE.var(correction=0).item()),
        (nn.Identity(), 3, crossed, Y, entropy),
        (nn.LogSoftmax(1), 3, log_likelihood, Y, entropy),
        (nn.Identity(), 1, with_logits, HALVES, binary),
        (nn.Sigmoid(), 1, of_probabilities, HALVES, binary),
    ):
        constant = batch(layers(unit, out=out), loss, y=y)._program.constant
        assert constant == pytest.approx(expected, rel=1e-3)


def test_nll_loss_of_logits_has_no_constant():
    assert math.isnan(trained(layers(), log_likelihood)._program.constant)


def test_what_asking_costs():
    """20 forward passes at the first three steps, a third of a gradient each.

    At each step one to look, one for other targets (or, at the last, other inputs) and one for the constant output; one
    for examples that mix; the rest fits the constant output.
    """
    doctor = trained(Last(batch_first=False), crossed, SEQUENCES, steps=ASKED)
    assert 10 < doctor._program.cost * 3 <= 20 + 1e-9  # sums of thirds round


# Inputs that do not matter.


class Given(nn.Sequential):
    """Layers that get what a function makes of the inputs."""

    def __init__(self, way: Callable, *inner: nn.Module):
        super().__init__(*(inner or layers()))
        self.way = way

    def forward(self, input):
        return super().forward(self.way(input))


def dropped(way: Callable) -> nn.Module:
    return Given(way, nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


IGNORING = {
    "zeros": lambda: Given(torch.zeros_like),
    "a product with 0": lambda: Given(lambda x: 0 * x),
    "another variable": lambda: Given(lambda x: X),
    "whole numbers": lambda: Given(lambda x: (x / 100).long().float()),
    "dropout": lambda: dropped(torch.zeros_like),
}


@pytest.mark.parametrize("mask", [torch.ones(32, 4), None, 1, 0.5, True])
def test_inputs_that_do_not_matter_beside_a_mask_of_ones_or_a_number(mask):
    """An input that is alike in all rows leaves the question to the others."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = layers()

        def forward(self, x, mask):
            out = self.inner(torch.zeros_like(x))
            return out * mask[:, :1] if isinstance(mask, torch.Tensor) else out

    found = faults(
        Masked(), lambda model, x, y: functional.cross_entropy(model(x, mask), y), steps=12
    )
    assert "ignored_inputs" in found


@pytest.mark.parametrize("name", IGNORING)
def test_inputs_that_do_not_matter(name):
    found = faults(IGNORING[name](), crossed, steps=12)
    assert "stay the same to the last digit" in found["ignored_inputs"]
    assert "no_signal" not in found


def dead() -> nn.Module:
    model = layers()
    with torch.no_grad():
        model.get_parameter("0.bias").sub_(20)
    return model


def zero_head() -> nn.Module:
    model = layers()
    nn.init.zeros_(model.get_parameter("2.weight"))
    return model


def words(length: int) -> nn.Module:
    """The next word from some words before it."""
    return nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(4 * length, 3))


HEEDING = {
    "as they are": (layers, X),
    "dropout": (lambda: dropped(torch.clone), X),
    "examples that are all alike": (layers, torch.ones(32, 4)),
    "units that are off": (dead, X),
    "sigmoids through which no digit passes": (
        lambda: nn.Sequential(*(m for _ in range(40) for m in (nn.Linear(4, 4), nn.Sigmoid())), nn.Linear(4, 3)), X,
    ),
    "a last layer that starts at 0": (zero_head, X),
    "one word": (lambda: words(1), classes(9)[:, None]),
    "three words": (lambda: words(3), torch.stack([classes(9, seed) for seed in range(3)], 1)),
}  # fmt: skip


class Sorted(nn.Module):
    """A recurrent network that wants the longest sequence first; its batches are sorted."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.head(self.layer(packed)[1][0])


def test_inputs_that_a_model_refuses_in_another_order_leave_the_question_open():
    lengths = torch.tensor([7, 6, 5, 4] * 8).sort(descending=True).values
    found = faults(
        Sorted(), lambda model, x, y: functional.cross_entropy(model(SEQUENCES, lengths), y)
    )
    assert found == {}


class Product(nn.Module):
    """A layer for sparse inputs."""

    def __init__(self, out: int):
        super().__init__()
        self.weight = nn.Parameter(normal(4, out))

    def forward(self, x):
        return torch.sparse.mm(x, self.weight)


def test_sparse_inputs_leave_the_question_open():
    def loss(model, x, y):
        return functional.cross_entropy(model(x.to_sparse()), y)

    assert faults(nn.Sequential(Product(3)), loss) == {}


def test_inputs_that_the_model_makes_sparse_leave_the_question_open():
    """The units are off, so that nothing but the sparse inputs of a layer would tell."""

    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = Product(8), nn.Linear(8, 3)

        def forward(self, x):
            return self.last((self.first(x.to_sparse()) - 100).relu())

    assert "ignored_inputs" not in faults(Sparse(), crossed, steps=12)


class Stored(nn.Module):
    """A network that keeps its data."""

    def __init__(self):
        super().__init__()
        self.inner = layers()
        self.register_buffer("data", X)

    def forward(self, *given):
        return self.inner(self.data)


class OwnLoss(nn.Module):
    """A network that is given its targets and returns its loss."""

    def __init__(self, way: Callable = lambda x: x):
        super().__init__()
        self.inner = layers()
        self.way = way
        self.register_buffer("data", X)

    def forward(self, targets, x=None):
        return functional.cross_entropy(
            self.inner(self.data if x is None else self.way(x)), targets
        )


def test_targets_are_no_inputs():
    """The last model ignores its inputs, and is given targets, too: that is still found."""
    found = faults(OwnLoss(), lambda model, x, y: model(Y), steps=12)
    assert "ignored_inputs" not in found
    assert "ignored_inputs" not in faults(OwnLoss(), lambda model, x, y: model(y, x), steps=12)
    alike = OwnLoss()  # a mean loss then does not tell which output meets which target
    for each in alike.inner[-1].parameters():
        nn.init.zeros_(each).requires_grad_(False)
    assert "ignored_inputs" not in faults(alike, lambda model, x, y: model(Y), steps=12)
    found = faults(OwnLoss(torch.zeros_like), lambda model, x, y: model(y, x), steps=12)
    assert "ignored_inputs" in found


class Spelled(nn.Module):
    """A network of words that it is given as strings."""

    def __init__(self):
        super().__init__()
        self.inner = words(3)

    def forward(self, texts):
        return self.inner(torch.tensor([[ord(each) % 9 for each in text] for text in texts]))


TEXTS = ["".join(chr(ord("a") + int(k)) for k in row) for row in classes(9, rows=96).reshape(32, 3)]


@pytest.mark.parametrize(
    ("make", "given"),
    [(Stored, ()), (Stored, (None, 3)), (Spelled, (TEXTS,)), (Spelled, (tuple(TEXTS),))],
    ids=["nothing", "a number", "a list of strings", "a tuple of strings"],
)
def test_without_a_tensor_for_each_example_the_question_stays_open(make, given):
    torch.manual_seed(0)
    found = faults(make(), lambda model, x, y: functional.cross_entropy(model(*given), Y), steps=12)
    assert "ignored_inputs" not in found


@pytest.mark.parametrize("name", HEEDING)
def test_inputs_that_matter(name):
    make, x = HEEDING[name]
    torch.manual_seed(0)
    assert "ignored_inputs" not in faults(make(), crossed, x, steps=12)


# Examples that mix.

SEQUENCES = normal(32, 7, 4)


class Last(nn.Module):
    """Classes of sequences from the last output of a recurrent layer."""

    def __init__(self, batch_first: bool, last: int | slice | tuple = (slice(None), -1)):
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = nn.GRU(4, 8, batch_first=batch_first)
        self.head, self.last = nn.Linear(8, 3), last

    def forward(self, inputs):
        return self.head(self.recurrent(inputs)[0][self.last])


class Attends(nn.Module):
    """Classes of sequences from the mean over a layer with attention."""

    def __init__(self, batch_first: bool):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=batch_first)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.head(self.layer(inputs).mean(1))


@pytest.mark.parametrize("make", [Last, Attends])
def test_a_layer_that_takes_the_examples_for_time_mixes_them(make):
    assert "mixed_examples" in faults(make(batch_first=False), crossed, SEQUENCES)
    assert "mixed_examples" not in faults(make(batch_first=True), crossed, SEQUENCES)


@pytest.mark.parametrize("length", [7, 32])
def test_time_first_on_purpose_mixes_nothing(length):
    """Also where sequences are as long as there are examples, and where each time has an output."""
    sequences = normal(32, length, 4)

    def of_last(model, x, y):
        return functional.cross_entropy(model(x.transpose(0, 1)), y)

    def of_each(model, x, y):
        outputs = model(x.transpose(0, 1)).transpose(0, 1)
        return functional.cross_entropy(outputs.flatten(0, 1), y.repeat_interleave(length))

    assert "mixed_examples" not in faults(Last(False, last=-1), of_last, sequences)
    assert "mixed_examples" not in faults(Last(False, last=slice(None)), of_each, sequences)


# Weights that are not trained.


def keeping(layer: nn.Module | torch.Tensor, how: str) -> nn.Module:
    """A network whose second layer is kept in a list, a dict or as a tensor."""

    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(4, 8)
            self.more = {
                "list": [layer], "tuple": (layer,), "dict": {"last": layer}, "tensor": layer,
                "ModuleList": nn.ModuleList([layer]) if isinstance(layer, nn.Module) else None,
            }[how]  # fmt: skip

        def forward(self, x):
            kept = next(iter(self.more.values())) if isinstance(self.more, dict) else self.more
            kept = kept if how == "tensor" else kept if how == "dict" else kept[0]
            hidden = self.first(x).relu()
            return hidden @ kept if isinstance(kept, torch.Tensor) else kept(hidden)

    return Kept()


@pytest.mark.parametrize("how", ["list", "tuple", "dict"])
def test_layers_in_a_list_or_dict_are_not_trained(how):
    found = faults(keeping(nn.Linear(8, 3), how), crossed)
    assert "(3, 8), (3)" in found["unregistered_weights"].replace("(3,)", "(3)")


def test_a_tensor_that_is_no_parameter_is_not_trained():
    found = faults(keeping(normal(8, 3).requires_grad_(), "tensor"), crossed)
    assert "(8, 3)" in found["unregistered_weights"]


@pytest.mark.parametrize("case", ["registered", "buffer", "input", "other model"])
def test_other_leaves_are_no_weights_of_the_model(case):
    if case == "registered":
        assert faults(keeping(nn.Linear(8, 3), "ModuleList"), crossed) == {}
    if case == "buffer":
        assert faults(keeping(normal(8, 3), "tensor"), crossed) == {}
    if case == "input":
        assert faults(layers(), crossed, x=X.clone().requires_grad_()) == {}
    if case == "other model":
        other = nn.Linear(3, 3)
        assert (
            faults(layers(), lambda model, x, y: functional.cross_entropy(other(model(x)), y)) == {}
        )


def test_layers_that_another_optimizer_moves_are_not_missing():
    layer = nn.Linear(8, 3)
    other = torch.optim.SGD(layer.parameters(), lr=0.1)
    model = keeping(layer, "list")

    def loss(model, x, y):
        return crossed(model, x, y)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    doctor = Doctor(model, optimizer, trials=False, allowance=1000)
    for _ in range(5):
        other.zero_grad()
        doctor.step(lambda: loss(model, X, Y))
        other.step()
    assert not {"unregistered_weights"} & {each.cause for each in doctor.report().run.faults}


def test_weights_that_the_optimizer_lacks_are_counted():
    model = layers()
    found = faults(model, crossed, held=model[2].parameters())
    assert found == {
        "frozen_weights": "0.weight, 0.bias stay as they are (the optimizer does not hold them): 40 of 67 weights"
    }


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("watched", [True, False])
def test_weights_that_a_second_optimizer_moves_are_not_frozen(watched, both):
    model = layers()
    own, other = (torch.optim.SGD(model[k].parameters(), lr=0.1) for k in (2, 0))
    seen = watch(model, own) if watched else Doctor(model, own)
    for _ in range(60):
        model.zero_grad()
        if isinstance(seen, Doctor):
            seen.step(lambda: crossed(model, X, Y))
        else:
            crossed(model, X, Y).backward()
            own.step()
        if both:
            other.step()
    if not isinstance(seen, Doctor):
        seen.close()
    report = seen.report()
    assert ("frozen_weights" in {each.cause for each in report.run.faults}) != both
    assert not (both and any("in the optimizer" in each.change.name for each in report.run.tried))


def test_a_layer_that_was_replaced_after_the_optimizer_was_made():
    model = layers()
    held = list(model.parameters())
    model[2] = nn.Linear(8, 3)
    assert (
        "2.weight, 2.bias stay as they are" in faults(model, crossed, held=held)["frozen_weights"]
    )


def test_weights_frozen_on_purpose_are_a_fault_only_of_a_run_that_does_not_learn():
    model = layers()
    model[0].requires_grad_(False)
    (found,) = trained(model, crossed).report().run.faults
    assert found.chosen and "requires_grad is off" in found.why
    learns = trained(
        model,
        squared,
        y=model(X).detach() + 1,
        steps=60,
        optimizer=partial(torch.optim.SGD, lr=0.1),
    )
    assert learns.losses.falls
    assert "frozen_weights" not in dict(learns.report().verdict.causes)


class Cut(nn.Sequential):
    """Two layers; whatever stands between them."""

    def __init__(self, between):
        torch.manual_seed(0)
        super().__init__(nn.Linear(4, 8), nn.Linear(8, 3))
        self.between = between

    def forward(self, x):
        return self[1](self.between(self[0](x)))


CUTS = {
    "detach": torch.Tensor.detach,
    "data": lambda x: x.data,
    "numpy": lambda x: torch.from_numpy(x.detach().numpy()),
    "new": lambda x: torch.tensor(x.tolist()),
}


@pytest.mark.parametrize("how", CUTS)
def test_a_cut_graph(how):
    found = faults(Cut(CUTS[how]), crossed)
    assert found["cut_graph"].startswith("0.bias, 0.weight get no gradient")
    assert "cut_graph" not in faults(Cut(torch.relu), crossed)


def test_a_layer_that_is_used_at_some_steps_is_not_cut_off():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.step = nn.Linear(4, 3), nn.Linear(3, 3), 0

        def forward(self, x):
            return self.second(self.first(x)) if self.step % 2 else self.first(x)

    model = Dropped()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    doctor = Doctor(model, optimizer, trials=False, allowance=1000)
    for step in range(4):
        model.step = step
        doctor.step(lambda: crossed(model, X, Y))
    assert list(doctor.report().run.faults) == []


# Shapes that broadcast, and targets of one kind.


BROADCAST = {
    "mse_loss": squared,
    "written by hand": hand_written,
    "l1_loss": lambda model, x, y: functional.l1_loss(model(x), y),
    "huber_loss": lambda model, x, y: functional.huber_loss(model(x), y),
    "a sum": lambda model, x, y: (model(x) - y).pow(2).sum(),
    "a weighted loss": lambda model, x, y: 0.5 * functional.mse_loss(model(x), y),
    "with a penalty": lambda model, x, y: functional.mse_loss(model(x), y) + 0.01 * model[0].weight.square().sum(),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", BROADCAST)
def test_shapes_that_broadcast(name):
    """(N, 1) against (N,) gives N² differences; the targets' shape is mended in the twin."""
    found = faults(layers(out=1), BROADCAST[name], y=SLOPE[:, 0])
    assert "outputs of shape (32, 1) give 1024 differences" in found["broadcast_shapes"]
    assert faults(layers(out=1), BROADCAST[name], y=SLOPE) == {}
    assert faults(layers(nn.Flatten(0), out=1), BROADCAST[name], y=SLOPE[:, 0]) == {}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("shape", [(32,), (32, 1)])
def test_shapes_of_three_dimensions_that_broadcast(shape):
    def sequences(model, x, y):
        return functional.mse_loss(model(x[:, None]), y)

    assert "broadcast_shapes" in faults(layers(out=1), sequences, y=SLOPE.reshape(shape))
    assert faults(layers(out=1), sequences, y=SLOPE[:, None]) == {}


PERMUTABLE = {
    "a norm": lambda model, x, y: model(x).square().mean(),
    "distances within a batch": lambda model, x, y: -torch.cdist(model(x), model.again(x)).mean(),
    "similarities": lambda model, x, y: functional.cross_entropy((out := model(x)) @ out.T, torch.arange(len(x))),
    "a variance": lambda model, x, y: (1 - model(x).var()).square(),
}  # fmt: skip


@pytest.mark.parametrize("name", PERMUTABLE)
def test_a_loss_without_targets_does_not_broadcast(name):
    model = layers(nn.Unflatten(1, (3, 1)), nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten())
    model.again = model.forward  # type: ignore[assignment]
    assert not {"broadcast_shapes", "same_targets"} & {*faults(model, PERMUTABLE[name])}


def sorted_batches(kinds: int) -> Doctor:
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    doctor = Doctor(model, optimizer, trials=False, allowance=1000)
    order = Y.argsort().chunk(4) if kinds == 1 else torch.arange(32).chunk(4)
    for step in range(4):
        rows = order[step]
        y = Y[rows] if kinds > 1 else torch.full((len(rows),), step % 3)
        doctor.step(lambda rows=rows, y=y: crossed(model, X[rows], y))
    return doctor


def test_batches_whose_targets_are_all_the_same():
    found = {each.cause: each.why for each in sorted_batches(1).report().run.faults}
    assert "the targets of a batch are all the same" in found["same_targets"]
    assert list(sorted_batches(3).report().run.faults) == []


# Scales.


def images(scales: list[float]) -> torch.Tensor:
    return normal(32, len(scales), 6, 6) * torch.tensor(scales)[:, None, None]


def convolutional(channels: int, *first: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*first, nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))  # fmt: skip


def recurrent(inputs: int) -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cells, self.last = nn.GRU(inputs, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x):
            return self.last(self.cells(x)[0][:, -1])

    return Recurrent()


FEATURES = torch.tensor([1.0, 1000.0, 0.1, 1.0])
SCALED = {
    "raw features": (layers, X * FEATURES),
    "far from 0": (layers, X + 100),
    "pixels up to 255": (partial(convolutional, 1), 255 * torch.rand(32, 1, 6, 6)),
    "channels": (partial(convolutional, 2), images([1.0, 200.0])),
    "sequences": (partial(recurrent, 4), normal(32, 7, 4) * FEATURES),
    "one feature": (partial(layers, inputs=1), 200 * X[:, :1]),
}


@pytest.mark.parametrize("name", SCALED)
def test_inputs_that_are_not_of_one_scale(name):
    make, x = SCALED[name]
    assert "ill_conditioning" in faults(make(), crossed, x=x)
    dims = [0, 2, 3] if x.ndim > 3 else [0, 1] if x.ndim > 2 else [0]
    white = (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True)
    assert faults(make(), crossed, x=white) == {}


NOT_SCALED = {
    "normalized first": (
        lambda: nn.Sequential(nn.BatchNorm1d(4), layers()), X * FEATURES,
    ),
    "images normalized first": (partial(convolutional, 2, nn.BatchNorm2d(2)), images([1.0, 200.0])),
    "a constant feature": (layers, torch.cat([X[:, :3], torch.ones(32, 1)], 1)),
    "rare ones": (partial(layers, inputs=40), functional.one_hot(torch.arange(32) % 40, 40).float()),
    "pixels up to 1": (partial(convolutional, 1), torch.rand(32, 1, 6, 6)),
    "words": (
        lambda: nn.Sequential(nn.Embedding(500, 4), nn.Flatten(), layers(inputs=12)),
        torch.randint(500, (32, 3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_SCALED)
def test_inputs_that_are_left_alone(name):
    make, x = NOT_SCALED[name]
    torch.manual_seed(0)
    assert faults(make(), crossed, x=x) == {}


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_targets_are_scaled_or_not(factor):
    assert faults(layers(out=1), squared, y=factor * SLOPE) == {}


@pytest.mark.parametrize("y", [1e4 * SLOPE, SLOPE + 1e4], ids=["large", "far off"])
def test_targets_that_are_not_of_the_size_of_the_outputs(y):
    found = faults(layers(out=1), squared, y=y, optimizer=partial(torch.optim.SGD, lr=1e-9))
    assert "the targets are of size" in found["unscaled_targets"]


# Units.


def test_dead_units_are_found_though_all_later_biases_learn():
    model = layers()
    with torch.no_grad():
        model[0].bias -= 20
    found = faults(model, crossed, steps=12)
    assert found["no_signal"].startswith("no gradient reaches 0.weight, from the start to the end")


@pytest.mark.parametrize("die", [True, False])
def test_units_that_die_on_the_way_are_dead_at_the_end(die):
    """Whatever made them die comes first, and dead units are never ruled out as a cause."""
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1), trials=False)
    for step in range(130):
        order = torch.randperm(32, generator=torch.Generator().manual_seed(step))
        doctor.step(lambda order=order: crossed(model, X[order], X[order, :3].argmax(1)))
        if step == 20 and die:
            with torch.no_grad():
                model.get_parameter("0.bias").sub_(20)
    report = doctor.report()
    found = {each.cause: each for each in report.run.faults}
    assert ("no_signal" in found) == ("no_signal" in dict(report.verdict.causes)) == die
    if die:
        assert "at the end" in found["no_signal"].why and found["no_signal"].late
        assert "no_signal" not in report.verdict.ruled_out


def test_units_that_were_off_from_the_start_and_those_that_died_are_two_faults():
    measured = [{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}]
    off = [{name: {"dead units": share} for name, share in each.items()} for each in measured]
    first, late = Program(layers())._of_the_dead(off)
    assert first.why.startswith("no gradient reaches a, from the start to the end")
    assert late.why.startswith("no gradient reaches b, at the end")
    assert (first.late, late.late) == (False, True)


def test_units_whose_bias_gets_a_gradient_are_not_off():
    found = trained(layers(), crossed, x=torch.zeros(32, 4), steps=12).report()
    assert found.by_layer["0.weight"]["dead units"] < 0.95
    assert "no_signal" not in {each.cause for each in found.run.faults}


def test_weights_that_start_at_zero_are_not_dead():
    model = layers()
    nn.init.zeros_(model[2].weight)
    for steps in (1, 12):
        assert faults(model, crossed, steps=steps, optimizer=partial(torch.optim.SGD, lr=0.1)) == {}


@pytest.mark.parametrize("unit", [nn.Sigmoid, nn.Tanh])
@pytest.mark.parametrize("size", [1.0, 200.0])
def test_units_that_start_at_the_ends_of_their_range(unit, size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), unit(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight *= size
    found = faults(model, crossed)
    assert ("of the outputs of 1 are at the ends" in found.get("vanishing_gradient", "")) == (
        size > 1
    )


class Functions(nn.Sequential):
    """Two layers with functions of their own behind them."""

    def __init__(self, hidden: Callable, last: Callable = torch.clone, out: int = 3):
        torch.manual_seed(0)
        super().__init__(nn.Linear(4, 8), nn.Linear(8, out))
        self.hidden, self.last = hidden, last

    def forward(self, input):
        return self.last(self[1](self.hidden(self[0](input))))


@pytest.mark.parametrize("unit", [torch.tanh, torch.sigmoid, torch.Tensor.tanh_])
@pytest.mark.parametrize("size", [1.0, 200.0])
def test_functions_that_start_at_the_ends_of_their_range(unit, size):
    model = Functions(unit)
    with torch.no_grad():
        model.get_parameter("0.weight").mul_(size)
    found = faults(model, crossed).get("vanishing_gradient", "")
    assert ("behind 0 are at the ends" in found) == (size > 1)


class Gated(nn.Module):
    """A network whose sigmoid, open wide, multiplies its hidden units, or stands among its layers."""

    def __init__(self, way: Callable, *behind: nn.Module):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.way = nn.Linear(4, 8), nn.Linear(8, 3), way
        self.open, self.gate = nn.Linear(4, 8), nn.Sequential(nn.Sigmoid(), *behind)
        with torch.no_grad():
            self.open.bias.add_(8)

    def forward(self, x):
        return self.last(self.way(self.first(x).relu(), self.gate(self.open(x))))


@pytest.mark.parametrize(
    ("way", "behind", "fault"),
    [
        (torch.mul, (), False),
        (lambda x, gate: x.detach() * gate, (), False),
        (torch.mul, (nn.Unflatten(1, (8, 1)), nn.Flatten(1)), False),
        (lambda x, gate: x * gate[:, :1].expand_as(x), (), False),
        (lambda x, gate: gate, (), True),
        (lambda x, gate: gate, (nn.Dropout(0.5),), True),
        (lambda x, gate: 2 * gate, (), True),
    ],
    ids=["gate", "constant", "shaped", "expanded", "layer", "dropout", "number"],
)
def test_a_module_that_is_a_gate_may_be_at_the_ends_of_its_range(way, behind, fault):
    """What is multiplied by a number, or by dropout's zeros, is no gate."""
    assert ("vanishing_gradient" in faults(Gated(way, *behind), crossed)) == fault


def test_gates_and_last_units_at_the_ends_of_their_range_are_no_fault():
    for model, loss, y in (
        (Functions(lambda x: x * torch.sigmoid(200 * x)), crossed, Y),
        (
            Functions(torch.relu, lambda x: torch.sigmoid(200 * x)[:, 0], out=1),
            squared, HALVES[:, 0],
        ),
    ):  # fmt: skip
        assert "vanishing_gradient" not in faults(model, loss, y=y)


# Schedules.


def decays(schedule, steps: int = 120, floor: float = 0.0) -> bool:
    def loss(model, x, y):
        return crossed(model, x, y) + floor

    found = faults(
        layers(), loss, steps=steps, schedule=schedule, optimizer=partial(torch.optim.SGD, lr=0.01)
    )
    return "step_too_small" in found


def test_a_schedule_that_decays_too_fast():
    schedules = torch.optim.lr_scheduler
    assert decays(lambda each: schedules.ExponentialLR(each, 0.8))
    assert decays(lambda each: schedules.StepLR(each, 10, 0.1))


@pytest.mark.parametrize("name", ["cosine", "linear", "warmup", "one cycle", "steps", "none"])
def test_a_schedule_that_ends_near_zero_is_none_that_decays_too_fast(name):
    schedules = torch.optim.lr_scheduler
    chosen = {
        "cosine": lambda each: schedules.CosineAnnealingLR(each, 120),
        "linear": lambda each: schedules.LinearLR(each, 1.0, 0.0, 120),
        "warmup": lambda each: schedules.LambdaLR(each, lambda step: min(step / 60, 1)),
        "one cycle": lambda each: schedules.OneCycleLR(each, 0.1, 120),
        "steps": lambda each: schedules.StepLR(each, 30, 0.1),
        "none": None,
    }[name]
    assert not decays(chosen, steps=119)


def paced(schedule, every: int = 1, steps: int = 240) -> Doctor:
    """A run whose schedule takes a step after so many batches."""
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    chosen = schedule(optimizer)
    doctor = Doctor(model, optimizer, trials=False, allowance=100)
    for step in range(steps):
        doctor.step(lambda: crossed(model, X, Y))
        if (step + 1) % every == 0:
            chosen.step()
    return doctor


def warm_up(steps: int) -> Callable:
    return lambda each: torch.optim.lr_scheduler.LambdaLR(
        each, lambda done: min(1.0, (done + 1) / steps)
    )


@pytest.mark.parametrize(
    ("schedule", "every", "found"),
    [
        (warm_up(1000), 16, True),
        (warm_up(100), 1, False),
        (warm_up(10000), 1, False),  # a long one, step by step
        (warm_up(5), 80, False),  # of some epochs on purpose
        (lambda each: torch.optim.lr_scheduler.StepLR(each, 1, 0.5), 80, False),
    ],
)
def test_a_warm_up_that_is_stepped_once_an_epoch(schedule, every, found):
    doctor = paced(schedule, every)
    assert ("step_too_small" in {each.cause for each in doctor.report().run.faults}) == found


SCHEDULES = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (lambda each: SCHEDULES.CosineAnnealingLR(each, 10), True),
        (lambda each: SCHEDULES.CosineAnnealingWarmRestarts(each, 10), False),
        (lambda each: SCHEDULES.CosineAnnealingLR(each, 240), False),
        (lambda each: SCHEDULES.CosineAnnealingWarmRestarts(each, 60), False),
        (lambda each: SCHEDULES.CyclicLR(each, 0.001, 0.01, step_size_up=10), False),
        (lambda each: SCHEDULES.OneCycleLR(each, 0.01, 241), False),
    ],
)
def test_a_rate_that_goes_up_and_down_every_few_steps_is_a_remark(schedule, said):
    report = paced(schedule).report()
    assert any("once an epoch instead" in each for each in report.remarks) == said
    assert "step_too_small" not in {each.cause for each in report.run.faults}


# Numbers that are not finite.


def broken(model, x=X, y=Y, loss=crossed, after: int = 2, rate: float = 0.01):
    """What is known after some good steps and a bad one."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    doctor = Doctor(model, optimizer, trials=False, allowance=1000)
    for _ in range(after):
        doctor.step(lambda: crossed(model, X, Y))
    doctor.step(lambda: loss(model, x, y))
    return doctor


def with_a_hole(x: torch.Tensor, row: int) -> torch.Tensor:
    return x.index_fill(0, torch.tensor([row]), math.nan)


def test_a_batch_that_is_not_finite():
    doctor = broken(layers(), x=with_a_hole(X, 5))
    found = doctor.not_finite
    assert found is not None
    assert (found.step, found.at) == (2, "data")
    assert "(examples 5)" in found.where
    assert doctor.report().verdict.cause == "not_finite"


def test_a_logarithm_of_zero_in_the_loss():
    found = broken(layers(), loss=lambda model, x, y: (0 * model(x)).log().mean()).not_finite
    assert found is not None
    assert (found.step, found.at, found.what) == (2, "loss", "the loss is -inf")


def test_targets_that_are_not_finite():
    found = broken(layers(), loss=lambda model, x, y: (model(x) - math.nan).mean()).not_finite
    assert found is not None and found.at == "loss"


class Bad(nn.Module):
    """A module that is not finite from some call on."""

    bad = False

    def forward(self, x):
        return (x - x).log().abs() if self.bad else x


def test_a_module_that_is_not_finite_while_its_inputs_are():
    model = layers()
    model.insert(1, Bad())

    def loss(model, x, y):
        model[1].bad = True
        return crossed(model, x, y)

    found = broken(model, loss=loss).not_finite
    assert found is not None and found.at == "module"
    assert "The output of 1 is the first" in found.where


def test_what_is_computed_between_modules():
    model = Cut(lambda x: x)

    def loss(model, x, y):
        model.between = lambda x: (x - x).log().abs()
        return crossed(model, x, y)

    found = broken(model, loss=loss).not_finite
    assert found is not None and found.at == "module"
    assert "between 0 and 1" in found.where


def test_a_gradient_that_is_not_finite_while_the_loss_is():
    def loss(model, x, y):
        return (model(x) - model(x).detach()).square().sum().sqrt()

    found = broken(layers(), loss=loss).not_finite
    assert found is not None and found.at == "gradient"
    assert "2.bias was not" in found.where


def test_a_norm_that_overflows_while_all_numbers_are_finite():
    doctor = broken(layers(), loss=lambda model, x, y: 1e25 * model(x).sum(), rate=1e-30)
    assert doctor.not_finite is not None
    assert "norm overflows" in doctor.not_finite.where


def test_weights_that_a_step_has_broken():
    doctor = broken(layers(), after=4, rate=1e30)
    assert doctor.not_finite is not None
    assert doctor.not_finite.at in ("weights", "overflow")
    assert "not_finite" not in dict(doctor.report().verdict.causes)


def late(rate: float, root: bool) -> Doctor:
    """A run of 1040 steps; at one whose gradient is not looked at the loss may have an infinite slope."""
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    doctor = Doctor(model, optimizer, trials=False, allowance=0, overhead=0)
    for step in range(1040):
        if step == 1005:
            optimizer.param_groups[0]["lr"] = rate

        def loss(step=step):
            z = model(X)
            edge = (z - z.detach()).square().sum().sqrt() if root and step == 1005 else 0.0
            return functional.cross_entropy(z, Y) + edge

        doctor.step(loss)
    return doctor


def test_a_late_gradient_that_is_not_finite_is_no_step_too_large():
    report = late(rate=0.01, root=True).report()
    assert report.verdict.cause == "not_finite"
    assert (
        "had made 0.weight, 0.bias, 2.weight and 1 more not finite; its gradient" in report.why[0]
    )
    assert "step_too_large" not in dict(report.verdict.causes)


def test_a_late_step_that_is_too_large_is_one_though_the_weights_break():
    doctor = late(rate=1e3, root=False)
    assert "step_too_large" in dict(doctor.report().verdict.causes)


def test_after_a_broken_batch_no_trial_looks_good_and_nothing_is_ruled_out():
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.01))
    for step in range(120):
        order = torch.randperm(32, generator=torch.Generator().manual_seed(step))
        x = with_a_hole(X, 5) if step == 110 else X
        doctor.step(lambda x=x, order=order: crossed(model, x[order], Y[order]))
    report = doctor.report()
    assert any(math.isinf(each.gain) for each in report.run.tried)
    assert [name for name, _ in report.verdict.causes] == ["not_finite"]
    assert report.verdict.ruled_out == ()


def test_without_a_measurement_nothing_is_ruled_out():
    model = layers()
    doctor = Doctor(model, SLOWLY(model.parameters()), trials=False, allowance=0, overhead=0)
    for _ in range(30):
        doctor.step(lambda: crossed(model, X, Y))
    assert not doctor.measured
    assert doctor.report().verdict.ruled_out == ()
    assert trained(layers(), crossed, steps=30).report().verdict.ruled_out != ()


def test_a_number_that_is_not_finite_in_a_module_that_is_given_one_number():
    class Scale(nn.Module):
        def forward(self, number):
            return 2 * number

    class Scaled(nn.Sequential):
        factor = torch.tensor(1.0)

        def forward(self, x):
            return self[0](x) * self[1](self.factor)

    torch.manual_seed(0)
    model = Scaled(nn.Linear(4, 3), Scale())

    def loss(model, x, y):
        model.factor = torch.tensor(math.nan)
        return crossed(model, x, y)

    found = broken(model, loss=loss).not_finite
    assert found is not None and "not finite" in found.where


def test_a_loss_that_contains_a_derivative_and_is_not_finite():
    def loss(model, x, y):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return slope.square().mean() * math.nan

    found = broken(layers(), loss=loss).not_finite
    assert found is not None and found.at == "loss"


def test_a_first_loss_that_is_not_finite_is_refused():
    with pytest.raises(Refused, match="the first loss is nan"):
        broken(layers(), x=with_a_hole(X, 0), after=0)


def test_a_healthy_run_is_finite():
    assert trained(layers(), crossed).not_finite is None


def test_a_step_that_a_scaler_skips_is_no_fault():
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    doctor = Doctor(model, optimizer, scaler=scaler)
    for _ in range(20):
        doctor.step(lambda: 100 * crossed(model, X, Y))
    assert scaler.get_scale() < 2.0**127
    assert doctor.not_finite is None


# Loops and games.


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_forgotten_zero_grad(forgotten):
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer) as watched:
        for _ in range(5):
            if not forgotten:
                optimizer.zero_grad()
            crossed(model, X, Y).backward()
            optimizer.step()
    assert ("gradients_not_zeroed" in dict(watched.report().verdict.causes)) == forgotten


@pytest.mark.parametrize("moves", [True, False])
def test_in_a_game_of_two_networks_the_other_one_moves(moves):
    """The generator is told that all its outputs are real: targets of one kind, and no fault."""
    model, critic = layers(out=4), layers(out=1)
    other = torch.optim.SGD(critic.parameters(), lr=0.1)

    def loss(model, x, y):
        return with_logits(critic, model(x), torch.ones(32, 1))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    doctor = Doctor(model, optimizer, trials=False, allowance=1000)
    for _ in range(12):
        if moves:
            other.zero_grad()
            fake, real = critic(model(X).detach()), critic(X + 1)
            (functional.softplus(fake) + functional.softplus(-real)).mean().backward()
            other.step()
        doctor.step(lambda: loss(model, X, Y))
    assert doctor._program.moving == moves
    assert list(doctor.report().run.faults) == []


def test_real_and_generated_examples_in_two_closures():
    model = layers(out=1)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.01), trials=False)
    for step in range(4):
        real, fake = normal(16, 4, seed=step) + 1, normal(16, 4, seed=step + 9) - 1
        doctor.step([
            lambda real=real: with_logits(model, real, torch.ones(16, 1)),
            lambda fake=fake: with_logits(model, fake, torch.zeros(16, 1)),
        ])  # fmt: skip
    assert list(doctor.report().run.faults) == []


# Models of all kinds.


Pair = namedtuple("Pair", "latent output")


class ModelOutput(OrderedDict):
    """As those of transformers: a dict whose items are attributes, too."""

    def __getattr__(self, name):
        return self[name]


class Packed(nn.Module):
    """A network whose outputs are packed in some way."""

    def __init__(self, pack: Callable, out: int = 3):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.pack = nn.Linear(4, 8), nn.Linear(8, out), pack

    def forward(self, x):
        latent = self.first(x).relu()
        return self.pack(latent, self.last(latent))

    def predict(self, x):
        return self(x)

    def through(self, x):
        return self.last(self.first(x).relu())


def of_last(model, x, y):
    out = model(x)
    return functional.cross_entropy(list(out.values() if isinstance(out, dict) else out)[-1], y)


KINDS = {
    "dict": (lambda: Packed(lambda h, out: {"output": out}), of_last),
    "model output": (
        lambda: Packed(lambda h, out: ModelOutput(loss=functional.cross_entropy(out, Y.roll(0)), logits=out)),
        lambda model, x, y: model(x),
    ),
    "tuple": (lambda: Packed(lambda h, out: (out, h)), lambda model, x, y: functional.cross_entropy(model(x)[0], y)),
    "the last of a tuple": (lambda: Packed(lambda h, out: (h, out)), of_last),
    "the last of a list": (lambda: Packed(lambda h, out: [h, out]), of_last),
    "named tuple": (lambda: Packed(Pair), of_last),
    "nested": (lambda: Packed(lambda h, out: ((h, out), out)), of_last),
    "1-D": (lambda: Packed(lambda h, out: out[:, 0]), lambda model, x, y: functional.mse_loss(model(x), SLOPE[:, 0])),
    "0-D": (lambda: Packed(lambda h, out: out.square().mean()), lambda model, x, y: model(x)),
    "nothing": (
        lambda: Packed(lambda h, out: None),
        lambda model, x, y: (model(x), functional.cross_entropy(model.through(x), y))[1],
    ),
    "called twice": (layers, lambda model, x, y: crossed(model, x, y) + crossed(model, x + 1, y)),
    "through a method": (
        lambda: Packed(lambda h, out: out), lambda model, x, y: functional.cross_entropy(model.through(x), y),
    ),
    "through a method that calls it": (
        lambda: Packed(lambda h, out: out), lambda model, x, y: functional.cross_entropy(model.predict(x), y),
    ),
    "a part of it": (layers, lambda model, x, y: functional.cross_entropy(model[2](model[1](model[0](x))), y)),
    "keywords": (
        lambda: nn.Bilinear(4, 4, 3), lambda model, x, y: functional.cross_entropy(model(input1=x, input2=x), y),
    ),
    "autoencoder": (
        lambda: Packed(lambda h, out: (h, out), out=4), lambda model, x, y: functional.mse_loss(model(x)[1], x),
    ),
    "variational": (
        lambda: Packed(lambda h, out: (out, h.mean(1), h.var(1)), out=4),
        lambda model, x, y: functional.mse_loss((out := model(x))[0], x) + out[1].square().mean() + out[2].mean(),
    ),
    "in double precision": (lambda: layers().double(), lambda model, x, y: crossed(model, x.double(), y)),
    "convolutions of sequences": (
        lambda: nn.Conv1d(4, 3, 3, padding=1), lambda model, x, y: functional.cross_entropy(model(x.T[None]), y[None]),
    ),
    "volumes": (
        lambda: nn.Conv3d(1, 2, 2), lambda model, x, y: model(x.reshape(2, 1, 4, 4, 4)).square().mean(),
    ),
    "attention": (
        lambda: nn.MultiheadAttention(4, 2, batch_first=True),
        lambda model, x, y: functional.mse_loss(model(z := x.reshape(8, 4, 4), z, z)[0], z),
    ),
    "transformer": (
        lambda: nn.Sequential(
            nn.Embedding(3, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 3)
        ),
        lambda model, x, y: functional.cross_entropy(model(y.reshape(4, 8)).flatten(0, 1), y),
    ),
    "recurrent": (
        lambda: nn.LSTM(4, 3),
        lambda model, x, y: functional.cross_entropy(model(x.reshape(8, 4, 4))[0].flatten(0, 1), y),
    ),
    "last states": (
        lambda: nn.LSTM(4, 3), lambda model, x, y: functional.cross_entropy(model(x.reshape(8, 4, 4))[1][0][0], y[:4]),
    ),
    "packed sequences": (
        lambda: nn.GRU(4, 3),
        lambda model, x, y: functional.cross_entropy(
            model(nn.utils.rnn.pack_padded_sequence(x.reshape(8, 4, 4), torch.tensor([8, 5, 3, 1])))[0].data, y[:17]
        ),
    ),
    "states given": (
        lambda: nn.RNNCell(4, 3),
        lambda model, x, y: (functional.cross_entropy((h := model(x[:8])) + (g := model(x[8:16], h)), y[:8]), [h, g]),
    ),
    "a parameter alone": (
        lambda: nn.ParameterList([torch.ones(5)]), lambda model, x, y: (model[0] ** 2).sum(),
    ),
}  # fmt: skip


ALSO_OF_ONE = (
    "dict",
    "tuple",
    "the last of a tuple",
    "named tuple",
    "nested",
    "called twice",
)  # examples


def left_by(make: Callable, loss: Loss, x: torch.Tensor, doctored: bool) -> list[torch.Tensor]:
    """The weights after four steps; with a doctor, who finds no fault and leaves no hook."""
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    doctor = Doctor(model, optimizer, trials=True, allowance=1000)
    for _ in range(4):
        if doctored:
            doctor.step(lambda: loss(model, x, Y[: len(x)]))
        else:
            optimizer.zero_grad()
            parted(loss(model, x, Y[: len(x)]))[0].backward()
            optimizer.step()
    assert str(doctor.report())
    assert [each for each in doctor.report().run.faults if each.cause != "cut_graph"] == []
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    return list(model.parameters())


@pytest.mark.parametrize("name", KINDS)
def test_models_of_all_kinds_are_looked_at_without_a_fault_and_without_harm(name):
    """Some have layers that are not used, which count as cut off."""
    make, loss = KINDS[name]
    for x in (X, X[:1]) if name in ALSO_OF_ONE else (X,):
        plain, doctored = (left_by(make, loss, x, each) for each in (False, True))
        assert all(torch.equal(one, other) for one, other in zip(plain, doctored, strict=True))


def test_a_model_without_weights_is_refused():
    with pytest.raises(Refused, match="no parameter"):
        Doctor(nn.ReLU(), torch.optim.SGD([torch.ones(1)], lr=0.1))


class Reshaped(nn.Module):
    """Outputs of each time of a sequence, in another shape."""

    def __init__(self, shape: Callable):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.shape = nn.Linear(4, 3), shape

    def forward(self, x):
        return self.shape(self.layer(x))


@pytest.mark.parametrize(
    "shape",
    [lambda x: x[..., 0], lambda x: x, lambda x: x.movedim(2, 1)],
    ids=["(N, T)", "(N, T, C)", "(N, C, T)"],
)
def test_sequences_whose_length_varies(shape):
    model = Reshaped(shape)
    doctor = Doctor(
        model, torch.optim.SGD(model.parameters(), lr=0.01), trials=False, allowance=1000
    )
    for step in range(4):
        x = normal(10, 4 + step, 4, seed=step)
        doctor.step(lambda x=x: functional.mse_loss(model(x), shape(x[..., 1:])))
    assert list(doctor.report().run.faults) == []


def test_complex_weights_are_refused():
    model = nn.Linear(4, 3, dtype=torch.complex64)
    with pytest.raises(Refused, match="complex"):
        Doctor(model, torch.optim.SGD(model.parameters(), lr=0.01))


# Losses, targets and states that networks of newcomers had.


def causes(doctor) -> list[str]:
    return [each.cause for each in doctor.report().run.faults]


@pytest.mark.parametrize(("axis", "expected"), [(0, ["output_unit"]), (1, [])])
def test_a_softmax_over_the_examples(axis, expected):
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.01), trials=False)
    for _ in range(4):
        doctor.step(lambda: functional.nll_loss(functional.log_softmax(model(X), axis), Y))
    assert causes(doctor) == expected


@pytest.mark.parametrize(("sign", "expected"), [(1, ["no_critical_point"]), (-1, [])])
def test_a_loss_of_the_wrong_sign_falls_without_end(sign, expected):
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.5))
    for _ in range(40):
        doctor.step(lambda: sign * functional.log_softmax(model(X), 1).gather(1, Y[:, None]).mean())
    assert causes(doctor) == expected
    if expected:
        assert [name for name, _ in doctor.report().verdict.causes] == expected


def test_the_reason_why_a_loss_falls_without_end_comes_first():
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.5), trials=False)
    for _ in range(40):
        doctor.step(lambda: functional.nll_loss(model(X), Y))
    assert doctor.report().verdict.cause == "output_unit"


def test_targets_far_from_zero_are_not_all_the_same():
    model = layers(out=1)
    targets = 3e5 + 1e5 * normal(len(X), 1, seed=3)
    doctor = Doctor(model, torch.optim.Adam(model.parameters(), lr=1e-3), trials=False)
    for _ in range(6):
        doctor.step(lambda: functional.mse_loss(model(X), targets))
    assert causes(doctor) == ["unscaled_targets"]


def test_the_best_constant_output_of_small_batches_is_unknown():
    model = nn.Linear(20, 10)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.05))
    draws = torch.Generator().manual_seed(0)
    for _ in range(40):
        x, y = torch.randn(8, 20, generator=draws), torch.randint(10, (8,), generator=draws)
        doctor.step(lambda x=x, y=y: functional.cross_entropy(model(x), y))
    assert math.isnan(doctor.report().run.constant)
    assert doctor.report().verdict.cause != "healthy"


class Wrapped(nn.Module):
    """A classifier whose first outputs are far too large; it returns its outputs, or these and its own loss."""

    def __init__(self, own_loss: bool, criterion: Callable = functional.cross_entropy):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.own_loss, self.criterion = layers(), own_loss, criterion
        with torch.no_grad():
            self.inner.get_parameter("2.weight").mul_(8)

    def forward(self, x, y):
        out = self.inner(x)
        loss = self.criterion(out, y)
        return {"loss": loss, "logits": out} if self.own_loss else loss


@pytest.mark.parametrize("related", [True, False])
@pytest.mark.parametrize(
    ("own_loss", "criterion"),
    [
        (True, functional.cross_entropy),
        (True, nn.CrossEntropyLoss()),
        (False, functional.cross_entropy),
    ],
)
def test_labels_that_do_not_depend_on_the_inputs_though_the_loss_falls(
    own_loss, criterion, related
):
    """It falls from far above the best constant output down to it, which is all that can be learnt."""
    model = Wrapped(own_loss, criterion)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1))
    draws = torch.Generator().manual_seed(0)
    for _ in range(300):
        x, y = torch.randn(64, 4, generator=draws), torch.randint(3, (64,), generator=draws)
        y = x[:, :3].argmax(1) if related else y
        doctor.step(lambda x=x, y=y: model(x, y))
    report = doctor.report()
    assert report.run.losses.falls
    assert report.run.constant == pytest.approx(math.log(3), rel=0.05)
    assert report.verdict.cause == ("healthy" if related else "noise_labels")


@pytest.mark.parametrize("related", [True, False])
def test_labels_that_do_not_depend_on_the_inputs_where_the_loss_stays(related):
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.5))
    draws = torch.Generator().manual_seed(0)
    for _ in range(300):
        x, y = torch.randn(64, 4, generator=draws), torch.randint(3, (64,), generator=draws)
        y = x[:, :3].argmax(1) if related else y
        doctor.step(lambda x=x, y=y: crossed(model, x, y))
    report = doctor.report()
    assert report.verdict.cause == ("healthy" if related else "noise_labels")
    assert ("a tiny subset" in " ".join(report.to_try)) != related


class Encoder(nn.Module):
    """A variational autoencoder, whose loss takes two of its outputs, of its inputs or of noise."""

    def __init__(self, heeds: bool):
        super().__init__()
        torch.manual_seed(0)
        self.code, self.out, self.heeds = nn.Linear(4, 3), nn.Linear(3, 4), heeds

    def forward(self, x):
        code = self.code(x if self.heeds else torch.randn_like(x))
        return self.out(code), code


@pytest.mark.parametrize("heeds", [True, False])
def test_without_a_constant_health_is_that_outputs_fit_their_own_targets(heeds):
    model = Encoder(heeds)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(300):
        x = normal(64, 4, seed=step) + 2

        def loss(x=x):
            out, code = model(x)
            return (out - x).square().mean() + 1e-2 * code.square().mean()

        doctor.step(loss)
    report = doctor.report()
    assert math.isnan(report.run.constant) and report.run.losses.falls
    assert report.run.heeds == heeds
    assert report.verdict.cause == ("healthy" if heeds else "nothing_found")
    unknown = any("the best constant output gets is not known" in each for each in report.why)
    assert unknown != heeds


class Once(torch.autograd.Function):
    """The identity, without a second derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


def test_a_run_that_learns_but_whose_curvature_was_not_seen_is_told_so():
    model = Encoder(True)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1), trials=False)
    for step in range(300):
        x = normal(64, 4, seed=step) + 2

        def loss(x=x):
            out, code = model(x)
            return (Once.apply(out) - x).square().mean() + 1e-2 * code.square().mean()

        doctor.step(loss)
    report = doctor.report()
    assert report.verdict.cause == "nothing_found" and report.run.heeds
    why = " ".join(report.why)
    assert "no curvature was seen" in why
    assert "learnt from the inputs" not in why


def test_without_a_constant_a_fall_is_no_health():
    """A loss of two outputs at once has no constant output to be compared with."""
    model = layers()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.5), trials=False)
    for step in range(100):
        x = normal(32, 4, seed=step)
        y = x[:, :3].argmax(1)
        doctor.step(lambda x=x, y=y: (crossed(model, x, y) + crossed(model, -x, -y % 3)) / 2)
    report = doctor.report()
    assert report.run.losses.falls and math.isnan(report.run.constant)
    assert report.verdict.cause == "nothing_found"
    assert any("the best constant output gets is not known" in each for each in report.why)


def test_a_state_that_is_detached_at_each_step_cuts_the_graph():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.GRUCell(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            state = x.new_zeros(len(x), 8)
            for _ in range(6):
                state = self.cell(x, state.detach())
            return self.out(state)

    torch.manual_seed(0)
    model = Cell()
    doctor = Doctor(model, torch.optim.Adam(model.parameters(), lr=1e-3), trials=False)
    for _ in range(8):
        doctor.step(lambda: crossed(model, X, Y))
    assert doctor.report().verdict.cause == "cut_graph"
