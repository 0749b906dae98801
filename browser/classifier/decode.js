/** A file -> its channels, decoded by the browser at the file's own rate; a long file in pieces. */

import { AudioError, breaksOff } from "./errors.js";
import { TAIL_BYTES, readHead } from "./formats/head.js";

const PIECE_SECONDS = 60; // of a long file that are decoded at a time: some 20 MB
const WHOLE_SECONDS = 600; // up to which a file is decoded as one: some 200 MB
const MOST_WHOLE_SECONDS = 1800; // up to which a file is that cannot be cut
const MOST_WHOLE_BYTES = 2 ** 28;
const HEAD_BYTES = 2 ** 24; // that are read of a long file to learn how it is made; pictures stand there too
const EDGE_BYTES = 2 ** 18; // that are read at a time to find where a piece can begin
const MOST_MS_TO_ASK = 5000; // for a browser to say how long a file is
const LEAST_MISSING_SECONDS = 0.5; // that a whole file may lack of what its head tells

const NOT_AUDIO = "This is not an audio file that this browser can read.";
const DAMAGED = "The file is damaged, and none of its audio can be read.";
const TOO_LONG = "The file is too long to be decoded as one, and its format cannot be cut here: send MP3, FLAC, Ogg or WAV.";

/**
 * Decode a file, whatever its name says.
 *
 * Yields { rate, channels, share }: Hz, a Float32Array for each channel, and how much of the file that is with what came
 * before. Returns a warning where the file breaks off, else null. Throws AudioError.
 */
export async function* decode(file, { wholeSeconds = WHOLE_SECONDS } = {}) {
  if (!file.size) throw new AudioError("The file is empty.", "undecodable");
  const bytes = await read(file, 0, HEAD_BYTES);
  const head = readHead(bytes);
  const seconds = await playingSeconds(file);
  const inPieces = seconds > wholeSeconds && head.cut;
  if (!inPieces && (seconds > MOST_WHOLE_SECONDS || file.size > MOST_WHOLE_BYTES)) {
    throw new AudioError(TOO_LONG, "too_long");
  }
  let [given, damaged] = [0, false];
  for await (const piece of inPieces ? decodePieces(file, head, seconds) : decodeWhole(file, head, bytes)) {
    damaged = !piece;
    if (damaged) break;
    given += piece.channels[0].length / piece.rate;
    yield piece;
  }
  if (!given) throw new AudioError(seconds ? DAMAGED : NOT_AUDIO, "undecodable");
  damaged ||= given < head.seconds - LEAST_MISSING_SECONDS || file.size < head.bytes;
  damaged ||= head.ends && !head.ends(await read(file, -TAIL_BYTES));
  return damaged ? breaksOff(given) : null;
}

async function* decodeWhole(file, { rate }, bytes) {
  const whole = file.size > bytes.length ? await read(file, 0, file.size) : bytes;
  const decoded = await decodeBytes(whole.buffer, rate);
  yield decoded && { ...decoded, share: 1 };
}

/** Yields null, and ends, where a piece cannot be decoded. */
async function* decodePieces(file, { rate, cut }, seconds) {
  const end = Math.min(cut.end ?? file.size, file.size);
  const step = Math.ceil((end * PIECE_SECONDS) / seconds);
  for (let edge = { from: 0, keep: 0 }; edge; ) {
    const next = await findEdge(file, cut, edge.keep + step, end);
    const body = await read(file, edge.from, next?.keep ?? end);
    const parts = edge.from ? cut.wrap(body) : [body];
    const decoded = await decodeBytes(await new Blob(parts).arrayBuffer(), rate);
    if (!decoded) return yield null;
    const length = decoded.channels[0].length;
    const wanted = edge.from && cut.samples ? cut.samples(body.subarray(edge.keep - edge.from), edge) : length;
    const first = Math.max(0, length - Math.round((wanted * decoded.rate) / rate));
    const channels = decoded.channels.map((channel) => channel.subarray(first));
    yield { rate: decoded.rate, channels, share: (next?.keep ?? end) / end };
    edge = next;
  }
}

/** The first edge from a place on; null where the end comes first. */
async function findEdge(file, cut, from, end) {
  for (let place = from; place < end; place += EDGE_BYTES / 2) {
    const edge = cut.edge(await read(file, place, place + EDGE_BYTES), place);
    if (edge) return edge.keep < end ? edge : null;
  }
  return null;
}

const read = async (file, from, to) => new Uint8Array(await file.slice(from, to).arrayBuffer());

/** What the browser makes of a file's bytes; null where it cannot decode them. */
async function decodeBytes(buffer, rate) {
  try {
    const audio = await contextAt(rate).decodeAudioData(buffer);
    if (!audio.length) return null;
    const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
    return { rate: audio.sampleRate, channels };
  } catch {
    return null;
  }
}

/** Decoding resamples to the rate of a context, so it has the file's, where that is one that the browser takes. */
function contextAt(rate) {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {
    return new OfflineAudioContext(1, 1, 48_000);
  }
}

/** How long the browser would play a file, without decoding it; 0 where it cannot or does not know. */
async function playingSeconds(file) {
  const audio = new Audio();
  const url = URL.createObjectURL(file);
  const until = (event) =>
    new Promise((resolve) => {
      audio[event] = audio.onerror = resolve;
      setTimeout(resolve, MOST_MS_TO_ASK); // a browser that saves data or power may not look into it
    });
  audio.preload = "metadata";
  audio.src = url;
  await until("onloadedmetadata");
  if (audio.duration === Infinity) {
    audio.currentTime = Number.MAX_SAFE_INTEGER; // what was recorded live does not tell: the browser looks for its end
    await until("ondurationchange");
  }
  const seconds = audio.duration;
  URL.revokeObjectURL(url);
  audio.removeAttribute("src");
  audio.load(); // lets the player go: a browser allows a page some dozens
  return Number.isFinite(seconds) ? seconds : 0;
}
