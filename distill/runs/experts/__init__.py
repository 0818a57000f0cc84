"""Experts of trajectory matching: trained before the outer loop, kept in a folder, checked when read."""
