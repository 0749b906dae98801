# Everything is installed into $(VENV); the machine needs Python 3.11 or newer with venv, and make.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 3000
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
# gpu where an NVIDIA driver is, and a build of ONNX Runtime for it; else cpu. `make serve RUNTIME=cpu` decides by hand.
RUNTIME := $(shell test "$$(uname -sm)" = "Linux x86_64" && \
	$(PYTHON) -c "import ctypes; ctypes.CDLL('libcuda.so.1')" 2> /dev/null && echo gpu || echo cpu)
OTHER_RUNTIME = $(if $(filter gpu,$(RUNTIME)),cpu,gpu)
ONNXRUNTIME_cpu = onnxruntime
ONNXRUNTIME_gpu = onnxruntime-gpu
# The locks leave PyTorch out: its builds differ by platform, and most carry gigabytes of CUDA libraries.
TORCH = torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help install serve demo demo-serve test test-slow container-test placement gpu-check check format lock release clean

help:  ## list the targets
	@awk -F ':.*## *' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/install-$(RUNTIME).installed  ## install the library and the command line genre-classifier, without the service

serve: export BENTOML_DO_NOT_TRACK = true
serve: $(VENV)/serve-$(RUNTIME).installed  ## start the service on http://127.0.0.1:3000; PORT=8000 takes another port
	$(BIN)/bentoml serve --host 127.0.0.1 --port $(PORT)

demo: $(VENV)/serve-$(RUNTIME).installed browser/node_modules/.package-lock.json  ## build build/demo/, a static site that classifies in the browser; needs npm
	$(BIN)/python -m browser.build

# Under a path of its own: what a browser keeps of it must not stand for the service, which has the same port.
demo-serve: demo  ## try that site on http://127.0.0.1:3000/demo/; PORT=8000 takes another port
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build $(PORT)

test: $(VENV)/dev-$(RUNTIME).installed  ## run the tests; those with real music need GENRE_DATA, the folder that holds gtzan/
	$(BIN)/python -m pytest --numprocesses 2

test-slow: $(VENV)/dev-$(RUNTIME).installed  ## run the long tests of load, faults and memory, and of the benchmarks: an hour and a quarter
	$(BIN)/python -m pytest -m slow

container-test: $(VENV)/dev-$(RUNTIME).installed  ## build the image and run it with buildah, as root: three minutes
	$(BIN)/python -m pytest -m container -s tests/container

placement: $(VENV)/dev-$(RUNTIME).installed  ## ask ONNX Runtime for GPUs, without a GPU, where it places the graphs' nodes; needs gcc
	mkdir -p build
	sed -n '/^onnxruntime-gpu==/,/[^\\]$$/p' requirements/gpu.txt > build/onnxruntime-gpu.txt
	$(PIP) install --require-hashes --no-deps --upgrade --target build/onnxruntime-gpu --requirement build/onnxruntime-gpu.txt
	$(BIN)/python -m pytest tests/export/test_export_placement.py tests/genre_classifier/test_cuda_graph.py tests/benchmarks/test_benchmarks_gpu.py

gpu-check: $(VENV)/dev-$(RUNTIME).installed  ## check and measure all that only a GPU can settle, under nine minutes; without one, what can be
	$(BIN)/python -m benchmarks.gpu

check: $(VENV)/dev-$(RUNTIME).installed  ## check lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev-$(RUNTIME).installed  ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: LOCK = build/uv/bin/uv pip compile --quiet --universal --generate-hashes --fork-strategy fewest \
	--python-version 3.11 --annotation-style line --custom-compile-command "make lock" $(LOCK_OPTIONS) pyproject.toml
lock: build/uv/bin/uv  ## write requirements/ from pyproject.toml; LOCK_OPTIONS=--upgrade takes the newest versions
	$(LOCK) --extra gpu --extra serve --extra batch --output-file requirements/gpu.txt > /dev/null
	sed -n 's/^onnxruntime-gpu==\([^ ]*\).*/onnxruntime==\1/p' requirements/gpu.txt > build/one-version.txt
	echo torch | $(LOCK) --excludes - --constraints build/one-version.txt --extra dev \
		--output-file requirements/dev.txt > /dev/null
	$(LOCK) --constraints requirements/dev.txt --extra cpu --extra serve --extra batch --output-file requirements/cpu.txt > /dev/null
	$(LOCK) --constraints requirements/dev.txt --extra gpu --extra serve --extra batch --output-file requirements/gpu.txt > /dev/null

release: $(VENV)/dev-$(RUNTIME).installed  ## write wheel, sdist and bento to dist/
	rm -rf dist build
	$(BIN)/python -m build --no-isolation --outdir dist
	version=$$($(BIN)/python -c "import genre_classifier; print(genre_classifier.__version__)") && \
		export BENTOML_HOME=$(CURDIR)/build/bentoml BENTOML_DO_NOT_TRACK=true && mkdir -p $$BENTOML_HOME && \
		$(BIN)/bentoml build --version $$version && \
		$(BIN)/bentoml export genre_classifier:$$version $(CURDIR)/dist/genre_classifier-$$version.bento

clean:  ## remove what the other targets wrote
	rm -rf $(VENV) build dist browser/node_modules *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Both packages of ONNX Runtime write the same folder, so the one that is not wanted goes before the other comes.
define remove_runtime
@rm -f $(VENV)/*-$(1).installed
$(PIP) -qq uninstall --yes $(ONNXRUNTIME_$(1))
endef

# A part of a locked file cannot be installed by its hashes, so the library alone takes its versions.
$(VENV)/install-$(RUNTIME).installed: pyproject.toml requirements/$(RUNTIME).txt | $(BIN)/python
	@echo "Installing the library into $(VENV): half a minute"
	$(call remove_runtime,$(OTHER_RUNTIME))
	sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' requirements/$(RUNTIME).txt > $(VENV)/versions.txt
	$(PIP) install --constraint $(VENV)/versions.txt --editable ".[$(RUNTIME)]"
	touch $@

$(VENV)/serve-$(RUNTIME).installed: pyproject.toml requirements/$(RUNTIME).txt | $(BIN)/python
	@echo "Installing the service into $(VENV): a minute"
	$(call remove_runtime,$(OTHER_RUNTIME))
	$(PIP) install --require-hashes --requirement requirements/$(RUNTIME).txt
	$(PIP) install --no-deps --editable .
	touch $@ $(VENV)/install-$(RUNTIME).installed

$(VENV)/dev-$(RUNTIME).installed: pyproject.toml requirements/dev.txt requirements/$(RUNTIME).txt | $(BIN)/python
	@echo "Installing the service, training and the test tools into $(VENV): some minutes"
	$(call remove_runtime,gpu)
	$(PIP) install $(TORCH)
	$(PIP) install --require-hashes --requirement requirements/dev.txt
ifeq ($(RUNTIME),gpu)
	$(call remove_runtime,cpu)
	$(PIP) install --require-hashes --requirement requirements/gpu.txt
endif
	$(PIP) install --no-deps --editable .
	touch $@ $(VENV)/serve-$(RUNTIME).installed $(VENV)/install-$(RUNTIME).installed

browser/node_modules/.package-lock.json: browser/package-lock.json
	@command -v npm > /dev/null || { echo "The site needs npm: apt-get install npm." >&2; exit 1; }
	npm ci --prefix browser --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

build/uv/bin/uv:
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
