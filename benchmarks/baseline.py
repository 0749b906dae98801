"""The librosa way of doing the same: features chunk by chunk, a CNN in PyTorch, a plain threaded HTTP server.

`python -m benchmarks.baseline PORT` serves on loopback, for the benchmarks to compare with.
"""

import argparse
import io
import json
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.checkpoint import GTZAN_LABELS
from train.features import CHANNELS
from train.model import GenreNet
from train.spectrum import FRAMES, N_MFCC


def librosa_features(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of one chunk, float32 (66150,) to float32 (5, 40, 130), by librosa's public functions alone."""
    mfcc = librosa.feature.mfcc(y=chunk, sr=SAMPLE_RATE, n_mfcc=N_MFCC)
    _, beats = librosa.beat.beat_track(y=chunk, sr=SAMPLE_RATE)
    image = np.empty((CHANNELS, N_MFCC, FRAMES), dtype=np.float32)
    image[0] = mfcc
    image[1] = librosa.feature.delta(mfcc)
    image[2] = librosa.feature.delta(mfcc, order=2)
    # Of no beats, librosa makes no segments; the contract makes one.
    image[3] = _resize(librosa.util.sync(mfcc, list(beats) or [0]))
    image[4] = _resize(librosa.feature.chroma_stft(y=chunk, sr=SAMPLE_RATE))
    return image


def _resize(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(rows))[None, None]
    resized = torch.nn.functional.interpolate(batch, size=(N_MFCC, FRAMES), mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0])


class Classifier:
    """A file's genre by librosa and a CNN. The weights are random: what they are makes no difference to its speed."""

    def __init__(self) -> None:
        """Make the network, and let librosa compile what it compiles when first used."""
        self._network = GenreNet(len(GTZAN_LABELS), "original").eval()
        self.classify(np.random.default_rng(0).standard_normal(CHUNK_SAMPLES).astype(np.float32))

    @torch.inference_mode()
    def classify(self, waveform: NDArray[np.float32]) -> dict[str, object]:
        """The votes of the chunks of a waveform (samples,) at 22 050 Hz, and their mean probabilities."""
        count = len(waveform) // CHUNK_SAMPLES
        chunks = waveform[: count * CHUNK_SAMPLES].reshape(count, CHUNK_SAMPLES)
        images = torch.from_numpy(np.stack([librosa_features(chunk) for chunk in chunks]))
        log_probs, _ = self._network.classify(images)
        votes = Counter(GTZAN_LABELS[index] for index in log_probs.argmax(dim=1).tolist())
        mean = log_probs.exp().mean(dim=0).tolist()
        return {"genre": votes.most_common(1)[0][0], "probabilities": dict(zip(GTZAN_LABELS, mean, strict=True))}


def serve(port: int) -> None:
    """Answer POST /classify with a multipart field of audio, a thread for each connection, until interrupted."""
    classifier = Classifier()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({"ready": True})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            (part,) = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            waveform, _ = librosa.load(io.BytesIO(content), sr=SAMPLE_RATE)
            self._answer(classifier.classify(waveform))

        def _answer(self, answer: dict[str, object]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baseline", description=__doc__)
    parser.add_argument("port", type=int)
    serve(parser.parse_args().port)
