"""The files of a pretrained transformer: found by folder or hub name, checked, and loaded once."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from distill.data.encoders.folder import EncoderFolder, read_encoder
from distill.data.encoders.model import load_tokenizer_and_model
from distill.data.models import TRANSFORMERS
from distill.errors import DataError, require


@dataclass(frozen=True)
class PretrainedModel:
    """A model without its word table: body answers inputs_embeds, words (V, dim) are the table's rows.

    most is the number of tokens of the longest text; pooling, cls or mean, and checksum are the files'.
    """

    name: str
    body: nn.Module
    words: Float[Tensor, "V dim"]
    tokenizer: Any
    most: int
    pooling: str
    checksum: str


def load_model(name: str) -> PretrainedModel:
    """The model of a name that begins with "transformers/". Raises UserError, in one sentence.

    A model is loaded once; a folder whose files have changed since then is loaded again.
    """
    require("transformers", "transformers")
    place = name.removeprefix(TRANSFORMERS)
    if not place:
        raise DataError('the name "transformers/" lacks its model: add a folder, or a name of the hub')
    try:
        return read_model(name, read_encoder(place))
    except DataError as error:
        raise DataError(str(error).replace("give --encoder", "give --network transformers/ and")) from None


@cache
def read_model(name: str, folder: EncoderFolder) -> PretrainedModel:
    """The model of a folder, whose checksum tells it apart from others at the same place."""
    body: Any
    tokenizer, body = load_tokenizer_and_model(folder, "cpu")
    words = body.get_input_embeddings().weight.detach()
    body.set_input_embeddings(nn.Identity())  # texts bring their vectors
    body.set_attn_implementation("eager")  # plain products, which have a second derivative
    body.pooler = None  # a head of its own, which no answer here goes through
    pooling = "cls" if folder.pooling == "cls" else "mean"
    return PretrainedModel(name, body, words, tokenizer, folder.max_length, pooling, folder.checksum)
