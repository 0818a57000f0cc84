"""The room of the outer loop: what is learned, from where it starts, and the loop that learns it.

A Synthetic holds the learned items, labels and learning rates; descend() improves them by an objective of the
methods room, in one process or in several. It may import data, networks, inner, methods, errors, randomness
and registry. It has no table: its words are those of the rooms to its left.
"""
