"""The graph's outputs: their names, how they travel as one array, and how they are joined.

An output more is a field here, a line in `pack` and `unpack`, and what `verdict.decide` makes of it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

INPUT = "waveform"  # float32 (batch, 66150)


class Outputs(NamedTuple):
    """What the graph says of chunks; the names are the graph's own."""

    log_probs: FloatArray
    """float32 (batch, labels)."""
    embedding: FloatArray
    """float32 (batch, any width)."""
    tags: FloatArray | None = None
    """float32 (batch, tags), each a probability of its own; None where the model has none."""
    familiarity: FloatArray | None = None
    """float32 (batch,), how much a chunk is like the music of any genre; None where the model does not say."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The outputs of successive chunks as one."""
        if len(parts) == 1:
            return parts[0]
        joined: list[Any] = [None if each[0] is None else np.concatenate(each) for each in zip(*parts, strict=True)]
        return cls(*joined)

    def rows(self, start: int, stop: int) -> Self:
        """The outputs of some of the chunks."""
        chosen: list[Any] = [None if each is None else each[start:stop] for each in self]
        return type(self)(*chosen)

    def pack(self) -> FloatArray:
        """All outputs side by side, float32 (batch, columns): a batchable API returns one array."""
        familiarity = None if self.familiarity is None else self.familiarity[:, None]
        columns = [each for each in (self.log_probs, self.tags, familiarity, self.embedding) if each is not None]
        return np.concatenate(columns, axis=1)

    @classmethod
    def unpack(cls, packed: FloatArray, *, labels: int, tags: int, familiarity: bool) -> Self:
        """Undo `pack`: float32 (batch, columns), given the number of labels and tags and whether there is familiarity.

        The embedding is what remains.
        """
        edges = np.cumsum([labels, tags, familiarity])
        log_probs, tag, familiar, embedding = np.split(packed, edges, axis=1)
        return cls(log_probs, embedding, tag if tags else None, familiar[:, 0] if familiarity else None)
