# `make demo`, `make demo-text` and `make test` need Python 3.11 or newer, make and a C library; they install the rest into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo demo-clean demo-wrong-labels demo-text test test-lowest test-bench bench quality package style notebooks clean

# Both halves at once, for each takes one core; that with wrong labels is shown when both are through.
demo: $(VENV)/.demo
	$(MAKE) --jobs 2 demo-clean demo-wrong-labels
	cat $(WRONG)/printed.txt

demo-clean: $(VENV)/.demo
	$(BIN)/python trainers/image_classification.py

WRONG = outputs/image_classification_wrong_labels

demo-wrong-labels: $(VENV)/.demo
	mkdir -p $(WRONG)
	$(BIN)/python trainers/image_classification.py --wrong_labels 0.2 --output_dir $(WRONG) \
		>$(WRONG)/printed.txt 2>$(WRONG)/log.txt || { cat $(WRONG)/log.txt; exit 1; }

demo-text: $(VENV)/.demo
	$(BIN)/python trainers/text_classification.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# With the lowest versions that pyproject.toml allows, the tests where they matter; with `LOWEST_TESTS=` all of them. What
# old versions warn of was mended in them since.
LOWEST ?= .venv-lowest
LOWEST_TESTS ?= tests/cli tests/test_import.py tests/test_package.py tests/test_dataset.py tests/test_digest.py \
	tests/methods/test_contract.py tests/recording/test_callback.py tests/hub tests/embeddings tests/selection
LET_WARN = $(foreach kind,Deprecation PendingDeprecation Future Resource,-W default::$(kind)Warning)

test-lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python -m pytest $(LET_WARN) $(LOWEST_TESTS)

# One of speed, quality, worst_class, suspects, promise and cost, as in `make bench BENCH=quality`.
BENCH ?= speed

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks $(BENCH)

test-bench: $(VENV)/.dev
	$(BIN)/python -m pytest -o addopts="--import-mode=importlib --strict-markers --strict-config" tests/benchmarks

quality: $(VENV)/.dev package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What would be published: a page that renders, and a wheel that holds the package and nothing else.
package: $(VENV)/.dev
	rm -rf dist *.egg-info
	$(BIN)/python -m build --no-isolation >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

style: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(VENV)/.dev
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

$(VENV)/.demo: pyproject.toml | $(VENV)/.torch
	$(BIN)/python -m pip install --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.torch
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@

# Without torch's own requirements, which would be newer than the lowest.
$(LOWEST)/.test: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --no-deps $(TORCH) uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[test]' $(TORCH)
	touch $@

# Pinned, because a plain `torch` may bring gigabytes of CUDA libraries that nothing here uses.
TORCH = torch==2.13.0

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(TORCH)
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info outputs
