"""The pre-trained body of the transfer network: log-mel to an embedding and 50 tags, exact and fast in ONNX Runtime.

It is MSD_musicnn (Pons and Serra 2019), pruned; `train.network.body_weights` makes its weights. Every tensor keeps time
last. Maxima are taken before ReLU and scale: where a scale is negative, kernel and bias change sign, so that the
maximum is the one that counts.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.features.logmel import BANDS, FRAMES
from train.features.spectrum import constant

Array = NDArray[np.float32]

POOLS, EMBEDDING = 424, 200  # numbers of each chunk
TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock"),
    *("jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow"),
    *("electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient"),
    *("acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening"),
    *("sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad"),
    *("House", "happy"),
)  # the most used ones of Last.fm, in the order of the outputs

TIMBRAL, TEMPORAL = (0, 1), (2, 3, 4)  # front ends by number: 7 frames by 38 or 67 bands, and 128, 64, 32 frames by 1
MARGIN = 3  # frames that the 7-frame kernels reach beyond a chunk
FREQUENCIES = BANDS // 2 + 1  # 49 of a 96-point transform over bands
BLOCK = 17  # frames that one product of a temporal front end makes; 187 = 11 * 17
BLOCKS = FRAMES // BLOCK


class Timbral(nn.Module):
    """Maximum over bands of a convolution over 7 frames and many bands, exact, by a Fourier transform over bands.

    A valid convolution over 96 bands lies within one period of the 96-point transform. Its answers at c + q and c - q,
    c the middle, are E - O and E + O of the even and the odd part at q; the larger is E + |O|.
    """

    real: Tensor
    imag: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(self, kernel: NDArray[np.float64]) -> None:
        """`kernel` is (filters, 7, bands)."""
        super().__init__()
        self.filters: int = kernel.shape[0]
        frames, width = kernel.shape[1:]
        places = BANDS - width + 1
        frequency = np.arange(FREQUENCIES)
        multiplicity = np.where((frequency == 0) | (frequency == FREQUENCIES - 1), 1, 2) / BANDS
        turn = 2j * np.pi / BANDS * np.outer(np.arange(width) + (places - 1) / 2, frequency)
        spectrum = (kernel @ np.exp(turn) * multiplicity).transpose(2, 0, 1)  # (frequency, filter, frame)
        real = np.stack([spectrum.real, -spectrum.imag], axis=2).reshape(-1, 2, frames)
        imag = np.stack([spectrum.imag, spectrum.real], axis=2).reshape(-1, 2, frames)
        distance = np.arange((places + 1) // 2) + (0.0 if places % 2 else 0.5)
        angle = 2 * np.pi / BANDS * np.outer(distance, frequency)
        for name, array in {"real": real, "imag": imag, "cosines": np.cos(angle), "sines": np.sin(angle)}.items():
            self.register_buffer(name, constant(array), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Spectrum over bands (batch, 98, 193), real and imaginary by turns, to (batch, filters, 187)."""
        even, odd = (
            torch.matmul(
                wave,
                nn.functional.conv1d(spectrum, kernel, groups=FREQUENCIES).reshape(-1, FREQUENCIES, self.width),
            )
            for wave, kernel in ((self.cosines, self.real), (self.sines, self.imag))
        )
        return (even + odd.abs()).amax(dim=1).reshape(-1, self.filters, FRAMES)

    @property
    def width(self) -> int:
        """Filters times frames."""
        return self.filters * FRAMES


class Temporal(nn.Module):
    """Maximum over bands of a convolution over many frames of one band, as products of Toeplitz matrices."""

    blocks: Tensor

    def __init__(self, kernel: NDArray[np.float64]) -> None:
        """`kernel` is (filters, frames)."""
        super().__init__()
        self.filters, self.taps = kernel.shape
        blocks = np.zeros((self.filters, BLOCK, self.taps + BLOCK - 1))
        for frame in range(BLOCK):
            blocks[:, frame, frame : frame + self.taps] = kernel
        self.register_buffer("blocks", constant(blocks.reshape(self.filters * BLOCK, -1)), persistent=False)

    def forward(self, bands: Tensor) -> Tensor:
        """Spectrogram (batch, 187, 96) to (batch, filters, 187)."""
        before = (self.taps - 1) // 2
        padded = nn.functional.pad(bands, (0, 0, before, self.taps - 1 - before))
        length = self.taps + BLOCK - 1
        windows = torch.stack([padded[:, BLOCK * block :][:, :length] for block in range(BLOCKS)], dim=1)
        peaks = torch.matmul(self.blocks, windows).amax(dim=3).reshape(-1, BLOCKS, self.filters, BLOCK)
        return peaks.transpose(1, 2).reshape(-1, self.filters, FRAMES)


class Convolution(nn.Module):
    """Convolution over 7 frames, ReLU, batch normalisation as scale and shift."""

    kernel: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, weights: Mapping[str, Array], name: str) -> None:
        super().__init__()
        self.register_buffer("kernel", constant(weights[f"{name}.kernel"]), persistent=False)
        self.register_buffer("bias", constant(weights[f"{name}.bias"]), persistent=False)
        self.register_buffer("scale", constant(weights[f"{name}.scale"][:, None]), persistent=False)
        self.register_buffer("shift", constant(weights[f"{name}.shift"][:, None]), persistent=False)

    def forward(self, channels: Tensor) -> Tensor:
        """Channels (batch, inputs, 187) to (batch, outputs, 187); the bias is a map (outputs, 187)."""
        answer = nn.functional.conv1d(channels, self.kernel, padding=MARGIN) + self.bias
        return torch.relu(answer) * self.scale + self.shift


class Body(nn.Module):
    """Log-mel to pools, embedding and the logits of 50 tags; nothing in it is learnt here."""

    transform: Tensor
    sign: Tensor
    place: Tensor
    fixed: Tensor

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """`weights` are those of `train.network.body_weights`."""
        super().__init__()
        self.scale, self.shift = (float(weights[f"input.{part}"][0]) for part in ("scale", "shift"))
        sign = np.where(weights["front.scale"] < 0, -1.0, 1.0)
        counts = [len(weights[f"front.{number}.bias"]) for number in (*TIMBRAL, *TEMPORAL)]
        signs = np.split(sign, np.cumsum(counts)[:-1])
        kernels = [weights[f"front.{n}.kernel"] * each[:, None, None] for n, each in enumerate(signs)]
        self.timbral = nn.ModuleList(Timbral(kernels[number]) for number in TIMBRAL)
        self.temporal = nn.ModuleList(Temporal(kernels[number][..., 0]) for number in TEMPORAL)
        bias = np.concatenate([weights[f"front.{number}.bias"] for number in (*TIMBRAL, *TEMPORAL)])
        angle = 2 * np.pi / BANDS * np.outer(np.arange(FREQUENCIES), np.arange(BANDS))
        transform = np.stack([np.cos(angle), -np.sin(angle)], axis=1).reshape(-1, BANDS)
        for name, array in {
            "transform": transform,
            "sign": sign[:, None],
            "bias": bias[:, None],
            "front_scale": weights["front.scale"][:, None],
            "front_shift": weights["front.shift"][:, None],
            "place": weights["residual.place"],
            "fixed": weights["residual.fixed"],
        }.items():
            self.register_buffer(name, constant(array), persistent=False)
        self.middle = nn.ModuleList(Convolution(weights, f"middle.{place}") for place in range(3))
        self.dense = _linear(weights["embedding.weight"], weights["embedding.bias"])
        self.register_buffer("dense_scale", constant(weights["embedding.scale"]), persistent=False)
        self.register_buffer("dense_shift", constant(weights["embedding.shift"]), persistent=False)
        self.tags = _linear(weights["tags.weight"], weights["tags.bias"])
        self.requires_grad_(requires_grad=False)

    bias: Tensor
    front_scale: Tensor
    front_shift: Tensor
    dense_scale: Tensor
    dense_shift: Tensor

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel (batch, 96, 187) to pools (batch, 424), embedding (batch, 200), tag logits (batch, 50)."""
        front = self.front(bands)
        first, second, third = self.middle
        one = first(front)
        two = second(one) + torch.matmul(self.place, one) + self.fixed
        three = third(two) + two
        layers = torch.cat([front, one, two, three], dim=1)
        pools = torch.cat([layers.amax(dim=2), layers.mean(dim=2)], dim=1)
        embedding = torch.relu(self.dense(pools)) * self.dense_scale + self.dense_shift
        return pools, embedding, self.tags(embedding)

    def front(self, bands: Tensor) -> Tensor:
        """Log-mel (batch, 96, 187) to the answers of the 64 live filters, (batch, 64, 187)."""
        scaled = bands * self.scale + self.shift
        spectrum = torch.matmul(self.transform, nn.functional.pad(scaled, (MARGIN, MARGIN)))
        turned = scaled.transpose(1, 2)
        peaks = [each(spectrum) for each in self.timbral] + [each(turned) for each in self.temporal]
        answer = torch.relu((torch.cat(peaks, dim=1) + self.bias * self.sign) * self.sign)
        return answer * self.front_scale + self.front_shift


def _linear(weight: Array, bias: Array) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = constant(weight), constant(bias)
    return layer
