"""The public names are documented for a reader of an API reference: arguments, returns, attributes."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import benchmarks
import optimizers
import problems
from benchmarks import statistics
from benchmarks.doctor import Doctor, watch

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (benchmarks, statistics, problems, optimizers)
    for name in module.__all__
} | {"benchmarks.doctor.Doctor": Doctor, "benchmarks.doctor.watch": watch}
FUNCTIONS = {name: each for name, each in PUBLIC.items() if inspect.isfunction(each)}
METHODS = {
    f"{name}.{method}": function
    for name, each in PUBLIC.items()
    if inspect.isclass(each)
    for method, function in vars(each).items()
    if inspect.isfunction(function) and not method.startswith("_")
    if method not in getattr(each, "__dataclass_fields__", {})
}
RECORDS = {name: each for name, each in PUBLIC.items() if dataclasses.is_dataclass(each)}


def section(documented, title):
    """The names that a section of a Google-style docstring explains, and its text."""
    text = inspect.getdoc(documented) or ""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    body = found[1] if found else ""
    return set(re.findall(r"^    \*{0,2}(\w+)(?: \(.*?\))?:", body, re.MULTILINE)), body


def test_there_are_about_forty():
    assert 35 <= len(PUBLIC) <= 60


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_explain_their_arguments_and_what_they_return(name):
    function = FUNCTIONS[name]
    explained, _ = section(function, "Args")
    signature = inspect.signature(function)
    assert set(signature.parameters) <= explained
    if signature.return_annotation not in (None, "None"):
        assert section(function, "Returns")[1].strip()


@pytest.mark.parametrize("name", METHODS)
def test_methods_explain_their_arguments_and_with_any_what_they_return(name):
    explained, _ = section(METHODS[name], "Args")
    signature = inspect.signature(METHODS[name])
    parameters = {*signature.parameters} - {"self"}
    assert parameters <= explained
    if parameters and signature.return_annotation not in (None, "None"):
        assert section(METHODS[name], "Returns")[1].strip()


@pytest.mark.parametrize("name", RECORDS)
def test_records_explain_their_fields(name):
    explained, _ = section(RECORDS[name], "Attributes")
    assert {each.name for each in dataclasses.fields(RECORDS[name])} <= explained


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_examples_are_in_a_section(name):
    """Elsewhere `>>>` is Markdown's third quotation of a quotation."""
    documented = (PUBLIC | METHODS)[name]
    examples = section(documented, "Examples")[1]
    assert examples.count(">>> ") == (inspect.getdoc(documented) or "").count(">>> ")
