"""Random changes of images that can be differentiated through, by words that are joined by dashes.

batch.py has those that change a whole batch alike, as the words of --augment do; each.py those of which each
image draws numbers of its own, and what such changes are made of; dsa.py those of DSA, in both ways.
"""
