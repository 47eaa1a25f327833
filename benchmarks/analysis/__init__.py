"""Analysis: from cells to pandas tables, and what the tables say."""
