"""Beats of a chunk, as `librosa.beat.beat_track` finds them (Ellis 2007), for a whole batch at once.

Onset envelope -> tempo -> dynamic program over beat positions -> trimming. Every tensor has a fixed shape, and every
step works on all chunks together.

CUDA has no integer kernels for ONNX's Pad and ArgMax. So integers are padded with `torch.cat`, and masks are converted
to float32 before `argmax`: otherwise ONNX Runtime would copy these tensors to the CPU and back.
"""

import numpy as np
import torch
from torch import Tensor, nn

from genre_classifier.audio import SAMPLE_RATE
from train.features.spectrum import FRAMES, HOP, N_FFT, N_MELS, constant

ONSET_DELAY = 1 + N_FFT // (2 * HOP)  # 3 frames: the lag of the difference, and the centring of the frames
AUTOCORRELATION = 8 * SAMPLE_RATE // HOP  # 344 frames, the tempogram's window of 8 seconds
START_BPM, MAX_BPM = 120.0, 320.0
MIN_PERIOD = int(60 * SAMPLE_RATE / HOP / MAX_BPM) + 1  # 9 frames per beat, just below the fastest tempo
TIGHTNESS = 100.0
BLOCK = 4  # frames: the smallest distance of two beats, since MIN_PERIOD / 2 rounds to 4
BLOCKS = [BLOCK] * (FRAMES // BLOCK) + [FRAMES % BLOCK]  # from the chunk's end: 32 of 4 frames, then the first 2 frames
MAX_BEATS = len(BLOCKS)
UNREACHABLE = -1e30  # the score of a forbidden link; finite, so that no NaN can arise


class Onsets(nn.Module):
    """Onset envelope, `librosa.onset.onset_strength(aggregate=numpy.median)`."""

    def forward(self, decibels: Tensor) -> Tensor:
        """Mel decibels (batch, 128, 130) to envelope (batch, 130), whose first three frames are zero."""
        kept = FRAMES - ONSET_DELAY
        rise = torch.relu(decibels[..., 1 : kept + 1] - decibels[..., :kept])
        # The median of 128 values is the mean of the two in the middle: the smallest two of the upper 65. These need
        # not be sorted, which would take twice as long.
        upper = torch.topk(rise.transpose(1, 2), N_MELS // 2 + 1, dim=2, sorted=False).values
        smallest = upper.amin(dim=2, keepdim=True)
        is_smallest = upper == smallest
        second = torch.where(is_smallest, torch.inf, upper).amin(dim=2)
        smallest = smallest[..., 0]
        second = torch.where(is_smallest.to(upper.dtype).sum(dim=2) > 1, smallest, second)
        return nn.functional.pad((smallest + second) / 2.0, (ONSET_DELAY, 0))


class Tempo(nn.Module):
    """Frames per beat of the global tempo, `librosa.feature.tempo`.

    librosa takes a window w of 8 seconds around every frame t, computes the autocorrelation of the envelope x in it,
    divides by its value at lag zero, and averages over t. Exchanging the sums, the average at one lag is the sum along
    one diagonal of the matrix x(s) x(s') sum_t w(s - t) w(s' - t) / energy(t). Only the 298 positions that windows of
    this chunk reach matter. The upper triangle has rank three: a Hann window is w(s - t) = sum_i a_i(s) b_i(t) with a
    constant, a cosine and a sine, and every window that contains the later of two positions contains the earlier one.
    """

    windows: Tensor
    positions: Tensor
    centres: Tensor
    ramp: Tensor
    upper: Tensor
    prior: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = AUTOCORRELATION // 2
        # After its last frame, the envelope falls linearly to zero over half a window.
        last = FRAMES + half - 1
        position = np.arange(ONSET_DELAY, last)  # frames where the padded envelope can be above zero
        inside = position[None, :] - np.arange(FRAMES)[:, None] + half  # index within each frame's window
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * inside / AUTOCORRELATION)
        windows = np.where((inside >= 0) & (inside < AUTOCORRELATION), hann, 0.0)
        size = len(position)  # 298
        angle = 2 * np.pi / AUTOCORRELATION
        positions = np.stack([np.ones(size), np.cos(angle * position), np.sin(angle * position)])
        centre = np.arange(FRAMES)
        centres = 0.5 * np.stack([np.ones(FRAMES), np.cos(angle * centre), np.sin(angle * centre)])
        lag = np.arange(MIN_PERIOD, AUTOCORRELATION)
        prior = -0.5 * np.log2(60 * SAMPLE_RATE / HOP / lag / START_BPM) ** 2
        self.register_buffer("windows", constant(windows), persistent=False)
        self.register_buffer("positions", constant(positions), persistent=False)
        self.register_buffer("centres", constant(centres), persistent=False)
        self.register_buffer("ramp", torch.arange(half - 1, 0, -1).float() / half, persistent=False)
        self.register_buffer("upper", torch.ones(size, size).triu(), persistent=False)
        self.register_buffer("prior", constant(prior), persistent=False)

    def forward(self, onsets: Tensor) -> Tensor:
        """Envelope (batch, 130) to frames per beat (batch,), whole numbers from 9 to 343."""
        size = self.upper.shape[0]
        envelope = torch.cat([onsets[:, ONSET_DELAY:], onsets[:, -1:] * self.ramp], dim=1)
        # The result does not depend on the envelope's scale, but a very small scale would underflow float32.
        envelope = envelope / torch.clamp(envelope.amax(dim=1, keepdim=True), min=torch.finfo(onsets.dtype).tiny)
        energy = torch.matmul(envelope * envelope, (self.windows * self.windows).T)
        weight = torch.where(energy > 0, 1.0 / torch.where(energy > 0, energy, 1.0), 0.0) / FRAMES
        earlier = envelope[:, None, :] * self.positions  # (batch, 3, position)
        later = envelope[:, None, :] * torch.matmul(weight[:, None, :] * self.centres, self.windows)
        products = torch.matmul(earlier.transpose(1, 2), later) * self.upper
        # Reading the same values in rows that are one longer turns diagonals into columns. The zeros below the diagonal
        # fill the ends.
        skewed = nn.functional.pad(products.reshape(-1, size * size), (0, size)).reshape(-1, size, size + 1)
        autocorrelation = skewed.sum(dim=1)[:, MIN_PERIOD:size]
        # At lags longer than the envelope the products are zero; the prior still applies.
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
        # The first frame of each frame's block; the first block is shorter.
        start = (frame - FRAMES % BLOCK).div(BLOCK, rounding_mode="floor") * BLOCK + FRAMES % BLOCK
        self.register_buffer("block", start, persistent=False)
        self.register_buffer("distance", torch.arange(1, FRAMES + BLOCK).double(), persistent=False)

    def forward(self, decibels: Tensor) -> Tensor:
        """Mel decibels (batch, 128, 130) to beats, bool (batch, 130)."""
        onsets = self.onsets(decibels)
        # As in librosa, the dynamic program uses float64: in float32 many near ties are decided differently.
        period = self.tempo(onsets).double()
        score = self.local_score(onsets, period)
        links, tail = self.link(score, period)
        beats = self.trim(score, follow(links, tail))
        # A chunk without any onset has no beats.
        return torch.logical_and(beats, (onsets > 0).any(dim=1, keepdim=True))

    def local_score(self, onsets: Tensor, period: Tensor) -> Tensor:
        """Envelope divided by its standard deviation, smoothed by a Gaussian of a 32nd of a beat: (batch, 130)."""
        centred = onsets - onsets.mean(dim=1, keepdim=True)
        deviation = torch.sqrt((centred * centred).sum(dim=1, keepdim=True) / (FRAMES - 1))
        onsets = (onsets / (deviation + torch.finfo(onsets.dtype).tiny)).double()
        offset = self.frame * (32.0 / period)[:, None]
        weight = torch.exp(-0.5 * offset * offset)
        # All rows of the symmetric Toeplitz matrix are one periodic sequence, each row shifted by one. So the sequence
        # is repeated and cut into rows that are one shorter. The columns beyond the matrix meet zeros.
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
        # From here on, time runs backwards: index k is the frame k + 1 frames before the block. So the costs are the
        # same for every block.
        costs = torch.stack([cost[:, ahead : ahead + FRAMES] for ahead in reversed(range(BLOCK))], dim=1)
        # A frame that is too early to have a predecessor has only its own score.
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
        # argmax takes the first of equal values, which is the nearest frame.
        index = torch.cat(linked, dim=1).argmax(dim=2).flip(1)
        nearest = self.block - 1 - torch.cat([torch.zeros_like(index[:, : FRAMES % BLOCK]), index], dim=1)
        # Frames before the first one with a noticeable score get no predecessor.
        noticeable = score >= 0.01 * score.amax(dim=1, keepdim=True)
        begun = self.frame >= noticeable.to(torch.float32).argmax(dim=1, keepdim=True)
        links = torch.where(begun & (self.frame >= shortest), nearest, -1)
        return links, self.last_beat(total.flip(1))

    def last_beat(self, total: Tensor) -> Tensor:
        """Last local maximum of the cumulative score that reaches half of the maxima's median: int64 (batch,)."""
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
        # librosa smooths with a Hann window of 5 frames, which is zero at both ends, and drops the outer half of its
        # first step. The path runs backwards, so here it is the last step.
        padded = nn.functional.pad(height, (2, 1))
        smooth = padded[:, 1:-1] + 0.5 * (padded[:, :-2] + padded[:, 2:])
        smooth = torch.where(nn.functional.pad(real, (1, 0), value=True), smooth, 0.0)
        count = real.sum(dim=1, keepdim=True)
        threshold = 0.5 * torch.sqrt((smooth * smooth).sum(dim=1, keepdim=True) / (count + 2))
        strong = score > threshold
        first = strong.to(torch.float32).argmax(dim=1, keepdim=True)
        last = torch.where(strong, self.frame, -1).amax(dim=1, keepdim=True)
        beats = (path[:, :, None] == self.frame).any(dim=1)
        return beats & (self.frame >= first) & (self.frame <= last)


def follow(links: Tensor, tail: Tensor) -> Tensor:
    """Follow the links from the last beat to the first, by pointer doubling.

    Args:
        links: int64 (batch, 130), the predecessor of every frame on a path, -1 for none.
        tail: int64 (batch,), the last frame of the path.

    Returns:
        int64 (batch, 64): the frames of the path, last first, then -1.
    """
    # Shifted by one, so that "none" is an index too, one that points to itself.
    jump = torch.cat([torch.zeros_like(links[:, :1]), links + 1], dim=1)
    path = tail[:, None] + 1
    while path.shape[1] < MAX_BEATS:
        path = torch.cat([path, jump.gather(1, path)], dim=1)
        jump = jump.gather(1, jump)
    return path - 1
