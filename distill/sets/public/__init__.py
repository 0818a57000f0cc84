"""Sets of other projects: their constants, their training as a recipe, and the DistilledSet built of both.

May import what the room `sets` may, and distill.sets.formats.base. The files themselves are read in
distill.sets.formats. Importing this package, or its options, imports no torch.
"""
