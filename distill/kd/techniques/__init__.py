"""Techniques: what a stage does beside its losses, one file each, named by the table kd.TECHNIQUES.

Searched aggregation of layers and routes through anchors are systems of distillation; mixup, smoothing,
pruning and eight bits are what distillation is combined with. May import the rooms left of kd, and kd's
recipe, losses, taps and networks.
"""
