# Two commands to start: `make run` (register a voice and hear it) and `make test`.
.DEFAULT_GOAL := help
.PHONY: help setup setup-full run serve test check bench lock

PYTHON_IN_VENV := .venv/bin/python

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## make .venv (light: no torch); returns at once when it is current
	@builder/setup_venv.sh light

setup-full: ## make .venv with the model's packages and the test tools
	@builder/setup_venv.sh full
	@builder/setup_venv.sh numpy1
	@builder/install_test_packages.sh

run: setup ## register a voice, let it speak, write out/hello.wav (REFERENCE=my.wav NAME=Me TEXT="...")
	@$(PYTHON_IN_VENV) -m worker.demo $(if $(REFERENCE),"$(REFERENCE)") $(if $(NAME),--name "$(NAME)") $(if $(TEXT),--text "$(TEXT)")

serve: setup ## voices over HTTP, and the page to try them, on http://127.0.0.1:8000
	@$(PYTHON_IN_VENV) -m server

test: setup-full check ## everything: checks, then all the tests, two at a time
	@$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile

check: setup-full ## format, lint and types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

bench: setup-full ## benchmarks; tables and charts go to benchmarks/results
	@$(PYTHON_IN_VENV) -m benchmarks

lock: ## write the pinned sets anew from builder/requirements/*.in
	@builder/lock.sh
