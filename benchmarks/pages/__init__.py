"""What all HTML pages share: their look, tables, and charts as SVG."""

REPORT = "report.html"  # the report of a sweep, in its folder
