# Every target makes the environment .venv first, if it is missing or outdated.

ENV := .venv
BIN := $(ENV)/bin
STAMP := $(ENV)/.made

.DEFAULT_GOAL := help
.PHONY: help demo notebooks lessons test test-lowest lint benchmarks assets pictures \
	clean

help:
	@echo "make demo        the activation grids of two networks, in out/"
	@echo "make notebooks   starts Jupyter with the lessons"
	@echo "make lessons     runs the notebooks and keeps the pictures in them"
	@echo "make test        linters, type checker and tests"
	@echo "make test-lowest the tests with the lowest versions that pyproject.toml allows"
	@echo "make lint        linters and type checker"
	@echo "make benchmarks  measures speed and memory against the textbook way"
	@echo "make assets      trains the MNIST networks and paints the styles in assets/ anew"
	@echo "make pictures    makes the pictures of assets/GALLERY.md anew"
	@echo "make clean       removes whatever these targets made"

demo: $(STAMP)
	$(BIN)/cnnviz activations assets/mnist_cnn.keras assets/digits/7.png --out out/mnist
	$(BIN)/cnnviz activations assets/efficientnet_lite0.keras assets/images/chelsea.jpg \
		--layer stem_relu --layer 'block*_dw_relu' --out out/imagenet

# Jupyter refuses to run as root, as containers do, unless it is told to.
notebooks: $(ENV)/.jupyter
	$(BIN)/jupyter lab --notebook-dir=notebooks \
		$$([ "$$(id -u)" -ne 0 ] || echo --allow-root)

lessons: $(STAMP)
	$(BIN)/python notebooks/run.py --keep notebooks/*.ipynb

test: lint
	$(BIN)/python -m pytest

# Old packages warn of what newer ones below them no longer like; that is not ours.
test-lowest: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(ENV)/lowest
	$(BIN)/uv pip install --quiet --python $(ENV)/lowest/bin/python \
		--resolution lowest-direct --editable '.[dev]'
	$(ENV)/lowest/bin/python -m pytest -W ignore::DeprecationWarning

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

benchmarks: $(STAMP)
	for benchmark in tests/benchmarks/bench_*.py; do \
		echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; done

assets: $(STAMP)
	$(BIN)/python assets/train_mnist.py
	$(BIN)/python assets/train_judge.py
	$(BIN)/python assets/paint_style.py

pictures: $(STAMP)
	$(BIN)/python assets/make_pictures.py

clean:
	rm -rf $(ENV) out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The names of interpreters are tried out, not looked up: a version manager's
# `python3.13` may exist only to say that it is not installed.
$(STAMP): pyproject.toml
	@found=; \
	for python in python3.13 python3.12 python3.11 python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
				2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "cnnviz needs Python 3.11 or newer; found no such python3." >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found cannot make environments; install its venv module" \
			"(Debian: apt install python3-venv)." >&2; exit 1; \
	fi; \
	echo "making $(ENV) with $$($$found --version)"; \
	$$found -m venv --clear $(ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[dev]'
	@touch $@

# Apart, since only people need it, and it is large.
$(ENV)/.jupyter: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[notebooks]'
	@touch $@
