"""What is read of a file's head, whatever the file holds."""

import base64

from tests.support.audio import encode, encode_av, tone
from tests.support.node import needs_node, run_node
from tests.support.songs import Song, mutants

pytestmark = needs_node

READ = """
import { readHead } from "./formats/head.js";
const read = given.map((content) => {
  const bytes = Uint8Array.from(Buffer.from(content, "base64"));
  const head = readHead(bytes);
  const edge = head.cut?.edge(bytes.subarray(1), 1) ?? null;
  const samples = edge && head.cut.samples?.(bytes.subarray(edge.keep), edge);
  const isEdge = edge === null || (edge.from >= 1 && edge.keep >= edge.from);
  return [head.rate > 0 && head.rate < Infinity, isEdge, samples === undefined || samples >= 0 || edge === null];
});
console.log(JSON.stringify(read));
"""
ORIGINALS = [
    Song("wav", encode(tone(1))),
    Song("flac", encode(tone(1), container="FLAC")),
    Song("mp3", encode(tone(1), container="MP3")),
    Song("ogg", encode(tone(1), container="OGG")),
    Song("opus", encode_av(tone(1, rate=48_000), 48_000, "ogg", "libopus")),
    Song("m4a", encode_av(tone(1), 22_050, "mp4", "aac")),
    Song("webm", encode_av(tone(1, rate=48_000), 48_000, "webm", "libopus")),
]


def test_nothing_in_a_file_breaks_its_reading():
    cut = [song.content[:length] for song in ORIGINALS for length in range(0, 120, 3)]
    damaged = [song.content for song in mutants(ORIGINALS, 2000)]
    read = run_node(READ, [base64.b64encode(content).decode() for content in [*cut, *damaged]])
    assert len(read) == len(cut) + len(damaged)
    assert [place for place, holds in enumerate(read) if not all(holds)] == []
