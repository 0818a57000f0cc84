"""The networks of distillation papers on CIFAR, by depth and width: plain CNNs, thin ones, and ResNets.

For images of 16×16, 28×28, 32×32 and larger; with batch norm they are for students alone. May import what
networks may.
"""
