"""Frozen sentence encoders: each text becomes one vector, computed once and kept in a cache."""
