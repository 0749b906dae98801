"""Which files get a genre, and what it is called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genre_classifier.cli.results import JobError
from genre_classifier.genre_names import display_name
from genre_classifier.verdict import Verdict


@dataclass(frozen=True)
class TagPolicy:
    """Which files get a genre, and what it is called."""

    overwrite: bool = False
    """Also those that have one."""
    uncertain: bool = False
    """Also those that are uncertain, not recognised or damaged."""
    min_confidence: float = 0.0
    name: Callable[[str], str] = display_name
    """What to write for a label."""
    dry_run: bool = False
    """Say it, and write nothing."""

    def wants(self, verdict: Verdict) -> bool:
        """Whether a verdict is good enough to be written."""
        doubt = verdict.uncertain or verdict.recognised is False or bool(verdict.warning)
        return (self.uncertain or not doubt) and verdict.confidence >= self.min_confidence


def read_names(path: Path, labels: Sequence[str]) -> Callable[[str], str]:
    """Names for labels, from a file with a line for each: hiphop = Hip-Hop; # begins a comment.

    Raises:
        JobError: it cannot be read, or a line is no name of a label.
    """
    names = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise JobError(f"The names of genres in {path} cannot be read: {reason}.") from error
    for number, line in enumerate(lines, start=1):
        label, equals, name = (part.strip() for part in line.partition("="))
        if not label or label.startswith("#"):
            continue
        if not equals or not name or label not in labels:
            known = ", ".join(labels)
            raise JobError(f"The names of genres in {path}, line {number}: write one of {known}, then = and its name.")
        names[label] = name
    return lambda label: names.get(label) or display_name(label)
