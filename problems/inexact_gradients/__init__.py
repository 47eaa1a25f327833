"""8.2.6 Inexact gradients"""
