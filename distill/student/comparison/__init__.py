"""A set beside baselines of its size: each protocol with each network, and the table of all.

grid.py has `compare`. Baselines are real items that a coreset of the table CORESETS chooses, with hard labels
and with those of an early-stopped teacher; each is trained by the same protocols as the set.
"""
