"""Draw figures of sweeps and pictures of problems with matplotlib."""
