"""Docgen: write the pages under docs/ from the registry and from measurements."""
