"""Run the jobs of a sweep in one process."""
