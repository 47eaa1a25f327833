"""8.2.3 Plateaus, saddle points and other flat regions"""
