"""Say in one line why anyone's optimizer class failed: kind, words, place, what it was given, and a remedy."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from optimizers import in_a_file

Shapes = tuple[tuple[int, ...], ...]

OURS = Path(__file__).parent
LEAF = "write @torch.no_grad() above `step`"
# What a message or an error says, and what helps.
REMEDIES = (
    (
        r"does not require grad|does not have a grad_fn|create_graph|retain_graph",
        "gradients here have no graph: let `step(self, closure=None, hessian=None)` take the diagonal of the "
        "Hessian, which is estimated for it, one tensor for each parameter",
    ),
    (
        r"a leaf Variable that requires grad",
        LEAF,
    ),
    (
        r"process group",
        "it is for several processes: look for the class of its package that is for one",
    ),
)  # fmt: skip
A_MODEL = r"'(list|generator|Parameter)' object has no attribute '(named_)?(parameters|modules|children|buffers)'"


def is_own(error: Exception, method: type) -> bool:
    """True if a class rejects a step by a `raise` or an `assert` of its own package or of torch; else it is a fault.

    A package that is missing, a model or a graph that it wants, is no fault either.
    """
    wants = remedy_for(error, method) not in ("", LEAF)
    if wants or isinstance(error, ImportError):
        return True
    last = _frames(error)[-1]
    package = Path(last.filename)
    raised = re.search(r"\b(raise|assert)\b", last.line or "") is not None
    return raised and OURS not in package.parents


def described(error: Exception, method: type, shapes: Shapes | None, dim: int) -> str:
    """Return an error in one line.

    Args:
        error: What the class raised.
        method: The class.
        shapes: The shapes of the parameters that it was given; None for one vector.
        dim: The length of that vector.

    Returns:
        Its kind, its words, the place in the class's file, the shapes, and a remedy if one is known.
    """
    place = _place(error, method)
    where = f"{Path(place.filename).name}:{place.lineno}; " if place is not None else ""
    given = _counted(shapes or ((dim,),))
    remedy = remedy_for(error, method)
    return f"{words(error)} ({where}given {given}){f': {remedy}' if remedy else ''}"


def words(error: Exception) -> str:
    """Return the kind and the words of an error in one line; the line of code where its own words say little."""
    kind, said = type(error).__name__, " ".join(str(error).split())
    line = (_frames(error)[-1].line or "").partition("  #")[0].strip()
    if re.search("[A-Za-z]", said):
        return f"{kind}: {said}"
    return (
        f"{kind}: {line}{f', which is {said}' if said else ''}"
        if line
        else f"{kind}: {said or 'no words'}"
    )


def remedy_for(error: Exception, method: type) -> str:
    """Return what helps against an error, or ""."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install {error.name.partition('.')[0]}"
    said = f"{error} {_frames(error)[-1].line}"
    for pattern, remedy in REMEDIES:
        if re.search(pattern, said):
            return remedy
    if re.search(A_MODEL, said):
        return in_a_file.remedy(method, first="model")
    in_making = any(each.name == "__init__" for each in _frames(error))
    return in_a_file.remedy(method) if in_making else ""


def _counted(shapes: Shapes) -> str:
    listed = ", ".join(str(tuple(each)).replace(" ", "") for each in shapes[:4])
    more = f", … {len(shapes)} in all" if len(shapes) > 4 else ""
    return f"parameter{'s' if len(shapes) > 1 else ''} of shape{'s' if len(shapes) > 1 else ''} {listed}{more}"


def _frames(error: BaseException) -> Sequence[traceback.FrameSummary]:
    found: TracebackType | None = error.__traceback__
    return traceback.extract_tb(found) or [traceback.FrameSummary("", 0, "")]


def _place(error: Exception, method: type) -> traceback.FrameSummary | None:
    """Return the deepest place of an error in the package of the class, or of its bases; None if it is in none."""
    files = {getattr(sys.modules.get(each.__module__), "__file__", None) for each in method.__mro__}
    own = [each for each in _frames(error) if each.filename in files]
    if own:
        return own[-1]
    folders = {Path(each).parent for each in files if each and "site-packages" in each}
    near = [each for each in _frames(error) if Path(each.filename).parent in folders]
    return near[-1] if near else None
