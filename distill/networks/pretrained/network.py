"""PretrainedTransformer: a frozen body with trained parts, and a random head on what it makes of a text."""

import copy
from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from distill.data.models.files import PretrainedModel, load_model
from distill.errors import NetworkError
from distill.networks.pretrained import POOLINGS
from distill.networks.pretrained.constants import apply_to_constants, freeze, list_constants
from distill.networks.pretrained.parts import add_trained_parts
from distill.networks.resolve import FACTORY_MARK, Factory
from distill.networks.sequences import masked_mean, word_mask

HEAD_STD = 0.02  # of the head's weights, as in Devlin et al. 2019


class PretrainedTransformer(nn.Module):
    """Sequences in a model's space of word vectors (batch, length, dim) → (batch, classes).

    The frozen part of the body is constants: it is in no state, and copies of the network share it. Dropout
    is off. pooling: the head reads the output at the first token ("cls") or the mean of all ("mean"); by
    default what the model's files say, else the mean.
    """

    def __init__(
        self, model: PretrainedModel, classes: int, train_parts: str = "lora:8", pooling: str | None = None
    ) -> None:
        super().__init__()
        body: Any = share(freeze(model.body))
        add_trained_parts(body, train_parts)
        self.body, self.output = body, nn.Linear(body.config.hidden_size, classes)
        nn.init.normal_(self.output.weight, std=HEAD_STD)
        nn.init.zeros_(self.output.bias)
        self.pooling = pooling or model.pooling
        self.arguments = {"train_parts": train_parts, "pooling": self.pooling, "checksum": model.checksum}
        self.train()

    def forward(self, x: Float[Tensor, "batch length dim"], with_attention: bool = False) -> Any:
        """The logits; with_attention: and where the first token looks in the last layer (batch, length).

        The attention is the mean over heads; its rows sum to one.
        """
        mask = word_mask(x)
        outputs = self.body(inputs_embeds=x, attention_mask=mask.long(), output_attentions=with_attention)
        states = outputs.last_hidden_state
        logits = self.output(masked_mean(states, mask) if self.pooling == "mean" else states[:, 0])
        return (logits, outputs.attentions[-1][:, :, 0].mean(dim=1)) if with_attention else logits

    def train(self, mode: bool = True) -> "PretrainedTransformer":
        """The mode of the head alone: the body has no dropout in training either."""
        super().train(mode)
        self.body.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PretrainedTransformer":
        super()._apply(fn, recurse)
        apply_to_constants(self, fn)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "PretrainedTransformer":
        clone = self.__class__.__new__(self.__class__)
        memo |= {id(self): clone} | {id(tensor): tensor for _, _, tensor in list_constants(self)}
        clone.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return clone


def share(body: nn.Module) -> nn.Module:
    """A copy of a frozen body that has the same constants."""
    return copy.deepcopy(body, {id(tensor): tensor for _, _, tensor in list_constants(body)})


def build(name: str, shape: tuple[int, ...], classes: int, **arguments: Any) -> nn.Module:
    """The network of a model's name; its factory draws a new head, and what LoRA adds.

    arguments: those of PretrainedTransformer, and the checksum that the model's files must have. Raises
    UserError for a model that is not there, is another one, or reads other vectors.
    """
    checksum = arguments.pop("checksum", None)
    check_arguments(name, arguments)
    model = load_model(name)
    check_model(model, shape, checksum)
    network = PretrainedTransformer(model, classes, **arguments)
    factory = Factory(lambda: PretrainedTransformer(model, classes, **arguments))
    object.__setattr__(network, FACTORY_MARK, factory)
    return network


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
    """Raise NetworkError for an argument that a pretrained network lacks, or what is no pooling."""
    for argument in arguments:
        if argument not in ("train_parts", "pooling"):
            raise NetworkError(f'the network "{name}" has no {argument}')
    if arguments.get("pooling") not in (None, *POOLINGS):
        raise NetworkError(f"no pooling called {arguments['pooling']!r:.40}: {' or '.join(POOLINGS)}")


def check_model(model: PretrainedModel, shape: tuple[int, ...], checksum: str | None) -> None:
    """Raise NetworkError where a model reads other vectors than the items', or fewer, or is another one."""
    dim = model.words.shape[1]
    if shape[1] != dim:
        raise NetworkError(
            f"{model.name} reads vectors of {dim} numbers, and the items have {shape[1]}: give --vectors"
            f" {model.name}, or the model that the items are of"
        )
    if checksum is not None and checksum != model.checksum:
        raise NetworkError(
            f"{model.name} is another model: its files have the checksum {model.checksum[:12]}, those of the"
            f" set {checksum[:12]}: give --network transformers/FOLDER where that model lies"
        )
