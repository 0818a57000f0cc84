"""What a run writes: the folder and its lock, log, checkpoint, history and events; and the progress."""
