# The first Python of at least 3.11; `make PYTHON=/path/to/python ...` takes another.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help run report check test lab docs refresh clean

help:
	@echo "make run      execute every notebook and check its claims: build/index.html"
	@echo "make report   show the compatibility report on an example: build/report.html"
	@echo "make check    format, lint, types, rooms, and the tests but those of notebooks, the site, and long ones"
	@echo "make test     format, lint, types, all tests, and the notebooks against their committed outputs"
	@echo "make lab      open the notebooks in JupyterLab"
	@echo "make docs     build the site from the committed outputs: build/docs/index.html"
	@echo "make refresh  execute the notebooks in place and rewrite figures/"
	@echo "make clean    remove what the others made, except .venv"

run: .venv/.lab
	@$(BIN)/procrustes-lab run

report: .venv/.lab
	@mkdir -p build
	@$(BIN)/procrustes-lab report --output build/report.html

lab: .venv/.lab
	@$(BIN)/python -m jupyterlab notebooks

docs: .venv/.docs
	@$(BIN)/python docs/build.py build/docs
	@echo "Look at build/docs/index.html"

refresh: .venv/.lab
	@$(BIN)/procrustes-lab refresh

# Modules are compiled once, not by every kernel and every process of the tests.
unexport PYTHONDONTWRITEBYTECODE

# One thread a process: the tests already use both cores.
check test refresh: export OMP_NUM_THREADS = 1
check test refresh: export OPENBLAS_NUM_THREADS = 1
# The committed outputs are one processor kind's, with AVX2 and FMA: another rounds the last bits
# differently. OpenBLAS takes the kernels of that one, and NumPy leaves out what newer ones have.
check test refresh: export OPENBLAS_CORETYPE = Haswell
check test refresh: export NPY_DISABLE_CPU_FEATURES = X86_V4 AVX512_ICL AVX512_SPR
TESTS = $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal --hypothesis-profile=ci -p no:nbval

check: .venv/.test
	@$(TESTS) --ignore=tests/test_notebooks.py --ignore=tests/docs -m "not long"

test: .venv/.test
	@$(TESTS)

clean:
	rm -rf build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -print0 | \
		xargs -0 rm -rf

# The installed packages are those of pyproject.toml, at the versions of constraints.txt.
.venv/.docs .venv/.lab .venv/.test: .venv/.%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing packages into .venv (a few minutes the first time)"
	@$(PIP) install --constraint constraints.txt --editable '.[$*]'
	@touch $@

# Debian has Python without ensurepip, and then sometimes with a pip that can install another.
$(BIN)/pip:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python" >&2; exit 1; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv .venv; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	else \
		echo "$(PYTHON) cannot make a virtual environment: install it with apt-get install python3-venv" >&2; exit 1; \
	fi
