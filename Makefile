# Each target sets itself up: a virtual environment in .venv, from requirements.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
URL ?=
ARGS ?=

# Small matrices on many threads are slow; one thread is fastest at these sizes.
export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help book pdf epub archive release kernel figure-archive test elsewhere notebooks export assignment figures paper bench side-by-side serve lint links set-repository clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

book: $(VENV)/.installed ## build the pages, with warnings as errors
	$(BIN)/jupyter-book build . -W -n --keep-going -q $(if $(shell find book/_static book/_ext book/_templates -newer _build/.built 2>/dev/null),--all)
	@touch _build/.built
	@echo "Open $(CURDIR)/_build/html/index.html"

pdf: book ## print all pages to one PDF, with Chromium
	$(BIN)/python .ci/pdf.py

epub: book ## write all pages to one EPUB, with formulas as MathML
	$(BIN)/python .ci/epub.py

archive: pdf epub ## pack the pages and the PDF into one file, for reading without a connection
	$(BIN)/python .ci/archive.py site

release: archive ## put the built pages under their version in _build/site, with a switch: make release, or make release SITE=folder
	$(BIN)/python .ci/release.py $(SITE)

figure-archive: $(VENV)/.installed ## run the chapters and pack every figure as SVG and PNG
	$(BIN)/python .ci/archive.py figures $(ARGS)

test: $(VENV)/.installed ## build the pages, run every notebook and every test; list what failed
	$(BIN)/python .ci/test.py

elsewhere: $(VENV)/.installed ## run chapters and training tests as other machines would see them: make elsewhere ARGS="-n 10"
	$(BIN)/python .ci/elsewhere.py $(ARGS)

notebooks: $(VENV)/.installed ## execute all notebooks again, in place
	$(BIN)/python .ci/notebooks.py

export: $(VENV)/.installed ## write notebooks/ again: the chapters for Colab, Kaggle and Jupyter
	$(BIN)/python .ci/export.py

assignment: ## make the graded assignment with Otter-Grader, and grade ten planted submissions
	test -d .venv-otter || $(PYTHON) -m venv .venv-otter
	.venv-otter/bin/python -m pip install --quiet otter-grader==7.0.0 ipykernel torch==2.13.0 --editable .
	.venv-otter/bin/python .ci/assignment.py _build/assignment --try

figures: $(VENV)/.installed ## draw the figures of the front page and the README again
	for method in maml fomaml pretrain; do \
		$(BIN)/python -m l2l train $$method --seeds 0-2 --out _build/runs/$$method.safetensors || exit 1; \
	done
	$(BIN)/python -m l2l evaluate _build/runs/maml.safetensors _build/runs/fomaml.safetensors _build/runs/pretrain.safetensors --figures book/figures

paper: $(VENV)/.installed ## train the stored runs of the book again (some 40 minutes): make paper, or make paper ARGS="maml-tanh"
	$(BIN)/python .ci/paper.py $(ARGS)
	$(if $(ARGS),,$(BIN)/python .ci/divergence.py)  # counts on the runs of the table, when all of it is made

bench: ## measure speed against JAX, learn2learn, higher and TorchOpt (half an hour, on an idle machine)
	test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt --editable .
	.venv-bench/bin/python benchmarks/bench.py

side-by-side: ## compare line 10 in numpy, PyTorch, JAX, higher, learn2learn and TorchOpt
	test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt --editable .
	.venv-bench/bin/python -m pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest .venv-bench learn2learn==0.2.0
	tar -xzf .venv-bench/learn2learn-0.2.0.tar.gz -C .venv-bench  # it does not build; its MAML is pure Python
	.venv-bench/bin/python benchmarks/side_by_side.py
	.venv-bench/bin/python -m pytest tests/test_side_by_side.py tests/test_conformance.py

kernel: ## build the explorers' kernel of its C source (WebAssembly; the result is part of the repository)
	test -d .venv-kernel || $(PYTHON) -m venv .venv-kernel
	.venv-kernel/bin/python -m pip install --quiet ziglang==0.13.0
	.venv-kernel/bin/python .ci/kernel.py

serve: book ## serve the built pages at http://localhost:8000
	$(BIN)/python -m http.server --directory _build/html 8000

lint: $(VENV)/.installed ## check the style of code and notebooks, and the types of l2l
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff format --check --line-length 88 book/*.ipynb
	$(BIN)/mypy

links: $(VENV)/.installed ## check every link to another site (needs the internet)
	$(BIN)/jupyter-book build . --builder linkcheck

set-repository: $(VENV)/.installed ## write the public address everywhere: make set-repository URL=https://…
	$(BIN)/python .ci/set_repository.py "$(URL)"
	$(BIN)/python .ci/export.py

clean: ## remove what was built; .venv stays
	rm -rf _build .venv-bench .venv-kernel .venv-otter .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find l2l book tests .ci -name __pycache__ -type d -prune -exec rm -rf {} +
