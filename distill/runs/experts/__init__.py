"""Experts of trajectory matching: trained before the outer loop, kept in a folder of the run, checked when read."""
