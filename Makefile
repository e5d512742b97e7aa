# Needs Python 3.11 or newer, make and git; everything else is installed into .venv from the lock file.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python3.12 python3.13 python3.14 python,\
	$(shell $(name) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
ARGS ?=
# The folders that are imported as `myriad.*`.
PACKAGES := kernels models formats adapters storage training serving cli

.PHONY: install demo check quick test test-twins bench-scale bench-train bench-predict bench-speed bench-peers bench-quality bench-adapters bench-soak bench-overload bench-bounds fuzz fuzz-kernels locust lock clean

install: $(VENV)/installed

# What serving and the demo need: a fifth of what the tests do.
$(VENV)/serving: requirements/serve.lock pyproject.toml $(wildcard kernels/*.pyx kernels/*.pxi)
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	sed -n -E '/^(cython|setuptools)==/,/[^\\]$$/p' requirements/dev.lock > $(VENV)/build.lock
	$(PIP) --no-compile --require-hashes -r requirements/serve.lock -r $(VENV)/build.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/installed: $(VENV)/serving requirements/dev.lock
	$(PIP) --require-hashes -r requirements/dev.lock
	rm -rf $(VENV)/typing && mkdir -p $(VENV)/typing/myriad
	ln -s $(foreach path,$(PACKAGES) $(wildcard myriad/*.py myriad/py.typed),$(CURDIR)/$(path)) $(VENV)/typing/myriad/
	touch $@

demo: $(VENV)/serving
	$(BIN)/myriad demo $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 0 tests/test_architecture.py

quick: install
	$(BIN)/python -m pytest --quick $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

# The whole suite on the kernels' twins in NumPy.
test-twins: install
	MYRIAD_KERNELS=0 $(BIN)/python -m pytest $(ARGS)

bench-scale: install
	$(BIN)/python -m bench.scale $(ARGS)

bench-train: install
	$(BIN)/python -m bench.train $(ARGS)

bench-predict: install
	$(BIN)/python -m bench.predict $(ARGS)

bench-speed: install
	$(BIN)/python -m bench.speed $(ARGS)

bench-peers: install
	$(BIN)/python -m bench.peers $(ARGS)

bench-quality: install
	$(BIN)/python -m bench.quality $(ARGS)

bench-adapters: install
	$(BIN)/python -m bench.adapter_table $(ARGS)

bench-soak: install
	$(BIN)/python -m bench.soak $(ARGS)

bench-overload: install
	$(BIN)/python -m bench.overload $(ARGS)

bench-bounds: install
	$(BIN)/python -m bench.bounds $(ARGS)

fuzz: install
	$(BIN)/python -m bench.fuzz $(ARGS)

fuzz-kernels: install
	$(BIN)/python -m bench.fuzz.sanitized $(ARGS)

locust: install
	$(BIN)/locust -f bench/locustfile.py --web-host 127.0.0.1 $(ARGS)

lock:
	$(PYTHON) -m venv .lock-venv && .lock-venv/bin/pip install --quiet uv
	.lock-venv/bin/uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --upgrade -o requirements/dev.lock
	.lock-venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 -c requirements/dev.lock \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -o requirements/serve.lock
	rm -rf .lock-venv

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
