# What a user or developer types. GNU make 3.81 (macOS) or newer; everything lands in .venv.
# PYTHON=... names the interpreter (3.11 or newer); without it the first fitting one is taken.

VENV = .venv
BIN = $(VENV)/bin
BENCH = .venv-bench

.PHONY: help demo test fuzz lint format pages bench bench-data clean

help:
	@echo 'make demo        open the practice dump (installs polydbg into .venv first)'
	@echo 'make test        the whole test suite'
	@echo 'make fuzz        every reader for 15 seconds of fuzzing, two at a time'
	@echo 'make lint        ruff, mypy, import-linter'
	@echo 'make pages       the pages and the index of commands that are made from declarations'
	@echo 'make bench       the benchmarks (benchmarks/README.md)'
	@echo 'make bench-data  build the large inputs of the benchmarks, about 2 GB, some minutes'
	@echo 'make clean       remove what the above made'

demo: $(VENV)/.installed
	@$(BIN)/polydbg demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto

fuzz: $(VENV)/.installed-dev
	$(BIN)/python tests/fuzz/run.py --target all --seconds 15

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Through a file of its own: polydbg reads the index, which a failure must not leave empty.
pages: $(VENV)/.installed-dev
	@set -e; for page in index cli commands json; do \
		case $$page in index) file=src/polydbg/commands/index.py;; *) file=docs/$$page.md;; esac; \
		$(BIN)/polydbg docs $$page > $$file.new; mv $$file.new $$file; \
	done

# Measured as users install it: the developer's tools would change what is imported.
bench: $(BENCH)/.installed
	$(BENCH)/bin/python benchmarks/run_all.py

bench-data: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/make_data.py

clean:
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache benchmarks/.cache .demo
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf '{}' +

$(BENCH)/.installed: pyproject.toml .ci/venv.sh
	@PYTHON='$(PYTHON)' sh .ci/venv.sh $(BENCH) .
	@touch $@

$(VENV)/.installed: pyproject.toml .ci/venv.sh
	@PYTHON='$(PYTHON)' sh .ci/venv.sh $(VENV) .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml .ci/venv.sh
	@PYTHON='$(PYTHON)' sh .ci/venv.sh $(VENV) '.[dev]'
	@touch $@ $(VENV)/.installed
