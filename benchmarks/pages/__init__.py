"""What all HTML pages share: their look, tables, and charts as SVG."""
