"""Diagnose a training run: what is wrong with it, on what evidence, and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.doctor.doctor import Doctor
    from benchmarks.doctor.watched import watch

__all__ = ["Doctor", "watch"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch is imported only where a network is trained
        from benchmarks.doctor.doctor import Doctor
        from benchmarks.doctor.watched import watch

        return {"Doctor": Doctor, "watch": watch}[name]
    raise AttributeError(f"module 'benchmarks.doctor' has no attribute {name!r}")
