"""Parts of the study of bias and variance: its students side by side, and its tables."""
