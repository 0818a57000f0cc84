"""The Python door of a run: the arguments of distill() as settings, and what it says of its result."""
