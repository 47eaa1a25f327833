"""8.2.5 Long-term dependencies"""
