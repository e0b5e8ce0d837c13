# Everything from nothing but Python 3.11+ and make. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup doctor demo test check format bench docs clean
help:    ## this list
	@grep -hE '^[a-z]+: .*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'
setup: .venv/ready  ## .venv with natless and what it needs
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "natless needs Python 3.11 or newer; try: make PYTHON=python3.12 setup")'
	@echo "setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
doctor: setup  ## what this machine can do, and the fix for what it cannot
	@$(BIN)/natless doctor $(ARGS)
demo: setup  ## the same function on four networks, side by side
	@$(BIN)/natless demo $(ARGS)
test: setup  ## every test this machine can run; what it cannot, skips with a reason
	@$(BIN)/python -m pytest $(ARGS)
check: setup  ## lint, types, architecture
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
format: setup  ## let ruff write the code as it should look
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
bench: setup  ## measure against the references (minutes)
	@$(BIN)/python -m bench $(ARGS)
docs: setup  ## docs/_build/html
	@$(BIN)/python -m sphinx -n -W --keep-going -q docs docs/_build/html && echo "docs/_build/html/index.html"
lock: setup  ## requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --group test --group check --group docs pyproject.toml requirements.build -o requirements.lock
clean:   ## remove what make made
	rm -rf .venv docs/_build natless-report .pytest_cache .mypy_cache .ruff_cache .hypothesis
