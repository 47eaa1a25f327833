"""Read the arguments of anyone's optimizer class: their names, defaults and kinds, and what they stand for."""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from optimizers.global_generators import undisturbed
from optimizers.learning_rate_unit import DIM, LR
from ravine import Refused

# Arguments that change how torch computes a step, not the step.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}
# Names of a learning rate, the likeliest first.
RATES = (
    "lr", "learning_rate", "learningrate", "base_lr", "lr0", "init_lr", "initial_lr", "max_lr", "eta", "eta0", "eta_0",
    "step_size", "stepsize", "alpha", "gamma", "rate", "tau", "h",
)  # fmt: skip
# Names of the number of steps of a run: those that mean nothing else, and those that do only without a default.
STEP_COUNTS = {
    "total_steps", "num_total_steps", "n_total_steps", "num_training_steps", "training_steps", "train_steps",
    "num_train_steps", "n_training_steps", "max_steps", "max_train_steps", "num_iterations", "total_iterations",
    "num_training_iterations", "total_iters", "t_max", "t_total", "total_t",
}  # fmt: skip
STEP_COUNTS_IF_REQUIRED = {
    "num_steps", "n_steps", "steps", "iterations", "n_iterations", "num_iters", "n_iters", "max_iterations",
    "max_iters", "budget", "horizon",
}  # fmt: skip
PLAIN = (bool, int, float, str, tuple, list)
WORDS = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "tuple": tuple,
    "list": list,
    "sequence": tuple,
}
ANYTHING = {"any", "object"}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
ASKED_AT_MOST = 8  # arguments that a class asks for by name
PROVISIONAL_STEPS = 1000  # of a run, while a class is tried


@dataclass(frozen=True)
class Argument:
    """An argument of a class.

    Attributes:
        name: Its name.
        default: Its default; None if it has none, or one that is no plain value.
        required: True if the class cannot run without it.
        kinds: The plain types that its default and its annotation allow; empty if neither says.
        settable: False if it takes a class or an object, which no command can write.
    """

    name: str
    default: Any
    required: bool
    kinds: frozenset[type] = frozenset()
    settable: bool = True

    @property
    def counts_steps(self) -> bool:
        """True if it means the number of steps of a run."""
        name = self.name.lower()
        return name in STEP_COUNTS or (self.required and name in STEP_COUNTS_IF_REQUIRED)

    @property
    def example(self) -> str:
        """A value of its kind, as a command writes it."""
        if float in self.kinds or not self.kinds:
            return "0.1"
        examples = {int: "10", bool: "true", str: "word"}
        return next((examples[each] for each in examples if each in self.kinds), "[0.9,0.99]")

    def converted(self, owner: str, given: Any) -> Any:
        """Return a value as the type that the argument takes.

        Raises:
            Refused: With what was given and what is allowed.
        """
        what = f"{owner}.{self.name}"
        if not self.settable:
            raise Refused(
                f"{what} takes a class or an object: give it in a file of your own, to a class derived from {owner}"
            )
        kinds = self.kinds
        if isinstance(given, (list, tuple)) and (not kinds or kinds & {tuple, list}):
            wanted = self.default
            if isinstance(wanted, (list, tuple)) and len(wanted) != len(given):
                raise self._refused(what, given)
            return list(given) if list in kinds and tuple not in kinds else tuple(given)
        if not kinds or given is None or type(given) in kinds:
            return given
        if float in kinds and type(given) is int:
            return float(given)
        raise self._refused(what, given)

    def _refused(self, what: str, given: Any) -> Refused:
        names = {
            bool: "true or false", int: "a whole number", float: "a number", str: "a word",
            tuple: "a list of numbers", list: "a list of numbers",
        }  # fmt: skip
        wanted = " or ".join(dict.fromkeys(names[each] for each in names if each in self.kinds))
        given = list(given) if isinstance(given, tuple) else given
        default = "" if self.required else f" (default: {self.default!r})"
        return Refused(f"{what} is {given!r}, but must be {wanted}{default}")


@functools.cache
def arguments(method: type[torch.optim.Optimizer]) -> Mapping[str, Argument]:
    """Return the arguments of a class besides its parameters, by name.

    Of a class with `**kwargs` these are also the arguments of its bases, and the keys of its `defaults` that change
    when they are passed.

    Args:
        method: The class.

    Returns:
        The arguments, in order.
    """
    declared, inherited, open_ended = _declared(method)
    if inherited or open_ended:
        declared = {**declared, **_of_keywords(method, declared, inherited, open_ended)}
    required = {name for name, each in declared.items() if each.required}
    sentinels = {
        name for name, each in declared.items() if not each.required and _is_odd(method, name)
    }
    if sentinels and _raised(method, _provisional(declared, required)):
        required |= sentinels
    required |= sentinels & set(RATES)
    return {
        name: Argument(name, each.default, name in required, each.kinds, each.settable)
        for name, each in declared.items()
    }


def default_hyperparameters(method: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return the arguments of a class with their defaults.

    Those without a default, and those whose default is no plain value, are None. A whole number becomes a float if it
    stands for one: if its annotation says so, or if there is none and it is 0 or 1, as in `momentum=0`.

    >>> import torch
    >>> default_hyperparameters(torch.optim.Adagrad)["weight_decay"]
    0.0
    """
    return {name: each.default for name, each in arguments(method).items()}


def elements(name: str, value: Any) -> dict[str, float]:
    """Return the numbers of a list by name: `betas.0`, `betas.1`; nothing if it is no list of numbers.

    >>> elements("betas", (0.9, 0.999))
    {'betas.0': 0.9, 'betas.1': 0.999}
    """
    if not isinstance(value, (tuple, list)) or not all(_is_number(each) for each in value):
        return {}
    return {f"{name}.{k}": each for k, each in enumerate(value)}


# A default, an annotation and a call, as Python has them.


def _declared(method: type) -> tuple[dict[str, Argument], dict[str, Argument], bool]:
    """Return the arguments in the signature of a class, and those of its bases while they end in `**kwargs`.

    And whether it does itself.
    """
    own: dict[str, Argument] = {}
    inherited: dict[str, Argument] = {}
    open_ended = False
    for owner in _owners(method):
        if owner in (torch.optim.Optimizer, object):
            break
        is_first = owner is _owners(method)[0]
        signature = inspect.signature(method if is_first else owner)
        hints = _hints(owner)
        for each in [*signature.parameters.values()][1:]:
            if each.kind not in VARIADIC and each.name not in {*IMPLEMENTATION, *own, *inherited}:
                argument = _argument(each, hints.get(each.name, each.annotation))
                (own if is_first else inherited)[each.name] = argument
        ends_open = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
        open_ended = open_ended or (is_first and ends_open)
        if not ends_open:
            break
    return own, inherited, open_ended


def _argument(each: inspect.Parameter, annotation: Any) -> Argument:
    required = each.default is each.empty
    default = None if required else _plain(each.default)
    kinds, settable = _kinds(annotation)
    if isinstance(default, int) and not isinstance(default, bool):
        unstated = annotation is each.empty and default in (0, 1)
        if unstated or float in kinds:
            default = float(default)
    if default is not None and type(default) not in kinds:
        kinds = kinds | {type(default)}
    if isinstance(default, float):
        kinds = kinds - {int}
    elif isinstance(default, int) and not isinstance(default, bool) and annotation is each.empty:
        kinds = frozenset({int})
    return Argument(each.name, default, required, frozenset(kinds), settable or default is not None)


def _plain(default: Any) -> Any:
    """Return a default as a plain value; None if it is none."""
    if isinstance(default, torch.Tensor) and default.ndim == 0:
        return default.item()
    if isinstance(default, (tuple, list)):
        parts = [_plain(each) for each in default]
        fits = all(p is not None or each is None for p, each in zip(parts, default, strict=True))
        return type(default)(parts) if fits and type(default) in (tuple, list) else None
    return default if type(default) in (bool, int, float, str) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _hints(owner: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(owner.__init__)
    except Exception:  # names that exist for type checkers alone
        return {}


def _kinds(annotation: Any) -> tuple[frozenset[type], bool]:
    """Return the plain types of an annotation, and whether a command can write a value of it."""
    if annotation is inspect.Parameter.empty:
        return frozenset(), True
    named = set(_named(annotation))
    if named & {str(each) for each in ANYTHING}:
        return frozenset(), True
    kinds = frozenset(WORDS[each] for each in named & WORDS.keys())
    return kinds, bool(kinds)


def _named(annotation: Any) -> Iterator[str]:
    """Yield the names of the types that an annotation allows, outermost first of each."""
    if isinstance(annotation, str):
        outer = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", annotation))
        inner = re.findall(r"(?:Optional|Union)\[(.*)\]", annotation)
        words = re.findall(r"\w+", " ".join([outer, *inner]))
        yield from ("str" if each == "Literal" else each.lower() for each in words)
    elif isinstance(annotation, typing.TypeVar):
        yield "any"
    elif hasattr(annotation, "__supertype__"):
        yield from _named(annotation.__supertype__)
    elif hasattr(annotation, "__value__"):
        yield from _named(annotation.__value__)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for each in typing.get_args(annotation):
            yield from _named(each)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from (type(each).__name__ for each in typing.get_args(annotation))
    elif annotation is torch.Tensor:
        yield "float"  # a rate may be a tensor without dimensions
    else:
        origin = typing.get_origin(annotation) or annotation
        yield getattr(origin, "__name__", str(origin)).lower()


def _is_odd(method: type, name: str) -> bool:
    """True if a default is an object that stands for none, as `torch.optim.optimizer.required` does."""
    usual = (*PLAIN, dict, torch.Tensor, torch.dtype, torch.device, type, type(None))
    for owner in _owners(method):
        each = inspect.signature(owner.__init__).parameters.get(name)
        if each is not None:
            return not isinstance(each.default, usual) and not callable(each.default)
    return False


def _owners(method: type) -> list[type]:
    """Return a class and its bases, as far as they have an `__init__` of their own."""
    found: dict[Any, type] = {}
    for each in reversed(method.__mro__):
        found.setdefault(each.__init__, each)
    return [each for each in method.__mro__ if each in found.values()]


# What a class takes by `**kwargs`, found by trial.


def _parameter() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(2, DIM // 2))]


def _provisional(known: Mapping[str, Argument], names: set[str]) -> dict[str, Any]:
    """Return values for these arguments with which a class may be tried."""
    given: dict[str, Any] = {}
    for name in names:
        if known[name].counts_steps:
            given[name] = PROVISIONAL_STEPS
        elif known[name].settable:
            given[name] = LR
    return given


def _raised(method: type, values: Mapping[str, Any]) -> Exception | None:
    """Return what a class raises when it is made with these values."""
    try:
        with undisturbed():
            method(_parameter(), **values)
    except Exception as error:  # a class may raise anything
        return error
    return None


def _of_keywords(
    method: type, own: Mapping[str, Argument], inherited: Mapping[str, Argument], open_ended: bool
) -> dict[str, Argument]:
    """Return the arguments that a class takes by `**kwargs`: those of its bases, and those that no signature names."""
    found: dict[str, Argument] = {}
    given = _provisional(own, {name for name, each in own.items() if each.required})
    for _ in range(ASKED_AT_MOST):  # those that it asks for by name
        name = _asked(_raised(method, given))
        if not name or name in given or name in found or name in own:
            break
        base = inherited.get(name, Argument(name, None, True))
        found[name] = Argument(name, None, True, base.kinds, base.settable)
        given |= _provisional(found, {name})
    plain = _made(method, given)
    if plain is None:
        return {**{name: each for name, each in inherited.items() if not each.required}, **found}
    for name, each in inherited.items():
        value = LR if each.default is None else each.default
        error = _raised(method, {**given, name: value})
        clash = isinstance(error, TypeError) and re.search(
            "multiple values|unexpected keyw", str(error)
        )
        if name in found or each.required or clash:
            continue  # what is required the class gives itself
        default = each.default
        if name in plain and _differ(plain[name], default) and _plain(plain[name]) is not None:
            default = _plain(plain[name])  # it has another default than its base
        found[name] = replace(each, default=default)
    candidates = [*plain.items(), *((each, None) for each in RATES)] if open_ended else []
    for name, value in candidates:
        default = _plain(value)
        if name in {*own, *found, *IMPLEMENTATION} or (value is not None and default is None):
            continue
        other = _made(method, {**given, name: _another(default)}) or {}
        changed = [key for key in plain if key in other and _differ(plain[key], other[key])]
        if changed:
            default = _plain(plain[changed[0]]) if default is None else default
            kinds = frozenset() if default is None else frozenset({type(default)})
            found[name] = Argument(name, default, False, kinds)
    return found


def _asked(error: Exception | None) -> str:
    """Return the name of an argument for want of which a class cannot be made, or ""."""
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return error.args[0]
    missing = re.search(r"missing .* arguments?: '(\w+)'", str(error))
    return missing[1] if isinstance(error, TypeError) and missing else ""


def _made(method: type, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values of an instance's `defaults` and of its first group, or None if it cannot be made."""
    try:
        with undisturbed():
            instance = method(_parameter(), **values)
        group = {name: each for name, each in instance.param_groups[0].items() if name != "params"}
        return {**instance.defaults, **group}
    except Exception:  # a class may raise anything
        return None


def _another(value: Any) -> Any:
    """Return another value of the same kind that an optimizer is likely to accept."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return 0.5 * value or 0.5
    if isinstance(value, (tuple, list)):
        return type(value)(_another(each) for each in value)
    return f"{value}_" if isinstance(value, str) else LR


def _differ(one: Any, other: Any) -> bool:
    return _plain(one) != _plain(other)
