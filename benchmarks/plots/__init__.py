"""Plots: figures of sweeps and pictures of problems, by matplotlib."""
