"""Make the atlas from the registry: `python -m benchmarks.docgen.atlas` writes docs/atlas.md, its pages and pictures.

A picture is drawn again if it is missing or if its digest has changed: that of the portrait, and of the problem as
far as the portrait uses it. `--all` draws all of them. A picture's file also has its caption, which the page shows as
text.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import torch

from benchmarks.catalog.subsections import by_subsection, summary
from benchmarks.checks.claims import told
from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import escaped, markdown_cell, markdown_table
from benchmarks.store.code import code_of
from benchmarks.store.key import described, stated
from problems import PROBLEMS, Problem
from problems.claims import evidence
from problems.precision import default_dtype

# The methods of a problem that draw its landscape and paths in it.
DRAWN = (
    Problem.instance, Problem.loss, Problem.floor, Problem.value_and_gradient, Problem.hvp, Problem.hessian,
    Problem.project, Problem.draws, Problem.sampled_value_and_gradient, Problem.sampled_hvp, Problem.seen,
)  # fmt: skip
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"  # the names of an SVG's metadata
READING = (
    "In the pictures points are measured, lines are predicted or exact unless their name says otherwise, and paths run "
    "from ■ to ●; optimizers have the same colours everywhere."
)
FIELD = re.compile(r"([a-z0-9_]+(?:, [a-z0-9_]+)*): ")


def pages(problems: Mapping[str, Problem] = PROBLEMS) -> dict[Path, str]:
    """Return the Markdown files of the atlas, by their path under docs/."""
    found = {Path("atlas.md"): _index()}
    for title, entries in by_subsection().items():
        parts = [_section(name, problem) for name, problem in entries.items()]
        found[page_of(title)] = "\n\n".join([f"# {title}", READING, *parts]) + "\n"
    return found


def digest(name: str) -> str:
    """Return a digest of all that a problem's picture shows: its portrait and its numbers."""
    problem = PROBLEMS[name]
    kind = type(problem)
    portraits = (each.portrait for each in reversed(evidence(kind)) if hasattr(each, "portrait"))
    code = code_of(kind, next(portraits, kind.portrait), *DRAWN)
    shown = [code.digest, described(problem), stated(problem.card, code)]
    return hashlib.sha256(json.dumps(shown, default=repr).encode()).hexdigest()[:16]


def drawn_from(file: Path) -> str | None:
    """Return the digest in a picture; None if there is no picture."""
    return _stated(file, "identifier")


def _stated(file: Path, what: str) -> str | None:
    """Return what a picture's metadata say; None if there is no picture."""
    if not file.is_file():
        return None
    return ElementTree.parse(file).findtext(f".//{DUBLIN_CORE}{what}")


def picture_file(name: str) -> Path:
    """Return the path of a problem's picture under docs/."""
    return Path("atlas") / f"{name}.svg"


def page_of(title: str) -> Path:
    """Return the path of a subsection's page under docs/."""
    number, _, words = title.partition(" ")
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return Path("atlas") / f"{number.replace('.', '_')}-{slug}.md"


def _index() -> str:
    lines = [
        "# The atlas",
        "",
        "Every pathology of section 8.2 of Goodfellow, Bengio & Courville, *Deep Learning*, as a problem with "
        "a dial, a known solution, a signature that proves the pathology, and a control without it. The "
        "[certificates](certificates.md) check the published claims by measurement. Written by "
        "`python -m benchmarks.docgen.atlas`.",
    ]
    for title, problems in by_subsection().items():
        page = page_of(title).as_posix()
        rows = []
        for name, problem in problems.items():
            data = problem.example()
            floor = f"{float(problem.floor(data)):.4g}"
            level = "" if problem.card.floor_is_minimum else "level "
            rows.append([
                f"[{name}]({page}#{name})", problem.card.dial, len(data["start"]), f"{level}{floor}", summary(problem),
            ])  # fmt: skip
        table = markdown_table(["problem", "dial", "dim", "minimum", ""], rows)
        lines += ["", f"## [{title}]({page})", "", table]
    return "\n".join(lines) + "\n"


def _section(name: str, problem: Problem) -> str:
    card = problem.card
    ladder = ", ".join(f"{rung:g}" for rung in card.ladder)
    reference, values = card.reference
    said = ", ".join(f"{field}={value:g}" for field, value in values.items())
    control = ", ".join(f"{field}={value}" for field, value in card.control.items())
    facts = {
        "dial": f"`{card.dial}`, {card.scale}: {ladder}",
        "solved": f"{problem.solved_when}, within {problem.budget:g} gradients",
        "truth": card.truth,
        "signature": f"{card.signature}; {card.threshold:g} proves it",
        "measured": f"{_signature(problem)}, and {_signature(problem.control())} on the control ({control})",
        "reference": f"{reference}({said})",
        **{f"except {promise}": reason for promise, reason in card.exceptions.items()},
        "source": card.source,
    }
    table = markdown_table(["", ""], ((key, markdown_cell(value)) for key, value in facts.items()))
    claims = [f"- {escaped(told(each))}" for each in problem.claims.values()]
    caption = escaped(_stated(DOCS / picture_file(name), "description") or "")
    picture = f"![{name}: {caption}]({picture_file(name).name})"
    return "\n\n".join(
        [
            f"## {name}",
            *_paragraphs(problem),
            picture,
            caption,
            table,
            *(["\n".join(claims)] if claims else []),
        ]
    )


def _signature(problem: Problem) -> str:
    with default_dtype(torch.float64):
        return f"{problem.signature(problem.example()):.3g}"


def _paragraphs(problem: Problem) -> Iterator[str]:
    """Yield the paragraphs of the docstring, the fields as a list."""
    for paragraph in escaped(inspect.getdoc(type(problem)) or "").split("\n\n"):
        lines = paragraph.split("\n")
        if not FIELD.match(lines[0]):
            yield " ".join(lines)
            continue
        yield "\n".join(
            FIELD.sub(r"- **\1**: ", line, count=1) if FIELD.match(line) else f"  {line.strip()}"
            for line in lines
        )


def draw(name: str, file: Path) -> None:
    """Draw the picture of a problem into a file."""
    from benchmarks.plots.problem_picture import picture
    from benchmarks.plots.style import save

    figure = picture(name)
    stated = {"Title": name, "Description": figure.caption, "Identifier": digest(name)}
    save(figure, file, **stated)


def main() -> int:
    """Write the pictures that are missing or out of date, and the pages."""
    torch.set_num_threads(1)
    (DOCS / "atlas").mkdir(parents=True, exist_ok=True)
    for name in PROBLEMS:
        file = DOCS / picture_file(name)
        if drawn_from(file) != digest(name) or "--all" in sys.argv:
            print(f"docs/{picture_file(name)}", flush=True)
            draw(name, file)
    for path, text in pages().items():
        (DOCS / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
