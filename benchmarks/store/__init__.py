"""The store: what was computed, under keys that say what decided it, and the folders of sweeps."""
