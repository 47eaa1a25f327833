"""Diagnose a training run: what is wrong with it, on what evidence, and what to try."""

from benchmarks.doctor.doctor import Doctor

__all__ = ["Doctor"]
