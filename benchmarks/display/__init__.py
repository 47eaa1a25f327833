"""Display: tables for a terminal and a notebook."""
