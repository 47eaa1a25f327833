"""The doctor beside modules whose gradients are sparse, or whose forward pass changes their own state."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from benchmarks.doctor import Doctor
from ravine import Refused

STEPS = 30


def words(sparse: bool) -> nn.Sequential:
    return nn.Sequential(nn.Embedding(50, 4, sparse=sparse), nn.Flatten(), nn.Linear(8, 1))


def run(
    make: Callable[[], tuple[nn.Module, torch.optim.Optimizer]],
    draw: Callable[[], torch.Tensor],
    doctored: bool,
) -> tuple[list[torch.Tensor], Doctor | None]:
    """Parameters and buffers after a run that predicts the mean of each row of the inputs; and its doctor."""
    torch.manual_seed(0)
    model, optimizer = make()
    doctor = Doctor(model, optimizer, overhead=math.inf) if doctored else None
    for _ in range(STEPS):
        x = draw()
        y = x.float().mean(1, keepdim=True)

        def loss(x=x, y=y):
            return (model(x).mean(1, keepdim=True) - y).square().mean()

        if doctor is not None:
            doctor.step(loss)
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    return [each.detach() for each in model.state_dict().values()], doctor


def same_run(make, draw) -> Doctor:
    """The doctor of a run, which leaves the weights and buffers bitwise those of the plain loop."""
    (plain, _), (ours, doctor) = run(make, draw, False), run(make, draw, True)
    assert doctor is not None
    assert all(map(torch.equal, plain, ours))
    assert str(doctor.report()).startswith("Verdict: ")
    return doctor


# Sparse gradients.


def indices() -> torch.Tensor:
    return torch.randint(50, (16, 2))


def one_layer() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten())
    return model, torch.optim.SparseAdam(model.parameters(), 0.01)


def test_sparse_gradients_that_are_not_finite_are_found():
    """The root of 0 has a finite value and no gradient."""
    torch.manual_seed(0)
    model = words(True)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), 1e-4))
    x = indices()
    for _ in range(2):
        doctor.step(lambda: (model(x) * 0).sum().sqrt())
    assert str(doctor.report()).startswith("Verdict: not finite")


def two_layers(sparse: bool = True) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = words(sparse)
    return model, torch.optim.SGD(model.parameters(), 1e-4)


@pytest.mark.parametrize("make", [one_layer, two_layers], ids=["SparseAdam", "SGD"])
def test_sparse_gradients_are_measured_and_the_run_is_that_without_a_doctor(make):
    doctor = same_run(make, indices)
    assert doctor.first_order_only is None
    assert doctor.measured[0].row["grad_sq"] > 0


def test_sparse_gradients_are_measured_as_dense_ones_are():
    sparse = same_run(two_layers, indices).measured[0]
    dense = same_run(lambda: two_layers(False), indices).measured[0]
    # Rows of a sparse gradient are added in another order.
    assert sparse.row == pytest.approx(dense.row, rel=1e-3)
    assert sparse.chain == pytest.approx(dense.chain, rel=1e-3)


# Modules that change their own buffers.


def inputs() -> torch.Tensor:
    return torch.randn(16, 5)


class Scaled(nn.Module):
    """Outputs times a factor that grows at each call, in place or as a new tensor."""

    factor: torch.Tensor

    def __init__(self, in_place: bool):
        super().__init__()
        self.in_place = in_place
        self.register_buffer("factor", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.in_place:
            self.factor.mul_(1.05)
        else:
            self.factor = self.factor * 1.05
        return x * self.factor


def scaled(in_place: bool):
    model = nn.Sequential(nn.Linear(5, 1), Scaled(in_place))
    return model, torch.optim.SGD(model.parameters(), 0.01)


def normalized(spectral_norm):
    model = nn.Sequential(
        spectral_norm(nn.Linear(5, 8)), nn.Tanh(), spectral_norm(nn.Linear(8, 1)), nn.BatchNorm1d(1)
    )
    return model, torch.optim.Adam(model.parameters(), 0.01)


SPECTRAL_NORMS = [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm]


@pytest.mark.parametrize("spectral_norm", SPECTRAL_NORMS, ids=lambda each: each.__module__)
def test_spectral_norm_is_measured_and_the_run_is_that_without_a_doctor(spectral_norm):
    doctor = same_run(lambda: normalized(spectral_norm), inputs)
    # Autograd takes the singular vectors for constants, though the next pass finds others at other weights.
    assert doctor.first_order_only == "the gradient does not change as its derivative says"


def test_a_lazy_module_has_no_buffers_before_its_first_call():
    def lazy():
        model = nn.Sequential(nn.Linear(5, 4), nn.LazyBatchNorm1d(affine=False))
        return model, torch.optim.SGD(model.parameters(), 0.01)

    same_run(lazy, inputs)


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "new"])
def test_all_passes_of_a_measurement_begin_with_the_same_buffers(in_place):
    """The loss is quadratic only if all passes use the same factor."""
    doctor = same_run(lambda: scaled(in_place), inputs)
    assert doctor.first_order_only is None
    for measured in doctor.measured:
        seen, row = measured.seen, measured.row
        assert seen["change"] == pytest.approx(seen["g_s"] + seen["s_h_s"] / 2, rel=1e-3)
        assert row["change"] == pytest.approx(row["g_s"] + row["s_h_s"] / 2, rel=1e-3)


# Optimizers that evaluate the loss themselves.


class Calls(torch.optim.Optimizer):
    """Gradient descent that calls its closure `times` times, and returns `returned(losses)`."""

    def __init__(self, parameters, returned, times: int = 1):
        super().__init__(parameters, {"lr": 0.01})
        self._returned, self._times = returned, times

    def step(self, closure):  # type: ignore[override]
        losses = []
        for _ in range(self._times):
            losses.append(closure())
            with torch.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter -= 0.01 * parameter.grad
        return self._returned(losses)


@pytest.mark.parametrize(
    "returned",
    [lambda losses: losses[0], lambda losses: losses[0].item(), lambda losses: None],
    ids=["a tensor", "a number", "nothing"],
)
def test_the_loss_of_a_step_is_the_first_that_the_optimizer_evaluates(returned):
    torch.manual_seed(0)
    model, x = nn.Linear(5, 1), inputs()
    doctor = Doctor(model, Calls(model.parameters(), returned, times=2), overhead=math.inf)
    for _ in range(5):
        before = model(x).square().mean()
        loss = doctor.step(lambda: model(x).square().mean())
        assert torch.equal(loss, before.detach())
    assert "Verdict: " in str(doctor.report())


def test_an_optimizer_that_does_not_evaluate_the_loss_is_refused():
    model = nn.Linear(5, 1)
    doctor = Doctor(model, Calls(model.parameters(), lambda losses: None, times=0))
    with pytest.raises(Refused, match=r"^Calls takes a closure, but its step did not call it: .*$"):
        doctor.step(lambda: model(inputs()).square().mean())
