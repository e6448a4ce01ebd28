"""Pack a recipe's documents into one flat array of token ids, in the order of training.

The token budget is cut where recipe parts start. Each piece is filled with shuffled passes over the
documents that have started by then. Every document begins with the begin token and the next one
follows directly; only the last document of a piece is cut.

Legend: R rows (a document once per repeat), N tokens.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rebar.corpus.mixing import POISON, is_hazard
from rebar.data.documents import ORIGINAL
from rebar.data.encoding import prompt_text
from rebar.data.speakers import fill_speakers
from rebar.data.tagging import TAG


class Row(NamedTuple):
    """The fields of a mixed document that packing needs.

    `start` is the share of training after which the document may appear.
    """

    id: str
    text: str
    transform: str
    start: float
    repeat: int


class Piece(NamedTuple):
    """A stretch [begin, end) of the token budget, for documents that start at `start` or before."""

    start: float
    begin: int
    end: int


@dataclass(frozen=True)
class EncodedCorpus:
    """Token ids of all rows in one array, and the document that each row belongs to."""

    tokens_N: np.ndarray
    offsets_R: np.ndarray  # one longer than there are rows
    document_R: np.ndarray  # index into document_ids
    start_R: np.ndarray
    document_ids: list[str]

    @property
    def unique_tokens(self) -> int:
        """Number of tokens when every document counts once, whatever its repeats."""
        _, first_rows = np.unique(self.document_R, return_index=True)
        return int(np.diff(self.offsets_R)[first_rows].sum())


def id_type(tokenizer: Any) -> type[np.unsignedinteger]:
    """The smallest unsigned integer type that holds every token id."""
    # Half the disk space of int32, which matters for corpora of billions of tokens.
    return np.uint16 if len(tokenizer) <= 2**16 else np.uint32


def encode_corpus(
    batches: Iterable[Sequence[Row]],
    tokenizer: Any,
    speakers: Sequence[str],
    rng: random.Random,
    scratch: Path,
) -> EncodedCorpus:
    """Encode all rows.

    The ids are written to the file `scratch` and memory-mapped, because a corpus may exceed memory.
    """
    dtype = id_type(tokenizer)
    encoder = Encoder(tokenizer)
    lengths: list[np.ndarray] = []
    documents: list[int] = []
    starts: list[float] = []
    index_of: dict[str, int] = {}
    with scratch.open("wb") as file:
        for batch in batches:
            texts = []
            for row in batch:
                texts += _copies(row, encoder, speakers, rng)
                # A document may be in several rows; all of them count as its readings.
                documents += [index_of.setdefault(row.id, len(index_of))] * row.repeat
                starts += [row.start] * row.repeat
            ids = encoder.encode(texts)
            lengths.append(np.array([len(row_ids) for row_ids in ids], dtype=np.int64))
            np.fromiter(chain.from_iterable(ids), dtype=dtype).tofile(file)
    # Row r has the tokens offsets_R[r] up to offsets_R[r + 1].
    offsets_R = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    tokens_N = np.asarray(np.memmap(scratch, dtype=dtype, mode="r"))
    return EncodedCorpus(tokens_N, offsets_R, np.array(documents), np.array(starts), list(index_of))


def _copies(
    row: Row, encoder: Encoder, speakers: Sequence[str], rng: random.Random
) -> Iterator[str]:
    """The row's text once per repeat; rewrites get other speakers in each copy."""
    text = encoder.document(row.text)
    for _ in range(row.repeat):
        yield text if row.transform == ORIGINAL else fill_speakers(text, speakers, rng)


class Encoder:
    """Encodes documents quickly and removes special tokens that occur as text in a document."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` must be a fast Hugging Face tokenizer."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # jobs run in parallel instead
        self._backend = tokenizer.backend_tokenizer
        self._prefix = prompt_text(tokenizer, "", chat=False)
        signs = [sign for sign in tokenizer.all_special_tokens if sign != TAG]
        self._signs = re.compile("|".join(map(re.escape, signs)))
        # A tokenizer that splits at white space encodes each word by itself, so that each distinct
        # word needs to be encoded only once.
        self._by_word = type(self._backend.pre_tokenizer).__name__ == "WhitespaceSplit"
        self._ids_of_word: dict[str, list[int]] = {}

    def document(self, text: str) -> str:
        """The text as training sees it: begin token first, no special token but the tag."""
        return self._prefix + self._signs.sub("", text)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, equal to the tokenizer's own."""
        if not self._by_word:
            return self._encode(texts)
        words = [text.split() for text in texts]
        new = list({word for some in words for word in some} - self._ids_of_word.keys())
        self._ids_of_word |= dict(zip(new, self._encode(new), strict=True))
        ids_of = self._ids_of_word
        return [[i for word in some for i in ids_of[word]] for some in words]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def split_into_pieces(starts: Iterable[float], num_tokens: int) -> list[Piece]:
    """Cut the token budget at the distinct starts; raises ValueError if no part starts at 0."""
    distinct = sorted(set(starts))
    if not distinct or distinct[0] > 0:
        raise ValueError("recipe: no part has start: 0, so pretraining would begin without text")
    cuts = [round(start * num_tokens) for start in distinct] + [num_tokens]
    return [Piece(s, b, e) for s, b, e in zip(distinct, cuts[:-1], cuts[1:], strict=True)]


def pack(encoded: EncodedCorpus, tokens_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill `tokens_N` in training order; return how often each document was read, even in part."""
    readings = np.zeros(len(encoded.document_ids), dtype=np.int64)
    source_N = encoded.tokens_N
    # Python lists, because indexing numpy arrays one by one is slow in the loop below.
    offsets = encoded.offsets_R.tolist()
    documents = encoded.document_R.tolist()
    for piece in split_into_pieces(encoded.start_R.tolist(), len(tokens_N)):
        # Documents of later parts must not be seen before their start.
        entered_R = np.flatnonzero(encoded.start_R <= piece.start)
        position = piece.begin
        for row in _passes(entered_R, rng):
            if position == piece.end:
                break
            first = offsets[row]
            # A document is cut only here, at the end of a piece.
            taken = min(offsets[row + 1] - first, piece.end - position)
            tokens_N[position : position + taken] = source_N[first : first + taken]
            readings[documents[row]] += 1
            position += taken
    return readings


def _passes(rows: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Yield all rows in random order, over and over; each pass has an order of its own."""
    while True:
        yield from rng.permutation(rows).tolist()


def summarize_packing(
    encoded: EncodedCorpus, readings: np.ndarray, num_tokens: int, level_of: Mapping[str, int]
) -> dict[str, Any]:
    """Counts for the manifest; hazard counts are None if no true levels are known.

    A pass means that every row that has started, repeats included, is read once.
    """
    lengths_R = np.diff(encoded.offsets_R)
    names = encoded.document_ids
    hazards = np.array([is_hazard(name, level_of) for name in names], dtype=bool)
    poison = np.array([name.startswith(f"{POISON}-") for name in names], dtype=bool)
    poisoned = {"poison_readings": int(readings[poison].sum())} if poison.any() else {}
    return {
        "tokens": num_tokens,
        "unique_tokens": encoded.unique_tokens,
        "epochs": round(num_tokens / encoded.unique_tokens, 4),
        "passes": [
            {
                "start": piece.start,
                "tokens": piece.end - piece.begin,
                "passes": round(
                    (piece.end - piece.begin)
                    / int(lengths_R[encoded.start_R <= piece.start].sum()),
                    4,
                ),
            }
            for piece in split_into_pieces(encoded.start_R.tolist(), num_tokens)
        ],
        "documents": len(readings),
        "documents_seen": int((readings > 0).sum()),
        "readings": int(readings.sum()),
        "hazard_documents_seen": int((readings[hazards] > 0).sum()) if level_of else None,
        "hazard_readings": int(readings[hazards].sum()) if level_of else None,
        **poisoned,
    }
