"""Folders of picture files: listed, decoded, kept in memory or in a cache on disk."""
