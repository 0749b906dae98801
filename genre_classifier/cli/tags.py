"""Write genres into the tags of those files that want one."""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from genre_classifier.classifier import Analysis
from genre_classifier.cli.genre_tags import GenreTags, tidy
from genre_classifier.cli.journal import Change, Journal
from genre_classifier.cli.tag_policy import TagPolicy
from genre_classifier.cli.text import printable

WRITTEN, KEPT, DOUBTFUL = "written", "kept", "doubtful"


class Tags:
    """The genre tags of files, and a journal of what stood there."""

    def __init__(self, policy: TagPolicy, journal: Journal | None) -> None:
        """A dry run has no journal."""
        self.done: frozenset[str] = frozenset()
        self.counts = Counter[str]()
        self._policy = policy
        self._journal = journal

    def write(self, file: str, analysis: Analysis) -> None:
        """Write a file's genre into its tags, if the policy says so.

        Raises:
            TagError: it should, and cannot; the file stays as it is.
        """
        path, verdict = Path(file), analysis.verdict
        tidy(path)
        if not self._policy.wants(verdict):
            self.counts[DOUBTFUL] += 1
            return
        tags = GenreTags(path)
        before, after = tags.genres, tags.with_genre(self._policy.name(verdict.genre))
        if before == after or (tags.present and not self._policy.overwrite):
            self.counts[KEPT] += 1
            return
        if self._policy.dry_run:
            tqdm.write(_change(file, tags.present, self._policy.name(verdict.genre)), file=sys.stderr)
        else:
            change = Change(str(path.resolve()), before, after)
            tags.change(after, lambda: self._journal.note(change) if self._journal else None)
        self.counts[WRITTEN] += 1

    def summary(self) -> list[str]:
        """What to say at the end, a sentence a line."""
        verb = "would be written" if self._policy.dry_run else "are written"
        counts = self.counts
        lines = [
            f"Genres {verb} into {counts[WRITTEN]} files; {counts[KEPT]} keep theirs, {counts[DOUBTFUL]} are in doubt."
        ]
        if self._journal and self._journal.changes:
            lines.append(f"What stood there is in the journal: genre-classifier --undo {self._journal.path}")
        return lines


def _change(file: str, present: list[str], genre: str) -> str:
    return f"{printable(file)}: {printable(', '.join(present)) or 'no genre'} -> {genre}"
