# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Half of the tests wait for sockets, processes and clocks, so that more workers than cores keep the cores busy. They write bytecode, whatever the
# environment says: without it each of them compiles the house anew, every time.
WORKERS := 3
unit: export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help deps tools demo test unit lint soak fuzz bench bench-realtime scenarios screenshots lock messages docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

deps: ## the one system package that a virtual environment needs
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Counterflow needs Python 3.11 or newer; set PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else echo "Python's venv module is missing. Type:  sudo apt-get install -y python3-venv"; exit 1; fi; }

# Programs that the tests run, each of the Debian package of that name: a real MQTT broker; Wireshark's dissector, which judges frames of IEC 104;
# a browser for the console.
TOOLS := mosquitto tshark chromium

tools: ## system packages that the tests need
	@missing=""; for tool in $(TOOLS); do PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	  if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "The tests need$$missing. Type:  sudo apt-get install -y$$missing"; exit 1; fi; fi

$(VENV)/.run: requirements/run.lock pyproject.toml | deps
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip check -q --disable-pip-version-check
	@$(BIN)/python scripts/fetch_openadr.py
	@touch $@

demo: $(VENV)/.run ## the main job, live: 200 stations, one dispatch, a report and a picture (KEEP=1 leaves it running)
	@$(BIN)/counterflow demo $(if $(KEEP),--keep)

test: lint unit ## everything CI runs

unit: $(VENV)/.dev tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(VENV)/.dev ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

soak: $(VENV)/.run ## fresh seeds of the simulation with faults (FOR=10min)
	@$(BIN)/counterflow soak --for $(or $(FOR),10min)

$(VENV)/.fuzz: requirements/fuzz.lock $(VENV)/.run
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/fuzz.lock
	@touch $@

fuzz: $(VENV)/.fuzz ## fuzz what reads the words of others (FOR=60, seconds a target)
	@$(BIN)/python -m counterflow.app.fuzz --for $(or $(FOR),60)

bench: $(VENV)/.dev ## the figures in the README, measured here
	$(BIN)/counterflow bench

bench-realtime: $(VENV)/.dev ## 1 000 stations in real time beside the virtual clock (ARGS="--minutes 5")
	@$(BIN)/counterflow bench realtime $(ARGS)

messages: $(VENV)/.dev ## regenerate the OCPP 2.1 wire types from the official schemas
	$(BIN)/python scripts/generate_messages.py

docs: $(VENV)/.dev ## regenerate the tables in docs/ (settings, metrics, columns)
	$(BIN)/python scripts/generate_docs.py

screenshots: $(VENV)/.dev tools ## pictures of the console's pages, for README and docs
	@$(BIN)/python scripts/screenshots.py

lock: $(VENV)/.dev ## re-resolve the lock files
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --extra build -o requirements/run.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --extra dev -o requirements/dev.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --constraint requirements/run.lock --extra fuzz -o requirements/fuzz.lock pyproject.toml

clean: ## remove what was built
	rm -rf $(VENV) build dist out *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
