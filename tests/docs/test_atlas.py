"""The documents that are made from the registry say what the registry says now."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas
import pytest

from benchmarks.analysis.causes import EXPLAINED
from benchmarks.docgen import atlas, certificates
from benchmarks.pages.markdown import escaped
from problems import PROBLEMS

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "python -m benchmarks.docgen.atlas writes it anew"
AGAIN_CERTIFICATES = "python -m benchmarks.docgen.certificates"


def test_the_pages_are_those_of_the_registry(monkeypatch):
    """Measured signatures are not compared here, but by the contracts: their last digit is the machine's."""
    assert atlas._signature(PROBLEMS["quadratic"]) == "1e+03"
    monkeypatch.setattr(atlas, "_signature", lambda problem: "measured elsewhere")
    pages = atlas.pages()
    found = {file.relative_to(DOCS) for file in (DOCS / "atlas").glob("*.md")}
    assert found | {Path("atlas.md")} == set(pages)
    for path, text in pages.items():
        assert without_measured(text) == without_measured((DOCS / path).read_text()), AGAIN


def without_measured(text):
    return [line for line in text.splitlines() if not line.startswith("| measured |")]


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_picture_was_drawn_from_the_problem_as_it_is(name):
    assert atlas.drawn_from(DOCS / atlas.picture_file(name)) == atlas.digest(name), AGAIN


def test_there_are_no_other_pictures():
    found = {file.name for file in (DOCS / "atlas").iterdir() if file.suffix != ".md"}
    assert found == {f"{name}.svg" for name in PROBLEMS}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_picture_is_small_and_says_what_it_shows(name):
    file = DOCS / atlas.picture_file(name)
    assert file.stat().st_size < 150_000
    caption = atlas._stated(file, "description")
    assert caption and caption.endswith(".")
    (page,) = (
        page for page in (DOCS / "atlas").glob("*.md") if f"\n## {name}\n" in page.read_text()
    )
    shown = escaped(caption)
    assert f"![{name}: {shown}]({name}.svg)\n\n{shown}\n" in page.read_text()
    drawn = re.findall(r"<!-- (.*?) -->", file.read_text())  # the texts that are drawn as outlines
    assert drawn
    # A wrapped caption would be one text a line, each a part of it.
    assert not any(len(text) > 40 and text in caption for text in drawn)
    for text in [caption, *drawn]:
        assert not re.search(r"\^|_\{|_\d|\de[-+]?\d", text.replace(r"$\mathdefault{10^{", "")), (
            text
        )


def test_a_claim_that_fails_says_so_on_its_page():
    pages = "".join(page.read_text() for page in (DOCS / "atlas").glob("*.md"))
    failing = [
        each for problem in PROBLEMS.values() for each in problem.claims.values() if each.fails
    ]
    assert failing
    assert all(f"FAILS here: {escaped(each.fails)}" in pages for each in failing)


@pytest.mark.parametrize("name", ["many_minima", "shelf"])
def test_a_picture_that_is_drawn_again_is_the_same(name, tmp_path):
    file = DOCS / atlas.picture_file(name)
    atlas.draw(name, tmp_path / file.name)
    assert (tmp_path / file.name).read_bytes() == file.read_bytes(), f"{AGAIN} with --all"


def test_so_is_one_with_a_bitmap(tmp_path):
    """Compared with itself alone: another version of zlib packs the same pixels otherwise."""
    files = [tmp_path / each / "monkey_saddle.svg" for each in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        atlas.draw("monkey_saddle", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_claim_has_a_certificate():
    """With what is stated now; what was measured is measured again by the tests of the claims."""
    stated = certificates.stated()
    table = pandas.read_csv(certificates.FILE, dtype={"stated": str}, keep_default_na=False)
    again = f"{AGAIN_CERTIFICATES} measures anew"
    pandas.testing.assert_frame_equal(
        table[list(stated)].astype(str), stated.astype(str), obj=again
    )
    assert table["measured"].notna().all()


def test_verdicts_follow_from_the_numbers():
    table = pandas.read_csv(certificates.FILE, dtype={"stated": str}, keep_default_na=False)
    measured = table["measured"].astype(float)
    within = (table["low"] <= measured) & (measured <= table["high"])
    assert (within == table["holds"]).all()
    names = certificates.names(pandas.read_csv(certificates.EXPLAINED))
    page = certificates.FILE.with_suffix(".md").read_text()
    assert certificates.text(table, names) == page, f"{AGAIN_CERTIFICATES} --page writes it anew"


def test_no_row_is_dropped_because_it_fails():
    table = certificates.stated().assign(measured=0.0, seconds=0.0, holds=False)
    names = certificates.names(pandas.DataFrame(columns=EXPLAINED))
    page = certificates.text(table, names)
    rows = [line for line in page.splitlines() if "| FAILS: " in line]
    assert len(rows) == len(table)
    missing = [line for line in page.splitlines() if "| not measured for " in line]
    assert len(missing) == len(names)


@pytest.fixture(scope="module")
def notebook():
    return json.loads((DOCS / "section_8_2.ipynb").read_text())


def test_the_notebook_has_a_figure_for_each_subsection(notebook):
    titles = [
        "".join(cell["source"]).splitlines()[0]
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    ]
    for number in range(1, 9):
        assert any(title.startswith(f"## 8.2.{number} ") for title in titles)
    shown = [cell for cell in notebook["cells"] if "picture(" in "".join(cell.get("source", ""))]
    assert len(shown) >= 8
    for cell in shown:
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"])


def test_each_cell_of_the_notebook_has_something_to_change_and_a_question(notebook):
    cells = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in notebook["cells"]]
    shown = [at for at, (text, is_code) in enumerate(cells) if is_code and "def " not in text][1:]
    for at in shown:
        first = cells[at][0].splitlines()[0]
        assert re.match(r"[a-z_]+(, [a-z_]+)* = ", first), first
        for name in first.partition(" = ")[0].split(", "):
            assert re.search(rf"\b{name}\b", cells[at][0].partition("\n")[2])
        assert cells[at + 1][0].startswith("**Question.** ")
        assert "<details><summary>Answer</summary>\n\n" in cells[at + 1][0]
    assert all(text.count("<details>") == text.count("</details>") for text, _ in cells)
    for name in re.findall(r'picture\("(\w+)"', "".join(text for text, _ in cells)):
        assert name in PROBLEMS


@pytest.mark.slow
def test_the_notebook_runs(notebook):
    nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
    book = nbformat.read(DOCS / "section_8_2.ipynb", as_version=4)
    for cell in book.cells:
        cell.pop("outputs", None) if cell.cell_type == "code" else None
        if cell.cell_type == "code":
            cell.outputs = []
    nbclient.NotebookClient(
        book, timeout=300, resources={"metadata": {"path": DOCS.parent}}
    ).execute()
    for cell in book.cells:
        if cell.cell_type == "code" and "picture(" in cell.source:
            assert any("image/png" in output.get("data", {}) for output in cell.outputs)
