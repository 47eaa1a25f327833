"""What is installed is what lies here: packages, their data, and the versions that are stated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("top", ["ravine", "benchmarks", "problems", "optimizers"])
def test_every_folder_with_modules_is_a_package(top):
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / top).rglob("*.py")}
    named = {name for name in PACKAGES if name.split(".")[0] == top and name != "benchmarks.conf"}
    assert named == {".".join(folder.parts) for folder in folders}
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    assert (ROOT / top / "py.typed").is_file()


def test_nothing_else_is_installed():
    tops = {name.split(".")[0] for name in PACKAGES}
    assert tops == {"ravine", "benchmarks", "problems", "optimizers"}
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {
        "": "."
    }  # else an editable install has no path
    assert (ROOT / "benchmarks" / "conf").resolve() == ROOT / "conf"


@pytest.mark.parametrize("first", ["ravine", "problems", "optimizers", "benchmarks"])
def test_any_package_may_be_imported_first_beside_a_clone(first, tmp_path):
    """Nor does the folder of a clone called ravine hide the package of that name."""
    (tmp_path / "ravine").mkdir()
    code = f"import {first}, ravine, problems, optimizers, benchmarks; ravine.Refused, benchmarks.sweep"
    run(["-c", code], tmp_path)
    assert run(["-m", "benchmarks", "--version"], tmp_path).startswith("ravine ")


@pytest.mark.parametrize("own", ["problems", "optimizers"])
def test_packages_of_the_users_own_do_not_hide_ours(own, tmp_path):
    (tmp_path / own).mkdir()
    (tmp_path / own / "__init__.py").write_text("raise ImportError('not this one')")
    run(["-c", "import benchmarks; benchmarks.sweep"], tmp_path)
    assert "cliff" in run(["-m", "benchmarks", "--help"], tmp_path)


def run(arguments: list[str], folder: Path) -> str:
    """What a new process prints that works in a folder, and finds the packages as an installed one does."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_configurations_are_all_yaml():
    """What is not YAML would be missing from the wheel."""
    files = [file for file in (ROOT / "conf").rglob("*") if file.is_file()]
    assert files
    assert {file.suffix for file in files} == {".yaml"}


def test_direct_dependencies_are_pinned_within_their_range():
    requirements = PROJECT["project"]["dependencies"] + [
        each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra
    ]
    pins = {canonical(name): version for name, version in PINS.items()}
    for requirement in requirements:
        (name,) = re.findall(r"^[\w.-]+", requirement)
        if name == "ravine":
            continue
        pin = as_numbers(pins[canonical(name)])
        for sign, bound in re.findall(r"(>=|<)([\d.]+)", requirement):
            assert pin >= as_numbers(bound) if sign == ">=" else pin < as_numbers(bound)


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_one_version_everywhere():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.*?)\]", changes, re.MULTILINE)[0] == version


def test_every_release_says_which_numbers_changed():
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert all("### Numbers changed" in release for release in releases)
