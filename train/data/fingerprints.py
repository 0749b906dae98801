"""Clips that contain the same recording, so that no split trains on one of them and tests on another.

Audio fingerprints of Haitsma and Kalker (ISMIR 2002): 32 bits a frame, the signs of differences of band energies in
time and frequency. They survive re-encoding, gain and filtering, and two excerpts of one recording share them where
they overlap.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from genre_classifier.audio import SAMPLE_RATE

# A long window with short hops, because two excerpts do not start on the same grid of hops.
WINDOW, HOP = 8192, 256  # samples, 372 and 12 ms
FRAMES_PER_PART = 1024  # bounds memory for long recordings
BITS = 32
BAND_HZ = np.geomspace(300.0, 4000.0, BITS + 2)  # edges of 33 bands, in the range that lossy formats keep best
MIN_OVERLAP = int(2.0 * SAMPLE_RATE / HOP)  # frames, two seconds; a shorter overlap is no evidence
# Largest share of differing bits for one recording. Unrelated music differs in a half, similar sounds in a quarter.
MAX_DIFFERING = 0.2
CANDIDATE_HITS = 4  # equal 32-bit words at one offset that make two clips candidates
COMMON = 50  # a word that occurs more often (silence, a held tone) is no evidence


def fingerprint(waveform: NDArray[np.float32]) -> NDArray[np.uint32]:
    """One 32-bit word for each hop of 12 ms, uint32 (frames - 1,)."""
    padded = torch.from_numpy(np.pad(waveform, (0, max(0, WINDOW + HOP - len(waveform)))))
    window = torch.hann_window(WINDOW)
    edges = np.round(BAND_HZ * WINDOW / SAMPLE_RATE).astype(int).tolist()
    bands = []
    for frames in torch.split(padded.unfold(0, WINDOW, HOP), FRAMES_PER_PART):
        power = torch.fft.rfft(frames * window).abs() ** 2
        bands.append(torch.stack([power[:, low:high].sum(dim=1) for low, high in pairwise(edges)]))
    energy = torch.cat(bands, dim=1)
    slope = energy[:-1] - energy[1:]
    bits = (slope[:, 1:] > slope[:, :-1]).to(torch.int64)
    words: NDArray[np.uint32] = (bits << torch.arange(BITS)[:, None]).sum(dim=0).numpy().astype(np.uint32)
    return words


def find_duplicates(waveforms: Sequence[NDArray[np.float32]]) -> list[tuple[int, int]]:
    """Pairs of waveforms, by index, that share two seconds or more of one recording, at any offset."""
    bar = tqdm(waveforms, "fingerprints", unit="clip", disable=None)
    words = [fingerprint(waveform) for waveform in bar]
    found = set()
    for one, other, offset in _candidates(words):
        start = max(0, offset)
        overlap = min(len(words[one]) - start, len(words[other]) - start + offset)
        if overlap >= MIN_OVERLAP:
            differ = words[one][start : start + overlap] ^ words[other][start - offset : start - offset + overlap]
            if np.bitwise_count(differ).sum() < MAX_DIFFERING * BITS * overlap:
                found.add((one, other))
    return sorted(found)


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A group number for each of `count` items, the same for items that pairs connect, directly or through others."""
    group = list(range(count))

    def root(item: int) -> int:
        while group[item] != item:
            item = group[item]
        return item

    for one, other in pairs:
        group[root(other)] = root(one)
    return [root(item) for item in range(count)]


def _candidates(words: Sequence[NDArray[np.uint32]]) -> list[tuple[int, int, int]]:
    """Pairs of clips with several equal words at one offset: clip, later clip, frame minus the later clip's frame."""
    every = np.concatenate(words)
    clip = np.repeat(np.arange(len(words)), [len(each) for each in words])
    frame = np.concatenate([np.arange(len(each)) for each in words])
    # After sorting, equal words are neighbours, in the order of their clips.
    order = np.argsort(every, kind="stable")
    every, clip, frame = every[order], clip[order], frame[order]
    rare = np.append(every[COMMON:] != every[:-COMMON], np.ones(min(COMMON, len(every)), dtype=bool))
    pairs = []
    for step in range(1, COMMON):
        equal = (every[step:] == every[:-step]) & rare[:-step] & (clip[step:] != clip[:-step])
        one, other = np.flatnonzero(equal), np.flatnonzero(equal) + step
        pairs.append(np.stack([clip[one], clip[other], frame[one] - frame[other]], axis=1))
    rows, hits = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return [tuple(row) for row in rows[hits >= CANDIDATE_HITS].tolist()]
