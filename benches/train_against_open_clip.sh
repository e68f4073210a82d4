#!/usr/bin/env bash
# Training speed of cliptune against open_clip on PyTorch, as a ratio in one run: the two take turns, so that a busy
# machine hurts both alike. Prints one JSON line a run and the ratio of the medians at the end (above 1: cliptune is faster).
#
# usage: benches/train_against_open_clip.sh PEER_SCRIPT [CONFIG.json] [ROUNDS]
#   PEER_SCRIPT  prints the same JSON keys as `cliptune bench train` (images_per_s …) and takes the same options
#   PYTHON       the interpreter that has torch 2.11 and open_clip (default: python3)
set -euo pipefail
peer=$1 config=${2:-src/model/configs/clip-tiny-64.json} rounds=${3:-3}
cliptune=${CLIPTUNE:-${CARGO_TARGET_DIR:-target}/debug/cliptune}
options=(--config "$config" --batch "${BATCH:-128}" --steps "${STEPS:-10}" --loss "${LOSS:-clip}" --precision "${PRECISION:-fp32}" --threads "${THREADS:-2}")
runs=$(mktemp)
trap 'rm -f "$runs"' EXIT
for _ in $(seq "$rounds"); do
  "${PYTHON:-python3}" "$peer" "${options[@]}" 2>/dev/null | tee -a "$runs"
  "$cliptune" bench train "${options[@]}" 2>/dev/null | tee -a "$runs"
done
"${PYTHON:-python3}" - "$runs" <<'PY'
import json, statistics, sys
peer, ours = [], []
for line in open(sys.argv[1]):
    run = json.loads(line)
    (ours if run.get("peer") == "cliptune" else peer).append(run["images_per_s"])
print(json.dumps({"cliptune_images_per_s": statistics.median(ours), "open_clip_images_per_s": statistics.median(peer),
                  "ratio": round(statistics.median(ours) / statistics.median(peer), 3)}))
PY
