"""What a run writes: the folder and its lock, log, checkpoint, history, events, and the progress on a terminal."""
