# ml-service: `make run` shows the main job, `make test` proves it. Both do all the set-up themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export PKG_CONFIG_PATH := $(CURDIR)/.deps/pkgconfig:$(PKG_CONFIG_PATH)

.PHONY: help run build test unit sbom kernels torture bench bench-tenancy soak man lint format fixtures stack clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## generate data, train, and serve a stream with the embedded defaults
	@scripts/demo

build: ## what is needed, and the release build of the service and its plugins
	@scripts/setup
	@scripts/build

test: ## unit tests, the detectors under AddressSanitizer, integration tests on a real broker, Redis, S3
	@scripts/setup --tests
	@scripts/asan
	@scripts/test

unit: ## the unit tests alone: no server, no network
	@scripts/setup
	@scripts/build-tests
	@scripts/run-suites unit

sbom: ## what the service is made of, CycloneDX 1.5, in sbom.json
	@scripts/sbom sbom.json
	@echo "sbom.json"

kernels: ## the C kernels beside plain loops: this processor's, and those of arm64 under qemu-user where it is installed
	@scripts/kernels

torture: ## damage everything that is read, for 20 seconds each (SECONDS=60: longer)
	@scripts/setup --tests
	@scripts/torture $(or $(SECONDS),20)

bench: ## speed of the parts and end to end beside peers, and AUROC on public tables, on this machine; .bench/history.svg
	@scripts/setup --tests
	@status=0; scripts/bench || status=$$?; scripts/plots history || status=1; exit $$status

bench-tenancy: ## a million users with models of their own: start-up, memory, cold loads (USERS=100000: fewer)
	@scripts/setup
	@scripts/build
	@swift build -c release --product Benchmarks
	@BENCH_USERS=$(or $(USERS),1000000) stdbuf -oL .build/release/Benchmarks tenancy

soak: ## whether serve keeps its size and pace for an hour at 70 % of the limit (HOURS=8: longer); soak.csv, soak.svg
	@scripts/setup --tests
	@scripts/build
	@status=0; scripts/soak --hours $(or $(HOURS),1) --output soak.csv || status=$$?; scripts/soak --plot soak.csv soak.svg; exit $$status

man: build ## the manual page, ml-service.1
	@scripts/man > ml-service.1
	@echo "ml-service.1"

lint: ## formatting, and the rules of this repository
	@scripts/setup
	@scripts/lint

format: ## write the sources as the linter wants them
	@swift format --in-place --parallel --recursive Sources Tests benchmarks Package.swift examples

fixtures: build ## make fixtures/ anew
	@scripts/fixtures

stack: ## start the real broker, Redis and S3 server (scripts/stack down stops them)
	@scripts/setup --tests
	@scripts/stack up

clean: ## remove builds and local state; .deps stays
	@scripts/stack down --purge || true
	rm -rf .build .data .stack
