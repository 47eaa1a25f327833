"""Anyone's classes, by file, by dotted path or by preset: `my_opt.py:MyOpt`, `package.MyOpt`, `zoo/muon`.

What is loaded is registered, so that from then on it is a name like any other. A `torch.optim.Optimizer` is
adopted unchanged. Loading the same specification in a worker process gives the same name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from optimizers import OPTIMIZERS, Optimizer
from optimizers.adopted import Adopted
from optimizers.optimizer import log_uniform
from optimizers.registry import AND
from optimizers.wrapper import Wrapper
from problems import PROBLEMS, Problem
from ravine import Refused, Registry, nearest
from ravine.registry import origin

# A wheel has the YAML files in the package `benchmarks`, a checkout beside it.
CONF = next(
    folder
    for folder in (Path(__file__).parents[1] / "conf", Path(__file__).parents[2] / "conf")
    if (folder / "config.yaml").is_file()
)
PLUGINS = "ravine.plugins"  # the entry points by which installed packages offer theirs
REGISTRIES: dict[str, Registry[Any]] = {"problem": PROBLEMS, "optimizer": OPTIMIZERS}
_files: dict[str, int] = {}  # modules that were loaded from files, and when those were last changed


def is_specification(word: str) -> bool:
    """Whether a word says where a class is; a registered name has no colon, dot or slash."""
    return any(each in word for each in ":./") or word in presets()


def find(word: str, kind: str) -> tuple[str, str | None]:
    """The registered name that a word stands for, wrappers behind it, and the argument of `load`, if any.

    Raises Refused for what cannot be loaded, is not registered, or cannot be wrapped.
    """
    path, colon, name = word.rpartition(":")  # there may be a plus in the path of a file
    name, *wrappers = name.split(AND) if kind == "optimizer" else [name]
    name, where = f"{path}{colon}{name}", None
    if is_specification(name):
        name, where = load(name, kind)
    name = AND.join([name, *wrappers])
    REGISTRIES[kind].find(name)
    return name, where


def load(specification: str, kind: str) -> tuple[str, str]:
    """Register a class as a `kind` ("problem" or "optimizer") and return its name, and where it is, absolutely.

    A class that registers itself when it is imported keeps that name, any other gets its own, and `zoo/muon`
    is `zoo_muon`, by which it can be loaded as well. Raises Refused for a file, module, class or preset that
    does not exist, fails on import or is of another kind, and for a name that is taken.
    """
    _ = torch.optim  # torch itself, and not what stands for it, before any of its modules
    if not (":" in specification or "." in specification):
        return _preset(specification, kind), specification
    if ":" in specification or specification.endswith(".py"):
        file, _, name = specification.partition(".py")
        path, name = Path(f"{file}.py").expanduser().resolve(), name.removeprefix(":")
        module, absolute = _module_of_file(path, specification), f"{path}:{name}"
    else:
        dotted, _, name = specification.rpartition(".")
        module, absolute = _module_of_path(dotted, specification), specification
    offered = [each.__name__ for each in vars(module).values() if _fits(each, kind)]
    found = vars(module).get(name)
    if found is None:
        raise Refused(
            f"{specification} names no class of that file or module: {nearest(name, offered)}"
        )
    if not _fits(found, kind):
        base = (
            "problems.Problem"
            if kind == "problem"
            else "torch.optim.Optimizer or optimizers.Optimizer"
        )
        raise Refused(f"{specification} is no class derived from {base}: {nearest(name, offered)}")
    return _registered(found, kind), absolute


def presets() -> dict[str, Path]:
    """By name, the files that say of some package's class what is not as its author has it.

    `zoo/muon` is registered as `zoo_muon`: a slash would end a name in Hydra's keys.
    """
    files = sorted((CONF / "optimizer").glob("*/*.yaml"))
    return {f"{each.parent.name}_{each.stem}": each for each in files}


def preset_words() -> list[str]:
    """The presets as they are written in a command."""
    return [f"{each.parent.name}/{each.stem}" for each in presets().values()]


def load_plugins() -> None:
    """Import what installed packages offer; the working directory can be imported from, after all else."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for entry_point in entry_points(group=PLUGINS):
        try:
            entry_point.load()
        except Exception as error:
            raise _refusal(f"plugin {entry_point.name} ({entry_point.value})", error) from error


def class_of(prototype: Any) -> type:
    """The class that was registered: the adopted one, where it was adopted."""
    return prototype.method if isinstance(prototype, Adopted) else type(prototype)


def portable_entries() -> list[tuple[str, str, Any]]:
    """Kind, name and prototype of all that can be pickled: what the running script registered travels by value.

    What comes from a file is left out: no other process can import it, but each can load it again.
    """
    return [
        (kind, name, prototype)
        for kind, registry in REGISTRIES.items()
        for name, prototype in registry.items()
        if not any(each.__module__ in _files for each in _classes(prototype))
    ]


def _classes(prototype: Any) -> Iterator[type]:
    """The class of a prototype, and those of what it wraps."""
    yield class_of(prototype)
    for field in dataclasses.fields(prototype):
        value = getattr(prototype, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _classes(value)


def _registered(found: type, kind: str) -> str:
    registry, name = REGISTRIES[kind], found.__name__
    for each, prototype in registry.items():
        if class_of(prototype) is found and each not in presets():
            return each
    if name in registry and origin(class_of(registry[name])) != origin(found):
        theirs = sys.modules[class_of(registry[name]).__module__].__file__
        raise Refused(f"{kind} {name} is in {theirs} already: rename one of the two classes")
    if issubclass(found, torch.optim.Optimizer):
        registry.register(name, Adopted(found))
    elif dataclasses.is_dataclass(found):
        registry.register(name)(found)
    else:
        raise Refused(f"{kind} {name} is no dataclass: write @dataclass(frozen=True) above it")
    return name


def _preset(word: str, kind: str) -> str:
    """Register what a preset says: its class, numbers that it pins, pairs between which is searched."""
    from omegaconf import OmegaConf  # slow to import

    name, files = word.replace("/", "_"), presets()
    if kind != "optimizer":
        REGISTRIES[kind].find(word)  # refuses it
    if name not in files:
        raise Refused(f"unknown preset {word!r}: {nearest(word, preset_words())}")
    if name in OPTIMIZERS:
        return name
    given: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
    dotted, _, own = given.pop("class").rpartition(".")
    try:
        method = getattr(importlib.import_module(dotted), own)
    except ModuleNotFoundError as error:
        extra = files[name].parent.name
        raise Refused(
            f"{word} needs {error.name}: pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
    pairs = {field: log_uniform(*each) for field, each in given.items() if isinstance(each, list)}
    pinned = {field: each for field, each in given.items() if field not in pairs}
    adopted = Adopted(method, pinned)
    object.__setattr__(adopted, "space", {**adopted.space, **pairs})
    OPTIMIZERS.register(name, adopted)
    return name


def _fits(value: Any, kind: str) -> bool:
    bases = (Problem,) if kind == "problem" else (Optimizer, torch.optim.Optimizer)
    return isinstance(value, type) and issubclass(value, bases) and value not in bases


def _module_of_file(path: Path, given: str) -> ModuleType:
    if not path.is_file():
        there = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise Refused(f"no file {path.name} for {given}: {nearest(path.name, there)}")
    # One module a file, whatever it is called and wherever it lies, of the same name in every process.
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    stamp = path.stat().st_mtime_ns
    if _files.get(name) == stamp:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _refusal(given, error) from error
    _files[name] = stamp
    return module


def _module_of_path(dotted: str, given: str) -> ModuleType:
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{dotted}.".startswith(f"{error.name}."):
            allowed = "file.py:Class, package.module.Class, a registered name"
            raise Refused(f"no module {error.name} for {given} (allowed: {allowed})") from error
        raise _refusal(given, error) from error
    except (Exception, SystemExit) as error:
        raise _refusal(given, error) from error


def _refusal(what: str, error: BaseException) -> Refused:
    """What an import raised, in a line, with the place; what it refused itself is passed on."""
    if isinstance(error, Refused):
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if last.filename.startswith("<") else f" ({Path(last.filename).name}:{last.lineno})"
    return Refused(f"{what} cannot be imported: {type(error).__name__}: {error}{place}")


def is_own(name: str) -> bool:
    """True for the user's optimizers, by their name in tables: not built in, and not a preset."""
    base = name.partition("(")[0].partition(AND)[0].strip()
    if base in presets():
        return False
    if base not in OPTIMIZERS:  # its file was loaded by the process that ran it
        return True
    prototype = OPTIMIZERS[base]
    while isinstance(prototype, Wrapper):
        prototype = prototype.inner
    return class_of(prototype).__module__.partition(".")[0] != "optimizers"
