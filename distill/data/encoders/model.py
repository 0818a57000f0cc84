"""A frozen transformer that makes one vector of each text: tokens, a forward pass, pooling."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.encoders.folder import EncoderFolder
from distill.errors import DataError, cut, require

TOKENS_PER_BATCH = 4096  # padding counts: 16 texts of 256 tokens, 200 short ones
TEXTS_PER_CALL = 100  # of the tokenizer, which keeps what it cuts off: 120 MB more at 1,000
LENGTH_STEP = 8  # lengths are rounded up: kernels of 16 bits keep memory for each shape of a batch
SECONDS_PER_LINE = 10


class Tokens(NamedTuple):
    """Texts as token numbers, none longer than the model reads; how many texts and tokens were not read."""

    ids: list[Int[Tensor, " length"]]
    longer: int  # texts of which the end is not read
    known: float  # the share of the tokens that the tokenizer knows


class Embeddings(NamedTuple):
    """One vector per text; how many texts are longer than the model reads; the share of known tokens."""

    vectors: Float[Tensor, "N dim"]
    longer: int
    known: float
    remarks: tuple[str, ...] = ()


def compute_embeddings(
    texts: list[str], encoder: EncoderFolder, device: str = "cpu", numbers: str = "float32"
) -> Embeddings:
    """The embeddings of texts, computed now. Raises UserError."""
    tokenizer, model = load_tokenizer_and_model(encoder, device)
    tokens = tokenize_texts(tokenizer, texts, encoder.max_length, encoder.name)
    vectors = embed_tokens(model, tokens, encoder, tokenizer.pad_token_id or 0, numbers)
    return Embeddings(vectors, tokens.longer, tokens.known)


def load_tokenizer_and_model(encoder: EncoderFolder, device: str) -> tuple[Any, torch.nn.Module]:
    """The two by Hugging Face transformers, in evaluation mode, on a device. Raises UserError."""
    require("transformers", "transformers")
    with quiet_transformers():
        from transformers import AutoModel, AutoTokenizer

        folder = str(encoder.transformer)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # transformers has a dozen ways to say that a file is damaged
            raise DataError(
                f"{encoder.name} cannot be loaded by transformers ({cut(str(error))}): fetch the folder again"
            ) from None
    check_weights(report, encoder.name)
    return tokenizer, model.eval().requires_grad_(False).to(device)


def check_weights(report: dict[str, Any], name: str) -> None:
    """Raise DataError where a model has weights that its file lacks: transformers draws them at random.

    A pooler's are of no matter: no vector here goes through it.
    """
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key.split("."))
    if not missing:
        return
    others = sorted(report["unexpected_keys"])
    named = f", but names such as {cut(others[0])}" if others else ""
    raise DataError(
        f"{name} lacks {len(missing):,} weights of its model, among them {cut(missing[0])}{named}: save its"
        " weights anew, by save_pretrained of transformers"
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the progress bars and warnings of transformers."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


def tokenize_texts(tokenizer: Any, texts: list[str], max_length: int, name: str) -> Tokens:
    """The tokens of texts. Raises DataError where the tokenizer knows none of them."""
    ids, longer, known, total = [], 0, 0, 0
    for k in range(0, len(texts), TEXTS_PER_CALL):
        part = texts[k : k + TEXTS_PER_CALL]
        encoded = tokenizer(part, truncation=True, max_length=max_length, return_special_tokens_mask=True)
        ids += [torch.tensor(row, dtype=torch.int32) for row in encoded["input_ids"]]
        full = [text for text, row in zip(part, encoded["input_ids"], strict=True) if len(row) == max_length]
        rows = tokenizer(full, verbose=False)["input_ids"] if full else []
        longer += sum(len(row) > max_length for row in rows)
        for row, special in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
            is_known = [i != tokenizer.unk_token_id for i in row]
            words = [k for k, s in zip(is_known, special, strict=True) if not s or not k]
            known, total = known + sum(words), total + len(words)
    if total and not known:
        raise DataError(
            f"the tokenizer of {name} knows no word of these texts: give --encoder a model of their language"
        )
    return Tokens(ids, longer, known / max(1, total))


def plan_batches(lengths: list[int]) -> Iterator[list[int]]:
    """The texts in batches, the longest first, so that padding is little and memory is known early."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, TOKENS_PER_BATCH // round_up(lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def round_up(length: int) -> int:
    """The length to which a batch of texts is padded."""
    return max(1, -(-length // LENGTH_STEP)) * LENGTH_STEP


@torch.no_grad()
def embed_tokens(
    model: torch.nn.Module, tokens: Tokens, encoder: EncoderFolder, pad: int, numbers: str = "float32"
) -> Float[Tensor, "N dim"]:
    """One float32 vector per text, pooled and normalised as the encoder says. Raises DataError for NaN."""
    device = next(model.parameters()).device
    vectors = torch.empty(len(tokens.ids), encoder.dim)
    lengths = [len(row) for row in tokens.ids]
    for batch in report_progress(list(plan_batches(lengths)), lengths):
        longest = min(round_up(max(lengths[i] for i in batch)), encoder.max_length)
        rows = torch.full((len(batch), longest), pad)
        for row, i in zip(rows, batch, strict=True):
            row[: lengths[i]] = tokens.ids[i]
        ids = rows.to(device)
        mask = (torch.arange(ids.shape[1]) < torch.tensor([lengths[i] for i in batch])[:, None]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=numbers == "bfloat16"):
            states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        vectors[batch] = pool(states.float(), mask, encoder).cpu()
    if not vectors.isfinite().all():
        raise DataError(f"{encoder.name} makes embeddings that are NaN or infinite: its weights are damaged")
    return vectors


def pool(
    states: Float[Tensor, "b length dim"], mask: Tensor, encoder: EncoderFolder
) -> Float[Tensor, "b dim"]:
    """The mean or maximum over the tokens of each text, or its first state; of length 1 if normalised."""
    if encoder.pooling == "cls":
        pooled = states[:, 0]
    elif encoder.pooling == "max":
        pooled = states.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    else:
        pooled = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return F.normalize(pooled, dim=1) if encoder.normalised else pooled


def report_progress(batches: list[list[int]], lengths: list[int]) -> Iterator[list[int]]:
    """The batches, with a bar on a terminal, else a line every ten seconds; long texts count more."""
    from tqdm import tqdm

    quiet, last, total, done = not sys.stderr.isatty(), time.perf_counter(), sum(lengths), 0
    with tqdm(total=total, desc="embedding", unit="token", disable=quiet, leave=False) as bar:
        for batch in batches:
            yield batch
            done += sum(lengths[i] for i in batch)
            bar.update(done - bar.n)
            if quiet and time.perf_counter() - last > SECONDS_PER_LINE:
                last = time.perf_counter()
                print(f"embedded {100 * done / total:.0f} % of {len(lengths):,} texts", file=sys.stderr)
