"""The beets plugin: `beet genreclassify`, and genres on import where the option `auto` asks for them.

beets finds it by its option `pluginpath`, which names this folder, and imports it as `beetsplug.genreclassifier`.
"""

import optparse
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import confuse
from beets import ui
from beets.dbcore import types
from beets.library import Album, Item, Library
from beets.plugins import BeetsPlugin
from beets.ui import UserError  # type: ignore[attr-defined]  # where beets 2.2 has it too
from beets.util import displayable_path, plurality

if TYPE_CHECKING:  # what it needs is loaded when it is asked for, not with every command of beets
    from beets.importer import ImportSession, ImportTask

    from genre_classifier.classifier import Classifier
    from genre_classifier.cli.tag_policy import TagPolicy
    from genre_classifier.verdict import Verdict

# A list since beets 2.7, one text before.
GENRE = "genres" if "genres" in Item._fields else "genre"
CONFIDENCE = "genre_confidence"
"""The items' field that tells a genre of this plugin from others."""
DEFAULTS = {
    "auto": False,
    "overwrite": False,
    "uncertain": False,
    "min_confidence": 0.0,
    "genre_names": None,
    "model": "genre",
    "provider": "auto",
    "jobs": None,
}


class GenreClassifierPlugin(BeetsPlugin):
    """Genres by the sound of the music, for items that have none."""

    item_types: ClassVar[dict[str, types.Type]] = {CONFIDENCE: types.Float(2)}

    def __init__(self) -> None:
        """Read from the configuration whether imports are classified."""
        super().__init__()
        self.config.add(DEFAULTS)
        self._classifier: Classifier | None = None
        self._policy: TagPolicy
        if self.config["auto"].get(bool):
            self.register_listener("import_begin", self._open)  # what is wrong is said before anything is imported
            self.import_stages = [self._imported]
            self.register_listener("import", self._close)

    def commands(self) -> list[ui.Subcommand]:
        """`beet genreclassify`."""
        command = ui.Subcommand("genreclassify", help="set genres by the sound of the music")
        add = command.parser.add_option
        add("-p", "--pretend", action="store_true", help="show what would be set, and set nothing")
        add(
            "-f",
            "--force",
            "--overwrite",
            dest="overwrite",
            action="store_true",
            help="replace genres that stand there",
        )
        add("-u", "--uncertain", action="store_true", help="also what is uncertain, not recognised or damaged")
        add("-m", "--min-confidence", type="float", metavar="P", help="only what has this confidence, 0 to 1")
        add("-n", "--genre-names", metavar="FILE", help="names of genres, a line for each: hiphop = Hip-Hop")
        add("-w", "--write", action="store_true", default=None, help="write the genres into the files too")
        add("-W", "--nowrite", dest="write", action="store_false", help="leave the files as they are")
        command.func = self._command
        return [command]

    def _command(self, lib: Library, options: optparse.Values, query: list[str]) -> None:
        self.config.set_args(vars(options))
        self._open()
        try:
            counts = self._classify(
                lib.items(query), write=ui.should_write(options.write), pretend=bool(options.pretend)
            )
        finally:
            self._close()
        verb = "would be set" if options.pretend else "set"
        numbers = [counts[outcome] for outcome in ("set", "kept", "in doubt", "failed")]
        self._log.info("{} genres {}, {} kept, {} in doubt, {} failed", numbers[0], verb, *numbers[1:])

    def _imported(self, _session: "ImportSession", task: "ImportTask") -> None:
        """Between the user's choice and beets' own copying and writing."""
        self._classify(task.imported_items(), write=False)

    def _classify(self, items: Iterable[Item], *, write: bool, pretend: bool = False) -> Counter[str]:
        """Set the genres of items, and of the albums that have none; the number of each outcome."""
        from genre_classifier import AudioError  # noqa: PLC0415

        assert self._classifier
        counts, items, changed = Counter[str](), list(items), set()
        wanted = [item for item in items if self._policy.overwrite or not _genres(item)]
        counts["kept"] = len(items) - len(wanted)
        verdicts = self._classifier.classify_files(os.fsdecode(item.path) for item in wanted)
        for item, (_, verdict) in zip(wanted, verdicts, strict=True):
            if isinstance(verdict, AudioError):
                self._log.warning("{}: {}", displayable_path(item.path), verdict)
                counts["failed"] += 1
            elif not self._policy.wants(verdict):
                self._log.debug("{} is in doubt: {}, {:.0%}", item, verdict.genre, verdict.confidence)
                counts["in doubt"] += 1
            elif self._set(item, verdict):
                counts["set"] += 1
                changed.add(item.album_id)
                if not pretend:
                    item.try_sync(write=write, move=False)
            else:
                counts["kept"] += 1
        if not pretend:
            for item in {item.album_id: item for item in items}.values():
                self._set_album(item.get_album(), changed=item.album_id in changed)
        return counts

    def _set(self, item: Item, verdict: "Verdict") -> bool:
        """Show the genre that an item gets; whether it is another than it has."""
        genre = self._policy.name(verdict.genre)
        if _genres(item) == [genre]:
            return False
        item[GENRE] = _value(genre)
        item[CONFIDENCE] = verdict.confidence
        ui.show_model_changes(item, fields=[GENRE])
        return True

    def _set_album(self, album: Album | None, *, changed: bool) -> None:
        """Give an album the genre that most of its items have; they keep theirs.

        One that has a genre keeps it, unless it is to be overwritten and an item has changed.
        """
        if album is None or (_genres(album) and not (self._policy.overwrite and changed)):
            return
        if found := [genres[0] for item in album.items() if (genres := _genres(item))]:
            genre, _ = plurality(found)
            album[GENRE] = _value(genre)
            album.store(inherit=False)

    def _open(self, **_: object) -> None:
        """Load the model, by the configuration.

        Raises:
            UserError: it, or something else in the configuration, cannot be used.
        """
        from genre_classifier import Classifier  # noqa: PLC0415
        from genre_classifier.cli.results import JobError  # noqa: PLC0415
        from genre_classifier.cli.tag_policy import TagPolicy, read_names  # noqa: PLC0415
        from genre_classifier.genre_names import display_name  # noqa: PLC0415
        from genre_classifier.models import MODELS  # noqa: PLC0415
        from genre_classifier.session import ModelError  # noqa: PLC0415

        model, names = self.config["model"], self.config["genre_names"]
        jobs = self.config["jobs"].get(confuse.Optional(int))
        if jobs is not None and jobs < 1:
            raise UserError("genreclassifier.jobs must be 1 or more.")
        confidence = self.config["min_confidence"].as_number()
        if not 0 <= confidence <= 1:
            raise UserError("genreclassifier.min_confidence must be from 0 to 1.")
        provider: Any = self.config["provider"].as_choice(["auto", "cuda", "cpu"])
        try:
            name = model.as_str()
            self._classifier = Classifier(name if name in MODELS else model.as_filename(), provider=provider, jobs=jobs)
            labels = self._classifier.info.labels
            self._policy = TagPolicy(
                overwrite=self.config["overwrite"].get(bool),
                uncertain=self.config["uncertain"].get(bool),
                min_confidence=confidence,
                name=read_names(Path(names.as_filename()), labels) if names.get() else display_name,
            )
        except (ModelError, JobError) as error:
            raise UserError(str(error)) from error

    def _close(self, **_: object) -> None:
        if self._classifier:
            self._classifier.close()
            self._classifier = None


def _genres(model: Item | Album) -> list[str]:
    """The genres of an item or an album by itself."""
    found = model.get(GENRE, with_album=False) if isinstance(model, Item) else model.get(GENRE)
    return [found] if found and isinstance(found, str) else list(found or [])


def _value(genre: str) -> str | list[str]:
    return [genre] if GENRE == "genres" else genre
