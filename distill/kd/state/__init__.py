"""What a recipe's run holds between two batches, as plain values that a checkpoint keeps.

`stage` holds what moves in a stage beside its networks, `meter` the means that the log gets. May import
distill.student.
"""
