"""The baseline: librosa's features chunk by chunk, the original CNN in PyTorch, a plain threaded HTTP server.

`python -m benchmarks.baseline PORT` serves on loopback, for the benchmarks to compare the service with.
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

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.features import CHANNELS
from train.features.spectrum import FRAMES, N_MFCC
from train.network.checkpoint import GTZAN_LABELS
from train.network.table import build_network


def librosa_features(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of one chunk, float32 (66150,) to float32 (5, 40, 130), by librosa's public functions."""
    mfcc = librosa.feature.mfcc(y=chunk, sr=SAMPLE_RATE, n_mfcc=N_MFCC)
    _, beats = librosa.beat.beat_track(y=chunk, sr=SAMPLE_RATE)
    image = np.empty((CHANNELS, N_MFCC, FRAMES), dtype=np.float32)
    image[0] = mfcc
    image[1] = librosa.feature.delta(mfcc)
    image[2] = librosa.feature.delta(mfcc, order=2)
    # Without beats librosa makes no segment; here the whole chunk is one.
    image[3] = _resize(librosa.util.sync(mfcc, list(beats) or [0]))
    image[4] = _resize(librosa.feature.chroma_stft(y=chunk, sr=SAMPLE_RATE))
    return image


def _resize(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(rows))[None, None]
    resized = torch.nn.functional.interpolate(batch, size=(N_MFCC, FRAMES), mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0])


class BaselineClassifier:
    """The genre of a waveform by librosa and a CNN with random weights, which make no difference to its speed."""

    def __init__(self) -> None:
        """Make the network, and classify once, since librosa compiles functions at their first use."""
        self._network = build_network("cnn", len(GTZAN_LABELS)).eval()
        self.classify(np.random.default_rng(0).standard_normal(CHUNK_SAMPLES).astype(np.float32))

    @torch.inference_mode()
    def classify(self, waveform: NDArray[np.float32]) -> dict[str, object]:
        """The genre that most chunks of a waveform (samples,) at 22 050 Hz have, and the mean probabilities."""
        count = len(waveform) // CHUNK_SAMPLES
        chunks = waveform[: count * CHUNK_SAMPLES].reshape(count, CHUNK_SAMPLES)
        images = torch.from_numpy(np.stack([librosa_features(chunk) for chunk in chunks]))
        log_probs, *_ = self._network.classify(images)
        votes = Counter(GTZAN_LABELS[index] for index in log_probs.argmax(dim=1).tolist())
        mean = log_probs.exp().mean(dim=0).tolist()
        return {"genre": votes.most_common(1)[0][0], "probabilities": dict(zip(GTZAN_LABELS, mean, strict=True))}


def serve(port: int) -> None:
    """Answer POST /classify with a multipart field `audio`, one thread per connection, until interrupted."""
    classifier = BaselineClassifier()

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
