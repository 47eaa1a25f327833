"""Display: tables for a terminal and a notebook."""

WIDTH = 110  # columns of text on a terminal
