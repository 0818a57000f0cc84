"""Pretrained transformers as data sees them: where their files lie, and texts as their tokens."""

TRANSFORMERS = "transformers/"  # what names of pretrained models begin with; a folder or a hub's name follows
OWN = "own"  # the tokenizer of a model, in a file's metadata


def is_model(name: str | None) -> bool:
    """Whether a name of a network, or of word vectors, is that of a pretrained model."""
    return name is not None and name.startswith(TRANSFORMERS)
