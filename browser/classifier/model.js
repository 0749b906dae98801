/** The graph in ONNX Runtime's build for WebAssembly, and what the model says of itself. */

import { CHUNK_SAMPLES, SAMPLE_RATE } from "./chunks.js";
import * as ort from "./runtime.js";

const BATCH = 8; // chunks in one run: more take no less time each, and hold the processor longer
const MOST_THREADS = 4; // where the page is isolated from other sites; elsewhere a browser allows none but the first
// Threads that spin while they wait take the cores from those that decode.
const OPTIONS = { executionProviders: ["wasm"], extra: { session: { intra_op: { allow_spinning: "0" } } } };
const OUTPUTS = ["log_probs", "tags", "familiarity"]; // the embedding is left out

const beside = (name) => new URL(name, import.meta.url);

export class Model {
  /** Load model.json, the runtime and the graph, which lie beside this module; `tell` hears the share that has come. */
  static async load(tell) {
    const info = await (await found("model.json")).json();
    if (info.sample_rate !== SAMPLE_RATE || info.chunk_samples !== CHUNK_SAMPLES) {
      throw new Error("The model is made for other chunks than these: build the site again.");
    }
    let [loaded, told] = [0, 0];
    const heard = (bytes) => {
      const percent = Math.floor((100 * (loaded += bytes)) / info.bytes);
      if (percent > told) tell((told = percent) / 100);
    };
    const [runtime, graph] = await Promise.all([fetchBytes("runtime.wasm", heard), fetchBytes("genre.onnx", heard)]);
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    const session = await ort.InferenceSession.create(graph, OPTIONS);
    return new Model({ ...info, provider: "WebAssembly" }, session);
  }

  constructor(info, session) {
    Object.assign(this, { info, session });
    this.outputs = OUTPUTS.filter((name) => session.outputNames.includes(name));
  }

  /** Rows of each output for chunks, each Float32Array(66150): arrays, and numbers where a row is one. */
  async run(chunks) {
    const rows = Object.fromEntries(this.outputs.map((name) => [name, []]));
    for (let first = 0; first < chunks.length; first += BATCH) {
      const batch = chunks.slice(first, first + BATCH);
      const waveform = new Float32Array(batch.length * CHUNK_SAMPLES);
      batch.forEach((chunk, i) => waveform.set(chunk, i * CHUNK_SAMPLES));
      const input = new ort.Tensor("float32", waveform, [batch.length, CHUNK_SAMPLES]);
      const given = await this.session.run({ waveform: input }, this.outputs);
      for (const name of this.outputs) {
        const { data, dims } = given[name];
        const width = dims[1] ?? 0;
        for (let i = 0; i < batch.length; i++) {
          rows[name].push(width ? data.slice(i * width, (i + 1) * width) : data[i]);
        }
      }
    }
    return rows;
  }
}

async function found(name) {
  const response = await fetch(beside(name));
  if (!response.ok) throw new Error(`${name} is not there.`);
  return response;
}

async function fetchBytes(name, heard) {
  const parts = [];
  for (const reader = (await found(name)).body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    heard(value.length);
  }
}
