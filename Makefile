# Every target prepares what it needs: a virtual environment in .venv, locked by hash in requirements/, and the peers of the tests.
# A machine needs Python 3.11 or newer, make and a C compiler.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Looked up only when .venv is made. Another one: make PYTHON=/opt/python/bin/python3 test
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PIP := .venv/bin/python -m pip --quiet --disable-pip-version-check
# More arguments for pytest: make test ARGS="-k chunked -x"
ARGS ?=
# Typed packages; conformance counts once it holds Python.
TYPED := gateway controller mesh tidegate $(sort $(dir $(wildcard conformance/*.py conformance/*/*.py)))

.PHONY: run test compiled test-compiled lint types golden bench bench-cluster attacks abuse endurance fuzz docs h2spec box-build box box-down test-box test-faults conformance lock peers test-peers bench-peers box-peers clean help

run: .venv/.runtime ## serve the quick start on 127.0.0.1:8080, with small backends to answer it
	.venv/bin/tidegate run examples/quickstart --demo-backends

test: .venv/.dev test-peers ## pass every test; ARGS="-k words" chooses some
	.venv/bin/python -m pytest tests --ignore tests/box $(ARGS)

compiled: build/compiled/.made ## compile the hottest modules with mypyc, into build/compiled: PYTHONPATH=build/compiled .venv/bin/tidegate run ...

test-compiled: build/compiled/.made test-peers ## pass the tests that go through sockets with the compiled modules
	.venv/bin/pytest --override-ini "pythonpath=build/compiled ." --require-compiled tests/wire tests/attacks $(ARGS)

lint: .venv/.dev ## check style, import contracts and the house rules
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest --quiet tests/house

types: .venv/.dev ## check the types, strictly
	.venv/bin/mypy $(TYPED)

golden: .venv/.dev ## write the golden files of translation and of the chart anew (read the difference before you commit it)
	.venv/bin/python -m pytest tests/controller/translate tests/chart --rewrite-goldens $(ARGS)

.PHONY: crds
crds: .venv/.dev ## write the definitions of our kinds and of Istio's anew, from their models into the chart
	.venv/bin/python -m controller.definitions charts/tidegate/crds charts/tidegate/istio-crds

bench: .venv/.bench build/compiled/.made bench-peers ## measure CPU and memory beside Envoy, nginx and HAProxy; ARGS="http1 bodies" chooses some
	.venv/bin/python benchmarks/figures.py $(ARGS)

bench-cluster: .venv/.dev build/box/.made ## measure from an object applied to served in a cluster of its own (as root, a quarter of an hour); ARGS="--only A" or "--short"
	.venv/bin/python benchmarks/propagation.py $(ARGS)

attacks: .venv/.bench bench-peers ## print the score of the attack table for Tidegate, Envoy, nginx and HAProxy
	.venv/bin/python benchmarks/attacks.py $(ARGS)

abuse: .venv/.bench bench-peers ## print what floods of HTTP/2 do to Tidegate, Envoy, nginx and HAProxy (as root, 25 minutes)
	.venv/bin/python benchmarks/abuse.py $(ARGS)

endurance: .venv/.dev test-peers ## run the long checks whole and print their figures (above three hours); ARGS="-k soak" chooses some
	TIDEGATE_TEST_MESSAGES=10000 TIDEGATE_TEST_HISTORIES=200000 .venv/bin/python -m pytest --whole --timeout 0 \
		tests/endurance tests/differential tests/controller/test_graph_proof.py \
		tests/faults/test_endpoints.py tests/faults/test_certificates.py tests/box/faults $(ARGS)

fuzz: .venv/.dev ## drive each fuzz target for SECONDS=60, led by coverage; TARGETS="request_head target" chooses some
	.venv/bin/python -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(TARGETS)

docs: .venv/.dev ## check that links, make targets and options named in the documentation exist
	.venv/bin/python -m pytest --quiet tests/house/test_docs.py

h2spec: ## build the conformance suite of HTTP/2, which the tests run (with Go), into build/h2spec
	@if command -v go >/dev/null; then \
		cd conformance/h2spec && go build -o ../../build/h2spec/ github.com/summerwind/h2spec/cmd/h2spec \
			|| echo "h2spec could not be built: its tests are skipped"; \
	else \
		echo "not installed: go: the tests of h2spec are skipped"; \
	fi

box-build: build/box/.made ## build a small Kubernetes for tests, and the conformance suite (with Go), into build/box

box: build/box/.made .venv/.runtime ## start a small Kubernetes with Tidegate's image and print how to use kubectl in it
	.venv/bin/python conformance/images.py build/box/images.local.json
	build/box/box up --images build/box/images.local.json
	@echo "inside:     build/box/box exec -- kubectl get pods -A (or helm, curl, any program of this machine)"
	@echo "its end:    make box-down"

box-down: ## end the box that make box started
	build/box/box down

test-box: build/box/.made .venv/.dev ## pass the tests of the box and those that need a cluster, in boxes of their own (as root)
	cd conformance && CGO_ENABLED=0 GOTOOLCHAIN=local go test $(addprefix ./box/,container containerlog cri images keys machine pool process)
	.venv/bin/python -m pytest tests/box --ignore tests/box/faults $(ARGS)

test-faults: build/box/.made .venv/.dev ## injure a cluster and see who is harmed (twenty minutes, on a quiet machine); make endurance takes longer over it
	.venv/bin/python -m pytest tests/box/faults $(ARGS)

conformance: build/box/.made .venv/.runtime ## install Tidegate in a box by its chart and pass the upstream conformance suite; RUN=Name runs one test
	conformance/conform.sh $(RUN)

lock: .venv/.lock ## write requirements/*.txt anew from pyproject.toml; UPGRADE=1 takes newer versions
	$(COMPILE) requirements/lock.in --output-file requirements/lock.txt
	$(COMPILE) requirements/build.in --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt

# --universal: one file serves every platform and Python, by markers. Nothing in it names an index, so each machine uses its own.
COMPILE = .venv/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

peers: test-peers bench-peers ## install the programs that tests and benchmarks use as peers (as root, with apt-get)

test-peers: h2spec
	@$(call install_peers,nginx:nginx-light curl:curl haproxy:haproxy apache2:apache2-bin node:nodejs \
		nghttp:nghttp2-client nghttpd:nghttp2-server nft:nftables iptables:iptables ip:iproute2 \
		setpriv:util-linux,the tests against them are skipped)

bench-peers:
	@$(call install_peers,nginx:nginx-light haproxy:haproxy wrk:wrk h2load:nghttp2-client nghttpd:nghttp2-server,the benchmark leaves them out)

box-peers:
	@$(call install_peers,nft:nftables ip:iproute2 nsenter:util-linux sysctl:procps curl:curl,the box does not start)

# $(1): command:package pairs; $(2): what happens without them. Tells, but never fails: the tests say again what they skip and why.
define install_peers
	missing=; \
	for peer in $(1); do \
		command -v $${peer%%:*} >/dev/null || test -x /usr/sbin/$${peer%%:*} || missing="$$missing $${peer##*:}"; \
	done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; \
		{ apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends $$missing; } >/dev/null \
			|| echo "apt-get could not install$$missing: $(2)"; \
	else \
		echo "not installed:$$missing: $(2). As root on Debian: apt-get install$$missing"; \
	fi
endef

clean: ## remove caches and build products (.venv stays: remove it by hand to begin from nothing)
	test ! -x build/box/box || build/box/box down
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Tidegate needs Python 3.11 or newer: install it, or name it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

# One stamp for each file of requirements/: it is newer than the lock and the metadata once they are installed.
.venv/.%: requirements/%.txt requirements/build.txt pyproject.toml | .venv/bin/python
	$(PIP) install --require-hashes -r requirements/build.txt -r requirements/$*.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

build/compiled/.made: setup.py pyproject.toml $(shell find gateway controller mesh tidegate -name '*.py') | .venv/.dev
	find build -mindepth 1 -maxdepth 1 -not -name h2spec -not -name 'box*' -exec rm -rf {} +
	TIDEGATE_COMPILE=1 $(PIP) install --no-deps --no-build-isolation --target build/compiled .
	@touch $@

# Where Go has compiled the dependencies before, seconds; otherwise seven minutes on two cores.
build/box/.made: $(shell find conformance -name '*.go' -o -name 'go.*' -o -name '*.sh' -o -name dns.yaml -o -path '*box/images.json') | box-peers
	@go version 2>/dev/null | awk '{ split(substr($$3, 3), part, "."); exit !(part[1] > 1 || part[2] >= 26) }' || { \
		echo "The box needs Go 1.26 or newer, found: $$(go version 2>&1 | head -n 1)"; exit 1; }
	conformance/build.sh build/box
	@touch $@

.venv/.lock: requirements/lock.txt | .venv/bin/python
	$(PIP) install --require-hashes -r requirements/lock.txt
	@touch $@
