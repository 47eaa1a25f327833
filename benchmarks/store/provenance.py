"""The provenance of a result: code, packages, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ravine", "torch", "numpy", "pandas", "pyarrow", "hydra-core", "omegaconf")


def provenance() -> dict[str, Any]:
    """Return the commit, the versions of the packages, and the machine."""
    return {
        "git": {
            "commit": _git("rev-parse", "HEAD"),
            "dirty": bool(_git("status", "--porcelain", "--", ":(exclude)results")),
        },
        "packages": {name: version_of(name) for name in PACKAGES},
        "python": platform.python_version(),
        "cpu": _cpu(),
    }


def _git(*words: str) -> str | None:
    """Return git's output in this checkout; None if Ravine does not run from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", root, *words], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # ravine itself, from a checkout
        return None


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
