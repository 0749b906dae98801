"""Beats of a chunk, as `librosa.beat.beat_track` finds them (Ellis 2007), for all chunks of a batch together.

Onset envelope -> tempo -> dynamic program over beat positions -> trimming. Every tensor has a fixed shape, and no step
looks at one chunk alone.
"""

import numpy as np
import torch
from torch import Tensor, nn

from audio import SAMPLE_RATE
from train.spectrum import FRAMES, HOP, N_FFT, N_MELS

ONSET_DELAY = 1 + N_FFT // (2 * HOP)  # 3 frames: the difference's lag, and the framing's centre
AUTOCORRELATION = 8 * SAMPLE_RATE // HOP  # 344 frames, the tempogram's window of 8 seconds
START_BPM, MAX_BPM = 120.0, 320.0
MIN_PERIOD = int(60 * SAMPLE_RATE / HOP / MAX_BPM) + 1  # 9 frames per beat, just under the fastest tempo
TIGHTNESS = 100.0
BLOCK = 4  # frames: no beat follows another sooner, since MIN_PERIOD / 2 rounds to 4
BLOCKS = [BLOCK] * (FRAMES // BLOCK) + [FRAMES % BLOCK]  # from the chunk's end: 32 of 4 frames, and the first 2
MAX_BEATS = len(BLOCKS)
UNREACHABLE = -1e30  # the score of a link that may not be; finite, so that no NaN can arise


class Onsets(nn.Module):
    """Onset envelope, `librosa.onset.onset_strength(aggregate=numpy.median)`."""

    def forward(self, decibels: Tensor) -> Tensor:
        """Mel decibels (batch, 128, 130) to envelope (batch, 130), its first three frames zero."""
        kept = FRAMES - ONSET_DELAY
        rise = torch.relu(decibels[..., 1 : kept + 1] - decibels[..., :kept])
        # The median of 128: the mean of the two in the middle, the least of the upper 65 and the least but one. They
        # are not asked for in order, which would take as long again.
        upper = torch.topk(rise.transpose(1, 2), N_MELS // 2 + 1, dim=2, sorted=False).values
        least = upper.amin(dim=2, keepdim=True)
        is_least = upper == least
        next_least = torch.where(is_least, torch.inf, upper).amin(dim=2)
        least = least[..., 0]
        next_least = torch.where(is_least.to(upper.dtype).sum(dim=2) > 1, least, next_least)
        return nn.functional.pad((least + next_least) / 2.0, (ONSET_DELAY, 0))


class Tempo(nn.Module):
    """Frames per beat of the global tempo, `librosa.feature.tempo`.

    librosa autocorrelates a window of 8 seconds around every frame, divides each autocorrelation by its value at lag
    zero and averages. Sums exchanged, the average at a lag is the sum along a diagonal of one matrix,
    x(s) x(s') sum_t w(s - t) w(s' - t) / energy(t), which holds no window that a chunk of 130 frames cannot reach. Its
    upper triangle is of rank three: a Hann window is w(s - t) = sum_i a_i(s) b_i(t), of 1, a cosine and a sine, and the
    earlier of two places lies inside every window that the later lies in.
    """

    windows: Tensor
    places: Tensor
    centres: Tensor
    ramp: Tensor
    upper: Tensor
    prior: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = AUTOCORRELATION // 2
        # Beyond its last frame the envelope falls linearly to zero over half a window.
        last = FRAMES + half - 1
        place = np.arange(ONSET_DELAY, last)  # frames where the padded envelope is not zero by construction
        inside = place[None, :] - np.arange(FRAMES)[:, None] + half  # of each frame's window
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * inside / AUTOCORRELATION)
        windows = np.where((inside >= 0) & (inside < AUTOCORRELATION), hann, 0.0)
        size = len(place)  # 298
        angle = 2 * np.pi / AUTOCORRELATION
        places = np.stack([np.ones(size), np.cos(angle * place), np.sin(angle * place)])
        centre = np.arange(FRAMES)
        centres = 0.5 * np.stack([np.ones(FRAMES), np.cos(angle * centre), np.sin(angle * centre)])
        lag = np.arange(MIN_PERIOD, AUTOCORRELATION)
        prior = -0.5 * np.log2(60 * SAMPLE_RATE / HOP / lag / START_BPM) ** 2
        self.register_buffer("windows", torch.from_numpy(windows).float(), persistent=False)
        self.register_buffer("places", torch.from_numpy(places).float(), persistent=False)
        self.register_buffer("centres", torch.from_numpy(centres).float(), persistent=False)
        self.register_buffer("ramp", torch.arange(half - 1, 0, -1).float() / half, persistent=False)
        self.register_buffer("upper", torch.ones(size, size).triu(), persistent=False)
        self.register_buffer("prior", torch.from_numpy(prior).float(), persistent=False)

    def forward(self, onsets: Tensor) -> Tensor:
        """Envelope (batch, 130) to frames per beat (batch,), whole numbers from 9 to 343."""
        size = self.upper.shape[0]
        envelope = torch.cat([onsets[:, ONSET_DELAY:], onsets[:, -1:] * self.ramp], dim=1)
        # The tempogram does not depend on the envelope's scale; float32's range does.
        envelope = envelope / torch.clamp(envelope.amax(dim=1, keepdim=True), min=torch.finfo(onsets.dtype).tiny)
        energy = torch.matmul(envelope * envelope, (self.windows * self.windows).T)
        weight = torch.where(energy > 0, 1.0 / torch.where(energy > 0, energy, 1.0), 0.0) / FRAMES
        earlier = envelope[:, None, :] * self.places  # (batch, 3, place)
        later = envelope[:, None, :] * torch.matmul(weight[:, None, :] * self.centres, self.windows)
        products = torch.matmul(earlier.transpose(1, 2), later) * self.upper
        # Rows one element longer than they are turn diagonals into columns; zeros under the diagonal fill the ends.
        skewed = nn.functional.pad(products.reshape(-1, size * size), (0, size)).reshape(-1, size, size + 1)
        autocorrelation = skewed.sum(dim=1)[:, MIN_PERIOD:size]
        # Longer lags than the envelope have products of zero, and still their prior.
        autocorrelation = nn.functional.pad(autocorrelation, (0, AUTOCORRELATION - size))
        return torch.argmax(torch.log1p(1e6 * autocorrelation) + self.prior, dim=1) + MIN_PERIOD


class Beats(nn.Module):
    """Beat frames, `librosa.beat.beat_track`, as a mask over the frames of each chunk."""

    frame: Tensor
    block: Tensor
    distance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.onsets = Onsets()
        self.tempo = Tempo()
        frame = torch.arange(FRAMES)
        self.register_buffer("frame", frame, persistent=False)
        # Where the block of each frame begins; the first is short.
        start = (frame - FRAMES % BLOCK).div(BLOCK, rounding_mode="floor") * BLOCK + FRAMES % BLOCK
        self.register_buffer("block", start, persistent=False)
        self.register_buffer("distance", torch.arange(1, FRAMES + BLOCK).double(), persistent=False)

    def forward(self, decibels: Tensor) -> Tensor:
        """Mel decibels (batch, 128, 130) to beats, bool (batch, 130)."""
        onsets = self.onsets(decibels)
        # As in librosa, the dynamic program runs in float64: in float32, many of its near ties fall the other way.
        period = self.tempo(onsets).double()
        score = self.local_score(onsets, period)
        links, tail = self.link(score, period)
        beats = self.trim(score, follow(links, tail))
        # A chunk without a single onset has no beats.
        return torch.logical_and(beats, (onsets > 0).any(dim=1, keepdim=True))

    def local_score(self, onsets: Tensor, period: Tensor) -> Tensor:
        """Envelope in units of its deviation, smoothed by a Gaussian of a 32nd of a beat: (batch, 130)."""
        centred = onsets - onsets.mean(dim=1, keepdim=True)
        deviation = torch.sqrt((centred * centred).sum(dim=1, keepdim=True) / (FRAMES - 1))
        onsets = (onsets / (deviation + torch.finfo(onsets.dtype).tiny)).double()
        offset = self.frame * (32.0 / period)[:, None]
        weight = torch.exp(-0.5 * offset * offset)
        # All rows of the symmetric Toeplitz matrix are one sequence, each begun a place later: repeated, and cut into
        # rows one shorter than it is. What stands to the right of the matrix meets zeros.
        sequence = torch.cat([weight, weight[:, 1:].flip(1)], dim=1)
        size = sequence.shape[1]  # 259
        repeated = sequence[:, None, :].expand(-1, FRAMES, -1).reshape(-1, FRAMES * size)
        toeplitz = repeated[:, : FRAMES * (size - 1)].reshape(-1, FRAMES, size - 1)
        onsets = nn.functional.pad(onsets, (0, size - 1 - FRAMES))
        return torch.matmul(toeplitz, onsets[:, :, None])[:, :, 0]

    def link(self, score: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
        """Best predecessor of every frame as a beat, -1 for none (batch, 130), and the last beat (batch,)."""
        period = period[:, None]
        shortest = torch.round(period / 2)
        deviation = torch.log(self.distance) - torch.log(period)
        allowed = (self.distance >= shortest) & (self.distance <= 2 * period)
        cost = torch.where(allowed, -TIGHTNESS * deviation * deviation, UNREACHABLE)
        # From here on the latest frame stands first: what stands at place k lies k + 1 frames before the block, and so
        # has the same costs for every block.
        costs = torch.stack([cost[:, ahead : ahead + FRAMES] for ahead in reversed(range(BLOCK))], dim=1)
        # A frame too near the first to follow another counts for itself alone.
        alone = torch.where(self.frame < shortest, torch.zeros_like(score), UNREACHABLE)
        *blocks, total = torch.split_with_sizes(score.flip(1), BLOCKS, dim=1)
        *begins, _ = torch.split_with_sizes(alone.flip(1), BLOCKS, dim=1)
        total = nn.functional.pad(total, (0, FRAMES - total.shape[1]), value=UNREACHABLE)
        linked: list[Tensor] = []
        for block, begin in zip(reversed(blocks), reversed(begins), strict=True):
            candidates = total[:, None, :] + costs
            best = torch.maximum(candidates.amax(dim=2), begin)
            total = torch.cat([block + best, total[:, :-BLOCK]], dim=1)
            linked.insert(0, candidates)
        # Of equals the first, which is the nearest.
        place = torch.cat(linked, dim=1).argmax(dim=2).flip(1)
        nearest = self.block - 1 - nn.functional.pad(place, (FRAMES % BLOCK, 0))
        # Before the first frame of any weight no beat is linked to.
        weighty = score >= 0.01 * score.amax(dim=1, keepdim=True)
        begun = self.frame >= weighty.to(torch.int32).argmax(dim=1, keepdim=True)
        links = torch.where(begun & (self.frame >= shortest), nearest, -1)
        return links, self.last_beat(total.flip(1))

    def last_beat(self, total: Tensor) -> Tensor:
        """Last local maximum of the cumulative score that reaches half their median: int64 (batch,)."""
        before, here, after = total[:, :-1], total[:, 1:], nn.functional.pad(total[:, 2:], (0, 1), value=UNREACHABLE)
        is_peak = nn.functional.pad((here > before) & (here >= after), (1, 0))
        peaks = torch.where(is_peak, total, -torch.inf).sort(dim=1, descending=True).values
        count = is_peak.sum(dim=1, keepdim=True)
        middle = torch.cat([(count - 1).clamp(min=0) // 2, count // 2], dim=1)
        threshold = peaks.gather(1, middle).mean(dim=1, keepdim=True) / 2.0
        last = torch.where(is_peak & (total >= threshold), self.frame, -1).amax(dim=1)
        return torch.where(last >= 0, last, FRAMES - 1)

    def trim(self, score: Tensor, path: Tensor) -> Tensor:
        """Mask of the beats on the path, without the weak ones at both ends: bool (batch, 130)."""
        real = path >= 0
        height = torch.where(real, score.gather(1, path.clamp(min=0)), 0.0)
        # librosa smooths by a Hann window of 5 frames, zero at both ends, and drops the outer half of its first step;
        # the path runs backwards, so that here it is the last.
        padded = nn.functional.pad(height, (2, 1))
        smooth = padded[:, 1:-1] + 0.5 * (padded[:, :-2] + padded[:, 2:])
        smooth = torch.where(nn.functional.pad(real, (1, 0), value=True), smooth, 0.0)
        count = real.sum(dim=1, keepdim=True)
        threshold = 0.5 * torch.sqrt((smooth * smooth).sum(dim=1, keepdim=True) / (count + 2))
        strong = score > threshold
        first = strong.to(torch.int32).argmax(dim=1, keepdim=True)
        last = torch.where(strong, self.frame, -1).amax(dim=1, keepdim=True)
        beats = (path[:, :, None] == self.frame).any(dim=1)
        return beats & (self.frame >= first) & (self.frame <= last)


def follow(links: Tensor, tail: Tensor) -> Tensor:
    """The chain of links from the tail on, by pointer doubling.

    Args:
        links: int64 (batch, 130), for every frame the one before it on a path, -1 for none.
        tail: int64 (batch,), where the path ends.

    Returns:
        int64 (batch, 64): the frames of the path, last first, then -1.
    """
    # One place to the right, so that "none" is a place too, and leads to itself.
    jump = nn.functional.pad(links + 1, (1, 0))
    path = tail[:, None] + 1
    while path.shape[1] < MAX_BEATS:
        path = torch.cat([path, jump.gather(1, path)], dim=1)
        jump = jump.gather(1, jump)
    return path - 1
