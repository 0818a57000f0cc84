"""Where a run starts: initial weights by what they are for, and the synthetic set, new or of a file."""
