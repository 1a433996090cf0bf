# Every target works from a fresh clone: it makes the virtual environment that it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --prefer-binary
FAILED := { echo 'pip could not install this: the lines above say why. On a computer without a'; \
  echo 'network, or if it has no build for yours, README.md has the way round.'; exit 1; } >&2

ifneq ($(words $(VENV)),1)
$(error VENV must name one folder, in a path without blanks; got "$(VENV)")
endif

.DEFAULT_GOAL := help
.PHONY: help lab test check notebooks handout slides bench linux soak arm site release bundle class clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "PYTHON=python3.12 picks the interpreter of a new virtual environment,"
	@echo "VENV=folder its place (now $(VENV)), ARGS=... adds to the command that is run."

lab: $(VENV)/for-lab ## open the first lesson in JupyterLab
	$(BIN)/jupyter lab $(ARGS) notebooks/00-start-here.ipynb

test: $(VENV)/for-test ## run all tests and every notebook
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

check: $(VENV)/for-test ## lint, types, spelling, notebooks older than their text (half a minute)
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check --quiet
	$(BIN)/python -m mypy
	$(BIN)/python -m codespell_lib --skip '*.json' README.md INSTRUCTOR.md CONTRIBUTING.md CHANGELOG.md SECURITY.md classroom notebooks/src notebooks/handout notebooks/site/pages data hypkit/kernel/guest
	$(BIN)/python -m notebooks.src.build --check

notebooks: $(VENV)/for-test ## write and run the notebooks again from notebooks/src (ARGS=01: only those)
	$(BIN)/python -m notebooks.src.build $(ARGS)

handout: $(VENV)/for-handout ## make the handout, answers and card as PDF (ARGS='--paper us-letter')
	$(BIN)/python -m notebooks.handout.build $(ARGS)

slides: $(VENV)/for-handout ## make build/slides.pdf, for the instructor's screen
	$(BIN)/python -m notebooks.handout.build slides $(ARGS)

bench: $(VENV)/for-test ## measure against QEMU and others, with goals (ARGS=machine: only that)
	$(BIN)/python -m tests.bench $(ARGS)

linux: $(VENV)/for-lab ## fetch a real Linux, boot it once in QEMU, keep its EL2 (ARGS="6.1 7.2")
	$(BIN)/python -m hypkit.linux $(ARGS)

soak: $(VENV)/for-test ## use the kit as badly as can be (ARGS='--cases 5000 --seed 2' for more)
	$(BIN)/python -m tests.soak $(ARGS)

arm: ## make an arm64 Debian and run a part of the tests there (as root; ARGS=all: nearly all)
	tests/arm64/run $(ARGS)

site: $(VENV)/for-test ## make the web book in build/site (ARGS='--repository https://github.com/...')
	$(BIN)/python -m notebooks.site.build $(ARGS)

release: $(VENV)/for-release ## build sdist and wheel into dist/, and try the wheel (ARGS=--draft: in any state)
	$(BIN)/python classroom/release.py $(ARGS)

bundle: $(VENV)/for-test ## make dist/*.zip for rooms without a network, one for each kind of computer
	$(BIN)/python -m notebooks.site.build
	$(BIN)/python -m notebooks.handout.build
	$(BIN)/python classroom/bundle.py $(ARGS)

class: $(VENV)/for-class ## hold a class of twenty on a JupyterHub here, and measure it (some minutes)
	$(BIN)/python classroom/try_class.py $(ARGS)

clean: ## remove the virtual environment, the caches and the handout
	rm -rf $(if $(OWN),$(VENV)) .mypy_cache .pytest_cache .ruff_cache build
	@test -n '$(OWN)' || test ! -e $(VENV) || { \
	  echo "$(VENV) stays: it is not an environment that this checkout has made."; \
	  echo "If you need it no more, remove it yourself: rm -r $(VENV)"; exit 1; } >&2

# A stamp stands for an installation of what pyproject.toml said when the stamp was made, by the
# checkout that it names. An environment that was moved, or has lost its Python, is made anew: its
# programs would start another Python or none. For that it is emptied, so it must be this checkout's
# OWN: its stamp says so, or it is an environment right inside the checkout. What FOREIGN says is
# why a folder is left alone.
HERE := '$(subst ','\'',$(CURDIR))'
OWN := $(shell here=$$(pwd -P); cd $(VENV) 2>/dev/null || exit 0; \
  if test "$$(cat for-lab 2>/dev/null)" = $(HERE); then echo yes; \
  elif test -f for-lab || test -f pyvenv.cfg; then \
    inside=$$(pwd -P); test "$${inside%/*}" != "$$here" || echo yes; fi)
ifeq ($(OWN),)
ifneq ($(wildcard $(VENV)/for-lab),)
FOREIGN := it holds the environment of another checkout, $(shell cat $(VENV)/for-lab)
else ifeq ($(wildcard $(VENV)/pyvenv.cfg $(BIN)/pip),)
ifneq ($(shell ls -A $(VENV) 2>/dev/null | head -n 1),)
FOREIGN := it is there already, and it is no virtual environment
endif
endif
endif

ifneq ($(FOREIGN),)
.PHONY: $(BIN)/pip $(VENV)/for-lab
else ifneq ($(wildcard $(VENV)/for-lab),)
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/for-lab),$(CURDIR))
.PHONY: $(BIN)/pip $(VENV)/for-lab
CLEAR := --clear
endif
endif

# JupyterLab's news is turned off: it asks every learner a question and wants the network.
$(VENV)/for-lab: pyproject.toml | $(BIN)/pip
	@echo "Installing what hypkit needs into $(VENV): a minute or two, this once."
	@$(INSTALL) --editable . || $(FAILED)
	@$(BIN)/jupyter labextension disable --level=sys_prefix \
	  @jupyterlab/apputils-extension:announcements >/dev/null 2>&1 || true
	@echo $(HERE) >$@

$(VENV)/for-test: $(VENV)/for-lab
	@echo "Installing what the tests, the handout and the book need as well."
	@$(INSTALL) --editable '.[test,handout,site]' || $(FAILED)
	@touch $@

$(VENV)/for-handout: $(VENV)/for-lab
	@echo "Installing what the handout needs as well."
	@$(INSTALL) --editable '.[handout]' || $(FAILED)
	@touch $@

$(VENV)/for-release: $(VENV)/for-test
	@echo "Installing what a release needs as well."
	@$(INSTALL) --editable '.[release]' || $(FAILED)
	@touch $@

$(VENV)/for-class: $(VENV)/for-lab
	@echo "Installing what a hub for a class needs as well."
	@$(INSTALL) --editable '.[class]' || $(FAILED)
	@touch $@

ifneq ($(FOREIGN),)
export FOREIGN
$(BIN)/pip:
	@{ echo "$(VENV) stays as it is: $$FOREIGN."; \
	  echo "Name a folder of its own for this checkout: make $(MAKECMDGOALS) VENV=.venv"; \
	  echo "If you need that one no more, remove it yourself: rm -r $(VENV)"; exit 1; } >&2
else
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hypkit needs Python 3.11 or newer, and $(PYTHON) is not."; \
	  echo "Name another with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; \
	  exit 1; } >&2
	$(PYTHON) -m venv $(CLEAR) $(VENV)
endif
