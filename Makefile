# On a fresh machine with Python 3.11 or newer: `make serve`, or `make test`. Each installs what it needs into .venv.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 3000
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: serve test test-slow container-test check format release clean

serve: export BENTOML_DO_NOT_TRACK = true
serve: $(VENV)/serve.installed  ## start the service with the model in artifacts/, on this machine's own address
	$(BIN)/bentoml serve --host 127.0.0.1 --port $(PORT)

test: $(VENV)/dev.installed  ## run the tests; more of them where ../shared/data holds real music
	$(BIN)/python -m pytest

test-slow: $(VENV)/dev.installed  ## the long forms of the tests of load and faults, and more benchmarks: ten minutes
	$(BIN)/python -m pytest -m slow

container-test: $(VENV)/dev.installed  ## build an image and run it, without a Docker engine: two minutes, as root
	$(BIN)/python -m pytest -m container -s tests/container

check: $(VENV)/dev.installed  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

release: $(VENV)/dev.installed  ## wheel, sdist and bento in dist/
	rm -rf dist build
	$(BIN)/python -m build --outdir dist
	version=$$($(BIN)/python -c "import serving; print(serving.__version__)") && \
		export BENTOML_HOME=$(CURDIR)/build/bentoml BENTOML_DO_NOT_TRACK=true && mkdir -p $$BENTOML_HOME && \
		$(BIN)/bentoml build --version $$version && \
		$(BIN)/bentoml export genre_classifier:$$version $(CURDIR)/dist/genre_classifier-$$version.bento

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/serve.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what serving needs into $(VENV), half a minute or so"
	$(INSTALL) --editable .
	touch $@

$(VENV)/dev.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what training and the tests need into $(VENV), PyTorch among it: some minutes"
	$(INSTALL) --editable ".[dev]"
	touch $@ $(VENV)/serve.installed
