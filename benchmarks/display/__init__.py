"""Display: tables as they are read on a terminal and in a notebook."""

WIDTH = 110  # columns of text on a terminal
