# The two commands of the README are `make repro` and `make test`. Both make .venv first.
# After that, `source .venv/bin/activate` and live in plain dvc commands.

PYTHON ?= python3
UV = .venv/bin/python -m uv
STAMP = .venv/.made-from-requirements.lock

.PHONY: repro test env lock lint clean-scratch

repro: env
	PATH="$(CURDIR)/.venv/bin:$$PATH" dvc repro

test: env
	.venv/bin/python -m pytest -n 2 --dist loadfile

env: $(STAMP)

$(STAMP): requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(UV) pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
	touch $@

lock:
	$(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --all-extras --custom-compile-command "make lock" --quiet pyproject.toml -o requirements.lock

lint: env
	.venv/bin/python -m ruff check .

# Checkpoints, finished replicates and unfinished downloads. Results in DVC's cache stay.
clean-scratch:
	rm -rf .unfreeze
