"""What README and card say of the model is what its file says, and what it answers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from benchmarks import summary
from benchmarks.load import table
from serving.settings import Settings

ROOT = Path(__file__).parents[1]
TRAINING = ROOT / "artifacts" / "training"
NAMES = {"train": "train", "valid": "validation", "test": "test"}


def percent(share):
    return f"{100 * share:.1f} %"


@pytest.fixture(scope="module")
def metadata():
    session = onnxruntime.InferenceSession(ROOT / "artifacts" / "genre.onnx", providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def test_figures_are_those_in_the_model(metadata):
    text = (ROOT / "artifacts" / "CARD.md").read_text()
    for part, figures in json.loads(metadata["metrics"]).items():
        shares = [figures["track_accuracy"], figures["track_accuracy_macro"], figures["chunk_accuracy"]]
        row = " | ".join([NAMES[part], str(figures["tracks"]), *(percent(share) for share in shares)])
        assert f"| {row} |" in text


def test_what_is_said_of_the_test_clips(metadata):
    text = " ".join((ROOT / "artifacts" / "CARD.md").read_text().split())
    test = json.loads(metadata["metrics"])["test"]
    plain, macro = (test[f"track_accuracy{average}_interval"] for average in ("", "_macro"))
    assert " and ".join(f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in (plain, macro)) in text
    assert ", ".join(f"{seconds} s {percent(share)}" for seconds, share in test["by_seconds"].items()) in text


@pytest.mark.parametrize(
    ("run", "row"),
    [
        ("cross-validation", "this one | five folds by artist"),
        ("fault-filtered-seed-0", "this one, as it ships | fault-filtered split"),
        ("original-fault-filtered", "the original's, its recipe, trained here | fault-filtered split"),
    ],
)
def test_the_readme_s_figures_are_the_runs(run, row):
    test = json.loads((TRAINING / f"{run}.json").read_text())["test"]
    shares = [percent(test[f"track_accuracy{of}"]) for of in ("", "_macro")]
    if row.startswith("this"):
        ends = [test[f"track_accuracy{of}_interval"] for of in ("", "_macro")]
        shares = [
            f"{share} [{100 * low:.0f}, {100 * high:.0f}]" for share, (low, high) in zip(shares, ends, strict=True)
        ]
    assert f"| {row} | {test['tracks']} | {' | '.join(shares)} |" in (ROOT / "README.md").read_text()


def test_the_readme_s_leak_is_the_run_s():
    text = " ".join((ROOT / "README.md").read_text().split())
    leaking, honest = (
        json.loads((TRAINING / f"original-{split}.json").read_text())["test"]
        for split in ("random-chunk", "fault-filtered")
    )
    assert f"reach {percent(leaking['chunk_accuracy'])} of the chunks that way here" in text
    assert f"{percent(honest['track_accuracy_macro'])} of the clips" in text


def test_card_tells_the_model_s_facts(metadata):
    card = (ROOT / "artifacts" / "CARD.md").read_text()
    assert metadata["version"] in card
    assert metadata["split_sha256"] in card
    threshold = float(metadata["uncertain_below"])
    assert f"below {threshold:.2f}" in card
    test = json.loads(metadata["metrics"])["test"]
    assert f"{float(metadata['temperature']):.2f}, and an answer" in card
    assert f"{100 * test['track_accuracy_mean']:.1f} % of the test clips" in " ".join(card.split())
    assert f"that is {test['calibration_error']:.3f}" in card


@pytest.mark.parametrize("run", sorted(path.stem for path in TRAINING.glob("*.json")))
def test_runs_reached_what_is_said(run):
    """Every run that is kept stands in the table with its own figures."""
    text = (ROOT / "artifacts" / "TRAINING.md").read_text()
    figures = json.loads((TRAINING / f"{run}.json").read_text())
    test = figures["test"]
    if run.endswith("random-chunk"):
        assert f"| {test['chunks']} chunks | {percent(test['chunk_accuracy'])} |" in text
        return
    interval = (
        "[{:.0f}, {:.0f}]".format(*(100 * end for end in test[f"track_accuracy{of}_interval"])) for of in ("", "_macro")
    )
    plain, macro = (percent(test[f"track_accuracy{of}"]) for of in ("", "_macro"))
    if "folds" in figures:
        plain, macro = (f"{share} {each}" for share, each in zip((plain, macro), interval, strict=True))
    assert f"| {test['tracks']} | {plain} | {macro} |" in text


def test_the_seeds_and_folds_spread_as_said():
    text = " ".join((ROOT / "artifacts" / "TRAINING.md").read_text().split())
    seeds = [json.loads((TRAINING / f"fault-filtered-seed-{seed}.json").read_text()) for seed in range(3)]
    reached = [figures["test"]["track_accuracy_macro"] for figures in seeds]
    assert f"the three seeds differ by {100 * (max(reached) - min(reached)):.1f} points" in text
    folds = [fold["test"] for fold in json.loads((TRAINING / "cross-validation.json").read_text())["folds"]]
    assert f"from {percent(min(folds))} to {percent(max(folds))}" in text


@pytest.mark.parametrize("document", ["README.md", "artifacts/CARD.md"])
def test_the_cross_validation_stands_beside(document):
    test = json.loads((TRAINING / "cross-validation.json").read_text())["test"]
    plain, macro = (percent(test[f"track_accuracy{of}"]) for of in ("", "_macro"))
    low, high = (f"{100 * end:.0f}" for end in test["track_accuracy_macro_interval"])
    text = " ".join((ROOT / document).read_text().split())
    assert (
        f"{test['tracks']} clips tested once, {plain} are right, {macro} averaged over genres [{low}, {high}]" in text
    )


def test_the_model_is_the_first_seed_s(metadata):
    assert json.loads(metadata["metrics"]) == json.loads((TRAINING / "fault-filtered-seed-0.json").read_text())


def test_exactness_is_as_measured():
    measured = json.loads((ROOT / "benchmarks" / "results" / "exactness.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for each in measured["difference"].values():
        assert f"| {each['median']:.1e} | {each['largest']:.1e} |" in readme
    assert f"on {measured['chunks']} chunks of real music" in readme
    assert f"same beats on {100 * measured['beats_equal']:.1f} % of the chunks" in readme
    assert f"same tuning on {100 * measured['tuning_equal']:.1f} %" in readme


def test_the_readme_s_answer_is_the_answer():
    readme = (ROOT / "README.md").read_text()
    promised = json.loads(re.search(r"\$ curl [^\n]*\n(\{.*?\n?\})\n```", readme, re.DOTALL)[1])
    command = [sys.executable, "-m", "serving", "--json", "--top-k", "2", "artifacts/sample.mp3"]
    given = json.loads(subprocess.check_output(command, cwd=ROOT))
    del given["file"]
    assert promised.keys() == given.keys()
    assert promised["genre"] == given["genre"]
    assert promised["votes"] == given["votes"]
    assert promised["model"]["version"] == given["model"]["version"]
    assert promised["probabilities"] == pytest.approx(given["probabilities"], abs=1e-3)
    assert len(promised["segments"]) == len(given["segments"])


def test_every_setting_stands_in_the_manual_with_its_default():
    manual = (ROOT / "docs" / "serving.md").read_text()
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `GENRE_{name.upper()}` \| ([^|]*) \|", manual, re.MULTILINE)
        assert row, name
        if name not in {"model", "workers", "max_batch_size"}:  # which depend on where it runs
            assert row[1] == str(field.default)


def test_the_load_was_borne_as_said():
    results = json.loads((ROOT / "benchmarks" / "results" / "load.json").read_text())
    assert table(results) in (ROOT / "docs" / "serving.md").read_text()


def test_every_test_that_the_manual_names_is_there():
    manual = (ROOT / "docs" / "serving.md").read_text()
    for file, name in re.findall(r"(test_\w+\.py)(?:::(\w+))?", manual):
        assert f"def {name or 'test_'}" in (ROOT / "tests" / "serving" / file).read_text()


@pytest.mark.parametrize("document", ["README.md", "docs/benchmarks.md"])
def test_speed_is_as_measured(document):
    assert summary.table() in (ROOT / document).read_text()


def test_every_benchmark_is_in_the_manual():
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in re.findall(r"-m benchmarks\.(\w+)", text):
        assert (ROOT / "benchmarks" / f"{name}.py").exists()
    for result in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert f"-m benchmarks.{result.stem}" in text
