# The two commands of the README are `make repro` and `make test`. Both make .venv first.
# After that, `source .venv/bin/activate` and live in plain dvc commands.

PYTHON ?= python3
UV = .venv/bin/python -m uv
STAMP = .venv/.made-from-requirements.lock

.PHONY: repro studies test gpu env env-all lock lint clean-scratch

# A dvc.lock that was left half written is mended first, from the copy that is kept at the end.
repro: env
	@export PATH="$(CURDIR)/.venv/bin:$$PATH"; echo dvc repro; \
	unfreeze mend && { dvc repro; done=$$?; unfreeze mend; exit $$done; }

# Every study at its published settings, one after another; `python benchmarks/hours.py` says how
# long that takes here. One that cannot be planned, such as that on photos of one's own where there
# are none, is left out; one that stops does not keep the others from running.
studies: env
	@find src -name __pycache__ -prune -exec rm -r {} +  # of versions before src/unfreeze/bytecode.py
	@export PATH="$(CURDIR)/.venv/bin:$$PATH"; stopped=; \
	for study in studies/*; do \
	  echo "== $$study"; \
	  if ! dvc --cd "$$study" repro plan; then \
	    echo "== $$study is left out: it cannot be planned here, the error above says why"; \
	  elif ! dvc --cd "$$study" repro; then stopped="$$stopped $$study"; fi; \
	done; \
	if [ -n "$$stopped" ]; then echo "== not finished:$$stopped"; exit 1; fi

test: env
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What only a GPU can show, in nine minutes (docs/gpu.md); no .venv is made, a machine with a GPU may
# have no network. `make gpu REHEARSE=1`: at a tiny scale, on a CPU too.
gpu:
	$(or $(wildcard .venv/bin/python),$(PYTHON)) benchmarks/gpu.py run \
	  $(if $(REHEARSE),--rehearse) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(INPUTS),--inputs $(INPUTS))

env: $(STAMP) .venv/bin/unfreeze

# Nothing is installed: the command runs what lies in src/ here.
.venv/bin/unfreeze: $(STAMP) Makefile
	printf '%s\n' '#!$(CURDIR)/.venv/bin/python' 'import sys' \
	  'sys.path.insert(0, "$(CURDIR)/src")' 'from unfreeze.command import main' \
	  'if __name__ == "__main__":  # and not in each of its own processes' '    main()' > $@
	chmod +x $@

# `make env CPU=1`: the same versions with torch's build without CUDA, from PyTorch's own index, whose
# files have other digests than those of the lock.
PACKAGES = $(if $(CPU),--torch-backend cpu --no-verify-hashes --extra dev \
  --constraint requirements.lock -r pyproject.toml,--require-hashes -r requirements.lock)

$(STAMP): requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(UV) pip install --quiet --compile-bytecode --python .venv/bin/python $(PACKAGES)
	touch $@

# With all extras of pyproject.toml, such as Ray for clusters.
env-all: env .venv/.made-from-requirements-extras.lock

.venv/.made-from-requirements-extras.lock: requirements-extras.lock $(STAMP)
	$(UV) pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements-extras.lock
	touch $@

COMPILE = $(UV) pip compile --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock" --quiet pyproject.toml

# The second has what the first has, in the same versions, and what the extras add.
lock:
	$(COMPILE) --extra dev -o requirements.lock
	$(COMPILE) --all-extras --constraint requirements.lock -o requirements-extras.lock

lint: env
	.venv/bin/python -m ruff check .

# Checkpoints, finished replicates and unfinished downloads. Results in DVC's cache stay.
clean-scratch:
	rm -rf .unfreeze
