# The few commands there are. Each sets up what it needs and says so; the work is in scripts/.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run test fire check bench fuzz build kafka setup clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## set up, build, and run the demonstration on the embedded broker
	@scripts/demo.sh

test: ## set up, and run every test, those against Apache Kafka too
	@scripts/test.sh

fire: setup ## kill the host 200 times, restart brokers 50 times: no record is lost or doubled
	@scripts/fire.sh

check: ## format, clippy, documentation, dependencies: each warning is an error
	@scripts/check.sh

bench: setup ## measure: the sandbox against native code, hot drops, start-up, memory at rest, REST
	@scripts/bench.sh

fuzz: setup ## fuzz what reads foreign bytes, each target for FUZZ_SECONDS (60), with nightly Rust
	@scripts/fuzz.sh

build: setup ## build the example plugins and the host
	@scripts/build.sh

kafka: ## run an Apache Kafka on this machine until Ctrl-C
	@scripts/setup.sh --kafka
	@scripts/kafka.sh fetch
	@scripts/kafka.sh foreground

setup: ## install what a build needs: C and C++ compiler, OpenSSL, zlib, Rust
	@scripts/setup.sh

clean: ## stop what was started from here, delete what was built and downloaded
	@scripts/kafka.sh stop-all
	@. scripts/lib.sh && cargo clean && rm -rf .kafka
