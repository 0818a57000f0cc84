"""Studies: what is more than a row. Each writes benchmarks/results/kd-NAME.json and .md, and a picture."""
