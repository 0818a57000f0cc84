"""A recipe's run in a folder: its files, checkpoints from which it goes on, its log and its progress."""
