"""Chunks and resampling in JavaScript, against Python's chunks and soxr."""

import json

import numpy as np
import pytest
import soxr

from genre_classifier.audio import SAMPLE_RATE, AudioError, chunk_starts, cut_chunks, is_audible
from tests.support.node import needs_node, run_node

pytestmark = needs_node

CUT = """
import { Chunker, isAudible } from "./chunks.js";
const cuts = given.map((samples) => {
  const chunker = new Chunker();
  const chunks = [];
  const waveform = Float32Array.from({ length: samples }, (_, i) => i);
  try {
    for (let i = 0; i < samples; i += 50_000) chunks.push(...chunker.push(waveform.subarray(i, i + 50_000)));
    chunks.push(...chunker.end());
  } catch (error) {
    return [error.message, error.kind];
  }
  return chunks.map((chunk) => [chunk[0], chunk.at(-1)]);
});
console.log(JSON.stringify(cuts));
"""
HEAR = """
import { isAudible } from "./chunks.js";
console.log(JSON.stringify(given.map((peak) => isAudible(Float32Array.of(0, -peak, 0)))));
"""
RESAMPLE = """
import { writeFileSync } from "node:fs";
import { Resampler, mono } from "./resample.js";
const bytes = readFileSync(given.input);
const waveform = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const resampler = new Resampler(given.rate);
const parts = [];
for (let i = 0, size = 1; i < waveform.length; i += size, size = (size * 7) % 50_021) {
  parts.push(resampler.push(waveform.subarray(i, i + size)));
}
parts.push(resampler.end());
const written = parts.map((part) => Buffer.from(part.buffer, part.byteOffset, 4 * part.length));
writeFileSync(given.output, Buffer.concat(written));
const channels = [Float32Array.of(1, 2), Float32Array.of(0, -1), Float32Array.of(2, 2)];
console.log(JSON.stringify(Array.from(mono(channels))));
"""
LENGTHS = [0, 22049, 59535, 66149, 66150, 88199, 88200, 132300, 154350, 198450, 661500]


def python_cut(samples):
    waveform = np.arange(samples, dtype=np.float32)
    try:
        return [[chunk[0], chunk[-1]] for chunk in cut_chunks(waveform)]
    except AudioError as error:
        return [str(error), error.kind]


def test_a_waveform_is_cut_as_in_python():
    given = run_node(CUT, LENGTHS)
    assert given == json.loads(json.dumps([python_cut(samples) for samples in LENGTHS], default=float))
    assert [len(each) for each in given[4:]] == [len(chunk_starts(samples)) for samples in LENGTHS[4:]]


def test_silence_begins_where_it_does_in_python():
    edge = np.float32(0.001)
    peaks = [0.0, *(float(np.nextafter(edge, np.float32(side))) for side in (0, 1)), float(edge), 0.5]
    assert run_node(HEAR, peaks) == [is_audible(np.array([0, -peak, 0], np.float32)) for peak in peaks]
    assert run_node(HEAR, peaks) == [False, False, True, True, True]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44056, 44100, 48000, 96000])
def test_a_waveform_is_resampled_as_by_soxr(rate, tmp_path):
    """In the band that both let pass, within -65 dB of the peak; faded, for soxr is less exact at abrupt ends."""
    samples = 3 * rate + 7
    spectrum = np.fft.rfft(np.random.default_rng(rate).standard_normal(samples))
    spectrum[np.fft.rfftfreq(samples, 1 / rate) > 0.9 * min(rate, SAMPLE_RATE) / 2] = 0
    waveform = np.fft.irfft(spectrum, samples) * np.hanning(samples)
    waveform = (waveform / np.abs(waveform).max()).astype(np.float32)
    waveform.tofile(tmp_path / "input")
    given = {"rate": rate, "input": str(tmp_path / "input"), "output": str(tmp_path / "output")}
    assert run_node(RESAMPLE, given) == [1, 1]
    resampled = np.fromfile(tmp_path / "output", np.float32)
    expected = soxr.resample(waveform, rate, SAMPLE_RATE, quality="soxr_hq")
    assert len(resampled) == int(np.ceil(samples * SAMPLE_RATE / rate))
    size = min(len(resampled), len(expected))
    difference = np.abs(resampled[:size] - expected[:size])
    assert difference.max() < 10 ** (-65 / 20)


def test_what_is_above_the_band_is_stopped(tmp_path):
    """A tone at 12 kHz, which is nearer to the band than most, leaves less than -75 dB of itself as an alias."""
    waveform = np.sin(2 * np.pi * 12_000 * np.arange(3 * 44_100) / 44_100).astype(np.float32)
    waveform.tofile(tmp_path / "input")
    run_node(RESAMPLE, {"rate": 44_100, "input": str(tmp_path / "input"), "output": str(tmp_path / "output")})
    resampled = np.fromfile(tmp_path / "output", np.float32)
    assert np.abs(resampled[1000:-1000]).max() < 10 ** (-75 / 20)
