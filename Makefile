# make run     builds .venv once, runs the digits study, prints the answer and where results are
# make test    builds .venv once, passes the tests; TEST_JOBS=… processes for those that may run side by side
# make lint    formatting, lint, and the boundary between the halves of the package
# make lmms-eval-env    builds .venv-lmms-eval, which tests models on published benchmarks (docs/evaluation.md)
# PYTHON=…     another Python ≥ 3.11 to build .venv from;  VENV=…  an environment of your own (a cluster's CUDA build)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LMMS_EVAL_VENV ?= .venv-lmms-eval
STUDY ?= digits
TEST_JOBS ?= 2
CONFIG ?= workflow/studies/$(STUDY).yaml

# By way of the environment, where no shell reads names as anything else.
export STUDY CONFIG

.PHONY: run test lint lmms-eval-env clean

run: $(VENV)/.installed
	@VLMFRONTIER_SUMMARY=later $(BIN)/snakemake --configfile "$$CONFIG" || \
		{ $(BIN)/python scripts/status.py --study "results/$$STUDY/study.json" --report; exit 1; }
	@$(BIN)/python scripts/status.py --study "results/$$STUDY/study.json" --answer

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_JOBS) --dist loadscope tests/unit tests/browser
	$(BIN)/python -m pytest tests/workflow tests/slurm

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	PYTHONPATH=src $(BIN)/lint-imports

# Constraints pin every package and name no index; pip asks the one it is configured for.
$(VENV)/.installed: envs/constraints.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint envs/constraints.txt --editable '.[train,workflow]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint envs/constraints.txt --editable '.[train,workflow,dev]'
	@touch $@

# Without their dependencies: the file lists all that are needed, and torchvision, which lmms-eval names, is not.
lmms-eval-env: $(LMMS_EVAL_VENV)/.installed

$(LMMS_EVAL_VENV)/.installed: envs/constraints-lmms-eval.txt
	test -x $(LMMS_EVAL_VENV)/bin/python || $(PYTHON) -m venv $(LMMS_EVAL_VENV)
	$(LMMS_EVAL_VENV)/bin/python -m pip install --quiet --no-deps --requirement envs/constraints-lmms-eval.txt
	@touch $@

clean:
	rm -rf $(VENV) $(LMMS_EVAL_VENV) .snakemake .pytest_cache .ruff_cache .import_linter_cache
