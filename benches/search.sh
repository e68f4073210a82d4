#!/usr/bin/env bash
# Compares `cliptune search` with other optimisers at equal budget, over the ask/tell protocol.
#
#   HARNESS=FOLDER PYTHON=PYTHON benches/search.sh BINARY [OUT]
#
# HARNESS holds run.py, which speaks the protocol (its requirements.txt says what PYTHON needs). Finished cells are kept in
# OUT, so a run that was stopped goes on.
set -euo pipefail
binary=$(realpath "${1:?the binary}") out=$(realpath -m "${2:-benches/search/out}")
here=$(realpath "$(dirname "$0")")
harness=${HARNESS:?the folder of run.py} python=${PYTHON:-python3} seeds=${SEEDS:-3}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
mkdir -p "$out"
cd "$harness"

ours="cmd:$binary search"
peers=${PEERS:-random,optuna:tpe,optuna:tpe!pen,optuna:gp,smac:bb,smac:hpo,hebo,cmd:$python refgp.py}
for workers in 1 4; do
  for trials in 20 40 80; do
    file=$out/full-$trials-$workers.jsonl
    "$python" run.py run --suite "${SUITE:-dev}" --opts "$ours,$peers" --trials $trials --workers $workers --seeds "$seeds" --out "$file"
    "$python" run.py report "$file" --ref "$ours" --by-objective > "${file%.jsonl}.md"
  done
done

# With learning curves. The report's last table has the regret after shares of the budget: ours at 50 % against theirs at 100 %.
peers="optuna:random+asha,optuna:tpe+hyperband,optuna:tpe!pen+hyperband,optuna:tpe!pen+asha"
"$python" run.py run --suite dev-mf --opts "$ours,$peers" --trials 40 --workers 4 --seeds "$seeds" --out "$out/curves.jsonl"
"$python" run.py report "$out/curves.jsonl" --ref "$ours" --by-objective > "$out/curves.md"

for every in 1 3 7; do "$python" run.py crashtest "$binary search" --kill-every $every; done | tee "$out/crashes.txt"
python3 "$here/search/ask_cost.py" "$binary" | tee "$out/cost.txt"
