# make demo and make test are all a newcomer needs; each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
# One thread a worker: two libraries' thread pools on two cores are slower than one thread each.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: install demo examples test lint proof docs clean pango

install: .venv/ready pango

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch $$($(BIN)/python scripts/torch_index.py)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

pango:
	@$(SHELL) scripts/pango.sh

demo: install
	$(BIN)/python examples/diabetes/prepare.py
	$(BIN)/xai-audit run examples/diabetes/audit.yaml -o out/diabetes; code=$$?; \
	  case $$code in 0|1|3) ls out/diabetes/report.*;; *) exit $$code;; esac

examples: install
	$(BIN)/python examples/run_all.py

test: install
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not proof"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The reference pages and the picture of the README.
docs: demo
	$(BIN)/python scripts/generate_docs.py
	$(SHELL) scripts/picture.sh

proof: install
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.gate
	$(BIN)/python -m benchmarks.fuzz_specs
	$(BIN)/python -m benchmarks.fuzz_data
	$(BIN)/python -m benchmarks.fuzz_audits
	$(BIN)/python -m benchmarks.tampering
	$(BIN)/python -m benchmarks.durability
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.explainers
	$(BIN)/python -m benchmarks.attributions
	$(BIN)/python -m benchmarks.players
	$(BIN)/python -m benchmarks.tcav
	$(BIN)/python -m benchmarks.prototypes
	$(BIN)/python -m benchmarks.omniglot
	$(BIN)/python -m benchmarks.watermark
	$(BIN)/python -m benchmarks.identity
	$(BIN)/python -m benchmarks.leaks
	$(BIN)/python -m benchmarks.real_networks
	$(BIN)/python -m benchmarks.sae_step
	$(BIN)/python -m benchmarks.dictionaries
	$(BIN)/python -m benchmarks.real_dictionary
	$(BIN)/python -m benchmarks.probing
	$(BIN)/python -m benchmarks.backdoors
	$(BIN)/python -m benchmarks.circuits
	$(BIN)/python -m benchmarks.grokking
	$(BIN)/python -m benchmarks.by_design
	$(BIN)/python -m pytest -q -n auto -m proof

clean:
	rm -rf .venv out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
