"""Sets that are text: real sentences chosen for what they teach, with learned soft labels and weights."""
