# Everything that a person or CI does with this repository. `make help` lists it; `make` alone does what CI does.
#
#   PYTHON    the interpreter that .venv is made with (3.11 or newer)
#   PROFILE   how the native module is built: release (default) or dev (quicker to build, slower to run)
#   ARGS      further arguments for `make demo`, for pytest and for `make soak`
#   WORKERS   how many processes run the Python tests at a time
#   DURATION  how many seconds `make soak` runs, and `make fuzz` for each of its targets
#   TIMES     how many times as much `make siege` does as the tests
#   SEED      what `make soak` draws from; CONTRIBUTING.md says what the same seed does again

PYTHON ?= python3
PROFILE ?= release
ARGS ?=
WORKERS ?= 2
DURATION ?= 300
TIMES ?= 20
SEED ?= $(shell date +%s)

VENV := .venv
BIN := $(VENV)/bin
# Everything built stays inside the clone, whatever the machine's own settings are.
export CARGO_TARGET_DIR := $(CURDIR)/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# maturin finds the environment by this variable; pip's console scripts need no activation.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

DEPENDENCIES := $(VENV)/.dependencies-installed
NATIVE := $(VENV)/.native-module-$(PROFILE)
RUST_SOURCES := $(shell find rust_core benches/load/src -name '*.rs' -o -name Cargo.toml) benches/load/Cargo.toml Cargo.toml $(wildcard Cargo.lock)

.DEFAULT_GOAL := check
.DELETE_ON_ERROR:

.PHONY: check
check: lint test ## what CI does: format check, lint, types, all tests (the default)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  %-12s %s\n' "$$name" "$$text"; done

# --- set-up -----------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(NATIVE) ## make .venv, install the pinned dependencies, build the native module

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "error: no Rust toolchain (cargo) on the PATH; the native module is built from source" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEPENDENCIES): constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement constraints.txt
	@touch $@

# Rebuilt when a Rust source or the packaging changes; Python files are used where they stand.
$(NATIVE): $(RUST_SOURCES) pyproject.toml $(DEPENDENCIES)
	$(BIN)/maturin develop --profile $(PROFILE) --quiet
	@rm -f $(VENV)/.native-module-* && touch $@

.PHONY: pins
pins: $(DEPENDENCIES) ## move every Python dependency to its newest allowed version and write constraints.txt
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
		print(*p["project"]["dependencies"], \
			*sum(p["project"]["optional-dependencies"].values(), []), sep="\n")' > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --upgrade --requirement $(VENV)/requirements.txt
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude ringcast; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

# --- the main job -----------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## serve the demo's page, and print two lines to paste into a second terminal (ARGS='--speed 20')
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory page; else \
		echo "note: no npm on the PATH, so the page is not built; it needs Node.js 20 or newer" >&2; fi
	@$(BIN)/ringcast demo $(ARGS)

CLIENT := clients/typescript
# Inside what `npm ci` makes anew.
CLIENT_MODULES := $(CLIENT)/node_modules/.installed

$(CLIENT_MODULES): $(CLIENT)/package-lock.json $(CLIENT)/package.json
	@command -v npm >/dev/null || { \
		echo "error: no npm on the PATH; the TypeScript client needs Node.js 20 or newer" >&2; exit 1; }
	cd $(CLIENT) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

REACT := clients/react
REACT_MODULES := $(REACT)/node_modules/.installed

# The hooks are built and tested with the client beside them, and with its tests' server.
$(REACT_MODULES): $(REACT)/package-lock.json $(REACT)/package.json $(CLIENT_MODULES)
	cd $(REACT) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

DEMO := clients/demo
DEMO_MODULES := $(DEMO)/node_modules/.installed

# The page is built from the sources of the client and of the hooks.
$(DEMO_MODULES): $(DEMO)/package-lock.json $(DEMO)/package.json $(REACT_MODULES)
	cd $(DEMO) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

PAGE := python/ringcast/demo/page/index.html
PAGE_SOURCES := $(shell find $(DEMO)/src $(DEMO)/public $(CLIENT)/src $(REACT)/src -type f) \
	$(DEMO)/index.html $(DEMO)/vite.config.ts

$(PAGE): $(PAGE_SOURCES) $(DEMO_MODULES)
	cd $(DEMO) && npm run --silent build -- --logLevel warn

.PHONY: page
page: $(PAGE) ## build the demo's page, into the Python package
	@:

.PHONY: wheel
wheel: setup page ## a wheel in dist/, the demo's page inside, for `pip install`
	$(BIN)/maturin build --release --quiet --out dist
	@ls dist/*.whl

BROWSER := clients/browser
BROWSER_MODULES := $(BROWSER)/node_modules/.installed

# The page of the hooks' tests is built from the sources of the client and of the hooks.
$(BROWSER_MODULES): $(BROWSER)/package-lock.json $(BROWSER)/package.json $(REACT_MODULES)
	cd $(BROWSER) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# --- checks -----------------------------------------------------------------------------------------------

.PHONY: test
test: test-rust test-python test-typescript test-react test-demo test-browser ## all tests

NGINX := $(VENV)/nginx/usr/sbin/nginx
RUST_TESTS := cargo test --workspace --quiet
SHUTTLE_TESTS := $(RUST_TESTS) --features shuttle --test interleavings

.PHONY: ready
ready: ready-rust setup $(NGINX) $(PAGE) $(BROWSER_MODULES) chromium ## what the tests need, compiled and installed (`make --jobs 4 lint ready`)

.PHONY: ready-rust
ready-rust:
	$(RUST_TESTS) --no-run
	$(SHUTTLE_TESTS) --no-run

.PHONY: test-rust
test-rust: ## the core's tests, without Python
	$(RUST_TESTS)
	$(SHUTTLE_TESTS)

.PHONY: nginx
nginx: $(NGINX) ## nginx for the tests that put it before a server: the one on the PATH, or Debian's, inside .venv

# Unpacked and not installed: it needs no root, and no server begins to listen on port 80.
$(NGINX): | $(BIN)/python
	@mkdir -p $(dir $@) && cd $(VENV)/nginx && \
	if found=$$(PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v nginx); then ln -sf "$$found" usr/sbin/nginx; \
	elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then \
		{ apt-get download -qq nginx || { apt-get update -qq && apt-get download -qq nginx; }; } && \
		dpkg -x nginx_*.deb . && rm nginx_*.deb; \
	else echo "error: no nginx on the PATH, and no apt-get to fetch Debian's; the tests need one" >&2; exit 1; fi
	@$@ -v

.PHONY: test-python
# Files go to whichever process is free, in their order, which has those first that take long. Then those tests that
# must be alone, and may take longer. ARGS may leave nothing to run of either, which is what 5 says.
test-python: setup $(NGINX) ## the Python and integration tests (ARGS='-k replay')
	$(BIN)/python -m pytest --benchmark-skip -m 'not alone' -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS) || test $$? -eq 5
	$(BIN)/python -m pytest --benchmark-skip -m alone -o faulthandler_timeout=900 $(ARGS) || test $$? -eq 5

.PHONY: test-typescript
test-typescript: setup $(CLIENT_MODULES) ## the TypeScript client's tests, against servers that they start
	cd $(CLIENT) && RINGCAST_PYTHON=$(CURDIR)/$(BIN)/python npm test

.PHONY: test-react
test-react: setup $(REACT_MODULES) ## the React hooks' tests, against servers that they start
	cd $(REACT) && RINGCAST_PYTHON=$(CURDIR)/$(BIN)/python npm test

.PHONY: test-demo
test-demo: setup $(PAGE) ## the demo page's tests, against a server that they start
	cd $(DEMO) && RINGCAST_PYTHON=$(CURDIR)/$(BIN)/python npm test

FIND_CHROMIUM := node $(BROWSER)/support/chromium.mjs
INSTALL_CHROMIUM := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium

.PHONY: chromium
# Behind nginx, as two apt-get at a time are one too many.
chromium: | $(BROWSER_MODULES) $(NGINX) ## the browser for the tests in one: this machine's Chromium or Chrome, or Debian's, installed now
	@$(FIND_CHROMIUM) 2>/dev/null || { \
		if command -v apt-get >/dev/null; then \
			echo "no Chromium and no Chrome on the PATH: installing Debian's" >&2; \
			$(INSTALL_CHROMIUM) || { apt-get update -qq && $(INSTALL_CHROMIUM); }; \
		fi; $(FIND_CHROMIUM); }

.PHONY: test-browser
test-browser: setup $(PAGE) $(BROWSER_MODULES) chromium ## the demo's page and the React hooks in a real browser, against servers that they start
	cd $(BROWSER) && RINGCAST_PYTHON=$(CURDIR)/$(BIN)/python npm test

.PHONY: screenshots
screenshots: setup $(PAGE) $(BROWSER_MODULES) chromium ## the pictures of the demo in README.md, taken anew
	cd $(BROWSER) && RINGCAST_PYTHON=$(CURDIR)/$(BIN)/python npm run --silent screenshots

.PHONY: soak
soak: setup ## the long forms of the proofs of delivery (DURATION=600 SEED=7); the last line is the verdict
	@PYTHONPATH=tests:tests/python $(BIN)/python -m delivery.soak --duration $(DURATION) --seed $(SEED) $(ARGS)

.PHONY: siege
siege: setup ## attacks, fuzzers and churn at length: TIMES times as many examples and clients as in the tests (TIMES=20)
	RINGCAST_HOSTILE=$(TIMES) $(BIN)/python -m pytest -o timeout=0 -o faulthandler_timeout=0 tests/hostile $(ARGS)

.PHONY: lint
lint: lint-rust lint-python lint-typescript lint-react lint-demo lint-browser ## formatting, linters and types of all languages

.PHONY: lint-rust
# The bindings are checked against the interpreter of .venv.
lint-rust: | $(BIN)/python
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --workspace --all-targets --features python --quiet -- -D warnings
	cargo clippy --workspace --lib --test interleavings --features shuttle --quiet -- -D warnings
	cargo check --manifest-path fuzz/Cargo.toml --locked --quiet

.PHONY: lint-python
lint-python: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/python -m mypy.stubtest ringcast._core
	$(BIN)/ringcast types ringcast.demo:registry -o python/ringcast/demo/registry.d.ts --check

.PHONY: lint-typescript
lint-typescript: $(CLIENT_MODULES) ## the TypeScript client's formatting, linter, types and size
	cd $(CLIENT) && npm run --silent lint && npm run --silent size

.PHONY: lint-react
lint-react: $(REACT_MODULES) ## the React hooks' formatting, linter and types
	cd $(REACT) && npm run --silent lint

.PHONY: lint-demo
lint-demo: $(DEMO_MODULES) ## the demo page's formatting, linter and types
	cd $(DEMO) && npm run --silent lint

.PHONY: lint-browser
lint-browser: $(BROWSER_MODULES) ## formatting, linter and types of the tests in a browser
	cd $(BROWSER) && npm run --silent lint

.PHONY: fmt
fmt: $(DEPENDENCIES) $(CLIENT_MODULES) $(REACT_MODULES) $(DEMO_MODULES) $(BROWSER_MODULES) ## format all languages and apply the linters' safe fixes
	cargo fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd $(CLIENT) && npm run --silent format
	cd $(REACT) && npm run --silent format
	cd $(DEMO) && npm run --silent format
	cd $(BROWSER) && npm run --silent format

PEERS := benches/peers
RIVETKIT := $(PEERS)/rivetkit

.PHONY: bench
bench: setup ## the quick benchmarks; fails on nothing (see benches/README.md)
	$(BIN)/python -m pytest benches --benchmark-only $(ARGS) || test $$? -eq 5
	cargo bench --workspace --quiet

.PHONY: bench-targets
bench-targets: setup $(RIVETKIT)/node_modules/.installed ## every target of docs/performance.md, into benches/results: up to an hour, on two quiet cores (ARGS='--only P2')
	$(BIN)/python benches/targets.py $(ARGS)

.PHONY: bench-report
bench-report: setup ## the tables and plots of docs/performance.md and README.md, from benches/results
	$(BIN)/python benches/report.py $(ARGS)

.PHONY: bench-recovery
bench-recovery: setup ## recovery end to end, one table a question: some minutes, on two quiet cores (ARGS='--runs 3')
	for question in replay sleepers journal; do $(BIN)/python benches/recovery.py $$question $(ARGS) || exit; done

# Nothing of their recipes is said on standard output: what compare.py says may go into a file.
.PHONY: bench-peers
bench-peers: setup $(PEERS)/.venv/.installed $(PEERS)/node_modules/.installed ## Ringcast beside other servers, in one run: an hour and more, on two quiet cores (ARGS='--question flood --json')
	@$(BIN)/python $(PEERS)/compare.py $(ARGS)

$(PEERS)/.venv/.installed: $(PEERS)/requirements.txt
	@$(PYTHON) -m venv $(PEERS)/.venv
	@$(PEERS)/.venv/bin/python -m pip install --quiet --requirement $< >&2
	@touch $@

$(PEERS)/node_modules/.installed: $(PEERS)/package-lock.json $(PEERS)/package.json
	@cd $(PEERS) && npm ci --no-audit --no-fund --ignore-scripts >&2
	@touch $@

.PHONY: bench-rivetkit
bench-rivetkit: setup $(RIVETKIT)/node_modules/.installed ## action round trips beside RivetKit (its own: 240 MB, and a compiler for SQLite's)
	@$(BIN)/python $(PEERS)/round_trips.py $(ARGS)

$(RIVETKIT)/node_modules/.installed: $(RIVETKIT)/package-lock.json $(RIVETKIT)/package.json
	@cd $(RIVETKIT) && npm ci --no-audit --no-fund --ignore-scripts >&2 && npm rebuild better-sqlite3 >&2
	@touch $@

LOAD := --manifest-path benches/load/Cargo.toml

# The page as it is made of a small run. Curves are left out: they ask what P1 and P5 ask, at many sizes.
CHECKED := target/check-bench
CHECKED_TARGETS := P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P12 tls foreign $(if $(wildcard $(RIVETKIT)/node_modules/.installed),rivetkit)

.PHONY: check-bench
check-bench: setup ## the benchmarks' own lint, types and tests, and a small run of each question
	cargo fmt $(LOAD) --check
	cargo clippy $(LOAD) --all-targets --quiet -- -D warnings
	cargo test $(LOAD) --quiet
	MYPYPATH=benches:python $(BIN)/mypy benches/*.py
	MYPYPATH=$(PEERS):python $(BIN)/mypy $(PEERS)/*.py $(PEERS)/servers/control.py
	$(BIN)/python -m pytest -q benches --benchmark-disable
	rm -rf $(CHECKED) && mkdir -p $(CHECKED) && cp docs/performance.md README.md $(CHECKED)
	$(BIN)/python benches/targets.py --quick $(CHECKED_TARGETS:%=--only %) --results $(CHECKED)/results
	$(BIN)/python benches/report.py --results $(CHECKED)/results --page $(CHECKED)/performance.md --page $(CHECKED)/README.md
	! grep "^Not measured" $(CHECKED)/performance.md
	$(BIN)/python benches/tls.py --runs 1 --connections 20 --events 500
	$(BIN)/python benches/foreign.py --runs 1 --connections 20 --events 500
	$(BIN)/python benches/compression.py --runs 1
	$(BIN)/python benches/parts.py --connections 100
	$(BIN)/python benches/recovery.py replay --runs 1 --connections 100 --messages 100
	$(BIN)/python benches/recovery.py sleepers --runs 1 --clients 300
	$(BIN)/python benches/recovery.py journal --runs 1 --seconds 0.1
	$(BIN)/python $(PEERS)/compare.py --runs 1 --connections 20 --messages 50

# What cargo-fuzz would pass on, but for the sanitizers, which only nightly toolchains have.
COVERAGE := --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
FUZZED := target/fuzz
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

TARGETS := filter event

.PHONY: fuzz
fuzz: ## any bytes as a filter, as attributes and as an event, guided by coverage (see fuzz/README.md; DURATION=3600, for each)
	RUSTFLAGS="$(COVERAGE)" cargo build --manifest-path fuzz/Cargo.toml --release --quiet --target $(HOST) --target-dir $(FUZZED)
	for target in $(TARGETS); do mkdir -p $(FUZZED)/corpus/$$target && \
		(cd fuzz && ../$(FUZZED)/$(HOST)/release/$$target ../$(FUZZED)/corpus/$$target -dict=$$target.dict -max_len=4096 \
			-max_total_time=$(DURATION)) || exit; done

.PHONY: docs
docs: ## the core's reference, as HTML in target/doc
	cargo doc --workspace --no-deps --document-private-items --quiet

.PHONY: clean
clean: ## remove everything that was built, .venv included
	rm -rf $(VENV) $(PEERS)/.venv $(PEERS)/node_modules target .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks dist
	rm -rf $(CLIENT)/node_modules $(CLIENT)/dist
	rm -rf $(REACT)/node_modules $(REACT)/tests/*/node_modules $(REACT)/dist
	rm -rf $(DEMO)/node_modules $(dir $(PAGE))
	rm -rf $(BROWSER)/node_modules $(BROWSER)/dist
	find python tests examples benches clients -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/ringcast/_core*.so
