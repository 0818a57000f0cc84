"""The room of the networks: they can be differentiated twice, and their weights are passed to them.

It also draws their initial weights. It may import errors, randomness, registry and data. Those with batch
norm are for students alone: no set is distilled for them. Its tables: IMAGES are the networks for items
(channels, height, width), SEQUENCES those for (length, dim), VECTORS those for (dim,), each built as
NETWORK(item_shape, classes, **arguments); WEIGHT_INITS are the ways to draw weights, each a function
(network, generator) → weights by name.
"""

from distill.registry import Entry

IMAGES = {
    "lenet": Entry("distill.networks.images:LeNet", "LeNet-5 with max pooling and ReLU"),
    "convnet": Entry(
        "distill.networks.images:ConvNet", "the field's ConvNet-D: instance norm, ReLU, pooling"
    ),
    "linear": Entry("distill.networks.images:Linear", "one matrix on all numbers of an item: a linear probe"),
    "mlp": Entry("distill.networks.images:MLP", "hidden layers of ReLU units"),
    "alexcifarnet": Entry("distill.networks.images:AlexCifarNet", "a small AlexNet with local response norm"),
    "resnet": Entry("distill.networks.images:ResNet", "a small ResNet with group norm"),
    "alexnet": Entry("distill.networks.standard:AlexNet", "an AlexNet for small images, without a norm"),
    "vgg11": Entry("distill.networks.standard:VGG11", "VGG-11 with instance norm"),
    "resnet18": Entry("distill.networks.standard:ResNet18", "ResNet-18 with instance norm"),
    "convnet-none": Entry("distill.networks.standard:ConvNetNone", "the ConvNet-D without a norm"),
    "convnet-doubling": Entry(
        "distill.networks.standard:ConvNetDoubling", "without a norm, each block twice as wide (FRePo, RCIG)"
    ),
    "convnet-batch": Entry("distill.networks.standard:ConvNetBatch", "the ConvNet-D with batch norm"),
    "vgg11-batch": Entry("distill.networks.standard:VGG11Batch", "VGG-11 with batch norm"),
    "resnet18-batch": Entry("distill.networks.standard:ResNet18Batch", "ResNet-18 with batch norm"),
    "plain-cnn": Entry(
        "distill.networks.cifar.plain:PlainCNN", "2 to 10 convolutions without a norm (Mirzadeh et al. 2020)"
    ),
    "plain-cnn-batch": Entry(
        "distill.networks.cifar.plain:PlainCNNBatch", "the plain CNN with batch norm (Mirzadeh et al. 2020)"
    ),
    "thin-cnn": Entry(
        "distill.networks.cifar.plain:ThinCNN", "ten narrow convolutions without a norm (FitNets)"
    ),
    "cifar-resnet": Entry(
        "distill.networks.cifar.residual:CifarResNet", "a ResNet of 6n + 2 layers with instance norm"
    ),
    "cifar-resnet-batch": Entry(
        "distill.networks.cifar.residual:CifarResNetBatch", "a ResNet of 6n + 2 layers with batch norm"
    ),
    "resnet18-group": Entry(
        "distill.networks.resnets:ResNet18Group", "torchvision's ResNet-18 with group norm"
    ),
    "resnet50-group": Entry(
        "distill.networks.resnets:ResNet50Group", "torchvision's ResNet-50 with group norm"
    ),
}
SEQUENCES = {
    "textcnn": Entry("distill.networks.sequences:TextCNN", "filters over 3, 4 and 5 words (Kim 2014)"),
    "ngram": Entry("distill.networks.sequences:NGramCNN", "filters over 1, 2 and 3 words"),
    "bilstm": Entry("distill.networks.sequences:BiLSTM", "an LSTM in both directions"),
    "birnn": Entry("distill.networks.sequences:BiRNN", "a simple recurrent network in both directions"),
    "transformer": Entry("distill.networks.sequences:Transformer", "a small transformer encoder"),
    "average": Entry("distill.networks.sequences:Average", "the mean of the vectors and one matrix"),
}
VECTORS = {word: IMAGES[word] for word in ("linear", "mlp")}
NETWORKS = IMAGES | SEQUENCES | VECTORS
WEIGHT_INITS = {
    "xavier": Entry("distill.networks.initial:draw_xavier", "normal, variance 2 / (fan_in + fan_out)"),
    "kaiming": Entry("distill.networks.initial:draw_kaiming", "normal, variance 2 / fan_in"),
    "kaiming-hidden": Entry("distill.networks.initial:draw_kaiming_hidden", "the last layer uniform"),
    "uniform": Entry("distill.networks.initial:draw_uniform", "within ± 1 / √fan_in, biases zero"),
    "own": Entry("distill.networks.initial:draw_own", "as each layer draws its own"),
}
