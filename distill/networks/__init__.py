"""Networks that can be differentiated twice, their initial weights, and calls with weights passed to them.

May import errors, randomness and registry. The tables: IMAGES are the networks for (channels, height, width),
SEQUENCES those for (length, dim). Each is built as NETWORK(item_shape, classes, **arguments).
"""

from distill.registry import Entry

IMAGES = {
    "lenet": Entry("distill.networks.images:LeNet", "LeNet-5 with max pooling and ReLU"),
    "convnet": Entry(
        "distill.networks.images:ConvNet", "the field's ConvNet-D: instance norm, ReLU, pooling"
    ),
    "mlp": Entry("distill.networks.images:MLP", "hidden layers of ReLU units"),
    "alexcifarnet": Entry("distill.networks.images:AlexCifarNet", "a small AlexNet with local response norm"),
    "resnet": Entry("distill.networks.images:ResNet", "a small ResNet with group norm"),
}
SEQUENCES = {
    "textcnn": Entry("distill.networks.sequences:TextCNN", "filters over 3, 4 and 5 words (Kim 2014)"),
    "ngram": Entry("distill.networks.sequences:NGramCNN", "filters over 1, 2 and 3 words"),
    "bilstm": Entry("distill.networks.sequences:BiLSTM", "an LSTM in both directions"),
    "birnn": Entry("distill.networks.sequences:BiRNN", "a simple recurrent network in both directions"),
    "transformer": Entry("distill.networks.sequences:Transformer", "a small transformer encoder"),
    "average": Entry("distill.networks.sequences:Average", "the mean of the vectors and one matrix"),
}
NETWORKS = IMAGES | SEQUENCES
