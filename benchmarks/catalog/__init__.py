"""The catalog: what can be named in a sweep, and what each name stands for."""
