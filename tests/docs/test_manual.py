"""The manual says what the code says: the help, the options, subcommands, flags, exit codes and verdicts."""

from __future__ import annotations

import re

import pytest

from benchmarks.cli import manual
from benchmarks.cli.compare import UNDECIDED
from benchmarks.cli.options import BROKEN, FAILED, FLAGS, INTERRUPTED, REFUSED
from benchmarks.cli.show import card, described
from benchmarks.cli.subcommands import SUBCOMMANDS
from benchmarks.diagnosis.verdict import CAUSES, OUTCOMES
from benchmarks.pages.markdown import with_part
from optimizers import OPTIMIZERS
from optimizers.adopted import Adopted
from optimizers.registry import WRAPPERS

AGAIN = "python -m benchmarks.cli.manual writes it anew"


def section(page, title):
    text = (manual.MANUAL / page).read_text("utf-8")
    (found,) = re.findall(rf"^#+ {title}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return found


def first_column(text):
    return re.findall(r"^\| (`[^|]*|[\d, ]+) \|", text, re.MULTILINE)


def test_the_generated_parts_are_those_of_the_code():
    for file, text in manual.pages().items():
        assert file.read_text("utf-8") == text, AGAIN


def test_a_part_is_put_between_its_marks_and_nothing_else_changes():
    page = "# A\n\n<!-- one -->\n\nold\n\n<!-- end of one -->\n\n<!-- two -->\n\n<!-- end of two -->\nrest\n"
    once = with_part(page, "one", "new")
    assert once == page.replace("old", "new") == with_part(once, "one", "new")


def test_the_page_has_each_subcommand_and_flag():
    told = first_column(section("command_line.md", "Command line"))
    words = [each.strip("`").split()[0] for each in told]
    assert sorted(words) == sorted([*SUBCOMMANDS, *FLAGS])


def test_the_page_has_each_exit_code():
    told = re.findall(r"\d+", " ".join(first_column(section("from_a_program.md", "Exit codes"))))
    assert {BROKEN, REFUSED, FAILED, INTERRUPTED, UNDECIDED} | {0, 129, 143} == {*map(int, told)}


def test_the_page_has_each_verdict():
    rows = re.findall(r"^\| (?:causes|none) \|.*$", section("tables.md", "Verdicts"), re.MULTILINE)
    assert {*re.findall(r"`(\w+)`", " ".join(rows))} == {*CAUSES, *OUTCOMES}


@pytest.mark.parametrize("registry", [OPTIMIZERS, WRAPPERS], ids=lambda each: each.kind)
def test_each_optimizer_and_each_wrapper_has_a_sentence_of_its_own(registry):
    """In the help and on the card, also those that share a class, as the clipped ones do."""
    text = " ".join(manual.parts()["command_line.md"]["help"].split())
    ours = [
        name for name, each in registry.items() if not isinstance(each, Adopted)
    ]  # not of other tests
    sentences = {name: described(name)["summary"] for name in ours}
    assert ours and len({*sentences.values()}) == len(ours)
    for name, sentence in sentences.items():
        assert f" {name} {sentence} " in text
        assert sentence in " ".join(card(name).split())
