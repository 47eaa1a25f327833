"""8.2.8 Theoretical limits of optimization"""
