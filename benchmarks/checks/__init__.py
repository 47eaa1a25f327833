"""Checks: the conditions for a sweep, and the promises of problems and optimizers."""
