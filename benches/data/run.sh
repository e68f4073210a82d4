#!/usr/bin/env bash
# The input pipeline of cliptune against torch DataLoader with Pillow and torchvision, on the same files, one thread against one
# worker process: JPEG to normalised float batches. The two take turns, so that a busy machine hurts both alike. Prints one JSON
# line a run, and at the end the medians and their ratios (above 1: cliptune is faster).
#
# usage: benches/data/run.sh PEER_SCRIPT [IMAGE_DIR] [ROUNDS]
#   PEER_SCRIPT  takes --image-dir --size --batch --workers --epochs [--train] and prints {"images_per_s": …}
#   IMAGE_DIR    default: 600 photograph-like JPEGs of 640 x 480 that make_images.py makes
#   PYTHON       the interpreter that has torch, torchvision and pillow (default: python3)
set -euo pipefail
cd "$(dirname "$0")/../.."
peer=$1 images=${2:-} rounds=${3:-3}
cliptune=${CLIPTUNE:-${CARGO_TARGET_DIR:-target}/debug/cliptune} python=${PYTHON:-python3}
runs=$(mktemp)
made=$(mktemp -d)
trap 'rm -rf "$runs" "$made"' EXIT
if [ -z "$images" ]; then
  images=$made/images
  "$python" benches/data/make_images.py "$images"
fi
options=(--image-dir "$images" --size "${SIZE:-224}" --batch 64 --epochs "${EPOCHS:-2}")
for _ in $(seq "$rounds"); do
  for mode in eval train; do
    [ $mode = train ] && theirs=(--train) ours=(--augment) || theirs=() ours=()
    "$python" "$peer" "${options[@]}" --workers 1 "${theirs[@]}" 2>/dev/null | tee -a "$runs"
    "$cliptune" bench data "${options[@]}" --threads 1 "${ours[@]}" 2>/dev/null | tee -a "$runs"
    "$cliptune" bench data "${options[@]}" --threads 1 --cached "${ours[@]}" 2>/dev/null | tee -a "$runs"
  done
done
"$python" - "$runs" <<'PY'
import json, statistics, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
for train in (False, True):
    rate = lambda **of: statistics.median(r["images_per_s"] for r in runs if r["train"] == train and all(r.get(k) == v for k, v in of.items()))
    peer, files, cached = rate(peer="torch DataLoader"), rate(peer="cliptune", cached=False), rate(peer="cliptune", cached=True)
    print(json.dumps({"train": train, "torch_images_per_s": peer, "cliptune_images_per_s": files, "cliptune_cached_images_per_s": cached,
                      "ratio": round(files / peer, 2), "ratio_cached": round(cached / peer, 2)}))
PY
