"""How the project is cited, and whom it cites: CITATION.cff, docs/sources.md, and what other documents say of both."""

import re
import tomllib

import yaml

import genre_classifier
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
SOURCES = (ROOT / "docs" / "sources.md").read_text()
NUMBERS, WORKS = SOURCES.split("\n## ")[1:]
DOCUMENTS = [path for folder in (".", "docs", "artifacts") for path in sorted((ROOT / folder).glob("*.md"))]
# What the schema of the Citation File Format 1.2.0 asks for, and the fields of it that are used here.
REQUIRED = {"cff-version", "message", "title", "authors"}
FIELDS = REQUIRED | {"type", "abstract", "version", "license", "keywords", "references"}
REFERENCE = {"type", "title", "authors", "year"}
VENUE = {"article": {"journal", "volume", "issue"}, "conference-paper": {"collection-title"}}


def words(text):
    """Letters and digits alone, without line breaks."""
    return " ".join(re.findall(r"\w+", text.lower()))


def test_the_citation_is_of_this_package():
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["version"] == genre_classifier.__version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["abstract"] == PROJECT["description"]


def test_the_citation_has_the_fields_of_its_format():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert set(CITATION) >= REQUIRED
    assert set(CITATION) <= FIELDS
    assert all(set(author) == {"name"} for author in CITATION["authors"])
    assert all(isinstance(CITATION[field], str) for field in FIELDS - {"authors", "keywords", "references"})
    for reference in CITATION["references"]:
        assert set(reference) - {"notes"} == REFERENCE | VENUE[reference["type"]]
        assert all(set(author) == {"given-names", "family-names"} for author in reference["authors"])


def test_the_references_are_among_the_sources():
    for reference in CITATION["references"]:
        (entry,) = [each for each in WORKS.split("\n- ") if words(reference["title"]) in words(each)]
        names = [author["family-names"] for author in reference["authors"]]
        assert all(name in entry for name in names)
        assert str(reference["year"]) in entry


def test_every_work_that_is_cited_is_among_the_sources():
    """As (Ellis 2007), (Pons and Serra 2019) or (Li et al. 2019)."""
    form = r"\(((?:[A-Z]\w+, )*[A-Z]\w+(?: and [A-Z]\w+| et al\.)? \d{4})\b"
    texts = [" ".join(path.read_text().split()) for path in DOCUMENTS]
    cited = {work for text in texts for work in re.findall(form, text)}
    assert cited >= {"Tzanetakis and Cook 2002", "Kereliuk, Sturm and Larsen 2015", "Ellis 2007", "Li et al. 2019"}
    for work in cited:
        assert re.search(rf"^- {re.escape(work)}[ab]?\.", WORKS, re.MULTILINE), work


def test_published_numbers_have_a_source():
    """Each number that links to the sources stands there, rounded as there."""
    listed = set(re.findall(r"^\| ([\d.]+) % \|", NUMBERS, re.MULTILINE))
    assert len(listed) > 5
    linked = [
        number
        for path in DOCUMENTS
        for line in re.split(r"\n(?=\||\n)", path.read_text())  # rows of tables, paragraphs
        for sentence in re.split(r"(?<=[.:]) ", " ".join(line.split()))
        if "sources.md)" in sentence and "sources](" not in sentence
        for number in re.findall(r"([\d.]+)(?= %| to [\d.]+ %)", sentence)
    ]
    assert set(linked) == {"53.4", "74.7", "82.1", "85.9", "94.5"}
    assert set(linked) <= listed
