"""What a run will cost, from a few of its steps: nothing is written."""
