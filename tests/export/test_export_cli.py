"""`python -m export`: what it writes, and when it writes nothing."""

import os
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks.baseline import librosa_features
from export import __main__ as cli
from export import parity
from genre_classifier.audio import cut_chunks, decode
from tests.support.disk import files_no_larger_than
from train.network.checkpoint import load_checkpoint


def export(*arguments, **environment):
    command = [sys.executable, "-m", "export", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name != "GENRE_DATA"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment)


def test_refuses_what_is_no_checkpoint(tmp_path):
    wrong = tmp_path / "song.mp3"
    wrong.write_bytes(b"ID3")
    for path, says in ((wrong, "is not a checkpoint"), (tmp_path / "nowhere", "There is no checkpoint")):
        ended = export("--checkpoint", path, "--output", tmp_path / "genre.onnx")
        assert ended.returncode == 2
        assert says in ended.stderr
        assert not (tmp_path / "genre.onnx").exists()


def test_real_music_is_where_genre_data_says(monkeypatch, tmp_path):
    arguments = ["--checkpoint", "best.ckpt"]
    monkeypatch.delenv("GENRE_DATA", raising=False)
    assert cli.parse_args(arguments).data is None
    monkeypatch.setenv("GENRE_DATA", str(tmp_path))
    assert cli.parse_args(arguments).data == tmp_path / "gtzan"
    assert cli.parse_args([*arguments, "--data", "music"]).data.name == "music"


def test_a_graph_that_disagrees_is_not_written(checkpoint, graph, tmp_path, monkeypatch, capsys):
    written, network = graph  # written already, which takes half a minute
    monkeypatch.setattr("export.graph.write_graph", lambda _, path: (shutil.copy(written, path), network)[1])
    checkpoint.save(tmp_path / "best.ckpt")
    output = tmp_path / "genre.onnx"
    output.write_bytes(b"the last one that agreed")
    monkeypatch.delenv("GENRE_DATA", raising=False)
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    assert cli.main(["--checkpoint", str(tmp_path / "best.ckpt"), "--output", str(output)]) == 1
    assert output.read_bytes() == b"the last one that agreed"
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "genre.onnx"}
    printed = capsys.readouterr()
    assert "PyTorch and the graph disagree" in printed.err
    assert "beyond: silence" in printed.out


def test_a_full_disk_is_one_sentence_and_the_last_graph_stays(checkpoint, graph, tmp_path, monkeypatch, capsys):
    written, network = graph

    def write(_, path):
        path.write_bytes(written.read_bytes())
        return network

    monkeypatch.setattr("export.graph.write_graph", write)
    monkeypatch.delenv("GENRE_DATA", raising=False)
    checkpoint.save(tmp_path / "best.ckpt")
    output = tmp_path / "genre.onnx"
    output.write_bytes(b"the last one")
    with files_no_larger_than(10_000):
        assert cli.main(["--checkpoint", str(tmp_path / "best.ckpt"), "--output", str(output)]) == 1
    assert capsys.readouterr().err == f"export: {output}: File too large.\n"
    assert output.read_bytes() == b"the last one"
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "genre.onnx"}


def test_refuses_a_damaged_checkpoint(checkpoint, tmp_path, capsys):
    path = tmp_path / "best.ckpt"
    torch.save(dict(vars(checkpoint)) | {"metrics": None}, path)
    assert cli.main(["--checkpoint", str(path), "--output", str(tmp_path / "genre.onnx")]) == 2
    assert capsys.readouterr().err == f"export: {path} is a checkpoint that contains impossible values: metrics.\n"


@pytest.mark.slow
@pytest.mark.gtzan
def test_original_checkpoint_predicts_what_it_did_with_librosa(data, tmp_path):
    """Chunks of real music through the command line's graph, and through librosa and the PyTorch CNN."""
    original = data / "original" / "withweightdecay5channels.ckpt"
    path = tmp_path / "original.onnx"
    ended = export("--checkpoint", original, "--output", path, GENRE_DATA=str(data))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "no real music" not in ended.stdout

    chunks = []
    for clip in [*sorted((data / "gtzan").glob("*/*.ogg"))[1::4], *sorted((data / "songs").glob("*.ogg"))]:
        waveform = decode(clip).waveform
        if len(waveform) >= 66150:
            chunks += list(cut_chunks(waveform)[::4])
    assert len(chunks) >= 300
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.run(["log_probs"], {"waveform": np.stack(chunks)})[0]
    features = torch.from_numpy(np.stack([librosa_features(chunk) for chunk in chunks]))
    with torch.inference_mode():
        expected = load_checkpoint(original).network().classifier(features).numpy()
    assert (given.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.995
