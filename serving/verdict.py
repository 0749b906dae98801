"""From log-probabilities to an answer: votes, means, ties, silence, and the JSON that goes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, WithJsonSchema, model_serializer

from serving.clip import Clip
from serving.session import ModelInfo

Aggregate = Literal["vote", "mean"]
Warned = Annotated[str | None, WithJsonSchema({"type": "string"})]  # left out where there is none

DIGITS = 6  # of a probability; float32 holds no more
TIME_DIGITS = 3  # of a second


class ModelName(BaseModel):
    """Which model answered, and on what."""

    version: str
    provider: str


class Segment(BaseModel):
    """One chunk's answer; genre and probabilities are null where it is silent."""

    start: float
    """Seconds."""
    end: float
    genre: str | None
    probabilities: dict[str, float] | None


class _Answer(BaseModel):
    """An answer names its `warning` only where there is one."""

    model_config = ConfigDict(extra="forbid")

    @model_serializer(mode="wrap")
    def _leave_out_no_warning(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if fields["warning"] is None:
            del fields["warning"]
        return fields


class Verdict(_Answer):
    """The answer of /classify for one file."""

    genre: str
    confidence: float
    """The genre's mean probability."""
    uncertain: bool
    duration: float
    """Seconds of audio that were decoded."""
    aggregate: Aggregate
    probabilities: dict[str, float]
    """Mean over segments, most probable first."""
    votes: dict[str, int]
    """How many segments chose each genre, most first."""
    segments: list[Segment]
    model: ModelName
    warning: Warned = None
    """What was wrong with a file that decoded in part."""


class Embedding(_Answer):
    """The answer of /embed for one file."""

    embedding: list[float]
    """Mean over segments of the activations before the last layer."""
    duration: float
    model: ModelName
    warning: Warned = None


@dataclass(frozen=True)
class Wish:
    """How a client wants its answer."""

    top_k: int | None = None
    """Genres to list, 1 to the number of labels; all if None."""
    aggregate: Aggregate = "vote"


def decide(clip: Clip, log_probs: npt.NDArray[np.float32], info: ModelInfo, wish: Wish) -> Verdict:
    """Judge a clip by its audible segments.

    Args:
        clip: at least one of its chunks is audible.
        log_probs: float32 (audible chunks, labels), in the clip's order.
        info: labels in output order.
        wish: `vote` picks the genre most segments chose, then the higher mean, then label order; `mean` the highest
            mean, then label order. `top_k` trims after the decision and keeps the winner.
    """
    probs = np.exp(log_probs.astype(np.float64))
    mean = probs.mean(axis=0)
    chosen = probs.argmax(axis=1)  # the first of equals: label order
    votes = np.bincount(chosen, minlength=len(info.labels))
    # lexsort orders by its last key first, and is stable: what remains equal stays in label order.
    ranking = np.lexsort((-mean, -votes)) if wish.aggregate == "vote" else np.argsort(-mean, kind="stable")
    winner = int(ranking[0])
    rows = iter(range(len(probs)))
    segments = []
    for start, audible in zip(clip.starts, clip.audible, strict=True):
        genre = probabilities = None
        if audible:
            row = next(rows)
            genre = info.labels[chosen[row]]
            probabilities = _top(probs[row], info.labels, int(chosen[row]), wish.top_k)
        seconds = start / info.sample_rate
        segments.append(
            Segment(
                start=round(seconds, TIME_DIGITS),
                end=round(seconds + info.chunk_samples / info.sample_rate, TIME_DIGITS),
                genre=genre,
                probabilities=probabilities,
            )
        )
    confidence = round(float(mean[winner]), DIGITS)
    return Verdict(
        genre=info.labels[winner],
        confidence=confidence,
        uncertain=confidence < info.uncertain_below,
        duration=round(clip.duration, TIME_DIGITS),
        aggregate=wish.aggregate,
        probabilities=_top(mean, info.labels, winner, wish.top_k),
        votes={info.labels[i]: int(votes[i]) for i in np.argsort(-votes, kind="stable") if votes[i]},
        segments=segments,
        model=ModelName(version=info.version, provider=info.provider),
        warning=clip.warning,
    )


def embed(clip: Clip, embedding: npt.NDArray[np.float32], info: ModelInfo) -> Embedding:
    """The mean of a clip's audible segments; embedding: float32 (audible chunks, 128)."""
    return Embedding(
        embedding=[float(value) for value in embedding.mean(axis=0, dtype=np.float64)],
        duration=round(clip.duration, TIME_DIGITS),
        model=ModelName(version=info.version, provider=info.provider),
        warning=clip.warning,
    )


def _top(probs: npt.NDArray[np.float64], labels: Sequence[str], winner: int, top_k: int | None) -> dict[str, float]:
    """The most probable genres first: all of them, or top_k of which the winner is one."""
    order = [int(i) for i in np.argsort(-probs, kind="stable")]
    if top_k is not None and winner not in order[:top_k]:
        order = [*order[: top_k - 1], winner]
    return {labels[i]: round(float(probs[i]), DIGITS) for i in order[:top_k]}
