"""Trajectory matching: a student's weights after a few steps on the set, brought to those of an expert.

experts.py trains experts and holds their trajectories, the weights after each epoch; matching.py is the
method; gradient.py differentiates through all of a student's steps, or one step at a time. It may import what
its room may; the files of experts are in runs/experts.
"""
