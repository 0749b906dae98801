"""The colours of the ten genres, as they are seen with and without colour blindness."""

import re

import numpy as np

from tests.support import ROOT

PAGE = ROOT / "serving" / "http" / "page"
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
COLOUR_BLIND = {  # of whoever lacks one kind of cone, on linear RGB
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear_light(colours):
    """Colours of sRGB, written in hexadecimal, as linear RGB."""
    values = np.array([[int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)] for colour in colours])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(linear):
    """Linear RGB as OKLab (Ottosson 2020)."""
    cones = (
        np.clip(linear, 0, 1)
        @ np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        ).T
    )
    return (
        np.cbrt(cones)
        @ np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        ).T
    )


def test_ten_colours_are_told_apart():
    """By anyone: with normal sight and with the three kinds of colour blindness (Machado, Oliveira and Fernandes 2009).

    Distances are Euclidean in OKLab, where 0.02 is about the least that is noticed.
    """
    script = (PAGE / "colours.js").read_text()
    colours = re.findall(r'"#([0-9a-f]{6})"', script)
    assert len(colours) == 10
    linear = linear_light(colours)
    sights = [oklab(linear @ np.array(matrix).T) for matrix in COLOUR_BLIND.values()] + [oklab(linear)]
    least = np.min([np.linalg.norm(lab[:, None] - lab[None], axis=-1) for lab in sights], axis=0)
    assert least[np.triu_indices(10, 1)].min() > 0.09
    assert min(least[place, (place + 1) % 10] for place in range(10)) > 0.17
    (dark,) = re.findall(r"--on-fill: #([0-9a-f]{6})", (PAGE / "page.css").read_text())
    light = linear @ LUMINANCE + 0.05
    assert (light / (linear_light([dark])[0] @ LUMINANCE + 0.05)).min() > 4.5  # WCAG's contrast of words
