#!/usr/bin/env bash
# A whole study of cliptune against Optuna (TPE + Hyperband) around a plain open_clip training: the wall time after which
# each first has a checkpoint with a given val/t2i_mAP. Same data, model, ranges, epochs, batch, cores and wall-clock budget.
# Prints one JSON line a seed and a summary; a ratio below 1 means that cliptune was there first.
#
# usage: benches/study_against_optuna.sh PEER_SCRIPT DATA [MINUTES] [SEEDS] [TARGET]
#   PEER_SCRIPT  takes --data --config --minutes --epochs --batch --seed --threads --bf16 and prints a JSON line with "seconds" and
#                "best" whenever its best improves
#   DATA         folder with train/ and val/, each with images/ and captions/ or archives of them (templates/demo)
#   TARGET       the value to reach; by default the lower of the two last bests of a seed
#   PYTHON       the interpreter that has optuna, torch and open_clip (default: python3)
#   OUT          where studies and outputs are kept (default: a temporary folder); what is finished there is not run again
#   PRECISION    fp32 or bf16, of both (default: fp32)
#   SLOTS        trials of cliptune side by side (default: one a core); ALGORITHM, SCHEDULER, TRIALS: its search (gp, asha, 1000 at most)
#   SPACE        the ranges of cliptune (default: study_space.yaml, those of the peer); a peer's outputs can be copied to another OUT
#   ONLY         optuna or cliptune: runs that side alone, for a machine that is free for some minutes at a time
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peer=$1 data=$(realpath "$2") minutes=${3:-10} seeds=${4:-3} target=${5:-}
cliptune=${CLIPTUNE:-${CARGO_TARGET_DIR:-$here/../target}/debug/cliptune}
config=$here/../src/model/configs/clip-tiny-64.json
precision=${PRECISION:-fp32} space=$(realpath "${SPACE:-$here/study_space.yaml}")
epochs=${EPOCHS:-9} batch=${BATCH:-128} out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
out=$(realpath "$out")
if [ -e "$data/train/images.tar.gz" ]; then
  for part in train/images train/captions val/images val/captions; do
    mkdir -p "$out/data/$part"
    tar xzf "$data/$part.tar.gz" -C "$out/data/$part" --transform 's,.*/,,'
  done
  data=$out/data
fi
source_of() { echo "{image_dir: $data/$1/images, caption_dir: $data/$1/captions}"; }
for seed in $(seq 0 $((seeds - 1))); do
  cat > "$out/spec-$seed.yaml" <<SPEC
results_dir: $out/study-$seed
model: {type: clip-tiny-64, image_size: 64}
dataset:
  train: {datasets: [$(source_of train)], batch_size: $batch}
  val: {datasets: [$(source_of val)], batch_size: $batch}
  augmentation: {scale: [1.0, 1.0], color_jitter: [], grayscale: 0.0}
train: {num_epochs: $epochs, precision: $precision, loss_type: clip, grad_clip_norm: 1.0, seed: $seed}
automl:
  search_space: $space
  algorithm: ${ALGORITHM:-gp}
  scheduler: ${SCHEDULER:-asha}
  max_trials: ${TRIALS:-1000}
  cpu_slots: ${SLOTS:-0}
  time_budget: ${minutes}m
  seed: $seed
  promote: false
SPEC
  if [ "${ONLY:-optuna}" = optuna ] && [ ! -e "$out/peer-$seed.jsonl" ]; then
    "${PYTHON:-python3}" "$peer" --data "$data" --config "$config" --minutes "$minutes" \
      --epochs "$epochs" --batch "$batch" --seed "$seed" --threads 2 $([ "$precision" = bf16 ] && echo --bf16) > "$out/peer-$seed.part"
    mv "$out/peer-$seed.part" "$out/peer-$seed.jsonl"
  fi
  if [ "${ONLY:-cliptune}" = cliptune ] && [ ! -e "$out/study-$seed" ]; then
    "$cliptune" train -e "$out/spec-$seed.yaml" > "$out/study-$seed.txt" 2>&1
  fi
done
"${PYTHON:-python3}" - "$out" "$seeds" "$target" <<'PY'
import datetime, glob, json, os, statistics, sys
out, seeds, given = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def when(line):
    return datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()

def study(folder):
    """(seconds since the study began, best value so far), the baseline and epoch 0 included: whatever has a checkpoint."""
    start = when(json.loads(open(f"{folder}/study.jsonl").readline()))
    seen = []
    for path in glob.glob(f"{folder}/trials/*/events.jsonl"):
        for text in open(path):
            line = json.loads(text)
            event = line["event"]
            value = event.get("metrics", {}).get("val/t2i_mAP") if event["kind"] == "validated" else None
            if value is not None and event["epoch"] > 0:
                seen.append((when(line) - start, value))
    return best_so_far(seen)

def best_so_far(seen):
    best, curve = float("-inf"), []
    for seconds, value in sorted(seen):
        if value > best:
            best = value
            curve.append((seconds, value))
    return curve

def reached(curve, target):
    return next((seconds for seconds, value in curve if value >= target), None)

ratios = []
for seed in range(seeds):
    if not (os.path.exists(f"{out}/peer-{seed}.jsonl") and os.path.exists(f"{out}/study-{seed}")):
        continue
    # What its libraries print stands between the lines.
    lines = [json.loads(text) for text in open(f"{out}/peer-{seed}.jsonl") if text.startswith("{")]
    peer = best_so_far([(l["seconds"], l["best"]) for l in lines if not l.get("done")])
    ours = study(f"{out}/study-{seed}")
    target = float(given) if given else min(peer[-1][1], ours[-1][1])
    a, b = reached(ours, target), reached(peer, target)
    if a and b:
        ratios.append(a / b)
    print(json.dumps({"seed": seed, "target": round(target, 4), "cliptune_s": a and round(a, 1), "optuna_s": b and round(b, 1),
                      "cliptune_best": round(ours[-1][1], 4), "optuna_best": round(peer[-1][1], 4)}))
print(json.dumps({"median_ratio_of_wall_times": round(statistics.median(ratios), 3) if ratios else None, "seeds": len(ratios)}))
PY
