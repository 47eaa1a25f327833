"""Validation: what is true of a run, found by taking causes away, and how often diagnoses agree with it."""
