"""Distilled sets: the result of a run, its .pt file, and the formats by which sets are shared.

May import errors, randomness, registry, data, networks, inner, methods and outer. The room's one
table, the file formats, is FORMATS in distill.sets.formats.
"""
