"""Docgen: the pages under docs/ that are written from the registry and from measurements."""
