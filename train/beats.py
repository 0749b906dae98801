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
MAX_BEATS = -(-FRAMES // BLOCK)  # 33
UNREACHABLE = -1e30  # the score of a link that may not be; finite, so that no NaN can arise


class Onsets(nn.Module):
    """Onset envelope, `librosa.onset.onset_strength(aggregate=numpy.median)`."""

    def forward(self, decibels: Tensor) -> Tensor:
        """Mel decibels (batch, 128, 130) to envelope (batch, 130), its first three frames zero."""
        kept = FRAMES - ONSET_DELAY
        rise = torch.relu(decibels[..., 1 : kept + 1] - decibels[..., :kept])
        # The median of 128: the mean of the two in the middle.
        upper = torch.topk(rise.transpose(1, 2), N_MELS // 2 + 1, dim=2).values
        return nn.functional.pad((upper[..., -1] + upper[..., -2]) / 2.0, (ONSET_DELAY, 0))


class Tempo(nn.Module):
    """Frames per beat of the global tempo, `librosa.feature.tempo`.

    librosa autocorrelates a window of 8 seconds around every frame, divides each autocorrelation by its value at lag
    zero and averages. Sums exchanged, the average at a lag is the sum along a diagonal of one matrix,
    x(s) x(s') sum_t w(s - t) w(s' - t) / energy(t), which holds no window that a chunk of 130 frames cannot reach.
    """

    windows: Tensor
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
        lag = np.arange(MIN_PERIOD, AUTOCORRELATION)
        prior = -0.5 * np.log2(60 * SAMPLE_RATE / HOP / lag / START_BPM) ** 2
        self.register_buffer("windows", torch.from_numpy(windows).float(), persistent=False)
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
        windowed = self.windows.T * weight[:, None, :]  # (batch, place, frame)
        products = torch.matmul(windowed, self.windows) * envelope[:, :, None] * envelope[:, None, :] * self.upper
        # Rows one element longer than they are turn diagonals into columns; zeros under the diagonal fill the ends.
        skewed = nn.functional.pad(products.reshape(-1, size * size), (0, size)).reshape(-1, size, size + 1)
        autocorrelation = skewed.sum(dim=1)[:, MIN_PERIOD:size]
        # Longer lags than the envelope have products of zero, and still their prior.
        autocorrelation = nn.functional.pad(autocorrelation, (0, AUTOCORRELATION - size))
        return torch.argmax(torch.log1p(1e6 * autocorrelation) + self.prior, dim=1) + MIN_PERIOD


class Beats(nn.Module):
    """Beat frames, `librosa.beat.beat_track`, as a mask over the frames of each chunk."""

    frame: Tensor
    apart: Tensor
    after: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.onsets = Onsets()
        self.tempo = Tempo()
        frame = torch.arange(FRAMES)
        distance = frame[:, None] - frame[None, :]
        self.register_buffer("frame", frame, persistent=False)
        # What depends on two frames depends on their distance alone: it is worked out once for each, then looked up.
        self.register_buffer("apart", distance.abs().flatten(), persistent=False)
        self.register_buffer("after", distance.clamp(min=0).flatten(), persistent=False)

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
        weight = torch.exp(-0.5 * offset * offset).index_select(1, self.apart)
        return torch.matmul(weight.reshape(-1, FRAMES, FRAMES), onsets[:, :, None])[:, :, 0]

    def link(self, score: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
        """Best predecessor of every frame as a beat, -1 for none (batch, 130), and the last beat (batch,)."""
        period = period[:, None]
        deviation = torch.log(self.frame.clamp(min=1).to(period.dtype)) - torch.log(period)
        allowed = (self.frame >= torch.round(period / 2)) & (self.frame <= 2 * period)  # never a distance of zero
        cost = torch.where(allowed, -TIGHTNESS * deviation * deviation, UNREACHABLE)
        transition = cost.index_select(1, self.after).reshape(-1, FRAMES, FRAMES)
        total = score[:, :BLOCK]
        bests = [torch.full_like(total, UNREACHABLE)]
        for start in range(BLOCK, FRAMES, BLOCK):
            stop = min(start + BLOCK, FRAMES)
            best = (total[:, None, :] + transition[:, start:stop, :start]).amax(dim=2)
            bests.append(best)
            block = score[:, start:stop] + torch.where(best > UNREACHABLE / 2, best, 0.0)
            total = torch.cat([total, block], dim=1)
        best = torch.cat(bests, dim=1)[:, :, None]
        # Ties go to the nearest predecessor.
        is_best = total[:, None, :] + transition == best
        nearest = torch.where(is_best & (best > UNREACHABLE / 2), self.frame, -1).amax(dim=2)
        # Before the first frame of any weight no beat is linked to.
        weighty = score >= 0.01 * score.amax(dim=1, keepdim=True)
        begun = self.frame >= weighty.to(torch.int32).argmax(dim=1, keepdim=True)
        links = torch.where(begun, nearest, -1)
        return links, self.last_beat(total)

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
