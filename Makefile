PYTHON ?= python3
READY := .venv/.ready
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: run test lint faults fuzz benchmark clean

run: $(READY) ## rebuild what changed, from recordings to an evaluated recognizer
	@$(IN_VENV) python -m stages.store
	@$(IN_VENV) dvc repro
	@$(IN_VENV) python -m stages.summary

test: $(READY)
	@$(IN_VENV) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy
	@$(IN_VENV) lint-imports --no-logo

faults: $(READY) ## kill the pipeline at random moments (KILLS=40 for forty), fill the disk, run all of it twice at a time, damage its files
	@$(IN_VENV) python -m pytest -m faults tests/test_faults.py tests/fuzz

fuzz: $(READY) ## 100,000 damaged files of each kind, and requests to the server: hours
	@$(IN_VENV) python -m tests.fuzz all
	@$(IN_VENV) EXAMPLES=100 python -m pytest -m "faults or not faults" tests/server/test_fuzz.py

benchmark: $(READY)
	@$(IN_VENV) python -m pytest -m benchmark -s tests/benchmarks

clean: ## remove the environment; data, models and runs stay
	rm -rf .venv

# The stamp is a copy of the lock file that .venv was made from. It is written last, so an install that was interrupted
# is done again, from nothing: what pip leaves half-installed looks whole to it.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null || { \
		echo "error: $(PYTHON) is not Python 3.11; install it, or name yours: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; \
		exit 1; }
	@cmp --silent requirements.lock $(READY) || { \
		echo "Making .venv from requirements.lock: some minutes and 6 GB, once" && \
		$(PYTHON) -m venv --clear .venv && \
		.venv/bin/python -m pip install -qq --no-input --disable-pip-version-check -r requirements.lock; }
	@cp requirements.lock $(READY)
