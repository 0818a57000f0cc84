"""An inner step of a small image network as few large kernels, with its derivatives written by hand.

A step of LeNet on ten items is a hundred small operations by autograd, and its derivative three times as
many; most of their time is torch's own work between them. Here the activations of a network of convolutions,
max pooling, ReLU and linear layers lie with the items last, (channels, height, width, batch), so that
windows are copies of long rows and every layer with weights is one matrix product. The derivative of a
step's gradient along a direction is Pearlmutter's (1994) R-operator: one more pass forwards and back.
"""
