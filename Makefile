# What you can do here. `make` alone prints the list.

VENV := .venv
BIN := $(VENV)/bin
BENCH := .bench
CELERY := .celery
SAQ := .bench-saq
OBAN := .bench-oban
# Progress and warnings about this machine's pip configuration say nothing about duly; errors are shown.
PIP := -m pip -qq --disable-pip-version-check --no-input

# The newest Python that is new enough; empty when there is none.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then command -v $$python; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-celery test-celeries check bench bench-stores clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.stamp ## make the environment .venv with duly and what its tests need

demo: setup ## a thousand real files, a killed worker and 300 appointments, with a report (about a minute)
	@$(BIN)/python examples/stdlib_census/census.py

# Tests wait more than they compute, so there are three at a time on two cores.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile

# Django's settings are a process's, so the tests of the Django project run apart.
test: setup $(CELERY)/.stamp servers ## run every test
	@$(PYTEST)
	@$(PYTEST) apps/watch/tests

test-celery: setup $(CELERY)/.stamp servers ## how Celery fails where duly does not (a minute)
	@$(BIN)/python -m pytest tests/chaos -m celery

test-celeries: setup $(patsubst %,$(CELERY)-%/.stamp,5.4 5.5 5.6) servers ## the doors and the relay beside older releases of Celery (half an hour)
	@for release in 5.4 5.5 5.6; do for area in gateway relay; do \
		echo "Celery $$release: tests/$$area"; \
		DULY_CELERY_PYTHON=$(CELERY)-$$release/bin/python $(BIN)/python -m pytest tests/$$area || exit 1; done; done

check: setup ## lint, format, types and the direction of imports; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(BENCH)/.stamp servers ## measure duly beside Celery and huey, with ratios (about 20 minutes)
	@$(BENCH)/bin/python -m bench.all

bench-stores: $(BENCH)/.stamp $(SAQ)/.stamp $(OBAN)/.stamp servers ## the same on Redis and PostgreSQL, beside their own queues (about 40 minutes)
	@$(BENCH)/bin/python -m bench.stores --reps 1 --placement same
	@$(BENCH)/bin/python -m bench.stores --reps 1 --placement other

clean: ## remove environments, caches and what bench and demo left behind
	rm -rf $(VENV) $(BENCH) $(SAQ) $(OBAN) $(CELERY) $(CELERY)-* .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		bench/results dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

APPS := $(wildcard apps/*/pyproject.toml)
$(VENV)/.stamp: pyproject.toml $(APPS)
	$(call environment,$(VENV),dev,$(APPS:%/pyproject.toml=--editable %))

$(BENCH)/.stamp: pyproject.toml
	$(call environment,$(BENCH),bench)

$(SAQ)/.stamp: pyproject.toml
	$(call environment,$(SAQ),bench-saq)

# Oban wants Python 3.12; where there is none the environment has no Oban, and the benchmark says that it is left out.
$(OBAN)/.stamp: pyproject.toml
	$(call environment,$(OBAN),bench-oban)

# A real Celery and a real Flower for the tests of the gateways (tests/servers/celery.py).
$(CELERY)/.stamp: pyproject.toml
	$(call environment,$(CELERY),celery)

# The same with another release, and the kombu of its time: a later one wants a later driver of Redis than that allows.
.PRECIOUS: $(CELERY)-%/.stamp
$(CELERY)-%/.stamp: pyproject.toml
	$(call environment,$(CELERY)-$*,celery,'celery==$*.*' 'kombu==$*.*')

# An environment $(1) with duly, editable, the dependency group $(2), and what $(3) names, made or brought up to date.
# (pip reads dependency groups since 25.1.)
define environment
	@test -n "$(PYTHON)" || { \
		echo "duly needs Python 3.11 or newer with its venv module; none of python3.13, python3.12," \
			"python3.11 and python3 here is one."; \
		echo "Install one (Debian, Ubuntu: apt-get install python3-venv) or name it: make PYTHON=/path/to/python"; \
		exit 1; } >&2
	@echo "setting up $(1) with $$($(PYTHON) --version) (a minute or so, when pyproject.toml has changed)"
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python $(PIP) install --upgrade 'pip>=25.1'
	@$(1)/bin/python $(PIP) install --editable . --group $(2) $(3)
	@touch $@
endef

# Servers and the browser that tests and benchmarks start privately; from the system's package manager, as root or
# through sudo. A line a program: what to look for, and the Debian package that has it.
SERVERS := redis-server:redis-server /usr/lib/postgresql:postgresql pgbouncer:pgbouncer \
	/usr/lib/rabbitmq/bin/rabbitmq-server:rabbitmq-server chromium:chromium ffmpeg:ffmpeg ip:iproute2 \
	systemd-analyze:systemd pulseaudio:pulseaudio pactl:pulseaudio-utils

.PHONY: servers
servers:
	@missing=; for pair in $(SERVERS); do what=$${pair%%:*}; \
		command -v $$what >/dev/null || test -e $$what || PATH=$$PATH:/usr/sbin:/sbin command -v $$what >/dev/null \
			|| missing="$$missing $${pair##*:}"; done; \
	test -z "$$missing" || { \
		echo "installing$$missing with apt-get (once; a minute or two)"; \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		$$sudo apt-get update -qq \
			&& $$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
				apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
			|| { echo "could not install$$missing: install them by hand, then try again" >&2; exit 1; }; }
