# The commands of the repository. `make demo` and `make test` are the two to know.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo test unit faults check lock clean

install: $(STAMP)

# One pinned lock, hashes checked, dependencies exactly as listed. Nothing happens when nothing changed.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# The whole system on its embedded defaults: every sample of every application, and a report in demo-output/.
demo: install
	$(BIN)/sightline demo

# Most of the time a test waits, so two at a time take half as long, also where there is one core.
test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What needs no server, process, model or database.
unit: install
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -m unit -n auto --hypothesis-profile=quick

# Every fault N times, storms of them until MINUTES have passed, each guard taken out; the report is docs/reliability.md.
N ?= 1
MINUTES ?= 60
faults: install
	$(BIN)/python -m tests.campaign --times $(N) --minutes $(MINUTES)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m migrations.drift

# Pins anew what pyproject.toml asks for; needs uv.
lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock

clean:
	rm -rf .venv .faults demo-output build *.egg-info
