# The environment is made once, in .venv; a changed requirement or pyproject.toml brings it up to date.
VENV ?= .venv
BIN := $(VENV)/bin
BENCHMARKS := $(filter-out tests/benchmarks/test_%,$(wildcard tests/benchmarks/[a-z]*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs wheel clean

help:
	@echo "make demo    sample the embedded model on this machine's CPU and print where the report is"
	@echo "make test    run the tests; make test ARGS='-m \"not vllm\"' leaves out those on a real model"
	@echo "make check   ruff and mypy"
	@echo "make bench   run the measurements in tests/benchmarks"
	@echo "make docs    build the documentation into site/index.html"
	@echo "make wheel   build the wheel and the sdist into dist/"
	@echo "make clean   remove what was built, but not $(VENV)"

demo: $(VENV)/.cpu
	$(BIN)/ttscale run configs/experiments/demo.yaml

# Those on a whole model come by themselves: vLLM's threads wait for one another, and so for whatever
# else runs. pytest says 5 where ARGS leaves no test of a kind.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not alone" $(ARGS) || [ $$? -eq 5 ]
	$(if $(findstring not vllm,$(ARGS)),,$(BIN)/pytest -m alone $(ARGS) || [ $$? -eq 5 ])

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.dev
	@set -e; for name in $(subst /,.,$(basename $(BENCHMARKS))); do \
	    echo "== $$name"; $(BIN)/python -m $$name; done

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is site/index.html"

wheel: $(VENV)/.dev
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ttscale strategies verifiers tests -name __pycache__ -prune -exec rm -rf {} +

# Stamps: touched when the installation went through, so one that was interrupted is taken up again.
$(VENV)/.cpu: requirements/cpu.txt pyproject.toml scripts/install.sh
	bash scripts/install.sh $(VENV) cpu
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.cpu
	bash scripts/install.sh $(VENV) dev
	@touch $@
