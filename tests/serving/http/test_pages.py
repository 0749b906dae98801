"""The pages to be read, /about and /docs: what they say, without a browser."""

from html import escape

import pytest

from genre_classifier.session import ModelInfo
from serving.http.about import about
from serving.http.docs import docs
from serving.http.openapi import describe

LABELS = ("folk", "polka", "<b>waltz")
INFO = {
    "labels": LABELS, "sample_rate": 22050, "chunk_samples": 66150, "version": "9", "uncertain_below": 0.25,
    "provider": "CPUExecutionProvider", "trained_on": "attics & cellars",
}  # fmt: skip
PART = {"tracks": 20, "track_accuracy": 0.75, "track_accuracy_interval": [0.5, 0.9]}


@pytest.fixture
def info():
    confusion = [[8, 2, 0], [0, 5, 0], [1, 2, 2]]
    return ModelInfo(**INFO, metrics={"test": PART | {"confusion": confusion}, "valid": {"confusion": confusion}})


def test_about_says_how_good_and_how_bad(info):
    page = about(info)
    assert "<td>75.0 % [50, 90]</td>" in page
    bad = page.partition("What it is bad at")[2].partition("</ul>")[0]
    lines = [line.removeprefix("<li>").removesuffix("</li>") for line in bad.splitlines() if line.startswith("<li>")]
    assert lines == [
        "&lt;b&gt;waltz: it misses 60 % of 10 clips",
        "folk: it misses 20 % of 20 clips",
        "it takes folk for polka: 4 clips",
        "it takes &lt;b&gt;waltz for polka: 4 clips",
        "it takes &lt;b&gt;waltz for folk: 2 clips",
    ]
    assert "attics &amp; cellars" in page
    assert "below 25 %" in page
    assert "None of these" not in page  # this model does not say


def test_a_model_without_metrics_has_a_page():
    assert "This model does not say." in about(ModelInfo(**INFO))


def test_with_keys_what_is_shown_works_with_them(info):
    assert 'href="model"' in about(info)
    assert 'href="model"' not in about(info, figures=None)
    for keys, option in ((False, ""), (True, "-H &quot;Authorization: Bearer KEY&quot; ")):
        page = docs(describe(info, keys=keys), "http://here:3000/")
        assert f"<pre>curl {option}-F audio=@song.mp3 http://here:3000/classify</pre>" in page
        assert ('<th scope="row">401</th>' in page) == keys


def test_docs_has_every_address_and_field(info):
    description = describe(info)
    page = docs(description, "http://here")
    for path in description["paths"]:
        assert f" {path}<" in page
    for schema in description["components"]["schemas"].values():
        for field, what in schema.get("properties", {}).items():
            assert f'<th scope="row">{field}</th>' in page
            assert escape(what.get("description", "")) in page
