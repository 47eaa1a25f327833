"""Measure which public optimizer classes run here unchanged, and write docs/coverage.csv and docs/coverage.md.

`python -m benchmarks.docgen.coverage` measures torch.optim and pytorch_optimizer; with names of packages, only those,
which have to be installed. What the tables have of other packages stays.
"""

from __future__ import annotations

import importlib
import inspect
import io
import math
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pandas
import torch

from benchmarks.docgen.paths import DOCS
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from benchmarks.pages.markdown import markdown_cell, markdown_table
from optimizers import NotApplicable
from optimizers.adopted import Adopted
from optimizers.adopted_runs import StackedRuns
from optimizers.in_a_file import derived
from optimizers.needs import grouped, needs
from optimizers.optimizer import Fault
from problems import PROBLEMS, Problem
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused

FILE = DOCS / "coverage.csv"
HEAD = """# Coverage: which public optimizers run unchanged

Each public class of these packages was run on one vector (`quadratic`, 5 numbers) and on two matrices
(`linear_autoencoder`): 3 instances, 2 learning rates, up to 60 gradients, and again in a plain PyTorch loop with the
same gradients.

- **batched**: all instances of a trial take their steps at once, with the same results to the bit as one by one;
  **run by run**: each run has its own instance of the class; **–**: the class does not run, for the reason given.
- **plain loop**: the largest relative difference of the final loss from that of the plain loop; *random* for classes
  that draw random numbers, which differ in the plain loop.
- **tried**: the remedy that the message gives was tried, and the class then runs.

heavyball was measured with `TORCHDYNAMO_DISABLE=1`, and timm's optimizers without its models, which need torchvision.

Written by `python -m benchmarks.docgen.coverage PACKAGE …`; the same rows are in [coverage.csv](coverage.csv).
"""
ALWAYS = ("torch.optim", "pytorch_optimizer")
# Where a package's classes are, and what it is installed as.
PACKAGES = {
    "torch.optim": "torch",
    "pytorch_optimizer": "pytorch-optimizer",
    "schedulefree": "schedulefree",
    "heavyball": "heavyball",
    "timm.optim": "timm",
    "optimi": "torch-optimi",
    "lion_pytorch": "lion-pytorch",
    "prodigyopt": "prodigyopt",
    "dadaptation": "dadaptation",
    "adabelief_pytorch": "adabelief-pytorch",
}
ON: dict[str, Problem] = {
    "vector": Quadratic(dim=5, condition=100.0),
    "matrices": PROBLEMS["linear_autoencoder"],
}
INSTANCES, TRIALS, BUDGET, RATE = 3, 2, 60.0, 0.01
CLOSE = 1e-6
RANDOM = "random"
GUESSES = (0.1, 10)  # for an argument that a message asks for
BATCHED, ALONE, NOT = "batched", "run by run", "–"
COLUMNS = ("package", "version", "class", *ON, "plain loop", "message", "tried")


@dataclass(frozen=True)
class Found:
    """What became of a class on one problem.

    Attributes:
        how: "batched", "run by run" or "–".
        message: Why it does not run.
        difference: The relative difference of the final loss from a plain loop's; None for a class that draws.
    """

    how: str
    message: str = ""
    difference: float | None = 0.0


def classes(package: str) -> Iterator[type[torch.optim.Optimizer]]:
    """Yield the public classes of a package, by name."""
    module, seen = importlib.import_module(package), set()
    for each in vars(module).values():
        own = inspect.isclass(each) and each.__module__.startswith(package)
        if own and issubclass(each, torch.optim.Optimizer) and each is not torch.optim.Optimizer:
            seen.add(each)
    yield from sorted(seen, key=lambda each: each.__name__)


def tried(
    method: type[torch.optim.Optimizer], on: str, dtype: torch.dtype = torch.float64, **values: Any
) -> Found:
    """Run a class on one of the two problems, here and in a plain loop.

    Args:
        method: The class.
        on: "vector" or "matrices".
        dtype: The precision.
        values: Its arguments that are given.

    Returns:
        What became of it.
    """
    problem = ON[on]
    instances = Instances(problem, tuple(map(stream, range(INSTANCES))), dtype)
    start = instances.data["start"].expand(INSTANCES, TRIALS, -1)
    try:
        optimizer = Adopted(method, values).on(problem.shapes).told(int(BUDGET))
        rates = {}
        if optimizer.space:
            rate = optimizer.hyperparameters[optimizer.rate] or RATE
            rates = {optimizer.rate: torch.tensor([[rate], [rate / 2]], dtype=torch.float64)}
        batch = optimizer.batched(rates)
        outcome = run(batch, instances, TRIALS, BUDGET, record=False)
        stacked = isinstance(batch.init(start)[0], StackedRuns)
    except (Refused, NotApplicable, Fault) as error:
        return Found(NOT, str(error))
    own = {name: float(each[0]) for name, each in rates.items()}
    steps, loss = (float(outcome.numbers[each][0, 0]) for each in ("steps", "loss_final"))
    if outcome.not_finite[0][0]:  # then the loss is that of the last point that was finite
        loss = math.inf
    difference = None
    if not (needs(method).draws or needs(method).hessian):
        given = {**optimizer.values, **own}
        difference = _difference(loss, plain_loop(method, given, instances, int(steps)))
    return Found(BATCHED if stacked else ALONE, "", difference)


def _difference(loss: float, other: float) -> float:
    if not (math.isfinite(loss) and math.isfinite(other)):
        return 0.0 if math.isfinite(loss) == math.isfinite(other) else math.inf
    return abs(loss - other) / max(abs(other), sys.float_info.min)


def plain_loop(
    method: type[torch.optim.Optimizer], values: dict[str, Any], instances: Instances, steps: int
) -> float:
    """Return the loss that a class reaches on the first instance in a loop as one writes it with PyTorch.

    Args:
        method: The class.
        values: Its arguments.
        instances: The problem; gradients are those of a batch of `TRIALS` runs of each, so that they round alike.
        steps: The number of steps.

    Returns:
        The loss after them.
    """
    problem, data = instances.problem, instances.data
    start, asks = data["start"][0, 0], needs(method)
    shapes = problem.shapes or ((start.shape[-1],),)
    sizes = [math.prod(shape) for shape in shapes]
    parameters = [
        torch.nn.Parameter(part.clone().view(shape))
        for part, shape in zip(start.split(sizes), shapes, strict=True)
    ]
    optimizer = method(grouped(parameters, asks.groups), **values)

    def evaluated() -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.cat([each.detach().flatten() for each in parameters])
        value, gradient = problem.value_and_gradient(x.expand(INSTANCES, TRIALS, -1), data)
        return value[0, 0], gradient[0, 0]

    def closure() -> torch.Tensor:
        value, gradient = evaluated()
        for each, part in zip(parameters, gradient.split(sizes), strict=True):
            each.grad = part.clone().view_as(each)
        return value

    if asks.two_points:
        optimizer.train()  # type: ignore[attr-defined]
    for _ in range(steps):
        if not asks.closure or asks.gradients:
            closure()
        optimizer.step(closure) if asks.closure else optimizer.step()  # type: ignore[arg-type]
    if asks.two_points:
        optimizer.eval()  # type: ignore[attr-defined]
    return float(evaluated()[0])


def with_remedy(method: type[torch.optim.Optimizer], on: str) -> tuple[Found, str]:
    """Run a class on one of the two problems; if it does not run, do what the message says.

    Args:
        method: The class.
        on: "vector" or "matrices".

    Returns:
        What became of it, and what was done with which it runs, "" if nothing.
    """
    found = tried(method, on)
    if found.how != NOT:
        return found, ""
    written = re.search(r"`(class .*)`", found.message)
    if written and tried(derived(method, written[1]), on).how != NOT:
        return found, "that class"
    if "dtype=float32" in found.message:
        again = tried(method, on, torch.float32)
        if again.how != NOT:
            return again, "with dtype=float32"
    if " is a base, " in found.message:
        theirs = classes(method.__module__.partition(".")[0])
        for each in theirs:
            if issubclass(each, method) and each is not method and tried(each, on).how != NOT:
                return found, f"{each.__name__}, which is derived from it"
    asked = re.match(rf"{method.__name__}\.(\w+) has no default", found.message)
    for value in GUESSES if asked else ():
        again = tried(method, on, **{asked[1]: value})  # type: ignore[index]
        if again.how != NOT:
            return again, f"with {asked[1]}={value}"  # type: ignore[index]
    return found, ""


def rows(package: str, among: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield a row for each class of a package.

    Args:
        package: One of `PACKAGES`.
        among: Names of classes, if not all are to be measured.

    Yields:
        The cells by column.
    """
    for method in classes(package):
        if among and method.__name__ not in among:
            continue
        with (  # some print what they are
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            both = {on: with_remedy(method, on) for on in ON}
        ran = [found for found, _ in both.values() if found.how != NOT]
        known = [each.difference for each in ran if each.difference is not None]
        yield {
            "package": package,
            "version": version(PACKAGES[package]).partition("+")[0],
            "class": method.__name__,
            **{on: found.how for on, (found, _) in both.items()},
            "plain loop": f"{max(known):.1g}" if known else RANDOM if ran else "",
            "message": next((found.message for found, _ in both.values() if found.message), ""),
            "tried": ", ".join(dict.fromkeys(done for _, done in both.values() if done)),
        }


def summary(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return how many classes of each package run, and how many that do not were made to run as their message says.

    Args:
        table: Rows as of `rows`.

    Returns:
        One row per package and one for all.
    """
    counted = []
    for package, own in [*table.groupby("package", sort=False), ("all", table)]:
        vector, matrices = (own[on] != NOT for on in ON)
        neither = own[~vector & ~matrices]
        numbers = pandas.to_numeric(own["plain loop"], errors="coerce")
        counted.append(
            {
                "package": package,
                "version": own["version"].iloc[0] if package != "all" else "",
                "classes": len(own),
                "on both": int((vector & matrices).sum()),
                "one of the two": int((vector ^ matrices).sum()),
                "of these, as a message says": int(
                    ((vector | matrices) & (own["tried"] != "")).sum()
                ),
                "by a remedy that was tried": int((neither["tried"] != "").sum()),
                "not at all": int((neither["tried"] == "").sum()),
                "batched": int((own[list(ON)] == BATCHED).any(axis=1).sum()),
                "as a plain loop": f"{int((numbers <= CLOSE).sum())} of {int(numbers.notna().sum())}",
            }
        )
    return pandas.DataFrame(counted)


def text(table: pandas.DataFrame) -> str:
    """Return the page as Markdown."""
    parts = [HEAD, _markdown(summary(table))]
    for package, own in table.groupby("package", sort=False):
        shown = own.drop(columns=["package", "version"])
        parts.append(f"## {package} {own['version'].iloc[0]}\n\n{_markdown(shown)}")
    return "\n".join(parts)


def _markdown(table: pandas.DataFrame) -> str:
    rows = ([markdown_cell(str(each)) for each in line] for line in table.values.tolist())
    return markdown_table([*map(str, table)], rows) + "\n"


def read() -> pandas.DataFrame:
    """Return the published table."""
    if not FILE.is_file():
        return pandas.DataFrame(columns=list(COLUMNS))
    return pandas.read_csv(FILE, dtype=str, keep_default_na=False)


def main(packages: Sequence[str]) -> int:
    """Measure packages, and write table and page."""
    torch.set_num_threads(1)
    known = read()
    for package in packages or ALWAYS:
        if package not in PACKAGES:
            print(f"unknown package {package}: {', '.join(PACKAGES)}", file=sys.stderr)
            return 2
        found = []
        for row in rows(package):
            print(*(row[each] for each in COLUMNS if row[each]), sep="  ", flush=True)
            found.append(row)
        known = pandas.concat([known[known["package"] != package], pandas.DataFrame(found)])
    order = {package: k for k, package in enumerate(PACKAGES)}
    known = known.sort_values("package", key=lambda each: each.map(order), kind="stable")
    known.to_csv(FILE, index=False)
    FILE.with_suffix(".md").write_text(text(known))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
