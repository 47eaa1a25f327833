"""The runner: what a process does for the jobs of a sweep."""
