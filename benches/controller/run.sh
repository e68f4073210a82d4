#!/usr/bin/env bash
# Overhead of the controller, opening of a long journal, queries of a large index: prints the figures of RESULTS.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
# One process each, so that the memory of one is not the other's.
for measurement in overhead_of_a_thousand_trials journal_of_a_hundred_thousand_events index_of_ten_thousand_trials; do
  cargo test --quiet --no-default-features --test it -- --ignored --nocapture --exact "bench::$measurement"
done
