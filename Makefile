# `make demo`, `make demo-text` and `make test` need Python 3.11 or newer, make and a C library; they install the rest into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo demo-clean demo-wrong-labels demo-text test test-bench bench quality style notebooks clean

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

# One of speed, quality, worst_class, promise and cost, as in `make bench BENCH=quality`.
BENCH ?= speed

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks $(BENCH)

test-bench: $(VENV)/.dev
	$(BIN)/python -m pytest -o addopts="--import-mode=importlib --strict-markers --strict-config" tests/benchmarks

quality: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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

# Pinned, because a plain `torch` may bring gigabytes of CUDA libraries that nothing here uses.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install torch==2.13.0
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info outputs
