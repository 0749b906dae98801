/** The graph's outputs for a clip -> the answer, by the rules of genre_classifier/verdict.py. */

import { CHUNK_SECONDS, SAMPLE_RATE, chunkStarts } from "./chunks.js";

const MIN_TAG = 0.1; // a tag's mean probability from which it is listed

/**
 * Decide on a clip.
 *
 * `clip`: `samples` at 22 050 Hz, `audible` of each chunk, `warning` or null.
 * `outputs`: for its audible chunks, rows of `log_probs` and, where the model has them, of `tags`; `familiarity`.
 * `model`: labels, tags, thresholds, version and provider.
 * `options`: `aggregate`, "vote" or "mean"; `top_k`, genres to list, all if it is absent.
 */
export function decide(clip, outputs, model, { aggregate = "vote", top_k = model.labels.length } = {}) {
  check(aggregate, top_k, model.labels.length);
  const probabilities = outputs.log_probs.map((row) => Array.from(row, Math.exp));
  const mean = means(probabilities);
  const chosen = probabilities.map((row) => row.indexOf(Math.max(...row))); // the first of equals: label order
  const votes = model.labels.map((_, label) => chosen.filter((each) => each === label).length);
  const [winner] = ranked(mean).sort((a, b) => (aggregate === "vote" ? votes[b] - votes[a] : 0)); // a stable sort
  const confidence = rounded(mean[winner], 6);
  const recognised = isRecognised(outputs, model);
  const top = (values, first) => named(keep(ranked(values), first, top_k), model.labels, values);
  const rows = probabilities.keys();
  const answer = {
    genre: model.labels[winner],
    confidence,
    uncertain: confidence < model.uncertain_below || recognised === false,
    recognised,
    duration: rounded(clip.samples / SAMPLE_RATE, 3),
    aggregate,
    probabilities: top(mean, winner),
    votes: named(ranked(votes).filter((label) => votes[label]), model.labels, votes),
    segments: chunkStarts(clip.samples).map((first, chunk) => {
      const row = clip.audible[chunk] ? rows.next().value : null;
      const start = first / SAMPLE_RATE;
      return {
        start: rounded(start, 3),
        end: rounded(start + CHUNK_SECONDS, 3),
        genre: row === null ? null : model.labels[chosen[row]],
        probabilities: row === null ? null : top(probabilities[row], chosen[row]),
      };
    }),
    tags: tagsOf(outputs, model),
    model: { version: model.version, provider: model.provider },
    warning: clip.warning,
  };
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null && value !== undefined));
}

function check(aggregate, top_k, labels) {
  if (!Number.isInteger(top_k) || top_k < 1 || top_k > labels) {
    throw new RangeError(`top_k must be a whole number from 1 to ${labels}.`);
  }
  if (!["vote", "mean"].includes(aggregate)) throw new RangeError("aggregate must be vote or mean.");
}

/** The mean of each column. */
const means = (rows) => Array.from(rows[0], (_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);

/** Places of values, the greatest first; equals stay in their order. */
const ranked = (values) => [...values.keys()].sort((a, b) => values[b] - values[a]);

/** The first so many, of which the winner is one. */
const keep = (order, winner, most) =>
  order.indexOf(winner) < most ? order.slice(0, most) : [...order.slice(0, most - 1), winner];

const named = (places, names, values) => Object.fromEntries(places.map((i) => [names[i], rounded(values[i], 6)]));

const rounded = (value, digits) => Number(value.toFixed(digits));

function isRecognised({ familiarity }, { recognised_above: above }) {
  if (!familiarity || above === null || above === undefined) return null;
  return familiarity.reduce((sum, each) => sum + each, 0) / familiarity.length > above;
}

function tagsOf({ tags }, model) {
  if (!tags) return null;
  const mean = means(tags);
  return named(ranked(mean).filter((tag) => mean[tag] >= MIN_TAG), model.tags, mean);
}
