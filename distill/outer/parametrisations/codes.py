"""Codes as the file of a set holds them: the parametrisation's word, its settings, and the tensors.

{"parametrisation": WORD, "settings": {…}, "tensors": {"items": …, …}} decodes to the set's items.
"""

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from distill.errors import SetError, UserError
from distill.outer.parametrisations.base import Codes, Parametrisation, build_parametrisation

MAX_GROWTH = 4096  # decoded numbers for each number of the codes: more asks for memory that no file has
KEYS = ("parametrisation", "settings", "tensors")
Description = dict[str, Any]


def describe_codes(parametrisation: Parametrisation, codes: Codes) -> Description | None:
    """The codes for a file; None for pixels, which the file holds as items."""
    if parametrisation.word == "pixels":
        return None
    return {
        "parametrisation": parametrisation.word,
        "settings": asdict(parametrisation),
        "tensors": {name: tensor.detach() for name, tensor in codes.items()},
    }


def decode_codes(description: Any) -> Tensor:
    """The items (m, *item) of the codes of a file. Raises SetError for anything but whole codes."""
    parametrisation, codes = read_codes(description)
    try:
        shape = parametrisation.decoded_shape(codes)
        stored = sum(t.numel() for t in codes.values())
        if math.prod(shape) > MAX_GROWTH * stored:
            raise SetError(
                f"codes hold {stored} numbers and decode to {math.prod(shape)}, more than {MAX_GROWTH} times"
                " as many: no set is stored so"
            )
        with torch.no_grad():
            return parametrisation.decode(codes)
    except (ValueError, TypeError) as error:
        raise SetError(str(error)) from None


def read_codes(description: Any) -> tuple[Parametrisation, Codes]:
    """The parametrisation and the tensors of the codes of a file. Raises SetError."""
    if not isinstance(description, dict) or set(description) != set(KEYS):
        raise SetError(f"codes must be a dict of {', '.join(KEYS)}")
    word, settings, tensors = (description[key] for key in KEYS)
    if not isinstance(word, str) or not isinstance(settings, dict) or not isinstance(tensors, dict):
        raise SetError("codes must hold a word, a dict of settings and a dict of tensors")
    for name, tensor in tensors.items():
        valid = isinstance(tensor, Tensor) and tensor.dtype == torch.float32 and bool(tensor.isfinite().all())
        if not isinstance(name, str) or not valid:
            raise SetError(f"codes.tensors.{name!s:.40} must be a float32 tensor and finite")
    if word == "pixels":
        raise SetError("codes are of pixels, which a set holds as items")
    try:
        return build_parametrisation(word, settings), tensors
    except (UserError, TypeError) as error:
        raise SetError(f"codes: {error}") from None
