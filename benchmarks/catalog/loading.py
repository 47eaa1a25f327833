"""Load classes by file, by dotted path or by preset: `my_opt.py:MyOpt`, `package.MyOpt`, `zoo/muon`.

A loaded class is registered, so that its name can be used like any other. A `torch.optim.Optimizer` is
adopted unchanged. Loading the same specification in a worker process gives the same name.

The working directory joins the import path once a class is named that is in it, for what that class imports later. In a
folder in which no class is named, such as a folder of results that somebody shares, nothing is imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from optimizers import OPTIMIZERS, Optimizer, log
from optimizers.adopted import Adopted
from optimizers.registry import AND, WRAPPERS
from optimizers.wrapper import Wrapper
from problems import PROBLEMS, Problem
from ravine import Refused, Registry, nearest
from ravine.registry import origin

CONF = Path(__file__).parents[1] / "conf"
PLUGINS = "ravine.plugins"  # entry points of installed packages with problems and optimizers
REGISTRIES: dict[str, Registry[Any]] = {"problem": PROBLEMS, "optimizer": OPTIMIZERS}
_files: dict[str, int] = {}  # modules loaded from files, and the files' times of change in ns
_own: set[str] = set()  # packages in the working directory of which a class was named


def is_specification(word: str) -> bool:
    """True if a word says where a class is; a registered name has no colon, dot or slash."""
    return any(each in word for each in ":./") or word in presets()


def find(word: str, kind: str) -> tuple[str, str | None]:
    """Return the registered name for a word, with its wrappers, and the specification it was loaded from, if any.

    Raises Refused if it cannot be loaded, is not registered, or cannot be wrapped.
    """
    name, wrappers = _without_wrappers(word, kind)
    where = None
    if is_specification(name) and name not in REGISTRIES[kind]:
        name, where = load(name, kind)
    name = AND.join([name, *wrappers])
    REGISTRIES[kind].find(name)
    return name, where


def load(specification: str, kind: str) -> tuple[str, str]:
    """Register a class, and return its name and its specification with an absolute path.

    Args:
        specification: `file.py:Class`, `package.module.Class` or a preset such as `zoo/muon`.
        kind: "problem" or "optimizer".

    Returns:
        The registered name: the one that the class registers itself with on import, else the class's own;
        `zoo/muon` is `zoo_muon`, which can be loaded as well. And the specification, absolute.

    Raises:
        Refused: If the file, module, class or preset does not exist, fails on import or is of another kind,
            or if the name is taken.
    """
    if not (":" in specification or "." in specification):
        return _preset(specification, kind), specification
    module, name, absolute = _place(specification)
    return _registered(_class_in(module, name, specification, kind), kind), absolute


def _class_in(module: ModuleType, name: str, specification: str, kind: str) -> type:
    """Return a class of a module; raise Refused if it has none of this name, or it is of another kind."""
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
    return found


def alone(word: str) -> Optimizer:
    """Return the optimizer for a word; nothing is registered, so that no name is taken.

    So two versions of one file can be loaded, each with the modules that lie beside it.

    Args:
        word: A registered name, `file.py:Class`, `package.module.Class` or a preset, with wrappers after a plus each.

    Raises:
        Refused: As `load`.
    """
    place, wrappers = _without_wrappers(word)
    with OPTIMIZERS.forgetting(), PROBLEMS.forgetting(), _neighbours(place):
        if ":" in place or "." in place:
            module, own, _ = _place(place)
            optimizer = _prototype(_class_in(module, own, place, "optimizer"))
        else:
            optimizer = OPTIMIZERS.find(find(place, "optimizer")[0])
    for each in wrappers:
        optimizer = WRAPPERS.find(each).around(optimizer)
    return optimizer


def _prototype(found: type) -> Optimizer:
    """Return an optimizer of this class with its defaults."""
    if issubclass(found, torch.optim.Optimizer):
        return Adopted(found)
    try:
        return found()
    except TypeError as error:
        raise Refused(f"{found.__name__}: every field needs a default ({error})") from error


@contextmanager
def _neighbours(place: str) -> Iterator[None]:
    """Import what lies beside a file from there, and leave it to each file to import its own."""
    path, _ = _in_file(place)
    if path is None:
        yield
        return
    folder = path.resolve().parent
    known, loaded = set(sys.modules), set(_files)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in sys.modules.keys() - known - _files.keys():
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and folder in Path(file).parents:
                del sys.modules[name]
        for name in _files.keys() - loaded:
            del _files[name]  # what it registered is forgotten, so that it is to be loaded again


def named(word: str) -> str:
    """Return the registered name that a word stands for, of a problem or an optimizer; load what is not registered."""
    return of_either_kind(word)[1] if is_specification(word) else word


def of_either_kind(word: str) -> tuple[str, str]:
    """Return whether a word stands for a "problem" or an "optimizer", and its registered name.

    Args:
        word: A registered name, a wrapped one (`adam+clip`), a preset, or the place of a class.

    Raises:
        Refused: For what is neither, with the nearest name of both kinds.
    """
    if word in PROBLEMS:
        return "problem", word
    inner, wrappers = _without_wrappers(word)
    if any("." in each for each in wrappers):  # no wrapper: a module with a plus in its name
        inner = word
    if inner in OPTIMIZERS or inner in preset_words():
        return "optimizer", find(word, "optimizer")[0]
    if not is_specification(inner):
        raise Refused(
            f"unknown problem or optimizer {word!r}: {nearest(inner, [*PROBLEMS, *OPTIMIZERS])}"
        )
    module, name, _ = _place(inner)
    is_problem = _fits(vars(module).get(name), "problem")
    if name not in vars(module):  # what the file has says of which kind the nearest name is
        is_problem = any(_fits(each, "problem") for each in vars(module).values())
    kind = "problem" if is_problem else "optimizer"
    return kind, find(word, kind)[0]


def is_foreign(word: str, kind: str) -> bool:
    """True if a word, with wrappers or without, names a class in a file or in a module that is not installed."""
    place, _ = _without_wrappers(word, kind)
    if any(_in_file(each)[0] is not None for each in (word, place)):
        return True
    registered = any(place in registry for registry in REGISTRIES.values())
    return "." in place and not registered and not _is_installed(place.partition(".")[0])


def missing(word: str, kind: str) -> str:
    """Return the file or the package that a word names, with wrappers or without; empty if it can be found."""
    place, _ = _without_wrappers(word, kind)
    path, _ = _in_file(place)
    if path is not None:
        return "" if path.is_file() else str(path)
    package, dot, _ = place.partition(".")
    known = (
        not dot or package in sys.modules or importlib.util.find_spec(package) or _is_here(package)
    )
    return "" if known else package


def _without_wrappers(word: str, kind: str = "optimizer") -> tuple[str, list[str]]:
    """Return where a class is, and the wrappers around it; the path of its file may contain a plus.

    A problem has no wrappers.

    >>> _without_wrappers("my+methods/mine.py:Mine+clip")
    ('my+methods/mine.py:Mine', ['clip'])
    """
    if kind != "optimizer":
        return word, []
    path, colon, name = word.rpartition(":")
    name, *wrappers = name.split(AND)
    return f"{path}{colon}{name}", wrappers


def _in_file(place: str) -> tuple[Path | None, str]:
    """Return the file that a class is in and its name; no file for a registered name, a preset or a dotted path.

    >>> _in_file("methods/mine.py:Mine"), _in_file("methods.mine.Mine")
    ((PosixPath('methods/mine.py'), 'Mine'), (None, 'methods.mine.Mine'))
    """
    path, colon, name = (place, ":", "") if place.endswith(".py") else place.rpartition(":")
    return (Path(path).expanduser() if colon else None), name


def presets() -> dict[str, Path]:
    """Return the files of the presets by name: each has a package's class, and values other than its defaults.

    `zoo/muon` is registered as `zoo_muon`: a slash would end a name in Hydra's keys.
    """
    files = sorted((CONF / "optimizer").glob("*/*.yaml"))
    return {f"{each.parent.name}_{each.stem}": each for each in files}


def preset_words() -> list[str]:
    """Return the presets as they are written in a command."""
    return [f"{each.parent.name}/{each.stem}" for each in presets().values()]


def load_plugins() -> None:
    """Import the plugins of installed packages; what lies in the working directory is not installed."""
    here = Path.cwd().resolve()
    installed = [each for each in sys.path if Path(each or ".").resolve() != here]
    every = (each.entry_points for each in distributions(path=installed))
    for entry_point in dict.fromkeys(each for of in every for each in of if each.group == PLUGINS):
        try:
            entry_point.load()
        except Exception as error:
            raise _refusal(f"plugin {entry_point.name} ({entry_point.value})", error) from error


def class_of(prototype: Any) -> type:
    """Return the class that was registered: the torch class if it was adopted."""
    if isinstance(prototype, type):
        return prototype
    return prototype.method if isinstance(prototype, Adopted) else type(prototype)


def portable_entries() -> list[tuple[str, str, Any]]:
    """Return kind, name and prototype of all registered entries that can be pickled for a worker process.

    Classes from files are left out: another process cannot import them, but can load them again.
    """
    return [
        (kind, name, prototype)
        for kind, registry in REGISTRIES.items()
        for name, prototype in registry.items()
        if not any(each.__module__ in _files for each in _classes(prototype))
    ]


def _classes(prototype: Any) -> Iterator[type]:
    """Yield the class of a prototype, and those of the prototypes that it wraps."""
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
        if not issubclass(found, torch.optim.Optimizer):
            raise Refused(f"{kind} {name} is in {theirs} already: rename one of the two classes")
        name = qualified(found, registry)
    if issubclass(found, torch.optim.Optimizer):
        registry.register(name, Adopted(found))
    elif dataclasses.is_dataclass(found):
        registry.register(name)(found)
    else:
        raise Refused(f"{kind} {name} is no dataclass: write @dataclass(frozen=True) above it")
    return name


def qualified(found: type, taken: Mapping[str, Any]) -> str:
    """Return a name for a class whose own is taken: with its package or its file before it, as `lion_pytorch.Lion`.

    If that is taken too, with more of its path.
    """
    module, name = found.__module__, found.__name__
    file = Path(getattr(sys.modules[module], "__file__", None) or module)
    parts = [_word(file.stem)] if module in _files else [module.partition(".")[0]]
    folders = (
        [*map(_word, reversed(file.parent.parts[1:]))]
        if module in _files
        else module.split(".")[1:]
    )
    while True:
        full = ".".join([*parts, name])
        if full not in taken or origin(class_of(taken[full])) == origin(found):
            return full
        if not folders:
            raise Refused(f"optimizer {full} is registered already: rename one of the two classes")
        parts = [folders.pop(0), *parts] if module in _files else [*parts, folders.pop(0)]


def _word(part: str) -> str:
    """Return a part of a path as a name may have it."""
    word = re.sub(r"\W", "_", part, flags=re.ASCII)
    return word if word[0].isalpha() else f"v{word}"


def _preset(word: str, kind: str) -> str:
    """Register a preset: its class, the values that it pins, and the pairs that it searches between."""
    from omegaconf import OmegaConf  # slow to import

    name, files = word.replace("/", "_"), presets()
    if kind != "optimizer":
        REGISTRIES[kind].find(word)  # raises Refused
    if name not in files:
        raise Refused(f"unknown preset {word!r}: {nearest(word, preset_words())}")
    if name in OPTIMIZERS:
        return name
    given: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
    _ = torch.optim  # as in `_place`
    dotted, _, own = given.pop("class").rpartition(".")
    try:
        method = getattr(importlib.import_module(dotted), own)
    except ModuleNotFoundError as error:
        extra = files[name].parent.name
        raise Refused(
            f"{word} needs {error.name}: pip install -c constraints.txt -e '.[{extra}]'"
        ) from error
    pairs = {field: log(*each) for field, each in given.items() if isinstance(each, list)}
    pinned = {field: each for field, each in given.items() if field not in pairs}
    OPTIMIZERS.register(name, Adopted(method, pinned).searched(pairs))
    return name


def _fits(value: Any, kind: str) -> bool:
    bases = (Problem,) if kind == "problem" else (Optimizer, torch.optim.Optimizer)
    return isinstance(value, type) and issubclass(value, bases) and value not in bases


def _place(specification: str) -> tuple[ModuleType, str, str]:
    """Return the module and the name of a class, and its specification with an absolute path."""
    _ = torch.optim  # import torch itself, now a lazy stand-in, before any of its modules
    path, name = _in_file(specification)
    if path is not None:
        path = path.resolve()
        return _module_of_file(path, specification), name, f"{path}:{name}"
    dotted, _, name = specification.rpartition(".")
    return _module_of_path(dotted, specification), name, specification


def _module_of_file(path: Path, given: str) -> ModuleType:
    if not path.is_file() or path.suffix != ".py":
        if not path.parent.is_dir():
            raise Refused(f"no file {path.name} for {given}: there is no folder {path.parent}")
        there = [each.name for each in path.parent.glob("*.py")]
        wrong = (
            f"{path.name} is not a .py file"
            if path.is_file()
            else f"no file {path.name} for {given}"
        )
        raise Refused(f"{wrong}: {nearest(path.name, there, '.py files there')}")
    # One module per file, with a name that depends on its path alone and is the same in every process.
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    stamp = path.stat().st_mtime_ns
    if _files.get(name) == stamp:
        return sys.modules[name]
    _import_also_from(path.parent)
    if Path.cwd() in path.parents:
        _import_also_from(Path.cwd())
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


def _import_also_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _is_installed(package: str) -> bool:
    """True if a package is found outside the working directory, or in the environment, which may be in it."""
    if package in sys.modules:
        return package not in _own
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # a folder without an __init__.py has no origin
        return False
    around = Path(found.origin).parents
    return Path(sys.prefix) in around or Path.cwd() not in around


def _is_here(package: str) -> bool:
    """True if a package is in the working directory."""
    return PathFinder.find_spec(package, [str(Path.cwd())]) is not None


def _module_of_path(dotted: str, given: str) -> ModuleType:
    package = dotted.partition(".")[0]
    try:
        if not _is_installed(package) and _is_here(package):
            _own.add(package)
            _import_also_from(Path.cwd())
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{dotted}.".startswith(f"{error.name}."):
            allowed = "file.py:Class, package.module.Class, a registered name"
            raise Refused(f"no module {error.name} for {given} (allowed: {allowed})") from error
        raise _refusal(given, error) from error
    except (Exception, SystemExit) as error:
        raise _refusal(given, error) from error


def _refusal(what: str, error: BaseException) -> Refused:
    """Return the error of an import as a refusal of one line, with its place; a Refused is returned as it is."""
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
    if base not in OPTIMIZERS:  # loaded from a file in the process that ran it
        return True
    prototype = OPTIMIZERS[base]
    while isinstance(prototype, Wrapper):
        prototype = prototype.inner
    return class_of(prototype).__module__.partition(".")[0] != "optimizers"
