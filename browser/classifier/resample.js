/**
 * Channels at any rate -> mono at 22 050 Hz: a windowed sinc (Kaiser), of the pass band that soxr_hq has.
 *
 * It lets pass what is below 91 % of the lower Nyquist frequency, and leaves -80 dB of what is above that frequency. Most
 * of the time that a clip takes is spent here.
 */

import { SAMPLE_RATE, join } from "./chunks.js";

const PASS = 0.913; // of the lower Nyquist frequency
const STOP_DB = 80;

/** The mean of channels, each Float32Array(samples). */
export function mono(channels) {
  if (channels.length === 1) return channels[0];
  const mean = new Float32Array(channels[0].length);
  for (const channel of channels) for (let i = 0; i < mean.length; i++) mean[i] += channel[i];
  for (let i = 0; i < mean.length; i++) mean[i] /= channels.length;
  return mean;
}

/** Resamples a waveform that comes in blocks. In all it gives ceil(n * 22050 / rate) samples for n. */
export class Resampler {
  #filters;
  #held; // what further samples may need of those that came, after silence before the first
  #place = 0; // in `held`, of the first sample that the next output needs
  #phase = 0; // of the next output, in parts of an input sample
  #taken = 0;
  #given = 0;

  constructor(rate) {
    this.rate = rate;
    if (rate === SAMPLE_RATE) return;
    this.#filters = filterBank(rate);
    this.#held = new Float32Array(this.#filters.half - 1);
  }

  push(block) {
    this.#taken += block.length;
    return this.#filters ? this.#filtered(block) : block;
  }

  /** The last samples, after silence. */
  end() {
    if (!this.#filters) return new Float32Array(0);
    const missing = Math.ceil(this.#taken * (SAMPLE_RATE / this.rate)) - this.#given;
    return this.#filtered(new Float32Array(2 * this.#filters.half)).subarray(0, missing);
  }

  #filtered(block) {
    const { up, down, taps, phases } = this.#filters;
    const dot = up === 1 ? symmetricDot : plainDot;
    const held = join(this.#held, block);
    const most = Math.max(0, Math.ceil(((held.length - taps - this.#place + 1) * up - this.#phase) / down));
    const output = new Float32Array(most);
    let [place, phase] = [this.#place, this.#phase];
    for (let i = 0; i < most; i++) {
      output[i] = dot(phases[phase], held, place);
      phase += down;
      place += Math.floor(phase / up);
      phase %= up;
    }
    this.#held = held.slice(Math.min(place, held.length));
    [this.#place, this.#phase] = [Math.max(0, place - held.length), phase];
    this.#given += most;
    return output;
  }
}

/** Four sums at a time, for they need not wait for each other; the number of taps is a multiple of four. */
function plainDot(filter, samples, place) {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let k = 0, i = place; k < filter.length; k += 4, i += 4) {
    a += filter[k] * samples[i];
    b += filter[k + 1] * samples[i + 1];
    c += filter[k + 2] * samples[i + 2];
    d += filter[k + 3] * samples[i + 3];
  }
  return a + b + (c + d);
}

/**
 * Where outputs stand on input samples, as from 44.1 kHz, one tap serves the sample before and the one after. The taps at
 * both ends, which are next to nothing, are left out.
 */
function symmetricDot(filter, samples, place) {
  const middle = filter.length / 2 - 1;
  let [a, b] = [filter[middle] * samples[place + middle], 0];
  for (let k = middle - 1, i = place + k, j = i + 2; k > 0; k -= 2, i -= 2, j += 2) {
    a += filter[k] * (samples[i] + samples[j]);
    b += filter[k - 1] * (samples[i - 1] + samples[j + 1]);
  }
  return a + b;
}

/** A filter for each of the `up` places that an output can have between two input samples. */
function filterBank(rate) {
  const divisor = gcd(rate, SAMPLE_RATE);
  const [up, down] = [SAMPLE_RATE / divisor, rate / divisor];
  const nyquist = Math.min(rate, SAMPLE_RATE) / 2;
  const cutoff = ((1 + PASS) / 2) * nyquist;
  const width = (2 * Math.PI * (1 - PASS) * nyquist) / rate; // of the transition, in radians a sample
  const beta = 0.1102 * (STOP_DB - 8.7); // Kaiser's formulas
  const taps = 4 * Math.ceil((STOP_DB - 8) / (2.285 * width) / 4);
  const half = taps / 2;
  const gain = (2 * cutoff) / rate;
  const phases = Array.from({ length: up }, (_, phase) =>
    Float64Array.from({ length: taps }, (_, k) => {
      const distance = k - half + 1 - phase / up; // from the output, in input samples
      const window = bessel(beta * Math.sqrt(Math.max(0, 1 - (distance / half) ** 2))) / bessel(beta);
      return gain * sinc(gain * distance) * window;
    }),
  );
  return { up, down, half, taps, phases };
}

const gcd = (a, b) => (b ? gcd(b, a % b) : a);
const sinc = (x) => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);

/** The modified Bessel function of the first kind, of order zero. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}
