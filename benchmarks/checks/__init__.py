"""Checks: what a problem must satisfy to be swept, and what it promises."""
