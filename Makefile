# Plain `make` prints this help. Everything runs in .venv, which is made once and again when the pins change.

# The first interpreter that is 3.11 or newer; PYTHON=... names another.
PYTHON ?= $(shell for one in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$one; break; }; done)
PORT ?= 8080
SEED ?= 1
SPEED ?= 0
SERVE ?= 1
ENV ?= prod
BIN := .venv/bin
SOURCES := shared functions tests examples
LOCAL := --port $(PORT) --seed $(SEED) $(if $(filter 1,$(EMULATORS)),--emulators)

TERRAFORM := terraform -chdir=terraform
DEPLOYMENT = -var-file=environments/$(ENV).tfvars -var project=$(PROJECT) $(ARGS)

# --name 'value' of a variable that is set.
option = $(if $($(1)),--$(shell echo $(1) | tr A-Z a-z) '$($(1))')

.DEFAULT_GOAL := help
.PHONY: help run dashboard replay backtest install test format lint types test-unit test-integration test-browser screenshots soak bench bench-anomaly \
	redrive notify-preview notify-test verify tune tune-apply digest-preview history bundle plan apply destroy backend checkov

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.runs ## Start everything with a simulated fleet; PORT=8080 SEED=1 KEEP=1 EMULATORS=1
	@exec $(BIN)/python -m shared.local run $(LOCAL) $(if $(filter 1,$(KEEP)),--keep)

dashboard: .venv/.runs ## A dashboard in the terminal; NAME=overview PORT=8080 URL=https://... RANGE=24h REGION=... WATCH=1
	@$(BIN)/python -m shared.local.terminal $(NAME) --port $(PORT) $(if $(URL),--url "$(URL)") \
		$(if $(RANGE),--range "$(RANGE)") $(if $(REGION),--region "$(REGION)") $(if $(NO_COLOR),--plain) \
		$(if $(filter 1,$(WATCH)),--watch)

replay: .venv/.runs ## Replay CSV=file of timestamp,value as COLLECTION=cpu_utilization_us; SPEED=60 SERVE=0 EMULATORS=1
	@test -n "$(CSV)" -a -n "$(COLLECTION)" || { echo "make replay CSV=FILE COLLECTION=NAME, for example:" \
		"make replay CSV=tests/events/cpu_sample.csv COLLECTION=cpu_utilization_us" >&2; exit 2; }
	@exec $(BIN)/python -m shared.local replay "$(CSV)" "$(COLLECTION)" $(LOCAL) --speed $(SPEED) \
		$(if $(filter 0,$(SERVE)),--no-serve)

backtest: .venv/.runs ## What rules would have done: RULE=... SET=threshold=250 HOURS=72, or CSV=... COLLECTION=...; COMPARE=history
	@exec $(BIN)/python -m shared.backtest $(foreach name,RULE SET HOURS COLLECTION WINDOWS COMPARE,$(call option,$(name))) \
		$(foreach file,$(CSV),--csv '$(file)') $(foreach file,$(EARLIER),--earlier '$(file)')

install: .venv/.tests ## Install what tests and checks need
	@:

test: .venv/.tests ## Lint, format check, strict types and all tests; REQUIRE_ALL=1 makes a skip a failure
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/pytest -q

format: .venv/.tests ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lint: .venv/.tests ## Lint and check the format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: .venv/.tests ## Check the types strictly
	$(BIN)/mypy

test-unit: .venv/.tests ## Tests without network
	$(BIN)/pytest -q tests/unit

test-integration: .venv/.tests ## Tests on the emulators, of the local run, and of the bundles
	$(BIN)/pytest -q tests/integration

test-browser: .venv/.tests ## Tests of the pages in chromium
	$(BIN)/pytest -q tests/browser

screenshots: .venv/.tests ## Every page light, dark, on a phone and on a wall; OUT=build/screenshots ARGS="--readme" makes the README's
	@$(BIN)/python -m tests.browser.screenshots "$(or $(OUT),build/screenshots)" $(ARGS)

soak: .venv/.tests ## The long runs: storms, races, hostile messages and a day of the fleet at full size (hours)
	$(BIN)/pytest -q tests/unit --hypothesis-profile=searching
	$(BIN)/pytest -q tests/soak -m soak

bench: .venv/.tests ## What it costs, beside references of the same run; PART="ingest sizes reading pages starting memory bill alerts client paging"
	@$(BIN)/python -m tests.bench $(PART)

bench-anomaly: .venv/.tests ## The anomaly detector on labelled series; DATA=folder with windows.json
	@$(BIN)/python -m tests.bench.anomaly "$(or $(DATA),$(firstword $(wildcard ../shared/data/nab-dev) tests/events/labelled))"

notify-preview: .venv/.runs ## Render a sample incident as every channel shows it, to OUT=build/notifications
	@$(BIN)/python -m shared.local.notifying preview --out "$(or $(OUT),build/notifications)"

notify-test: .venv/.runs ## Send a marked test to CHANNEL=slack and say what came back
	@test -n "$(CHANNEL)" || { echo "make notify-test CHANNEL=slack|pagerduty|email|sentry|webhook" >&2; exit 2; }
	@$(BIN)/python -m shared.local.notifying test "$(CHANNEL)"

verify: .venv/.runs ## Check a running system, a probe and a test notification through it; ARGS="--no-probe"
	@exec $(BIN)/python -m shared.monitoring_setup verify $(ARGS)

tune: .venv/.runs ## What the rules did and the thresholds their values recommend; HOURS=72 WINDOWS=file ARGS="--format html"
	@exec $(BIN)/python -m shared.monitoring_setup tuning $(call option,HOURS) $(call option,WINDOWS) $(ARGS)

tune-apply: .venv/.runs ## Apply the recommendation for RULE=...: shows the difference and the backtest, and asks; WINDOWS=file ARGS="--yes"
	@test -n "$(RULE)" || { echo "make tune-apply RULE=ID, for example: make tune-apply RULE=high-cpu-utilization" >&2; exit 2; }
	@exec $(BIN)/python -m shared.monitoring_setup apply '$(RULE)' $(call option,HOURS) $(call option,WINDOWS) $(ARGS)

digest-preview: .venv/.runs ## The daily digest as it would be sent now; ARGS="--format html"
	@exec $(BIN)/python -m shared.monitoring_setup digest $(ARGS)

redrive: .venv/.runs ## Send the dead letters of a deployment again; ARGS="--list" only lists them
	@$(BIN)/python -m shared.redrive $(ARGS)

history: .venv/.runs ## What happened to alerts, who was told, what people did; HOURS=24 RULE=id ARGS="--json"
	@$(BIN)/python -m shared.history_command --hours $(or $(HOURS),24) --rule "$(RULE)" $(ARGS)

bundle: .venv/.runs ## Write each function's archive to build/
	@$(BIN)/python -m shared.bundle

plan: bundle backend ## Show what apply would do; PROJECT=my-project ENV=dev STATE=state-bucket ARGS="-var ..."
	$(TERRAFORM) plan $(DEPLOYMENT)

apply: bundle backend ## Provision everything, after asking; PROJECT=my-project ENV=dev STATE=state-bucket ARGS="-var ..."
	$(TERRAFORM) apply $(DEPLOYMENT)

destroy: bundle backend ## Take everything away, after asking; PROJECT=my-project ENV=dev STATE=state-bucket
	$(TERRAFORM) destroy $(DEPLOYMENT)

checkov: ## Look for weaknesses in terraform/, by checkov in an environment of its own
	@test -x .checkov/bin/checkov || { $(PYTHON) -m venv .checkov && .checkov/bin/pip install -qq checkov==3.3.30; }
	.checkov/bin/checkov -d terraform --framework terraform --compact --quiet --skip-download

# The state lies in the bucket that STATE named the last time, or here; each environment has one of its own.
backend:
	@test -n "$(PROJECT)" || { echo "PROJECT=my-project is needed" >&2; exit 2; }
	@test -f terraform/environments/$(ENV).tfvars || { echo "ENV=$(ENV): no terraform/environments/$(ENV).tfvars" >&2; exit 2; }
	@test -z "$(STATE)" -o -f terraform/backend.tf -o ! -d terraform/terraform.tfstate.d || { echo "STATE=$(STATE): there is a" \
		"state in terraform/terraform.tfstate.d already; docs/operations.md, Remote state, says how it moves" >&2; exit 2; }
	@test -z "$(STATE)" || printf 'terraform {\n  backend "gcs" {\n    bucket = "%s"\n    prefix = "ion-monitoring"\n  }\n}\n' \
		"$(STATE)" > terraform/backend.tf
	@$(TERRAFORM) init -input=false -reconfigure >/dev/null
	@$(TERRAFORM) workspace select -or-create $(ENV)

# No network once stamped. An environment without pip is one whose making was cut off, and is made again.
.venv/.runs: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: https://www.python.org/downloads/" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making a virtual environment with $(PYTHON) ..." && \
		$(PYTHON) -m venv --clear .venv; }
	@echo "Installing what runs (once, about a minute) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.tests: requirements.txt requirements-dev.txt .venv/.runs
	@echo "Installing what tests need (once) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@
