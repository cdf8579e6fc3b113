PYTHON ?= python3
CALLS ?= 20
# Most tests wait for processes and clocks, so more of them than processors run side by side.
WORKERS ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
V := .venv/bin
CLUSTER := $(V)/python -m lab.cluster
OPERATOR_CHAOS := $(V)/python -m lab.faults.operator
TYPED := libs/core/src libs/testing/src services/echo/src services/ari/src operator/src tools/callgen/src
.DEFAULT_GOAL := help
.PHONY: help setup run test browser check scan e2e chaos bench up down release clean lock

help: ## Show the commands
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.ready ## Make .venv with pinned packages (the other commands do this themselves)

.venv/.ready: requirements/dev.txt tools/make_venv.py $(wildcard */pyproject.toml */*/pyproject.toml)
	@$(PYTHON) tools/make_venv.py

run: .venv/.ready ## Echo, relay and an Asterisk stand-in on this machine, with a live table (CALLS=20)
	@$(V)/python -m rtppool_callgen run --calls $(CALLS)

test: .venv/.ready ## Every test that needs no cluster (WORKERS=4)
	@$(V)/python -m rtppool_relay.packets.compile_ahead
	@$(V)/python -m rtppool_echo.reflector.compile_ahead
	@HELM="$$($(CLUSTER) program helm)" HELM3="$$($(CLUSTER) program helm3)" HELM4="$$($(CLUSTER) program helm4)" KUBECTL="$$($(CLUSTER) program kubectl)" $(V)/python -m pytest -n $(WORKERS) --dist worksteal

browser: .venv/.ready ## The pages in a browser: every situation, each control, keyboard, accessibility
	@$(V)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements/browser.txt
	@$(V)/python -m rtppool_relay.packets.compile_ahead
	@$(V)/python -m rtppool_echo.reflector.compile_ahead
	$(V)/python -m pytest tests/browser

check: .venv/.ready ## Lint, types, imports between packages, writing rules
	$(V)/ruff check .
	$(V)/ruff format --check .
	$(V)/mypy $(TYPED)
	$(V)/mypy tools/make_venv.py tools/check_style.py tools/values_schema.py tools/chart_readme.py tools/scan_chart.py
	$(V)/mypy operator/tests
	$(V)/mypy --package lab
	$(V)/lint-imports
	$(V)/python tools/check_style.py

scan: .venv/.ready ## The rendered chart under checkov, with a reason for every exception, and the workflow under actionlint
	@HELM="$$($(CLUSTER) program helm)" $(V)/python tools/scan_chart.py
	@"$$($(CLUSTER) program actionlint)" -shellcheck= -pyflakes= && echo "scan: actionlint accepts the workflow"

e2e: .venv/.ready ## A cluster with the product, real Asterisk and SIPp, and the tests on it (E2E=--full for all)
	$(CLUSTER) up
	$(V)/python -m pytest tests/e2e --e2e -v $(E2E)
	$(V)/python -m pytest lab/tests/faults/on_api_server --api-server -n $(WORKERS) --dist worksteal -v $(E2E)

chaos: .venv/.ready ## Break things under calls of a real Asterisk (CHAOS='--only media'), then under the operator ('operator --only scale')
ifeq ($(firstword $(CHAOS)),operator)
	@$(OPERATOR_CHAOS) $(wordlist 2,$(words $(CHAOS)),$(CHAOS))
else ifneq ($(CHAOS),)
	@$(V)/python -m lab.faults.calls $(CHAOS)
else
	@calls=0; $(V)/python -m lab.faults.calls || calls=$$?; $(OPERATOR_CHAOS) && exit $$calls
endif

bench: .venv/.ready ## What a packet costs and whether the figures are true (BENCH='--only truth')
	@$(V)/python -m lab.bench $(BENCH)

up: .venv/.ready ## A kind cluster with the product on it
	@$(CLUSTER) up

down: .venv/.ready ## Take that cluster away, and those that an interrupted make e2e left
	@for family in ipv4 ipv6 dual; do $(CLUSTER) --family $$family down || exit 1; done

release: .venv/.ready ## Images, chart, manifests, wheels and checksums in dist/ (RELEASE='--no-images')
	@$(V)/python -m lab.release $(RELEASE)

lock: ## Resolve requirements/*.txt anew
	requirements/lock

clean: ## Remove what setup and the tests made here (not the cluster, see make down)
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name '*.egg-info' -prune -exec rm -rf {} +
