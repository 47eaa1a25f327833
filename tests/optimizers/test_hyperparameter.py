"""Fields that carry their own bounds and ranges, and the form that they had in the last release."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
import torch

import optimizers
from optimizers import Hyper, Optimizer, Range, complement, hyper, linear, log
from optimizers.adam import Adam
from optimizers.clip import Clip
from optimizers.momentum import Momentum
from optimizers.sgd import SGD
from optimizers.wrapper import Wrapper
from ravine import Refused


@dataclass(frozen=True)
class Declared(Optimizer):
    """A field of each kind."""

    count: int = hyper(3, low=1, high=5)
    share: float = hyper(0.5, search=linear(0.1, 0.9), above=0, below=1)
    rate: Hyper = hyper(0.1, search=log(1e-3, 1e1, unit="length"), low=0)
    free: Hyper = hyper(-2.0)
    kind: str = hyper("plain", choices=("plain", "fancy"))


@dataclass(frozen=True)
class Narrower(Declared):
    """Another default, range and bounds for one of them."""

    share: float = hyper(0.2, search=complement(0.7, 0.9), low=0, high=0.3)


def refusal(**values):
    with pytest.raises(Refused) as refused:
        Declared(**values)
    return str(refused.value)


def test_the_space_has_the_ranges_of_the_fields_in_their_order():
    assert list(Declared().space.items()) == [
        ("share", Range(0.1, 0.9, "linear")),
        ("rate", Range(1e-3, 1e1, "log", "length")),
    ]
    assert Declared.space == Declared().space


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "Declared.count is 0, but must be a whole number, at least 1, at most 5"),
        ({"count": 2.0}, "Declared.count is 2.0, but must be a whole number, at least 1, at most 5"),
        ({"share": 0.0}, "Declared.share is 0.0, but must be a number, above 0, below 1"),
        ({"share": 1}, "Declared.share is 1, but must be a number, above 0, below 1"),
        ({"rate": -1}, "Declared.rate is -1, but must be a number, at least 0"),
        ({"free": float("nan")}, "Declared.free is nan, but must be a number"),
        ({"free": float("inf")}, "Declared.free is inf, but must be a number"),
        ({"kind": "fancier"}, "Declared.kind is 'fancier': did you mean fancy? (allowed: fancy, plain)"),
    ],
)  # fmt: skip
def test_what_a_field_does_not_accept_is_refused(values, message):
    assert refusal(**values) == message


def test_all_that_is_wrong_is_said_at_once():
    message = refusal(count=0, rate=-1, kind="odd", share=0.5)
    assert message.count(";") == 2
    assert all(name in message for name in ("Declared.count", "Declared.rate", "Declared.kind"))


def test_the_ends_that_are_not_excluded_are_accepted():
    assert Declared(count=1, rate=0, free=-1e300) == Declared(1, 0.5, 0.0, -1e300, "plain")
    assert Declared(count=5).count == 5


def test_a_subclass_declares_anew_what_it_changes():
    assert Narrower() == Narrower(3, 0.2, 0.1, -2.0, "plain")
    assert list(Narrower().space.items()) == [
        ("share", Range(0.7, 0.9, "complement")),
        ("rate", Range(1e-3, 1e1, "log", "length")),
    ]
    with pytest.raises(
        Refused, match=r"^Narrower\.share is 0\.4, but must be a number, at least 0, at most 0\.3$"
    ):
        Narrower(share=0.4)  # fmt: skip


def test_a_batch_has_a_tensor_and_leaves_the_method_as_it_is():
    method, rates = Clip(SGD(0.1)), torch.tensor([[0.1], [0.2]])
    batch = method.batched({"lr": rates, "threshold": 2 * rates})
    assert batch.hyperparameters["lr"] is rates
    assert torch.equal(batch.hyperparameters["threshold"], 2 * rates)
    assert method == Clip(SGD(0.1))
    assert (batch.space, batch.role, batch.uses_hessian) == (method.space, "ranked", False)


# The old form.


def shown(classes):
    """What is warned of while a function defines classes, and the classes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = classes()
    assert all(each.category is FutureWarning for each in caught)
    return [str(each.message) for each in caught], found


def old_form():
    @dataclass(frozen=True)
    class Old(Optimizer):
        pull: float = 0.2
        lr: float = 0.1
        steps: int = 4

        space = {
            "lr": optimizers.log_uniform(1e-5, 1e1, unit="length/gradient", discount="pull"),
            "pull": complement(1e-3, 1.0),
        }
        bounds = {
            "pull": {"low": 0, "high": 1, "open_low": True, "open_high": True},
            "steps": {"low": 1, "whole": True},
        }

    return Old


def test_the_old_form_still_works():
    _, kind = shown(old_form)
    method = kind()
    assert list(method.space) == [
        "lr",
        "pull",
    ]  # as it is written, whatever the order of the fields
    assert method.replace(lr=0.3).hyperparameters == {"pull": 0.2, "lr": 0.3, "steps": 4}
    for wrong, message in (
        ({"pull": 1.0}, "Old.pull is 1.0, but must be a number, above 0, below 1"),
        ({"steps": 0.5}, "Old.steps is 0.5, but must be a whole number, at least 1"),
        ({"lr": -0.1}, "Old.lr is -0.1, but must be a number, at least 0"),
    ):
        with pytest.raises(Refused) as refused:
            method.replace(**wrong)
        assert str(refused.value) == message


def test_the_old_form_is_said_in_the_new_one():
    (message,), _ = shown(old_form)
    assert message == (
        "Old is written in a form that the next release does not read: write "
        'lr: float = hyper(0.1, search=log(1e-05, 10, unit="length/gradient", discount="pull"), low=0); '
        "pull: float = hyper(0.2, search=complement(0.001, 1), above=0, below=1); "
        "steps: int = hyper(4, low=1), not space and bounds"
    )


def test_a_child_of_ours_in_the_old_form():
    def child():
        @dataclass(frozen=True)
        class Child(Adam):
            leak: float = 0.5

            space = {**Adam.space, "leak": linear(0.0, 1.0)}
            bounds = {**Adam.bounds, "leak": {"low": 0.0}}

        return Child

    messages, kind = shown(child)
    assert list(kind().space) == ["lr", "leak"]
    assert [message.partition(": write ")[2] for message in messages] == [
        "leak: float = hyper(0.5, search=linear(0, 1), low=0), not space and bounds"
    ]
    for wrong in ({"beta1": 1.0}, {"leak": -0.1}):
        with pytest.raises(Refused):
            kind(**wrong)


def test_a_wrapper_in_the_old_form():
    def wrapper():
        @dataclass(frozen=True)
        class Halve(Wrapper):
            share: float = 0.5

            own_space = {"share": log(0.1, 1.0)}
            bounds = {"share": {"low": 0.0, "open_low": True}}

        return Halve

    (message,), kind = shown(wrapper)
    assert message.startswith(
        "Halve is written in a form that the next release does not read: write share: "
    )
    assert message.endswith(", not own_space and bounds")
    assert list(kind(Momentum()).space) == ["lr", "share"]
    with pytest.raises(Refused, match=r"^Halve\.share is 0, but must be a number, above 0$"):
        kind(Momentum(), 0)


def test_fields_that_say_nothing_of_themselves_are_in_no_old_form():
    def plain():
        @dataclass(frozen=True)
        class Plain(Optimizer):
            lr: float = 0.1
            nesterov: bool = False

        return Plain

    messages, kind = shown(plain)
    assert messages == []
    assert kind().space == {}
    with pytest.raises(Refused, match=r"^Plain\.lr is -1, but must be a number, at least 0$"):
        kind(lr=-1)
