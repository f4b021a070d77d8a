# Every target makes the environment .venv first, if it is missing or outdated.

ENV := .venv
BIN := $(ENV)/bin
STAMP := $(ENV)/.made

# What TensorFlow has releases for, the best first.
PYTHONS := 3.13 3.12 3.11
# The interpreter; by default the first of these that there is.
PYTHON :=
# What is installed, to the release; empty for the newest of everything.
PINS := constraints.txt
# Where the demo and the reference go.
OUT := out
# Byte code is written when a module is first imported; most never are. It has to be, even
# where containers forbid it: every start of TensorFlow would take five seconds longer.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	$(if $(PINS),--constraint $(PINS),--upgrade)

# Each process of the tests holds a TensorFlow, of a gigabyte or two.
PYTEST = python -m pytest -n logical --maxprocesses 4

.DEFAULT_GOAL := help
.PHONY: help demo notebooks lessons docs test test-gpu test-lowest lint versions pins newest \
	pythons benchmarks assets pictures clean

help:
	@echo "make demo        activations, a deconvnet and filters of three networks, in out/"
	@echo "make notebooks   starts Jupyter with the lessons"
	@echo "make lessons     runs the notebooks and keeps the pictures in them"
	@echo "make docs        the reference of the library, in out/docs"
	@echo "make test        linters, type checker and tests"
	@echo "make test-gpu    the tests that need a GPU which TensorFlow sees"
	@echo "make test-lowest the tests with the lowest versions that pyproject.toml allows"
	@echo "make lint        linters and type checker"
	@echo "make versions    the tests that another Python could fail"
	@echo "make pins        pins the newest of everything in constraints.txt"
	@echo "make newest      tests with the newest of everything, in .venv-newest"
	@echo "make benchmarks  measures speed and memory against the textbook way"
	@echo "make assets      trains the MNIST networks and paints the styles in assets/ anew"
	@echo "make pictures    makes the pictures of assets/GALLERY.md anew"
	@echo "make clean       removes whatever these targets made"

demo: $(STAMP)
	$(BIN)/cnnviz activations assets/mnist_cnn.keras assets/digits/7.png --out $(OUT)/mnist
	$(BIN)/cnnviz activations assets/efficientnet_lite0.keras assets/images/chelsea.jpg \
		--layer stem_relu --layer 'block*_dw_relu' --out $(OUT)/activations
	$(BIN)/cnnviz deconv assets/vgg16_block4.keras assets/photos/animal_cat.jpg \
		--layer block4_conv3 --close --out $(OUT)/deconvnet
	$(BIN)/cnnviz filters assets/efficientnet_lite0.keras --layer block2_add \
		--max-channels 8 --steps 64 --out $(OUT)/filters

# Jupyter refuses to run as root, as containers do, unless it is told to.
notebooks: $(ENV)/.jupyter
	$(BIN)/jupyter lab --notebook-dir=notebooks \
		$$([ "$$(id -u)" -ne 0 ] || echo --allow-root)

lessons: $(STAMP)
	$(BIN)/python notebooks/run.py --keep notebooks/*.ipynb

# The rooms of the library, each by what its face lists.
ROOMS = $(subst /,.,$(patsubst %/__init__.py,%,$(wildcard cnnviz/*/__init__.py)))

docs: $(STAMP)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -W error::UserWarning -m pdoc --no-show-source \
		--docformat google --output-directory $(OUT)/docs cnnviz $(ROOMS) 2>&1 | \
		{ ! grep -v -e 'absl::InitializeLog' -e '^[IW]0000 '; }

test: lint
	$(BIN)/$(PYTEST)

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu

# Old packages warn of what newer ones below them no longer like; that is not ours.
test-lowest: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python $(ENV)/lowest
	$(BIN)/uv pip install --quiet --python $(ENV)/lowest/bin/python \
		--resolution lowest-direct --editable '.[dev]'
	$(ENV)/lowest/bin/$(PYTEST) -W ignore::DeprecationWarning

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

versions: $(STAMP)
	$(BIN)/$(PYTEST) -m 'versions and not slow'

# TensorFlow and both Keras first, the rest around them: releases of other packages
# that they do not take yet would otherwise bring back old ones.
pins: $(STAMP)
	$(INSTALL) uv
	printf '%s\n' tensorflow tf-keras keras | $(BIN)/uv pip compile $(COMPILE) \
		--no-deps --output-file $(ENV)/first.txt -
	echo setuptools | $(BIN)/uv pip compile $(COMPILE) --all-extras \
		--constraint $(ENV)/first.txt --output-file constraints.txt pyproject.toml -

COMPILE := --quiet --upgrade --universal --python-version $(lastword $(PYTHONS)) \
	--no-annotate --no-header --no-config --default-index https://pypi.org/simple

newest:
	rm -rf .venv-newest
	$(MAKE) ENV=.venv-newest PINS= test

# For `.ci/run`.
pythons:
	@echo $(PYTHONS)

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
	rm -rf $(ENV) .venv-* out build dist *.egg-info .mypy_cache .pytest_cache \
		.ruff_cache

# The names of interpreters are tried out, not looked up: a version manager's
# `python3.13` may exist only to say that it is not installed.
$(STAMP): pyproject.toml $(PINS)
	@found=; others=; \
	for python in $(or $(PYTHON),$(PYTHONS:%=python%) python3); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
			2>/dev/null) || continue; \
		case " $(PYTHONS) " in \
			*" $$version "*) found=$$python; break;; \
			*) others="$$others; $$python is Python $$version";; \
		esac; \
	done; \
	if [ -z "$$found" ]; then \
		echo "cnnviz needs TensorFlow, hence one of Python $(PYTHONS)" \
			"(make PYTHON=...)$${others:-; found no python3}." >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found cannot make environments; install its venv module" \
			"(Debian: apt install python3-venv)." >&2; exit 1; \
	fi; \
	echo "making $(ENV) with $$($$found --version)"; \
	$$found -m venv --clear $(ENV)
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

# Apart, since only people need it, and it is large.
$(ENV)/.jupyter: $(STAMP)
	$(INSTALL) --no-build-isolation --editable '.[notebooks]'
	@touch $@
