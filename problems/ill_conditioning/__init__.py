"""8.2.1 Ill-conditioning"""
