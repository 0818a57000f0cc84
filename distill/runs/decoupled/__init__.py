"""Decoupled methods in a run: the trained network that --teacher names, looked at before anything is learned.

It may import what the room of the runs may. Files of weights are those of the room kd; torchvision's own
weights are fetched by torch.hub into its cache, once.
"""
