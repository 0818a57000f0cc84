"""Defaults that depend on other settings: their table, and the values that it takes in a situation."""
