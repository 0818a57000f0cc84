"""Outer steps in less memory: blocks of a network that are computed again, and numbers of 16 bits."""
