# Every verb of the project; `make help` lists them. Needs Python 3.11 or newer with pip, and git.
#
#   make install TORCH_INDEX=https://download.pytorch.org/whl/cu130     with CUDA
#   make install PYTHON=python3.13                                      with that interpreter
#
# A changed choice takes effect in a new environment: remove .venv first.

TORCH ?= torch==2.13.0
TORCHVISION ?= torchvision==0.28.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TEST_WORKERS ?= 2

# The first that runs, is new enough and has pip (a version manager's shim may be there and fail).
PYTHON ?= $(shell for python in python3.11 python3 python3.13 python3.12; do \
	if "$$python" -c 'import sys, pip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo "$$python"; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS)
TEST_STAMPS = $(addprefix $(VENV)/,.test .previous .redbot .vision)
INSTALL = $(PYTHON) -m pip --python $(BIN)/python install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: install demo serve test test-models test-service check coverage lint fmt bench
.PHONY: coverage-models clean help

help: ## list these verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r verb does; do printf '  make %-15s %s\n' "$$verb" "$$does"; done

install: $(VENV)/.seedpoint ## install the service into .venv, with PyTorch for the CPU

demo: $(VENV)/.seedpoint ## start the service, issue a checkpoint, show its statistics
	@$(BIN)/python examples/demo.py

serve: $(VENV)/.seedpoint ## start the service on http://127.0.0.1:8000, with its store in .seedpoint
	@$(BIN)/seedpoint serve

test: $(TEST_STAMPS) ## run every test, or those of one folder: make test DIR=tests/models/stream
	$(PYTEST) $(DIR)

test-models: $(TEST_STAMPS) ## run the tests of models/
	$(PYTEST) tests/models

test-service: $(TEST_STAMPS) ## run the tests of service/
	$(PYTEST) tests/service

check: lint test ## run lint and every test, as CI does

# Measures the test processes with their threads, and the commands that tests start. It leaves out
# processes that end by being killed, as planning workers do, and the bodies of compiled kernels.
coverage: $(TEST_STAMPS) ## print the lines that tests run, by file; DIR as for test
	$(PYTEST) --cov --cov-report=term:skip-covered $(DIR)

lint: $(VENV)/.lint ## check style, types, imports, Dockerfile and compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@if [ -x $(BIN)/hadolint ]; then echo $(BIN)/hadolint Dockerfile; $(BIN)/hadolint Dockerfile; \
		else echo 'hadolint has no wheel for this machine: Dockerfile left unchecked'; fi
	@if docker compose version >/dev/null 2>&1; then docker compose config --quiet; fi

fmt: $(VENV)/.lint ## format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.seedpoint ## run the benchmarks
	$(BIN)/python -m benchmarks

coverage-models: $(VENV)/.test $(VENV)/.vision ## compare every model with its own code; write docs/models.md
	$(BIN)/python -m benchmarks.coverage
	PYTHONPATH=$(VENV)/vision $(BIN)/python -m benchmarks.coverage.vision

clean: ## remove build and test output (but not .venv and the store)
	rm -rf build dist out .coverage *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -exec rm -rf {} +

# A stamp is written when its step is done: a failed install is tried again, a done one is not.

$(VENV)/.created:
	@[ -n "$(PYTHON)" ] || { echo 'Seedpoint needs Python 3.11 or newer with pip' >&2; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)
	@touch $@

# Before the rest, so that none of it brings PyTorch's CUDA build, which is 5 GB; and alone, so that
# nothing else is looked for at its index.
$(VENV)/.torch: $(VENV)/.created
	$(INSTALL) --no-deps --retries 2 --extra-index-url $(TORCH_INDEX) '$(TORCH)'
	@touch $@

$(VENV)/.seedpoint: $(VENV)/.torch pyproject.toml
	$(INSTALL) --editable '.[service,transformers]'
	@touch $@

$(VENV)/.test $(VENV)/.lint: $(VENV)/.%: $(VENV)/.seedpoint
	$(INSTALL) --editable '.[$*]'
	@touch $@

# The clients' previous major versions, which tests/clients/test_real_clients.py puts before today's.
$(VENV)/.previous: $(VENV)/.created
	$(INSTALL) --upgrade --no-deps --target $(VENV)/previous \
		'transformers==4.57.*' 'huggingface_hub==0.36.*' 'tokenizers==0.22.*'
	@touch $@

# REDbot, where only its own test looks: it brings a package that is called `tests`.
$(VENV)/.redbot: $(VENV)/.created
	$(INSTALL) --upgrade --target $(VENV)/redbot 'redbot>=2.5'
	@touch $@

# timm and torchvision, where only their own tests look: where there is no build of torchvision for
# the CPU, whatever imports it unprepared would fail.
$(VENV)/.vision: $(VENV)/.seedpoint
	$(INSTALL) --upgrade --no-deps --retries 2 --target $(VENV)/vision \
		--extra-index-url $(TORCH_INDEX) 'timm>=1.0.31' '$(TORCHVISION)' pillow
	@touch $@
