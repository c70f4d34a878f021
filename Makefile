# make report   the main job: trains the digits experiment and says where its report lies
# make test     every test, in the same environment
# make test-long   many random kills; five minutes of CPU time
# make lint     formatting and lint of code and workflow
# make docs     the documentation as a site, in site/; it opens without a network
# make ui       the MLflow pages of all runs, on this machine only, at PORT 5000
# make benchmark   what training, scoring and planning cost, against the floor and against the peers

PYTHON ?= python3
CORES ?= 4
PORT ?= 5000
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: report test test-long lint docs ui benchmark

report: .venv/ready
	snakemake --cores $(CORES)

test: .venv/ready
	python -m pytest --numprocesses 2 --dist loadfile

test-long: .venv/ready
	python -m pytest -m long --capture no

lint: .venv/ready
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile
	snakemake --lint

# The variable leaves out a notice of the theme's makers, which would stand among the warnings.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "documentation: site/index.html"

ui: .venv/ready
	@for table in $(wildcard results/*/tracked.csv); do \
	  echo "$$table: http://127.0.0.1:$(PORT)/#/experiments/$$(tail -n 1 $$table | cut -d, -f3)/runs"; done
	MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri sqlite:///results/mlflow.db

# One after the other: a second program on the machine would be measured too.
benchmark: .venv/ready .venv-pythae/ready
	python -m benchmarks.training
	python -m benchmarks.evaluation
	python -m benchmarks.cores
	python -m benchmarks.growth

# pythae in an environment of its own, with this one's torch; without it the benchmark says so and goes on.
PYTHAE = 76eafe2f956a632b9d89fc899bb7018ef93f8a7a00a556d356bb0517befacb72

.venv-pythae/ready: .venv/ready
	$(PYTHON) -m venv .venv-pythae
	python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(.venv-pythae/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	echo "pythae==0.1.2 --hash=sha256:$(PYTHAE)" | .venv-pythae/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement /dev/stdin && touch $@ || echo "pythae 0.1.2 cannot be had here"

# Nothing is built with a setuptools that the lock does not pin: it is installed first, and no package brings its own.
INSTALL = python -m pip install --quiet --disable-pip-version-check --no-build-isolation

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("vaebench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; say make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock | $(INSTALL) --require-hashes --requirement /dev/stdin
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --editable .
	touch $@
