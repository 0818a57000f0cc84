"""Decoupled methods: a network is trained on the real data first, and the items are made from it alone.

So the cost does not grow with the training of students, and items may be many and large (Yin, Xing and Shen
2023). recovery.py makes items from the statistics of the trained network's batch-norm layers; labels come
from the same network afterwards, by `distill relabel`. It may import what a method may; the table METHODS is
that of the room.
"""
