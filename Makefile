PYTHON ?= python3
ARGS ?=
OLDEST ?= python3.10
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help mnist text test test-faults test-gpu test-oldest coverage wheel check docs bench bench-newcomer bench-mnist bench-text bench-pretrained bench-encoders bench-sentences bench-images bench-standard bench-decoupled bench-methods bench-trajectories bench-kd bench-applications bench-engines bench-capacity bench-estimates bench-classes bench-pictures bench-large-images bench-processes bench-gpu bench-devices bench-scale bench-anytime bench-page clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "distill needs Python 3.10 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --editable '.[test,dev]'
	@touch $@

mnist: .venv/ready ## Distil MNIST into five images (make mnist ARGS="--n 10")
	$(RUN) -m distill.mnist $(ARGS)

text: .venv/ready ## Distil the bundled sentences into two (make text ARGS="--n 4")
	$(RUN) -m distill text $(ARGS)

test: .venv/ready ## Run the test suite, two processes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadscope $(ARGS)

test-faults: .venv/ready ## All twenty kills, and every hostile file
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m 'slow or not slow' tests/runs/test_faults.py tests/test_hostile.py $(ARGS)

test-gpu: .venv/ready ## Every method and its students on a GPU
	$(RUN) -m pytest -m gpu tests/test_gpu.py $(ARGS)

test-oldest: ## Run the test suite on the lower bounds of pyproject.toml, by Python 3.10: OLDEST=python3.10
	$(OLDEST) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet tomli
	.venv-oldest/bin/python -m tests.lower_bounds > .venv-oldest/bounds.txt
	.venv-oldest/bin/python -m pip install --quiet --editable '.[test]' --constraint .venv-oldest/bounds.txt
	.venv-oldest/bin/python -m pytest -W default $(ARGS)

coverage: .venv/ready ## Run the test suite and fail below 95 % of distill/'s lines
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadscope --cov=distill --cov-report=term-missing:skip-covered --cov-fail-under=95 $(ARGS)

wheel: .venv/ready ## Build the wheel, install it elsewhere, and distil there from an empty directory
	$(RUN) -m tests.wheel

check: .venv/ready ## Check format, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

docs: .venv/ready ## Build the documentation: site/index.html
	$(RUN) -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

bench: bench-engines bench-capacity bench-processes bench-mnist bench-images bench-text bench-kd bench-applications bench-newcomer bench-page ## Run ten of the benchmarks; the others below take a GPU, data or hours

bench-mnist: .venv/ready ## Accuracy of 1 to 20 images, soft and hard: benchmarks/results/mnist.json
	$(RUN) -m benchmarks.mnist $(ARGS)

bench-text: .venv/ready ## Accuracy of distilled sentences (make bench-text ARGS="--data-dir DIR --vectors FILE")
	$(RUN) -m benchmarks.text $(ARGS)

bench-pretrained: .venv/ready ## Sequences for a pretrained transformer (make bench-pretrained ARGS="--model FOLDER --data-dir DIR")
	$(RUN) -m benchmarks.pretrained $(ARGS)

bench-encoders: .venv/ready ## Embeddings of a sentence encoder (make bench-encoders ARGS="--data-dir DIR --encoder FOLDER")
	$(RUN) -m benchmarks.encoders $(ARGS)

bench-sentences: .venv/ready ## Real sentences with learned labels (make bench-sentences ARGS="--data-dir DIR --encoder FOLDER --vectors FILE")
	$(RUN) -m benchmarks.sentences $(ARGS)

bench-images: .venv/ready ## Random ConvNets on image sets (make bench-images ARGS="--data-dir DIR")
	$(RUN) -m benchmarks.images $(ARGS)

bench-standard: .venv/ready ## Sets by protocols and networks (make bench-standard ARGS="SET… --protocols dc adam --seeds 5")
	$(RUN) -m benchmarks.standard $(ARGS)

bench-methods: .venv/ready ## Every method at equal seconds, with curves (make bench-methods ARGS="--data-dir DIR --minutes 2")
	$(RUN) -m benchmarks.methods $(ARGS)

bench-trajectories: .venv/ready ## Trajectory matching beside dc (make bench-trajectories ARGS="--dataset cifar10.npz")
	$(RUN) -m benchmarks.trajectories $(ARGS)

bench-decoupled: .venv/ready ## Real images and RDED's by a teacher's labels (make bench-decoupled ARGS="--data cifar10.npz")
	$(RUN) -m benchmarks.decoupled $(ARGS)

bench-engines: .venv/ready ## Time and memory per engine: benchmarks/results/engines.json
	$(RUN) -m benchmarks.engines $(ARGS)

bench-kd: .venv/ready ## Knowledge distillation, ten seeds of each row (make bench-kd ARGS="--data DIR --quick")
	$(RUN) -m benchmarks.kd $(ARGS)

bench-newcomer: .venv/ready ## Seconds to --help and to the first line: benchmarks/results/newcomer.json
	$(RUN) -m benchmarks.newcomer $(ARGS)

bench-page: .venv/ready ## Bytes and seconds of the report page in Chromium (make bench-page ARGS="RUN_OR_SET…")
	$(RUN) -m pip install --quiet --editable '.[browser]'
	$(RUN) -m benchmarks.page $(ARGS)

bench-applications: .venv/ready ## Adapt and poison trained networks (make bench-applications ARGS="--usps FILE")
	$(RUN) -m benchmarks.applications $(ARGS)

bench-anytime: .venv/ready ## Held-out accuracy against seconds of the main job's first minutes
	$(RUN) -m benchmarks.anytime $(ARGS)

bench-capacity: .venv/ready ## What fits: time and memory against n, T and image size: benchmarks/results/capacity.json
	$(RUN) -m benchmarks.capacity $(ARGS)

bench-estimates: .venv/ready ## What --dry-run says, beside what runs take: benchmarks/results/estimates.json
	$(RUN) -m benchmarks.estimates $(ARGS)

bench-classes: .venv/ready ## An outer step against the number of classes: benchmarks/results/classes.json
	$(RUN) -m benchmarks.classes $(ARGS)

bench-large-images: .venv/ready ## What runs of 64×64 to 224×224 images take: benchmarks/results/large-images.json
	$(RUN) -m benchmarks.large_images $(ARGS)

bench-pictures: .venv/ready ## Pictures from disk beside memory (make bench-pictures ARGS="--folder DIR")
	$(RUN) -m benchmarks.pictures $(ARGS)

bench-processes: .venv/ready ## Outer steps per second of two processes over one, every method (make bench-processes ARGS="--methods dc")
	$(RUN) -m benchmarks.processes $(ARGS)

bench-gpu: .venv/ready ## An outer gradient by TF32, CUDA graphs, vmap and others (make bench-gpu ARGS="--device cpu")
	$(RUN) -m benchmarks.gpu $(ARGS)

bench-devices: .venv/ready ## Milliseconds of an outer step of each method on a GPU, or with ARGS="--device cpu" on one thread
	$(RUN) -m benchmarks.devices $(ARGS)

bench-scale: .venv/ready ## Time and bytes of an outer step as a formula, fitted to ten small settings: docs/assets/scale.png
	$(RUN) -m benchmarks.scale $(ARGS)

clean: ## Remove the environment, caches and builds (never runs/)
	rm -rf .venv .venv-oldest build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
