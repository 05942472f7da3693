# Each target sets itself up: what it needs is installed or built once, and kept in
# ~/.cache/pgset (or $PGSET_CACHE). Only make, Python 3.11 and, for the cluster, root are
# expected to be there.

# A name in PATH may be a version manager's stand-in for a Python that is not there: try it.
PYTHON := $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
ifeq ($(PYTHON),)
$(error there is no Python 3.11 or newer in PATH: install Debian's python3, then try again)
endif
LOCAL := $(PYTHON) -m deploy.local
VENV := $(LOCAL) in-venv

.PHONY: help demo test test-all check lint unit unit-rest unit-sidecar unit-named thorough postgres versions promtool kubeconform fuzz simulate chaos storm adopt compat bench-agent bench-admission bench-pods bench-hostile bench-scale bench-sets diagram images-table \
	chart plugin docs images cluster-up cluster-down clean

help:
	@echo "make demo                     the walk-through, told step by step"
	@echo "make test                     everything that CI runs"
	@echo "make test-all                 that, and what is long and rarely fails"
	@echo "make check                    lint, types, import contracts, unit tests"
	@echo "make postgres                 tests with a PostgreSQL on this machine: VERSION=17"
	@echo "make promtool                 Prometheus' own tool on the alerts; it is built for that, which takes a while"
	@echo "make kubeconform              every manifest and the chart against Kubernetes' own schemas"
	@echo "make fuzz                     made-up requests and files, webhook and sidecar: INPUTS=1000000 SEED=1"
	@echo "make simulate                 random faults on simulated time: SCHEDULES=5000 WORLD=1"
	@echo "make chaos                    real faults on the local cluster: FAULT=pod-deleted ROUNDS=3"
	@echo "make storm                    a bank under faults that come faster than the set heals: MINUTES=10 SEED=1"
	@echo "make adopt                    StatefulSets as charts and blogs write them become sets: KIND=groundhog ROWS=1000000"
	@echo "make compat                   the walk-through, admission, rights and a fault on each Kubernetes: KUBERNETES_VERSIONS=1.33 FAULT=pod-deleted"
	@echo "make bench-agent              what a member at rest costs"
	@echo "make bench-admission          the webhook under load, beside one in Go: ROUNDS=3 SECONDS=5, or REVIEWS=200000"
	@echo "make bench-pods               pods of sets beside plain ones: PODS=500 CONNECTIONS=8"
	@echo "make bench-hostile            clients that mean no good, at each server of ours: SECONDS=4"
	@echo "make bench-scale              many sets whose pods are not run, on an API server of its own: SETS=1000 PODS=10000"
	@echo "make bench-sets               what many real sets cost, and a lost node costs them: SETS=30"
	@echo "make diagram                  what docs/ has from the table of situations"
	@echo "make images-table             the table of docs/images.md, from webhook/profile.py"
	@echo "make chart                    the Helm chart's templates, from the manifests"
	@echo "make plugin                   kubectl pgset, one file: build/kubectl-pgset"
	@echo "make docs                     the pages as a site that can be searched: build/docs/site"
	@echo "make cluster-up cluster-down  the local cluster alone: KUBERNETES=1.33"
	@echo "make images                   build what changed, load it into the running cluster"
	@echo "make clean                    the cluster and everything in the cache"

demo:
	@$(VENV) python -m deploy.demo

# They share nothing but the virtual environment, which is made before.
check:
	@$(VENV) true
	@$(MAKE) --no-print-directory --output-sync=target -j 4 lint $(UNIT)

# One way into the virtual environment, which takes a third of a second: not one for each tool.
lint:
	$(VENV) sh -c "ruff check . && ruff format --check . && mypy && lint-imports"

# Three parts, each with its own tests to import: workers of one pytest would all import all, which
# takes as long as a third of the tests. Those of the sidecar wait for a third of their time, and two
# cores have the others to run meanwhile. `unit-rest` has what is not named here.
UNIT := unit-sidecar unit-named unit-rest
NAMED := tests/certs tests/simulator tests/webhook
UNIT_TESTS := pytest -q -m "not cluster and not postgres and not thorough and not busy and not rarely"

unit:
	@$(MAKE) --no-print-directory --output-sync=target -j 3 $(UNIT)

unit-named:
	$(VENV) $(UNIT_TESTS) $(NAMED)

unit-sidecar:
	$(VENV) $(UNIT_TESTS) tests/sidecar

# The folders of which every test is marked cluster or postgres are not even imported.
unit-rest:
	$(VENV) $(UNIT_TESTS) --ignore=tests/cluster --ignore=tests/postgres $(patsubst %,--ignore=%,$(NAMED) tests/sidecar)

# The same and more of it, with PostgreSQL, as long as it needs no cluster and not both cores.
thorough:
	$(VENV) pytest -q -n 4 --dist worksteal --durations=40 --hypothesis-profile=thorough \
		-m "not cluster and not busy and not rarely"

# What takes the cluster down, or strikes what others live on, comes first and alone.
ALONE := pytest -v --durations=60
# Three at a time, in this order: the last to start is the shortest.
LANES := $(addprefix beside-,kube chaos-0 demo-0 demo-1 chaos-1)
# Where the tests of lanes are: nothing else has to be imported, once for each lane.
WITH_CLUSTER := tests/bench tests/cluster tests/deploy tests/local_cluster

# A step that fails does not keep the later ones from telling what they find.
test: lint
	$(LOCAL) prepare
	@$(MAKE) --no-print-directory --keep-going off-cluster alone-and-simulate lanes

.PHONY: off-cluster alone-and-simulate alone lanes $(LANES)
off-cluster:
	@$(MAKE) --no-print-directory --output-sync=target --keep-going -j 2 thorough versions

# The cluster waits for most of the time that it has to itself. Simulated time does not mind being
# slow, and with the lowest priority it takes only what nobody else wants.
alone-and-simulate:
	@$(MAKE) --no-print-directory --output-sync=target --keep-going -j 2 \
		alone simulate SCHEDULES=2000 GENTLY='nice -n 19'

alone:
	$(VENV) $(ALONE) -m "(cluster or busy) and not beside and not rarely"

lanes:
	@$(MAKE) --no-print-directory --output-sync=target --keep-going -j 3 $(LANES)

$(LANES): beside-%:
	CHAOS_SET=$* DEMO_NAMESPACE=pgset-$* $(VENV) $(ALONE) -m "beside(lane='$*') and not rarely" $(WITH_CLUSTER)

test-all: test
	$(VENV) $(ALONE) -m "rarely and not beside"
	$(VENV) $(ALONE) -m "beside and rarely" $(WITH_CLUSTER)
	$(VENV) pytest -q -n 4 --dist worksteal --hypothesis-profile=anew -m hypothesis
	$(VENV) python -m tests.simulator --schedules 5000 --seed 2000
	$(VENV) python -m tests.simulator --schedules 2000 --world

postgres:
	POSTGRES_VERSION=$(VERSION) $(VENV) pytest -q -n 4 --dist worksteal -m postgres tests/postgres

# What may differ from one version to another; `thorough` runs all with Debian's own.
versions:
	@$(MAKE) --no-print-directory --keep-going -j 1 version-17 version-18

version-%:
	POSTGRES_VERSION=$* $(VENV) pytest -q -n 4 --dist worksteal -m "postgres and versions" tests/postgres

promtool:
	$(VENV) pytest -q tests/deploy/test_promtool.py

kubeconform:
	$(VENV) pytest -q tests/deploy/test_kubeconform.py

fuzz:
	@$(VENV) python -m tests.fuzz --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0)

simulate:
	@$(GENTLY) $(VENV) python -m tests.simulator --schedules $(or $(SCHEDULES),5000) $(if $(WORLD),--world)

chaos:
	@$(VENV) python -m tests.chaos

storm:
	@CHAOS_SET=$(or $(CHAOS_SET),storm) $(VENV) python -m tests.storm

adopt:
	@$(VENV) python -m tests.adopt

# Older Kubernetes, each with a cluster of its own; it takes the present one down.
KUBERNETES_VERSIONS ?= 1.30 1.33 1.36
compat:
	@$(MAKE) --no-print-directory --keep-going $(addprefix compat-,$(KUBERNETES_VERSIONS))

compat-%:
	KUBERNETES=$* $(LOCAL) up
	KUBERNETES=$* $(VENV) $(ALONE) tests/cluster/test_walk_through.py tests/cluster/test_refusals.py \
		tests/deploy/test_admission.py tests/deploy/test_policies.py tests/deploy/test_rights.py
	KUBERNETES=$* FAULT=$(or $(FAULT),postmaster-killed) $(VENV) python -m tests.chaos

bench-agent:
	@$(VENV) python -m tests.bench.agent

bench-admission:
	@$(VENV) python -m tests.bench.admission

bench-pods:
	@$(VENV) python -m tests.bench.pods

bench-hostile:
	@$(VENV) python -m tests.bench.hostile

bench-scale:
	@$(VENV) python -m tests.bench.scale

bench-sets:
	@$(VENV) python -m tests.bench.sets

diagram:
	@$(VENV) python -m tests.support.diagram

images-table:
	@$(VENV) python -m tests.support.images_table

chart:
	@$(VENV) python -m deploy.chart

# Needs nothing that has to be installed.
plugin:
	@$(PYTHON) -m deploy.plugin

docs:
	@$(PYTHON) -m deploy.site

images:
	@$(LOCAL) images

cluster-up:
	@$(LOCAL) up

cluster-down:
	@$(LOCAL) down

clean: cluster-down
	$(LOCAL) clean
