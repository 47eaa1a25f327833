"""Write the parts of docs/manual/ that are read off the code: `python -m benchmarks.cli.manual`.

The text of --help goes into command_line.md, the options with their defaults and the presets into options.md, each
between `<!-- NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.catalog.loading import CONF
from benchmarks.cli.options import DESCRIPTIONS, Config
from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import markdown_cell, markdown_table, with_part
from problems import SampleSizes

MANUAL = DOCS / "manual"
DEFAULTS = {each.name: each.default for each in dataclasses.fields(Config)}
OF_PROBLEM = {**dataclasses.asdict(SampleSizes()), "budget": "the problem's"}


def parts() -> dict[str, dict[str, str]]:
    """Return the generated parts by page and name."""
    return {
        "command_line.md": {"help": f"```text\n{_help()}```"},
        "options.md": {"options": _options(), "presets": _presets()},
    }


def pages() -> dict[Path, str]:
    """Return the pages with their generated parts as the code has them now."""
    found = {}
    for name, texts in parts().items():
        page = (MANUAL / name).read_text("utf-8")
        for part, text in texts.items():
            page = with_part(page, part, text)
        found[MANUAL / name] = page
    return found


def _help() -> str:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _options() -> str:
    rows = [
        (f"`{option}`", _default(option.rstrip("=")), markdown_cell(said.rstrip(": ")))
        for option, said in DESCRIPTIONS.items()
    ]
    return markdown_table(("option", "default", "meaning"), rows)


def _default(option: str) -> str:
    value = DEFAULTS.get(option)
    if value is None:
        value = OF_PROBLEM.get(option)
    return "" if value is None or value == {} else str(value).lower()


def _presets() -> str:
    rows = []
    for file in sorted((CONF / "preset").glob("*.yaml")):
        options = OmegaConf.to_container(OmegaConf.load(file))
        assert isinstance(options, dict)
        words = ", ".join(f"`{name}={value}`" for name, value in options.items())
        comments = file.read_text("utf-8").splitlines()[1:]
        about = " ".join(line.lstrip("# ") for line in comments if line.startswith("#"))
        rows.append((f"`preset={file.stem}`", words, about))
    return markdown_table(("preset", "sets", "for"), rows)


def main() -> int:
    """Write the pages."""
    for file, text in pages().items():
        file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
