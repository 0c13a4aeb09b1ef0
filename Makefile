PYTHON ?= python3
MODEL_ID ?= sentence-transformers/all-MiniLM-L6-v2
REVISION ?=
POOLING ?=
# What is exported beside float32, and what is served: float16 or int8.
DTYPE ?=
# Another ONNX graph of MODEL_ID than its float32 one, as model_quantized.onnx: served without an export.
ONNX_FILE ?=
# A LoRA adapter in a folder of the model, to be merged into it: a model of its own, MODEL_ID_ADAPTER.
ADAPTER ?=
# true lets a model run Python code from its own repository, during the export only.
TRUST_REMOTE_CODE ?=
PORT ?= 8000
MINUTES ?= 10
SECONDS ?= 60
# Where pip finds torch; an index of CPU builds saves gigabytes of CUDA libraries.
TORCH_INDEX_URL ?=
IMAGE ?= embedding-service:cpu
# What the checks on a GPU run with: requirements/gpu.lock, pytest and pytest-timeout installed.
GPU_PYTHON ?= python3
ORIGINAL ?=
# The Python of an environment with infinity-emb[server,torch], to be measured beside ours.
INFINITY ?=
# llama.cpp's llama-server, to be measured beside ours with the same weights; and the address of a running TEI.
LLAMA ?=
TEI ?=
# Which processor the tests see: plain, avx2, vnni or bf16; by default the machine's own.
PROCESSOR ?=
# any-vendor lets OpenVINO compute on processors that are not Intel's, in the bench only; needs cc.
OPENVINO ?=
# Builds the image: podman, or docker with BuildKit. IMAGE_ARGS is for more of its options.
ENGINE ?= $(shell command -v podman || command -v docker)
IMAGE_ARGS ?=

bin := .venv/bin
version := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Python compiles a module when it is first imported: most of what comes along never is. Where
# the environment forbids to keep that, each process spends 20 seconds on torch and transformers anew.
export PYTHONDONTWRITEBYTECODE :=
install = -m pip install --disable-pip-version-check --no-compile
pip = $(bin)/python $(install)
locked = $(pip) --require-hashes --no-deps -r
revision = $(if $(REVISION),--revision '$(REVISION)')
# The clients under test talk to this machine only.
quietly = NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 ANONYMIZED_TELEMETRY=False \
    HAYSTACK_TELEMETRY_ENABLED=False LITELLM_LOCAL_MODEL_COST_MAP=True
exporting = $(bin)/python -m export '$(MODEL_ID)' $(revision) $(if $(POOLING),--pooling '$(POOLING)') \
    $(if $(DTYPE),--dtype '$(DTYPE)') $(if $(ADAPTER),--adapter '$(ADAPTER)') \
    $(if $(filter true 1,$(TRUST_REMOTE_CODE)),--trust-remote-code)
# An environment of its own for transformers 5: docs/decisions/0015-transformers-5.md.
newer := .venv-transformers5
newer_pip = $(newer)/bin/python $(install)
# Another for Ray, with what serves beside it.
of_ray := .venv-ray

any_vendor := $(CURDIR)/.venv/any-vendor
# What the processes of the tests need to see another processor: tools/processor.
ifneq ($(PROCESSOR),)
$(if $(filter plain avx2 vnni bf16,$(PROCESSOR)),,$(error PROCESSOR=$(PROCESSOR) is not known: choose plain, avx2, vnni or bf16))
seeing := PROCESSOR=$(PROCESSOR) PYTHONPATH='$(CURDIR)/tools/processor:$(any_vendor)'
seen := $(if $(filter plain avx2,$(PROCESSOR)),,$(any_vendor)/onnxruntime_ep_openvino)
endif

.PHONY: help run one-precision setup setup-transformers5 operators export serve lint default-model test run-tests test-slow test-gpu-image test-clients test-models bench bench-quick \
    bench-quality bulk-bench balancing gpu-check gpu-bench overload attacks soak memory fuzz prices screenshots pages proto docs fix lock image clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: one-precision setup ## Set up, export MODEL_ID if that has not been done, and serve it on PORT
	@$(if $(ONNX_FILE),,echo '== exporting $(MODEL_ID), unless that has been done')
	$(if $(ONNX_FILE),,$(exporting) --if-missing)
	@$(MAKE) --no-print-directory serve

one-precision:
	@case '$(DTYPE)' in *,*) echo 'DTYPE=$(DTYPE): a server computes in one precision; name one, or make several with make export' >&2; exit 2;; esac

setup: .venv/export.stamp ## Install what running and exporting need, into .venv

setup-transformers5: $(newer)/export.stamp ## Install transformers 5 as well, for newer architectures

operators: app/operators/operators.so ## Compile the operators for int16, if there is a C compiler

app/operators/operators.so: app/operators/build.py $(wildcard app/operators/*.[ch])
	@$(PYTHON) -m app.operators.build || echo 'int16, faster than float32, will not be there: the compiler failed' >&2

export: setup ## Convert MODEL_ID (a folder or a Hub id, at REVISION) to models/ and prove it
	$(exporting)

serve: setup ## Serve an exported MODEL_ID on PORT
	@echo '== serving $(MODEL_ID); once it says Ready, open http://localhost:$(PORT)/playground/'
	$(bin)/python -m app --model-id '$(MODEL_ID)$(if $(ADAPTER),_$(ADAPTER))' $(revision) $(if $(DTYPE),--dtype '$(DTYPE)') $(if $(ONNX_FILE),--onnx-file '$(ONNX_FILE)') --port $(PORT)

lint: .venv/development.stamp ## Check format, lint and types
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

default-model: .venv/export.stamp
	$(bin)/python -m export sentence-transformers/all-MiniLM-L6-v2 --if-missing

test: $(seen) ## Lint, and run the tests; PROCESSOR=plain, avx2, vnni or bf16 has them see such a processor
	@$(MAKE) --no-print-directory --jobs 2 lint run-tests

run-tests: .venv/development.stamp default-model
	$(seeing) OMP_NUM_THREADS=1 $(bin)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: .venv/slow.stamp $(of_ray)/ray.stamp default-model $(seen) ## Run the slow tests: generated requests, a browser, the container image
	$(seeing) OMP_NUM_THREADS=1 $(bin)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	    -m 'slow and not container' --timeout 1500
	$(bin)/python -m pytest -m 'container and not gpu_image' --timeout 1500

test-gpu-image: .venv/slow.stamp default-model ## Build the image for GPUs as the README does; downloads gigabytes
	$(bin)/python -m pytest -m gpu_image --timeout 3600

test-clients: default-model .venv-clients/python-$(version) .venv-kserve/python-$(version) tests/clients/node_modules/.package-lock.json ## Run real clients against the server
	$(quietly) SERVICE_PYTHON=$(bin)/python .venv-clients/bin/python -m pytest -c tests/clients/pytest.ini \
	    --ignore tests/clients/client_kserve.py tests/clients
	$(quietly) SERVICE_PYTHON=$(bin)/python .venv-kserve/bin/python -m pytest -c tests/clients/pytest.ini \
	    tests/clients/client_kserve.py

test-models: .venv/development.stamp $(newer)/export.stamp ## Compare models of every architecture, and write docs/models.md
	$(bin)/python -m pytest -n 2 -m models tests/models
	$(bin)/python -m tools.models

bench: .venv/development.stamp ## Measure MODEL_ID beside the bare session, torch, INFINITY, LLAMA and TEI; the default one into docs/performance.md
	$(exporting) --if-missing
	$(if $(filter int8,$(DTYPE)),,$(exporting) --dtype int8 --models-dir .bench-models --if-missing)
	$(bin)/python -m tools.bench '$(MODEL_ID)' $(if $(INFINITY),--infinity '$(INFINITY)') $(if $(LLAMA),--llama '$(LLAMA)') $(if $(TEI),--tei '$(TEI)')

bench-quick: .venv/development.stamp ## Measure for a minute, for use after each change
	$(exporting) --if-missing
	$(bin)/python -m tools.bench '$(MODEL_ID)' --quick

bench-quality: .venv/development.stamp default-model ## Compare what is served by default with sentence-transformers, over 2,000 texts
	$(bin)/python -m tools.bench.quality

bulk-bench: .venv/development.stamp default-model ## Measure a bulk job of 200,000 passages beside the bare session, into docs/bulk.md; an hour at most
	$(bin)/python -m tools.bulk

balancing: .venv/development.stamp ## Simulate how requests are spread over replicas, into docs/scaling.md
	$(bin)/python -m tools.balancing

ifeq ($(OPENVINO),any-vendor)
bench bench-quick bench-quality: export PYTHONPATH = $(any_vendor)
bench bench-quick bench-quality: $(any_vendor)/onnxruntime_ep_openvino
endif

$(any_vendor)/onnxruntime_ep_openvino: tools/openvino/any_vendor.c .venv/development.stamp
	$(bin)/python -m tools.openvino '$(any_vendor)'

gpu-check: ## Check an exported MODEL_ID on this machine's NVIDIA GPU, with GPU_PYTHON
	@$(GPU_PYTHON) -m tools.gpu
	MODEL_ID='$(MODEL_ID)' $(GPU_PYTHON) -m pytest -m gpu -rs --timeout 600 tests/gpu

gpu-bench: ## Measure an exported MODEL_ID on this machine's NVIDIA GPU; ORIGINAL is its checkpoint
	@$(GPU_PYTHON) -m tools.gpu
	$(GPU_PYTHON) -m tools.gpu.bench '$(MODEL_ID)' $(if $(ORIGINAL),--original '$(ORIGINAL)')

overload: .venv/development.stamp ## Load MODEL_ID with up to 4 times its capacity; the default one into docs/reliability.md
	$(exporting) --if-missing
	$(bin)/python -m tools.overload '$(MODEL_ID)'

attacks: .venv/development.stamp ## Attack MODEL_ID in every known way, then in all of them for MINUTES; the default one into docs/reliability.md
	$(exporting) --if-missing
	$(bin)/python -m tools.attacks '$(MODEL_ID)' --minutes '$(MINUTES)'

soak: .venv/development.stamp ## Load MODEL_ID with all kinds of requests for MINUTES, restart it, draw docs/soak.png, fail on a leak or a loss
	$(exporting) --if-missing
	$(bin)/python -m tools.soak --model-id '$(MODEL_ID)' --minutes '$(MINUTES)' --plot docs/soak

memory: .venv/development.stamp ## Watch the memory of a server over 100,000 requests of a tiny model
	$(bin)/python -m tools.soak.memory

fuzz: .venv/fuzz.stamp ## Fuzz the reading of bodies for SECONDS, then the whole service; fail on a body that breaks it
	$(bin)/python -m tools.fuzz reading --seconds '$(SECONDS)'
	$(bin)/python -m tools.fuzz service --seconds '$(SECONDS)'

prices: .venv/development.stamp default-model ## Search for the most expensive request, SECONDS for each route, and write docs/reliability.md
	$(bin)/python -m tools.prices --seconds '$(SECONDS)'

pages: .venv/development.stamp ## Write the generated pages of docs/: settings, routes, the index of decisions
	$(bin)/python -m tools.pages

docs: .venv-docs/python-$(version) ## Build the documentation into site/, and fail on a dead link
	$(PYTHON) -m tools.site .site-pages
	.venv-docs/bin/zensical build --clean --strict

proto: .venv/slow.stamp ## Compile the definition of the gRPC API
	$(bin)/python -m grpc_tools.protoc --proto_path app/rpc --descriptor_set_out app/rpc/tei.protoset app/rpc/tei.proto

screenshots: .venv/development.stamp default-model ## Take the pictures of the playground in docs/, with chromium
	$(bin)/python -m tools.playground

fix: .venv/development.stamp ## Format, and fix what the linter can
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

lock: .venv/development.stamp ## Resolve all requirements again
	requirements/lock

image: ## Build the CPU image as IMAGE, with MODEL_ID in it
	BUILDAH_FORMAT=docker $(or $(ENGINE),$(error install podman or docker)) build -f Containerfile \
	    --build-arg MODEL_ID='$(MODEL_ID)' --build-arg REVISION='$(REVISION)' \
	    --build-arg POOLING='$(POOLING)' --build-arg DTYPE='$(DTYPE)' --build-arg TORCH_INDEX_URL='$(TORCH_INDEX_URL)' \
	    -t '$(IMAGE)' $(IMAGE_ARGS) .

clean: ## Remove the environment and every exported model
	rm -rf .venv .venv-clients .venv-docs .venv-kserve $(newer) $(of_ray) .site-pages site .test-models .bench-models tests/clients/node_modules models/* models/.[!g]*

.venv/python-$(version):
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.13")'
	rm -rf .venv
	$(PYTHON) -m venv .venv
	touch $@

.venv/export.stamp: .venv/python-$(version) requirements/export.lock requirements/default-model.lock | operators
	@echo '== installing what running and exporting need: about 1.5 GB, a minute or more'
	$(locked) requirements/export.lock
	$(pip) torch==2.13.0 $(if $(TORCH_INDEX_URL),--index-url '$(TORCH_INDEX_URL)')
	$(locked) requirements/default-model.lock
	touch $@

.venv/development.stamp: .venv/export.stamp requirements/development.lock
	@echo '== installing what the checks and tests need'
	$(locked) requirements/development.lock
	touch $@

.venv/slow.stamp: .venv/development.stamp requirements/slow.lock
	$(locked) requirements/slow.lock
	touch $@

.venv/fuzz.stamp: .venv/development.stamp requirements/fuzz.lock
	$(locked) requirements/fuzz.lock
	touch $@

$(newer)/export.stamp: requirements/transformers5.lock
	@echo '== installing transformers 5: about 1 GB, a minute or more'
	rm -rf $(newer)
	$(PYTHON) -m venv $(newer)
	$(newer_pip) --require-hashes --no-deps -r $<
	$(newer_pip) torch==2.13.0 $(if $(TORCH_INDEX_URL),--index-url '$(TORCH_INDEX_URL)')
	touch $@

.venv-docs/python-$(version): requirements/docs.lock
	rm -rf .venv-docs
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(install) --require-hashes --no-deps -r $<
	touch $@

# Compiled, since Ray ends what takes long to start.
$(of_ray)/ray.stamp: requirements/ray.lock
	@echo '== installing Ray: about 700 MB, a minute or more'
	rm -rf $(of_ray)
	$(PYTHON) -m venv $(of_ray)
	$(of_ray)/bin/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r $<
	touch $@

.venv-clients/python-$(version): requirements/clients.lock
	@echo '== installing Python clients: about 900 MB, a minute or more'
	rm -rf .venv-clients
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python $(install) --require-hashes --no-deps -r $<
	touch $@

.venv-kserve/python-$(version): requirements/kserve.lock
	@echo '== installing KServe'"'"'s client: about 400 MB, half a minute or more'
	rm -rf .venv-kserve
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python $(install) --require-hashes --no-deps -r $<
	touch $@

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	@for program in npm javac curl; do command -v $$program >/dev/null || { echo "$$program is missing: install Node.js with npm, a JDK and curl" >&2; exit 1; }; done
	npm ci --prefix tests/clients
