"""Validate diagnoses: find the true causes of runs by removing them, and count how often verdicts agree."""
