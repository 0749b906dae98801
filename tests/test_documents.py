"""What the documents say is so: figures are those of the runs, tables list what the code has, links lead somewhere."""

import inspect
import json
import re
import tomllib
from typing import get_args

import onnxruntime
import pytest
import yaml

import genre_classifier
from benchmarks import browser, fleet, gpu, load, pipe, roofline, summary
from genre_classifier import Classifier, Verdict
from genre_classifier.audio.errors import Kind
from genre_classifier.beets.genreclassifier import DEFAULTS
from genre_classifier.cli.main import parse_args
from genre_classifier.models import DEFAULT_MODEL, MODELS, find_model
from genre_classifier.session import CHUNK_GPU_MB, FIXED_GPU_MB, default_gpu_memory_mb
from serving import bentoml_patches
from serving.http.access_log import RequestLog
from serving.http.application import BENTOML_PATHS, OUR_PATHS
from serving.http.errors import STATUS_OF_AUDIO_ERROR, STATUS_OF_SERVICE_ERROR
from serving.http.uploads import MAX_FILES
from serving.settings import ServiceSettings
from tests.support import ROOT
from train.network.table import NETWORKS

TRAINING = ROOT / "artifacts" / "training"
RUNS = sorted(path.stem for path in TRAINING.glob("*.json"))
PARTS = {"train": "train", "valid": "validation", "test": "test"}
FOLDERS = (ROOT, ROOT / "docs", ROOT / "artifacts")
DOCUMENTS = [path for folder in FOLDERS for path in sorted(folder.glob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def read(document):
    return (ROOT / document).read_text()


def flowing(document):
    """The text without its line breaks."""
    return " ".join(read(document).split())


def section(document, heading):
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", read(document), re.MULTILINE | re.DOTALL)
    return found


def rows(text):
    """Cells of the tables in a text, without their headings."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    tables = [[cell.strip() for cell in line] for line in lines]
    return [row for row, below in zip(tables, [*tables[1:], [""]], strict=True) if "---" not in row[0] + below[0]]


def first_cells(text):
    """The code in the first cell of each row."""
    names = [name for row in rows(text) for name in re.findall(r"`([^`]+)`", row[0])]
    assert names
    return names


def percent(share):
    return f"{100 * share:.1f} %"


def interval(ends):
    return "[{:.0f}, {:.0f}]".format(*(100 * end for end in ends))


def run(name):
    return json.loads((TRAINING / f"{name}.json").read_text())


RUN_OF_MODEL = {"genre": "transfer", "cnn": "cnn"}


@pytest.fixture(params=MODELS)
def model(request):
    """The name of a model that ships."""
    return request.param


def read_metadata(name):
    session = onnxruntime.InferenceSession(MODELS[name], providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


@pytest.fixture
def metadata(model):
    return read_metadata(model)


# The model card.


def test_the_cards_figures_are_those_in_the_models(metadata):
    parts = json.loads(metadata["metrics"])
    assert parts.keys() == PARTS.keys()
    for part, figures in parts.items():
        shares = [figures["track_accuracy"], figures["track_accuracy_macro"], figures["chunk_accuracy"]]
        row = " | ".join([PARTS[part], str(figures["tracks"]), *(percent(share) for share in shares)])
        assert f"| {row} |" in read("artifacts/CARD.md")


def test_the_card_says_how_the_test_clips_fared():
    text = flowing("artifacts/CARD.md")
    test = json.loads(read_metadata(DEFAULT_MODEL)["metrics"])["test"]
    plain, macro = (test[f"track_accuracy{average}_interval"] for average in ("", "_macro"))
    assert " and ".join(f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in (plain, macro)) in text
    assert len(test["by_seconds"]) > 2
    assert ", ".join(f"{seconds} s {percent(share)}" for seconds, share in test["by_seconds"].items()) in text
    assert f"{percent(test['track_accuracy_mean'])} of the test clips" in text
    assert f"that is {test['calibration_error']:.3f}" in text


def test_the_card_tells_the_models_facts(metadata):
    card = flowing("artifacts/CARD.md")
    assert f"Version {metadata['version']}." in card
    assert f"`{metadata['split_sha256']}`" in card
    assert f"temperature is {float(metadata['temperature']):.2f}" in card
    assert re.search(rf"(confidence is below|threshold) {float(metadata['uncertain_below']):.2f}", card)
    if "recognised_above" in metadata:
        assert f"familiarity is above {float(metadata['recognised_above']):.2f}" in card


def test_the_models_are_those_of_the_runs(model, metadata):
    assert json.loads(metadata["metrics"]) == run(f"{RUN_OF_MODEL[model]}-fault-filtered")


def test_the_card_has_the_licence_of_the_body():
    notice = (ROOT / "train" / "network" / "body.NOTICE.txt").read_text().split("\n\n", 1)[1]
    card = re.sub(r"^> ?", "", read("artifacts/CARD.md"), flags=re.MULTILINE)
    assert " ".join(notice.split()) in " ".join(card.split())


def test_the_card_says_what_the_folds_say():
    card, test = flowing("artifacts/CARD.md"), run("transfer-cross-validation")["test"]
    missed = {genre: f"{100 * (1 - each['recall']):.0f} %" for genre, each in test["genres"].items()}
    assert f"**Blues**: in the cross-validation, over new artists, it misses {missed['blues']}" in card
    assert f"**Reggae**: it misses {missed['reggae']}" in card
    assert f"**Country**: it misses {missed['country']}" in card
    confusion = dict(zip(test["genres"], test["confusion"], strict=True))
    rock = list(test["genres"]).index("rock")
    false = sum(row[rock] for genre, row in confusion.items() if genre != "rock")
    assert f"{false} clips are that are not rock, and {confusion['rock'][rock]} that are" in card
    (most, _) = sorted(zip(test["genres"], confusion["blues"], strict=True), key=lambda each: -each[1])[1]
    assert f"takes more of them for {most} than for any other genre" in card
    shortest, longest = (percent(test["by_seconds"][seconds]) for seconds in ("3", "30"))
    assert f"three seconds are right in {shortest}, thirty in {longest}" in card
    assert test["calibration_error"] <= 0.06
    assert f"the calibration error in the folds is {test['calibration_error']:.3f}" in card


@pytest.mark.parametrize("document", ["artifacts/CARD.md", "README.md", "artifacts/TRAINING.md"])
def test_what_the_body_may_have_heard_is_told(document):
    text = flowing(document)
    assert "What the body may have heard" in text
    assert "obody could check" in text


def test_the_card_says_how_the_model_fares_elsewhere():
    test = run("transfer-elsewhere")["test"]
    right = round(test["track_accuracy"] * test["tracks"])
    ends = interval(test["track_accuracy_macro_interval"])
    macro = f"{percent(test['track_accuracy_macro'])} averaged over genres {ends}"
    assert f"of {test['tracks']} recordings that are not GTZAN's, it has {right} of 90 right, {macro}" in flowing(
        "artifacts/CARD.md"
    )


# How the model was chosen.


@pytest.mark.parametrize("name", RUNS)
def test_every_run_that_is_kept_stands_in_the_table(name):
    text, figures = read("artifacts/TRAINING.md"), run(name)
    test = figures["test"]
    if name.endswith("random-chunk"):
        assert f"| {test['chunks']} chunks | {percent(test['chunk_accuracy'])} |" in text
        return
    shares = [percent(test[f"track_accuracy{average}"]) for average in ("", "_macro")]
    if "folds" in figures:
        ends = [interval(test[f"track_accuracy{average}_interval"]) for average in ("", "_macro")]
        shares = [f"{share} {each}" for share, each in zip(shares, ends, strict=True)]
    assert f"| {test['tracks']} | {' | '.join(shares)} |" in text


def test_the_seeds_and_folds_spread_as_said():
    text = flowing("artifacts/TRAINING.md")
    assert {f"fault-filtered-seed-{seed}" for seed in range(3)} <= set(RUNS)
    reached = [run(f"fault-filtered-seed-{seed}")["test"]["track_accuracy_macro"] for seed in range(3)]
    assert f"the three seeds differ by {100 * (max(reached) - min(reached)):.1f} points" in text
    folds = [fold["test"] for fold in run("cross-validation")["folds"]]
    assert f"from {percent(min(folds))} to {percent(max(folds))}" in text


# The README's figures.


@pytest.mark.parametrize("document", ["README.md", "artifacts/CARD.md"])
def test_the_sizes_of_the_files_are_told(document, model):
    size = f"{MODELS[model].stat().st_size / 1e6:.1f} MB"
    assert size in section(document, {"README.md": "How exact and how fast it is"}.get(document, MODELS[model].name))


@pytest.mark.parametrize(
    ("name", "row", "with_interval"),
    [
        ("transfer-cross-validation", "the default network | five folds by artist", True),
        ("transfer-fault-filtered", "the default network | fault-filtered split", True),
        ("transfer-elsewhere", "the default model | elsewhere, validation", True),
        ("cnn-cross-validation", "the original CNN, `cnn` | five folds by artist", True),
        ("cnn-fault-filtered", "the original CNN, `cnn` | fault-filtered split", True),
        ("cnn-elsewhere", "the original CNN, `cnn` | elsewhere, validation", True),
        ("original-fault-filtered", "the original CNN, its recipe, trained here | fault-filtered split", False),
    ],
)
def test_the_readmes_accuracies_are_those_of_the_runs(name, row, with_interval):
    test = run(name)["test"]
    shares = [percent(test[f"track_accuracy{average}"]) for average in ("", "_macro")]
    if with_interval:
        ends = [interval(test[f"track_accuracy{average}_interval"]) for average in ("", "_macro")]
        shares = [f"{share} {each}" for share, each in zip(shares, ends, strict=True)]
    assert f"| {row} | {test['tracks']} | {' | '.join(shares)} |" in read("README.md")


@pytest.mark.parametrize("document", ["README.md", "artifacts/CARD.md"])
def test_the_cross_validation_stands_where_accuracy_is_told(document):
    test = run("transfer-cross-validation")["test"]
    plain, macro = (percent(test[f"track_accuracy{average}"]) for average in ("", "_macro"))
    ends = interval(test["track_accuracy_macro_interval"])
    sentence = f"{test['tracks']} clips tested once, {plain} are right, {macro} averaged over genres {ends}"
    assert sentence in flowing(document)


def test_the_readmes_leak_is_that_of_the_runs():
    text = flowing("README.md")
    leaking, honest = (run(f"original-{split}")["test"] for split in ("random-chunk", "fault-filtered"))
    assert f"the same network scores {percent(leaking['chunk_accuracy'])} of chunks on a random split" in text
    assert f"{percent(honest['track_accuracy_macro'])} of clips, averaged over genres, on the fault-filtered" in text


def test_recordings_from_elsewhere_are_told():
    told = [(name, found) for name in NAMES for found in re.findall(r"gets (\d+) of them right", flowing(name))]
    test = run("transfer-elsewhere")["test"]
    assert told == [("README.md", str(round(test["track_accuracy"] * test["tracks"])))]
    assert f"{test['tracks']} recordings that are not GTZAN's" in flowing("README.md")


def test_exactness_is_as_measured():
    measured = summary.read("exactness")
    features = flowing("docs/features.md")
    assert len(measured["difference"]) == 5
    for each in measured["difference"].values():
        assert f"| {each['median']:.1e} | {each['largest']:.1e} |" in features
    assert f"on {measured['chunks']} chunks of real music" in features
    same = [percent(measured[f"{what}_equal"]) for what in ("beats", "tuning")]
    assert f"The beats are the same on {same[0]} of the chunks, the tuning on {same[1]}." in features
    median = measured["difference"]["mfcc"]["median"]
    sentence = (
        f"on {measured['chunks']} chunks of real music, the median chunk's MFCC differ by at most {median:.1e} dB"
    )
    assert sentence in flowing("README.md")
    # The README says without a figure that these are the same.
    assert measured["beats_equal"] == measured["tuning_equal"] == 1.0


def test_speed_is_as_measured():
    table = summary.table()
    assert table in read("docs/benchmarks.md")
    chosen = [line for line in section("README.md", "How exact and how fast it is").splitlines() if line[:1] == "|"]
    assert len(chosen) > 4
    assert set(chosen) <= set(table.splitlines())


def test_the_speed_of_the_other_model_is_as_measured():
    graph, latency = summary.read("graph"), summary.read("cnn/latency")
    chunk = graph["ms_per_chunk"]["1 cores, batch 10"]
    ratio = chunk["librosa + torch CNN"] / chunk["ONNX Runtime CPU, genre-cnn"]
    one, eight = (latency["latency"][f"30 s MP3, {clients} clients"]["service"] for clients in (1, 8))
    p50, rate = latency["ratios"].values()
    for document in ("README.md", "docs/benchmarks.md"):
        text = flowing(document)
        assert f"takes {chunk['ONNX Runtime CPU, genre-cnn']:.1f} ms" in text
        assert f"in that run, {ratio:.1f} times as fast" in text
        assert f"a p50 of {one['p50_ms']:.0f} ms" in text
        assert f"{p50:.1f} times as fast as the librosa server" in text
        assert f"{eight['a_second']:.1f} requests a second" in text
        assert f"{rate:.1f} times as many" in text


def test_batching_is_as_measured():
    text = section("docs/benchmarks.md", "Method")
    measured = {name: each for name, each in summary.read("batching").items() if name.endswith("clients")}
    assert measured
    for name, each in measured.items():
        length, clients = name.removesuffix(" clients").split(", ")
        rates = [f"{each[way]['a_second']:.0f}" for way in ("on", "off")]
        assert [length, clients, *rates, f"{each['on']['rows_a_run']:.1f}"] in rows(text)


def test_what_is_predicted_for_a_gpu_is_as_counted():
    assert roofline.table() in read("docs/benchmarks.md")
    counted = roofline.count(find_model("genre"), 256)
    whole = sum(node.seconds for node in counted) / 256 * 1e6
    flops, moved = (sum(of) / 256 for of in zip(*(node[1:] for node in counted), strict=True))
    arithmetic, memory = (1e6 * each for each in (flops / roofline.H100_FLOPS, moved / roofline.H100_BYTES))
    parts = f"{whole:.1f} us: {arithmetic:.1f} for {flops / 1e6:.0f} MFLOP, {memory:.1f} for {moved / 1e6:.0f} MB"
    assert f"A chunk takes {parts}" in flowing("docs/benchmarks.md")
    assert f"a chunk's {roofline.CHUNK_BYTES:,} bytes".replace(",", " ") in flowing("docs/benchmarks.md")


def test_what_only_a_gpu_can_run_has_a_check():
    checks = {name.strip("`") for name in first_cells(section("docs/benchmarks.md", "A GPU"))}
    assert set(gpu.CHECKS) <= checks
    parts = [row[1].strip("`") for row in rows(section("docs/training.md", "On a GPU"))]
    assert len(parts) > 4
    assert set(parts) <= set(gpu.CHECKS)


def test_nothing_counts_as_measured_on_a_gpu_before_it_is():
    measured = (ROOT / "benchmarks" / "results" / "gpu.json").exists()
    for document in ("README.md", "docs/benchmarks.md", "docs/deploy.md"):
        assert ("Nothing has been measured on a GPU yet" in flowing(document)) == (not measured)


def test_a_gpus_memory_is_what_is_said():
    text = flowing("docs/deploy.md")
    assert f"{FIXED_GPU_MB} MiB and {CHUNK_GPU_MB} for each chunk of the largest batch" in text
    assert f"{default_gpu_memory_mb(64)} MiB at 64, {default_gpu_memory_mb(256)} at 256" in text


def test_the_pipe_is_as_measured():
    measured = summary.read("pipe")
    assert pipe.table(measured) in read("docs/benchmarks.md")
    (before,) = (name for name in measured["request"] if name != pipe.HERE)
    assert f"`--against {before}`" in flowing("docs/benchmarks.md")


def test_batch_and_its_arithmetic_are_as_measured():
    text = read("docs/scale.md")
    measured = summary.read("batch")["by_cores"]
    for cores, row in measured.items():
        rates = [f"{row[f'{name}_files_a_second']:.2f}" for name in ("batch", "command_line")]
        costs = [f"{row['ratio']:.2f}", f"{row['batch_start_s']:.2f} s", f"{row['part_s']:.3f} s"]
        assert [cores, *rates, *costs] in rows(text)
    one = measured["1"]
    hours = 10_000_000 * 70 / one["chunks_a_second"] / 3600
    assert f"/ {one['chunks_a_second']} chunks a second / 3600 = {hours:.0f}." in flowing("docs/scale.md")
    part = max(row["part_s"] for row in measured.values())
    assert f"10 000 parts take {10_000 * part / 3600:.2f} core hours" in flowing("docs/scale.md")
    assert f"{one['chunks_a_second'] / 70 * 8:.1f} MB a second for each core" in flowing("docs/scale.md")


def test_the_fleet_is_as_measured():
    text, measured = read("docs/scale.md"), summary.read("fleet")
    for table in (fleet.costs(measured), fleet.fleet(measured), fleet.break_even(measured)):
        assert table in text
    assert f"the rate times the {fleet.total(measured, 30):.1f} ms above" in flowing("docs/scale.md")
    graph = measured["by_clip"]["30"]["cpu_ms"]["model"]
    assert f"of {fleet.total(measured, 30):.1f} ms it replaces {graph:.1f}, nearly all" in flowing("docs/scale.md")
    alone, shared = (summary.read("graph")["ms_per_chunk"][f"{cores} cores, batch 10"] for cores in (1, 2))
    assert f"{alone['ONNX Runtime CPU'] / shared['ONNX Runtime CPU']:.1f} times as fast as on one" in flowing(
        "docs/scale.md"
    )
    assert graph * 0.9 < measured["by_clip"]["30"]["session_ms"]  # what is said of "nearly all"


def test_load_is_as_measured():
    assert load.table(summary.read("load")) in read("docs/serving.md")


def test_the_browser_is_as_measured():
    measured = summary.read("browser")
    assert browser.table(measured) in read("docs/benchmarks.md")
    agreement = measured["agreement"]
    assert agreement["same_genre"] == agreement["songs"]
    sentence = f"{agreement['songs']} songs the genres are the same and the mean probabilities differ by at most"
    assert f"{sentence} {agreement['largest_difference']:.1e}" in flowing("docs/browser.md")


def test_every_benchmark_is_in_the_manual():
    named = set(re.findall(r"-m benchmarks\.(\w+)", read("docs/benchmarks.md")))
    measured = {result.stem for result in summary.RESULTS.glob("*.json")}
    assert measured
    assert measured <= named <= {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


# The tables of the manuals.


def test_the_manual_has_every_argument_of_a_classifier():
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows(section("docs/python.md", "Classifier"))}
    shown = {name: json.dumps(each.default) for name, each in inspect.signature(Classifier).parameters.items()}
    assert documented == {
        name: value.replace("null", "None").replace("false", "False") for name, value in shown.items()
    }


def test_the_manual_has_every_kind_of_error():
    assert first_cells(section("docs/python.md", "Errors")) == list(get_args(Kind))


def test_the_manual_names_what_is_public():
    public = set(genre_classifier.__all__) - {"__version__"}
    first = read("docs/python.md").split("\n\n")[1]
    assert set(re.findall(r"`([A-Z]\w+)`", first)) == public


def test_every_model_that_has_a_name_ships():
    assert all(path.is_file() for path in MODELS.values())
    assert all(f'`"{name}"`' in read("docs/python.md") for name in MODELS)


def test_the_manual_has_every_option_of_the_command_line(capsys):
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    options = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}
    assert "--json" in options
    documented = {cell.split()[0] for cell in first_cells(read("docs/command-line.md")) if cell.startswith("--")}
    assert documented == options


def test_the_manual_has_every_option_of_the_plugin_of_beets():
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", section("docs/command-line.md", "beets"), re.MULTILINE | re.DOTALL)
    assert list(yaml.safe_load(shown)["genreclassifier"].items()) == list(DEFAULTS.items())


def test_the_manual_has_every_field_of_an_answer():
    assert first_cells(section("docs/api.md", "An answer")) == list(Verdict.model_fields)


def test_the_manual_has_every_address():
    text = read("docs/api.md")
    addresses = re.findall(r"`(?:GET |POST )?(/[\w./]*)`", text)
    assert set(addresses) == (OUR_PATHS | BENTOML_PATHS)
    assert f"1 to {MAX_FILES} files" in text


def test_the_manual_has_every_status():
    documented = {int(status) for row in rows(section("docs/api.md", "Errors")) for status in row[0].split(", ")}
    chosen = {*STATUS_OF_AUDIO_ERROR.values(), *STATUS_OF_SERVICE_ERROR.values()}
    assert documented == {int(status) for status in chosen} | {401, 404, 405, 421, 500}


def test_every_setting_stands_in_the_manual_with_its_default():
    documented = {row[0].strip("`"): row[1] for row in rows(section("docs/serving.md", "Settings"))}
    assert documented.keys() == {f"GENRE_{name.upper()}" for name in ServiceSettings.model_fields}
    for name, field in ServiceSettings.model_fields.items():
        if name not in {"workers", "max_batch_size", "gpu_memory_mb"}:  # which depend on machine and model
            assert documented[f"GENRE_{name.upper()}"] == str(field.default)


def test_every_metric_stands_in_the_manual():
    source = read("serving/metrics.py")
    made = re.findall(r"(Counter|Gauge|Histogram)\(\s*\"(genre_\w+)\"", source)
    assert made
    names = {name + "_total" * (kind == "Counter"): kind.lower() for kind, name in made}
    table = rows(section("docs/serving.md", "Metrics and log"))
    assert {row[0].strip("`").partition("{")[0]: row[1] for row in table} == names


def test_the_line_of_the_log_has_its_fields():
    (line,) = re.findall(r"^```json\n(.*)\n```", read("docs/serving.md"), re.MULTILINE)
    assert list(json.loads(line)) == list(json.loads(RequestLog("POST", "/classify").line()))


def test_the_manual_has_every_change_of_bentoml():
    functions = inspect.getmembers(bentoml_patches, inspect.isfunction)
    ours = {name for name, each in functions if each.__module__ == bentoml_patches.__name__ and name[0] != "_"}
    assert set(first_cells(section("docs/serving.md", "What is changed in BentoML"))) == ours


def test_the_manual_has_every_network():
    table = rows(section("docs/training.md", "Networks"))
    named = {row[0].strip("`"): row[1].strip("`") for row in table}
    assert named == {name: f"{each.module.replace('.', '/')}.py" for name, each in NETWORKS.items()}
    assert [row[2].startswith("the default") for row in table] == [name == next(iter(NETWORKS)) for name in named]


def test_every_test_that_the_manual_names_is_there():
    named = re.findall(r"(test_\w+\.py)(?:::(\w+))?", read("docs/serving.md"))
    assert named
    for file, name in named:
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {name or 'test_'}" in path.read_text()


# All documents.


def test_versions_are_those_of_the_project():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    version = genre_classifier.__version__
    assert f"genre_classifier-{version}-py3-none-any.whl" in read("README.md")
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[1] == version
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in read("README.md")
    (bentoml,) = [each for each in project["optional-dependencies"]["serve"] if each.startswith("bentoml==")]
    assert f"BentoML is pinned to {bentoml.removeprefix('bentoml==')}." in section("CHANGELOG.md", "Changed")


def test_the_readme_names_every_extra():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    install = section("README.md", "Install")
    named = {*re.findall(r"`(\w+)` \(", install), *re.findall(r"\[(\w+)\]\"", install)}
    assert named == set(extras)


@pytest.mark.parametrize("document", NAMES)
def test_nothing_makes_sense_on_one_machine_only(document):
    assert not re.search(r"\.\./shared|at hand|/work/|/root/|/tmp/\w", flowing(document))


def test_links_lead_somewhere():
    links = []
    for document in NAMES:
        text = re.sub(r"^```.*?^```", "", read(document), flags=re.MULTILINE | re.DOTALL)
        links += [(document, "".join(link)) for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)]
    assert len(links) > 30
    for document, link in links:
        name, _, anchor = link.partition("#")
        if not name.startswith("https://"):
            target = (ROOT / document).parent / name if name else ROOT / document
            assert target.exists(), (document, link)
            assert not anchor or anchor in headings(target), (document, link)


def headings(path):
    """The anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found]


def test_documents_are_linked():
    """None is lost: each is reached from the README."""
    linked = {"README.md"}
    for _ in NAMES:
        for name in sorted(linked):
            targets = re.findall(r"\]\(([^)#]+\.md)", read(name))
            linked |= {str(((ROOT / name).parent / target).resolve().relative_to(ROOT)) for target in targets}
    assert linked >= set(NAMES)


def test_paths_that_are_named_are_there():
    paths = {
        (name, path)
        for name in NAMES
        if name != "CHANGELOG.md"
        for path in re.findall(r"`((?:genre_classifier|serving|train|export|benchmarks|tests)/[\w./]*)`", read(name))
    }
    assert len(paths) > 10
    assert not [(name, path) for name, path in sorted(paths) if not (ROOT / path).exists()]
    tree = re.findall(r"^( *)([\w]+/(?:  [\w]+/)*)", section("README.md", "Where things are"), re.MULTILINE)
    parent = ""
    for indent, folders in tree:
        parent = parent if indent else folders
        for folder in folders.split("  "):
            assert (ROOT / (parent if indent else "") / folder).is_dir(), folder
    assert len(tree) > 8
