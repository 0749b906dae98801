"""The graph's outputs for a clip -> the answer: votes, means, ties, silence, and what goes out as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, WithJsonSchema, model_serializer

from genre_classifier.audio import CHUNK_SECONDS, SAMPLE_RATE
from genre_classifier.clip import Clip
from genre_classifier.outputs import Outputs
from genre_classifier.session import ModelInfo

Aggregate = Literal["vote", "mean"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

MIN_TAG = 0.1  # a tag's mean probability from which it is listed
DIGITS = 6  # of a probability; float32 holds no more
TIME_DIGITS = 3  # of a second


def _optional(schema: dict[str, Any]) -> WithJsonSchema:
    """A field's schema where it is there; it is left out where it is None."""
    return WithJsonSchema(schema)


class ModelName(BaseModel):
    """Which model answered, and on what."""

    version: str
    provider: str
    """The execution provider, by ONNX Runtime's name."""


class Segment(BaseModel):
    """One chunk's answer; genre and probabilities are null where it is silent."""

    start: float
    """Seconds."""
    end: float
    genre: str | None
    probabilities: dict[str, float] | None


class _Answer(BaseModel):
    """An answer leaves out what its model or its clip does not have."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @model_serializer(mode="wrap")
    def _leave_out_none(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if value is not None}


class Verdict(_Answer):
    """The answer for one clip."""

    genre: str
    confidence: float
    """The genre's mean probability."""
    uncertain: bool
    """Whether the confidence is under the model's threshold, or the clip is not recognised."""
    recognised: Annotated[bool | None, _optional({"type": "boolean"})] = None
    """Whether the clip is like the music of any genre; None where the model does not say."""
    duration: float
    """Seconds of audio that were decoded."""
    aggregate: Aggregate
    probabilities: dict[str, float]
    """Mean over the audible segments, most probable first."""
    votes: dict[str, int]
    """How many segments chose each genre, most first."""
    segments: list[Segment]
    tags: Annotated[
        dict[str, float] | None, _optional({"type": "object", "additionalProperties": {"type": "number"}})
    ] = None
    """Mean over the audible segments of each tag of 0.1 and more, most probable first; None where there are none."""
    model: ModelName
    warning: Annotated[str | None, _optional({"type": "string"})] = None
    """What was wrong with a file that decoded in part."""


class Embedding(_Answer):
    """The embedding of one clip."""

    embedding: list[float]
    """Mean over the audible segments of the graph's second output."""
    duration: float
    model: ModelName
    warning: Annotated[str | None, _optional({"type": "string"})] = None


@dataclass(frozen=True)
class ClassifyOptions:
    """How an answer is wanted."""

    top_k: int | None = None
    """Genres to list, 1 to the number of labels; all if None."""
    aggregate: Aggregate = "vote"

    def check(self, labels: int) -> None:
        """Raise ValueError, with one sentence, for a value that does not fit a model of so many labels."""
        # A bool is an int to Python, and no number of genres.
        if self.top_k is not None and (type(self.top_k) is not int or not 1 <= self.top_k <= labels):
            raise ValueError(f"top_k must be a whole number from 1 to {labels}.")
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate must be {' or '.join(AGGREGATES)}.")


def rank_genres(votes: NDArray[Any], mean: NDArray[Any], aggregate: Aggregate = "vote") -> NDArray[np.intp]:
    """Order genres from the winner down.

    Args:
        votes: how many segments chose each genre, (..., labels).
        mean: the mean probability of each genre, (..., labels).
        aggregate: "vote" ranks by votes, then by mean, then by label order; "mean" by mean, then by label order.

    Returns:
        Positions of labels, (..., labels).
    """
    # lexsort orders by its last key first, and is stable: what remains equal stays in label order.
    keys = (-mean, -votes) if aggregate == "vote" else (-mean,)
    return np.lexsort(keys, axis=-1)


def decide(clip: Clip, outputs: Outputs, info: ModelInfo, options: ClassifyOptions) -> Verdict:
    """Classify a clip by the outputs for its audible chunks.

    Args:
        clip: read to its end; at least one of its chunks is audible.
        outputs: for its audible chunks, in order.
        info: what the model says of itself.
        options: top_k trims after the decision and keeps the winner.

    Raises:
        ValueError: an option does not fit the model.
    """
    options.check(len(info.labels))
    probs = np.exp(outputs.log_probs.astype(np.float64))
    mean = probs.mean(axis=0)
    chosen = probs.argmax(axis=1)  # the first of equals: label order
    votes = np.bincount(chosen, minlength=len(info.labels))
    winner = int(rank_genres(votes, mean, options.aggregate)[0])
    confidence = round(float(mean[winner]), DIGITS)
    recognised = _is_recognised(outputs, info)
    return Verdict(
        genre=info.labels[winner],
        confidence=confidence,
        uncertain=confidence < info.uncertain_below or recognised is False,
        recognised=recognised,
        duration=round(clip.duration, TIME_DIGITS),
        aggregate=options.aggregate,
        probabilities=_top(mean[None], info.labels, [winner], options.top_k)[0],
        votes={info.labels[i]: int(votes[i]) for i in np.argsort(-votes, kind="stable") if votes[i]},
        segments=_segments(clip, probs, chosen.tolist(), info.labels, options.top_k),
        tags=_tags(outputs, info),
        model=ModelName(version=info.version, provider=info.provider),
        warning=clip.warning,
    )


def embed(clip: Clip, outputs: Outputs, info: ModelInfo) -> Embedding:
    """Average the embedding, (audible chunks, width), over a clip's audible chunks."""
    return Embedding(
        embedding=[float(value) for value in outputs.embedding.mean(axis=0, dtype=np.float64)],
        duration=round(clip.duration, TIME_DIGITS),
        model=ModelName(version=info.version, provider=info.provider),
        warning=clip.warning,
    )


def _segments(
    clip: Clip, probs: NDArray[np.float64], chosen: Sequence[int], labels: Sequence[str], top_k: int | None
) -> list[Segment]:
    answers = zip(chosen, _top(probs, labels, chosen, top_k), strict=True)
    segments = []
    for first, audible in zip(clip.starts, clip.audible, strict=True):
        winner, probabilities = next(answers) if audible else (None, None)
        start = first / SAMPLE_RATE
        segments.append(
            Segment(
                start=round(start, TIME_DIGITS),
                end=round(start + CHUNK_SECONDS, TIME_DIGITS),
                genre=None if winner is None else labels[winner],
                probabilities=probabilities,
            )
        )
    return segments


def _top(
    probs: NDArray[np.float64], labels: Sequence[str], winners: Sequence[int], top_k: int | None
) -> list[dict[str, float]]:
    """List the most probable genres first, for each row: all of them, or top_k of which the winner is one."""
    listed = []
    rows = probs.round(DIGITS).tolist(), np.argsort(-probs, axis=1, kind="stable").tolist(), winners
    for row, order, winner in zip(*rows, strict=True):
        if top_k is not None and winner not in order[:top_k]:
            order[top_k - 1] = winner
        listed.append({labels[i]: row[i] for i in order[:top_k]})
    return listed


def _is_recognised(outputs: Outputs, info: ModelInfo) -> bool | None:
    if outputs.familiarity is None or info.recognised_above is None:
        return None
    return bool(outputs.familiarity.mean(dtype=np.float64) > info.recognised_above)


def _tags(outputs: Outputs, info: ModelInfo) -> dict[str, float] | None:
    if outputs.tags is None:
        return None
    mean = outputs.tags.mean(axis=0, dtype=np.float64)
    return {info.tags[i]: round(float(mean[i]), DIGITS) for i in np.argsort(-mean, kind="stable") if mean[i] >= MIN_TAG}
