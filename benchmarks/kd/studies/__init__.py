"""Studies: what is more than a row. Each file runs or reads its own runs and writes kd-NAME.json, .md and a picture."""
