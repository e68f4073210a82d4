# Two commands for a newcomer: `make demo` and `make test`.
TARGET := $(or $(CARGO_TARGET_DIR),target)
DEMO   := demo_results

.PHONY: demo test deps build check bench soak templates clean-demo

demo: build ## tune on the bundled drawings, promote the best model; `make clean-demo` to start over
	$(TARGET)/debug/cliptune train -e templates/demo.yaml --results-dir $(DEMO) $(if $(wildcard $(DEMO)/study.jsonl),--resume)

test: deps ## all tests
	cargo test

deps: ## fetch what is missing into .deps
	./deps.sh

build: deps ## the same profile as the tests: compiled once
	cargo build

check: deps ## what CI checks beside the tests
	cargo fmt --check
	cargo clippy --no-default-features --all-targets -- -D warnings
	cargo clippy --all-targets -- -D warnings

soak: deps ## the slow tests: 200 kills among them
	cargo test -- --ignored

templates: build ## write the generated templates and docs/spec.md again, after a change of the table of keys
	for t in $(filter-out demo,$(basename $(notdir $(wildcard templates/*.yaml)))); do \
	  $(TARGET)/debug/cliptune spec template $$t > $(TARGET)/template && cp $(TARGET)/template templates/$$t.yaml || exit 1; done
	$(TARGET)/debug/cliptune spec reference > $(TARGET)/template && cp $(TARGET)/template docs/spec.md

clean-demo:
	rm -rf $(DEMO)
