# make report   the main job: trains the digits experiment and says where its report lies
# make test     every test, in the same environment
# make lint     formatting and lint of code and workflow
# make ui       the MLflow page of all runs, on this machine only

PYTHON ?= python3
CORES ?= 4
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: report test lint ui

report: .venv/ready
	snakemake --cores $(CORES)

test: .venv/ready
	python -m pytest --numprocesses 2 --dist loadfile

lint: .venv/ready
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile
	snakemake --lint

ui: .venv/ready
	MLFLOW_DISABLE_TELEMETRY=true mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///results/mlflow.db

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("vaebench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; say make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
