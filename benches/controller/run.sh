#!/usr/bin/env bash
# Overhead of the controller, opening of a long journal, queries of a large index: prints the figures of RESULTS.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo test --no-default-features --test it -- --ignored --nocapture --test-threads 1 bench::
