"""Look up what can be named in a sweep: problems, optimizers, presets and suites."""
