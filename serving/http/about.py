"""The page /about: what the model is, how good it is, and what it is bad at, from what the graph says of itself."""

from collections.abc import Mapping
from html import escape
from typing import Any

from genre_classifier.session import ModelInfo
from serving.http.pages import frame, table

PARTS = {"test": "test", "valid": "validation", "train": "training"}
WORST = 3  # genres, and pairs, that are named


def about(info: ModelInfo, *, figures: str | None = "model") -> str:
    """The model as a page of HTML; what its metrics do not have is left out.

    `figures` is where all of them stand as JSON; None where a reader could not get them there.
    """
    return frame(
        "The model",
        _what_it_is(info),
        _how_good(info.metrics),
        _bad_at(info),
        _what_answers_mean(info),
        f'<p><a href="{figures}">All figures, as JSON</a></p>' if figures else "",
    )


def _what_it_is(info: ModelInfo) -> str:
    facts = {
        "Version": info.version,
        "Network": info.network,
        "Trained on": info.trained_on,
        "Licence": info.licence,
        "Runs on": info.provider.replace("ExecutionProvider", ""),
        "Genres": ", ".join(info.labels),
        "Tags": ", ".join(info.tags),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>\n" for name, fact in facts.items() if fact)
    seconds = info.chunk_samples // info.sample_rate
    return (
        f"<p>A clip is cut into chunks of {seconds} seconds. The model gives each chunk a probability for each genre, "
        f"and the chunks vote.</p>\n<dl>\n{rows}</dl>"
    )


def _how_good(metrics: Mapping[str, Any]) -> str:
    rows = []
    for part, name in PARTS.items():
        figures = metrics.get(part, {})
        if "track_accuracy" in figures:
            macro = figures.get("track_accuracy_macro")
            rows.append([
                name,
                figures.get("tracks", ""),
                _share(figures["track_accuracy"], figures.get("track_accuracy_interval")),
                _share(macro, figures.get("track_accuracy_macro_interval")) if macro is not None else "",
            ])  # fmt: skip
    if not rows:
        return "<h2>How good it is</h2>\n<p>This model does not say.</p>"
    return (
        "<h2>How good it is</h2>\n<p>The figure of the test clips says most: nothing had been trained on them when it "
        "was taken. Brackets are 95 % intervals. Expect less of other music.</p>\n"
        + table(["Part", "Clips", "Right", "Mean over genres"], rows, "Clips that are right, by vote")
    )


def _bad_at(info: ModelInfo) -> str:
    """The genres it misses most, and what it takes them for, in the test and validation clips together."""
    parts = [info.metrics[part] for part in ("test", "valid") if "confusion" in info.metrics.get(part, {})]
    if not parts:
        return ""
    labels = range(len(info.labels))
    counts = [[sum(part["confusion"][true][guess] for part in parts) for guess in labels] for true in labels]
    clips = [sum(row) for row in counts]
    missed = {true: 1 - counts[true][true] / clips[true] for true in labels if clips[true]}
    worst = sorted((true for true in missed if missed[true]), key=missed.__getitem__, reverse=True)[:WORST]
    pairs = sorted(
        ((counts[true][guess], true, guess) for true in labels for guess in labels if true != guess),
        key=lambda pair: -pair[0],
    )[:WORST]
    names = info.labels
    items = [f"{names[true]}: it misses {_percent(missed[true])} of {clips[true]} clips" for true in worst]
    items += [f"it takes {names[true]} for {names[guess]}: {count} clips" for count, true, guess in pairs if count]
    lines = "".join(f"<li>{escape(item)}</li>\n" for item in items)
    return f"<h2>What it is bad at</h2>\n<p>In the test and validation clips together:</p>\n<ul>\n{lines}</ul>"


def _what_answers_mean(info: ModelInfo) -> str:
    meanings = {
        "Confidence": "The probability of the genre, averaged over the clip's chunks.",
        "Not sure": f"The confidence is below {_percent(info.uncertain_below)}. The threshold was fitted on "
        "validation clips.",
    }
    if info.recognised_above is not None:
        meanings["None of these"] = (
            "The clip sounds unlike the music of any of these genres that the model was trained on. The genre named "
            "is the most probable of them all the same."
        )
    rows = "".join(f"<dt>{name}</dt><dd>{escape(meaning)}</dd>\n" for name, meaning in meanings.items())
    return f"<h2>What its answers mean</h2>\n<dl>\n{rows}</dl>"


def _share(share: float, interval: tuple[float, float] | None = None) -> str:
    low_to_high = f" [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]" if interval else ""
    return f"{100 * share:.1f} %{low_to_high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
