"""8.2.2 Local minima"""
