"""Make the pre-trained body's weights from the wheel of `musicnn` 0.1.0, without TensorFlow.

`pip download musicnn==0.1.0 --no-deps` fetches the wheel. `python -m train.network.body_weights WHEEL` reads its
MSD_musicnn checkpoint (Pons and Serra 2019), prunes what weight decay has killed, and writes what is left, with the
notice that its licence (ISC) asks for beside it.
"""

import argparse
import hashlib
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_classifier.atomic import replacing
from train.errors import TrainingError, exit_code
from train.network.tf_checkpoint import read_bundle

Array = NDArray[np.float32]

CHECKPOINT = "musicnn/MSD_musicnn/"
LICENCE = "musicnn-0.1.0.dist-info/LICENSE.md"
DIGESTS = {
    CHECKPOINT + ".index": "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
    CHECKPOINT + ".data-00000-of-00001": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
}
WEIGHTS = Path(__file__).with_name("body.npz")
WEIGHTS_SHA256 = "2aab0885d574ca6f7aa56b62935b5c98e5174b721fdd17afae02dea5ba5ee95e"  # as `weights_digest` computes it
NOTICE = "The weights in {} are derived, by pruning, from MSD_musicnn of the PyPI package musicnn 0.1.0.\n\n{}"

FRAMES = 187  # of a chunk's log-mel spectrogram
EPSILON = 1e-3  # TensorFlow's, of batch normalisation
DEAD = 1e-3  # a filter whose norm is below this share of its layer's largest gives a constant
FRONT = 5  # convolutions over the spectrogram, side by side
MIDDLE = (5, 6, 7)  # convolutions over time, one after another
PARTS = ("kernel", "bias", "scale", "shift")
POOLS = 2  # maximum and mean over time, interleaved in the dense layer's input


def make_weights(wheel: Path) -> tuple[dict[str, Array], str]:
    """The pruned body's weights, by the names of `train.network.body.Body`, and the licence's text.

    Raises:
        TrainingError: the file is not the wheel of musicnn 0.1.0.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(name) for name in DIGESTS}
            licence = archive.read(LICENCE).decode()
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(f"{wheel} is not the wheel of musicnn 0.1.0.") from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
            raise TrainingError(f"{name} in {wheel} is not the one that musicnn 0.1.0 ships; its digest differs.")
    return prune(read_bundle(*files.values())), licence


def weights_digest(weights: Mapping[str, Array]) -> str:
    """SHA-256 of names, shapes and values, the same on every machine."""
    total = hashlib.sha256()
    for name, array in sorted(weights.items()):
        total.update(f"{name} {array.shape} ".encode() + np.ascontiguousarray(array, dtype="<f4").tobytes())
    return total.hexdigest()


def load_weights(path: Path = WEIGHTS) -> dict[str, Array]:
    """The weights that `make_weights` made and that travel with the code.

    Raises:
        TrainingError: the file is missing or damaged, or it holds other weights.
    """
    try:
        with np.load(path) as file:
            weights = {name: file[name] for name in file.files}
    except Exception as error:  # reading a damaged file can raise anything
        raise TrainingError(
            f"{path} cannot be read; make it again with python -m train.network.body_weights."
        ) from error
    if weights_digest(weights) != WEIGHTS_SHA256:
        raise TrainingError(f"{path} holds other weights than it should: its SHA-256 digest differs.")
    return weights


def prune(whole: Mapping[str, Array]) -> dict[str, Array]:
    """The network less its dead filters, whose constant answers become a map of biases.

    Batch normalisation stands after ReLU, so that a dead filter answers with a constant; the convolutions after it pad
    with zeros, so that this constant counts for less at a chunk's ends: a bias for each of the 187 frames keeps that.
    """
    front = [_convolution(whole, number) for number in range(FRONT)]
    norms = [np.linalg.norm(kernel.reshape(len(kernel), -1), axis=1) for kernel, _ in front]
    alive = [norm > DEAD * norm.max() for norm in norms]
    live = np.concatenate(alive)
    front_affine = [_affine(whole, 1 + number) for number in range(FRONT)]
    scale, shift, bias = (
        np.concatenate(parts)
        for parts in zip(*[(*affine, bias) for affine, (_, bias) in zip(front_affine, front, strict=True)], strict=True)
    )
    constants = np.where(live, 0.0, np.maximum(bias, 0.0) * scale + shift)

    input_scale, input_shift = _affine(whole, 0)
    weights: dict[str, NDArray[Any]] = {"input.scale": input_scale, "input.shift": input_shift}
    for number, ((kernel, kernel_bias), lives) in enumerate(zip(front, alive, strict=True)):
        weights |= {f"front.{number}.kernel": kernel[lives, 0], f"front.{number}.bias": kernel_bias[lives]}
    weights |= {"front.scale": scale[live], "front.shift": shift[live]}

    present, fixed = live, np.broadcast_to(constants[:, None], (len(live), FRAMES))
    pools_alive, pools_fixed = [live], [fixed]
    for place, number in enumerate(MIDDLE):
        kernel, bias = _convolution(whole, number)
        kernel = kernel[:, 0].transpose(0, 2, 1)  # (outputs, inputs, frames)
        bias_map = _convolve(fixed, kernel) + bias[:, None]
        scale, shift = _affine(whole, 1 + number)
        name = f"middle.{place}"
        weights |= {f"{name}.kernel": kernel[:, present], f"{name}.bias": bias_map}
        weights |= {f"{name}.scale": scale, f"{name}.shift": shift}
        if place == 0:
            # Most outputs of the first are dead too; the others add the input, of which every channel lives.
            norm = np.linalg.norm(kernel[:, live].reshape(len(kernel), -1), axis=1)
            present = norm > DEAD * norm.max()
            answer = np.maximum(bias_map, 0.0) * scale[:, None] + shift[:, None]
            fixed = np.where(present[:, None], 0.0, answer)
            weights |= {f"{name}.{part}": weights[f"{name}.{part}"][present] for part in PARTS}
            weights |= {"residual.place": np.eye(len(present))[:, present], "residual.fixed": fixed}
        else:
            present, fixed = np.ones_like(present), np.zeros_like(fixed)
        pools_alive.append(present)
        pools_fixed.append(fixed)

    # The dense layer takes maximum and mean of each channel; batch normalisation before it and dead channels fold in.
    dense, dense_bias = whole["dense/kernel"].T.astype(np.float64), whole["dense/bias"].astype(np.float64)
    pool_scale, pool_shift = _affine(whole, 9)
    dense_bias = dense_bias + dense @ pool_shift
    dense = (dense * pool_scale).reshape(len(dense), -1, POOLS)
    kept, fixed = np.concatenate(pools_alive), np.concatenate(pools_fixed)
    dead = np.where(kept, 0.0, [fixed.max(axis=1), fixed.mean(axis=1)])
    dense_bias = dense_bias + np.einsum("ocp,pc->o", dense, dead)
    scale, shift = _affine(whole, 10)
    weights |= {
        "embedding.weight": np.concatenate([dense[:, kept, pool] for pool in range(POOLS)], axis=1),
        "embedding.bias": dense_bias,
        "embedding.scale": scale,
        "embedding.shift": shift,
        "tags.weight": whole["dense_1/kernel"].T,
        "tags.bias": whole["dense_1/bias"],
    }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


def _convolution(whole: Mapping[str, Array], number: int) -> tuple[Array, Array]:
    """Kernel (outputs, inputs, frames, bands) and bias of TensorFlow's convolution of this number."""
    name = f"conv2d_{number}" if number else "conv2d"
    return whole[f"{name}/kernel"].transpose(3, 2, 0, 1), whole[f"{name}/bias"]


def _affine(whole: Mapping[str, Array], number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Batch normalisation in inference as scale and shift."""
    name = f"batch_normalization_{number}" if number else "batch_normalization"
    gamma, beta, mean, variance = (
        whole[f"{name}/{part}"].astype(np.float64) for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    return scale, beta - mean * scale


def _convolve(channels: NDArray[np.float64], kernel: Array) -> NDArray[np.float64]:
    """Channels (inputs, 187), zero-padded, and a kernel (outputs, inputs, 7) to (outputs, 187)."""
    padded = np.pad(channels, ((0, 0), (kernel.shape[2] // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2], axis=1)
    answers: NDArray[np.float64] = np.einsum("oik,itk->ot", kernel.astype(np.float64), windows)
    return answers


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m train.network.body_weights`."""
    parser = argparse.ArgumentParser(prog="python -m train.network.body_weights", description=__doc__)
    parser.add_argument("wheel", type=Path, help="musicnn-0.1.0-py3-none-any.whl")
    parser.add_argument(
        "--output",
        type=Path,
        default=WEIGHTS,
        help="the .npz file to write; the notice goes beside it, as .NOTICE.txt (default: %(default)s)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, or 1 or 2 with a sentence."""
    args = parse_args(argv)

    def run() -> None:
        weights, licence = make_weights(args.wheel)
        with replacing(args.output) as part, part.open("wb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
        notice = args.output.with_suffix(".NOTICE.txt")
        notice.write_text(NOTICE.format(args.output.name, licence), encoding="utf-8")
        print(f"{args.output}: {sum(array.size for array in weights.values())} numbers, {weights_digest(weights)}")

    return exit_code("train.network.body_weights", run)


if __name__ == "__main__":
    sys.exit(main())
