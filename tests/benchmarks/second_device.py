"""A second device without hardware: numbers on it are kept on the CPU, and mixing the two fails as on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "meta"  # any device may be named without hardware only if torch knows how to go without: this one
MOVES = {"aten::_to_copy", "aten::copy_"}


class There(torch.Tensor):
    """A tensor on the second device; `here` has its numbers."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=torch.device(NAME), requires_grad=here.requires_grad,
        )  # fmt: skip
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatched(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[None]:
    """Let numbers be made on the device `NAME`, and be moved there."""
    with _Numbers(), _Operations():
        yield


class _Numbers(TorchFunctionMode):
    """Do by an operation what torch does without one: make tensors of Python's numbers, and the other way round."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and "device" in kwargs:
            made = func(*args, **{**kwargs, "device": None})
            return made if kwargs["device"] is None else made.to(kwargs["device"])
        if func is torch.Tensor.new_tensor:
            like, data = args
            return torch.tensor(data, dtype=kwargs.get("dtype", like.dtype)).to(like.device)
        if func is torch.Tensor.__getitem__ and isinstance(args[1], tuple):
            places = (
                torch.tensor(each, dtype=torch.long) if isinstance(each, list) else each
                for each in args[1]
            )
            return func(args[0], tuple(places))
        if func in (torch.Tensor.tolist, torch.Tensor.__format__):
            return func(args[0].cpu(), *args[1:])
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """Run operations on what is on either device, or is made there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatched(func, args, kwargs or {})


def dispatched(func, args, kwargs):
    """Run an operation on the CPU, and put its results on the device on which it would have run."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [isinstance(each, There) for each in tensors]
    name = func._schema.name
    if any(there) and not all(there) and name not in MOVES:
        # A single number goes with any device, and so do places in a tensor.
        strangers = [
            each for each, is_there in zip(tensors, there, strict=True)
            if not is_there and each.dim() and not (name.startswith("aten::index") and not each.is_floating_point())
        ]  # fmt: skip
        if strangers:
            raise RuntimeError(f"{name} mixes devices: {[tuple(each.shape) for each in tensors]}")
    stated = kwargs.get("device")
    elsewhere = any(there) if stated is None else torch.device(stated).type == NAME
    if name == "aten::copy_":
        elsewhere = there[0]
    if stated is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if elsewhere and kwargs.get("generator") is not None:
        raise RuntimeError(f"{name} draws on the second device with a generator of the CPU")
    plain = tree_map(lambda each: each.here if isinstance(each, There) else each, (args, kwargs))
    found = func(*plain[0], **plain[1])
    if name.endswith("_") and not name.endswith("__"):  # in place
        return args[0]
    return tree_map(
        lambda each: There(each) if elsewhere and isinstance(each, torch.Tensor) else each, found
    )
