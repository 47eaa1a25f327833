"""8.2.4 Cliffs and exploding gradients"""
