"""The site has all pages, its links lead somewhere, here and on GitHub, and it needs no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.benchmarks.browser import COMMAND, Browser
from tests.docs.test_public_names import PUBLIC

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIG = ROOT / "mkdocs.yml"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def leaves(entries):
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from leaves([below] if isinstance(below, str) else below)


def test_each_page_is_in_the_navigation_once_and_each_entry_is_a_page():
    entries = list(leaves(yaml.safe_load(CONFIG.read_text())["nav"]))
    assert sorted(entries) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def links(page):
    return [
        target.partition("#")[0]
        for target in LINK.findall(CODE.sub("", page.read_text()))
        if not target.startswith(("http", "#"))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_to_files_below_docs(page):
    """To pages as well as to tables and pictures, which the generator does not check."""
    for target in links(page):
        file = (page.parent / target).resolve()
        assert file.exists() and file.is_relative_to(DOCS), target


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_beside_docs_lead_to_files(name):
    assert all((ROOT / target).exists() for target in links(ROOT / name))


def test_the_api_has_every_public_name():
    told = [
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(told) == sorted(PUBLIC)


def test_the_glossary_is_short():
    terms = re.findall(r"^\| \*\*", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert 0 < len(terms) <= 20


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly from a copy of the project."""
    pytest.importorskip("zensical", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(CONFIG, folder)
    for name in ("docs", "benchmarks", "problems", "optimizers", "ravine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    loading = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|"""
                         r"""<link\b[^>]*\bhref=["']?(?:https?:)?//""")  # fmt: skip
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert not [page.name for page in pages if loading.search(page.read_text())]


@pytest.mark.slow
def test_search_works_from_files(site, tmp_path):
    if COMMAND is None and not os.environ.get("RAVINE_BROWSER"):
        pytest.skip("needs Chromium")
    found = "document.querySelector('.focus-visible').shadowRoot.textContent"
    with Browser(tmp_path / "profile") as browser:
        browser.size(1400, 900)
        browser.open(site / "index.html")
        browser.run("document.querySelector('[for=__search], .md-search__button').click()")
        until = time.monotonic() + 60
        browser.ask("Input.insertText", text="saddle")
        while "monkey_saddle" not in browser.run(found):
            assert time.monotonic() < until
            time.sleep(0.2)
        requests = [
            event["params"]["request"]["url"]
            for event in browser.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
    assert requests and all(url.startswith(("file:", "data:", "blob:")) for url in requests)
