"""The command in an empty folder and in this process (what it returns, prints, and leaves behind), and a browser."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.catalog import loading
from benchmarks.cli.main import main
from tests.benchmarks.browser import COMMAND, Browser
from tests.benchmarks.default_signals import heed_signals


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """Have no word about what takes long, on however slow a machine."""
    monkeypatch.setattr("ravine.terminal.SILENT", 3600.0)
    monkeypatch.setattr("benchmarks.runner.progress.SILENT", 3600.0)


@pytest.fixture
def heeded() -> Iterator[None]:
    """Signals have their default effect, however the tests were started."""
    before = heed_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """A browser for the tests of one file; without Chromium they are skipped, unless RAVINE_BROWSER is set."""
    if COMMAND is None:
        missing = "no Chromium here: apt-get install chromium"
        assert not os.environ.get("RAVINE_BROWSER"), missing
        pytest.skip(missing)
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def registries(monkeypatch) -> None:
    """Registries that forget afterwards what was loaded."""
    monkeypatch.setattr(loading, "_files", {})
    for registry in loading.REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry))
        monkeypatch.setattr(registry, "summaries", dict(registry.summaries))


@pytest.fixture
def files(tmp_path, monkeypatch, registries) -> Path:
    """An empty folder to work in, and registries that forget afterwards what was loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def ravine(files, capsys) -> Callable[..., Answer]:
    """`ravine("+problem=cliff", …)`, or the same in one string."""

    def ravine(*words: str) -> Answer:
        code = main(words[0].split() if len(words) == 1 else words)
        return Answer(code, *capsys.readouterr())

    return ravine
