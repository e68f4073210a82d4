#!/usr/bin/env bash
# What only a GPU shows, unattended, in parts of under 10 minutes each. README.md says how to bring everything to a machine
# without a network. Every part writes its raw output below $OUT and a row into $OUT/table.md.
#
# usage: benches/gpu/run.sh [PART...]       all parts when none is named; see the end of this file
#   CLIPTUNE  the binary (default: target/debug/cliptune)
#   PYTHON    an interpreter with torch 2.11 for the GPU (default: python3), and open_clip_torch for the parts `peer-…`
#   PEER      a script that prints the keys of `cliptune bench train` and takes its options, --device and --compile
#   EAGER_ONLY  when set, the peer is not measured compiled
#   OUT       the folder of the results (default: benches/gpu/out)
#   PEAK      TFLOP/s of the GPU in bf16, without sparsity, for the utilisation (default: 989, an H100 SXM)
set -uo pipefail
cd "$(dirname "$0")/../.."
CLIPTUNE=${CLIPTUNE:-target/debug/cliptune} PYTHON=${PYTHON:-python3} OUT=${OUT:-benches/gpu/out} PEAK=${PEAK:-989}
mkdir -p "$OUT"
libraries=$("$PYTHON" - <<'PY'
import glob, os, torch
lib = os.path.join(os.path.dirname(torch.__file__), "lib")
site = os.path.dirname(os.path.dirname(torch.__file__))
print(":".join([lib] + sorted(glob.glob(os.path.join(site, "nvidia", "*", "lib")))))
PY
) || { echo "PYTHON has no torch" >&2; exit 1; }
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1) || { echo "there is no GPU" >&2; exit 1; }
[ -s "$OUT/table.md" ] || printf '| part | what | figure | device |\n|---|---|---|---|\n' > "$OUT/table.md"

row() { printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "$device" | tee -a "$OUT/table.md"; }
# A key of a line of JSON.
value() { "$PYTHON" -c 'import json, sys; v = json.loads(sys.stdin.read().strip().splitlines()[-1]).get(sys.argv[1]); print("–" if v is None else v)' "$1"; }
within() { timeout "${LIMIT:-560}" "$@"; }
model() { echo "src/model/configs/$1.json"; }
# The last thing that a run said, as a cell of the table.
said() { tail -n 1 "$1" | tr '|' '/' | cut -c 1-200; }

# The bundled drawings, in bf16.
train() { within "$CLIPTUNE" train -e templates/demo.yaml train.precision=bf16 "$@"; }

starts() {
  within "$CLIPTUNE" doctor > "$OUT/doctor.txt" 2>&1
  row starts "cliptune doctor" "exit $?"
  for precision in fp32 bf16; do
    for where in cpu cuda; do
      within "$CLIPTUNE" bench train --config "$(model clip-tiny-64)" --batch 32 --steps 3 --loss clip --precision $precision \
        --device $where --threads 8 > "$OUT/step-$precision-$where.json" 2> "$OUT/step-$precision-$where.txt"
    done
    a=$(value last_loss < "$OUT/step-$precision-cpu.json") b=$(value last_loss < "$OUT/step-$precision-cuda.json")
    apart=$("$PYTHON" -c "a, b = float('$a'), float('$b'); print(f'{abs(a - b) / a:.1e} apart')")
    row starts "loss after 6 steps in $precision, CPU and GPU" "$a, $b${apart:+: $apart}"
  done
}

# Speed of one model in bf16 over batches, until the memory is full: cliptune, then the peer, eager and compiled.
speed() {
  local name=$1 config; config=$(model "$1"); shift
  for batch in "$@"; do
    options=(--config "$config" --batch "$batch" --steps 10 --loss siglip --precision bf16 --device cuda --threads 8)
    line=$(LIMIT=150 within "$CLIPTUNE" bench train "${options[@]}" 2> "$OUT/speed.txt") || { row speed "$name, batch $batch" "$(said "$OUT/speed.txt")"; break; }
    echo "$line" >> "$OUT/speed.jsonl"
    rate=$(value images_per_s <<< "$line") memory=$(value peak_gpu_mb <<< "$line") tflops=$(value tflops_per_s <<< "$line")
    row speed "$name, bf16, batch $batch: images/s, MB, share of $PEAK TFLOP/s" \
      "$rate, $memory, $("$PYTHON" -c "print(round($tflops / $PEAK, 3))")"
  done
}

# The same step in turns: cliptune, open_clip, open_clip compiled. open_clip reads configs of its own form alone.
peer() {
  local config=benches/gpu/$1.json batch=$2
  [ -n "${PEER:-}" ] || { row peer "$1" "PEER is not set"; return; }
  options=(--config "$config" --batch "$batch" --steps 10 --loss siglip --precision bf16 --device cuda --threads 8)
  local those=(cliptune open_clip)
  # Compiling takes minutes.
  [ -n "${EAGER_ONLY:-}" ] || those+=("open_clip, compiled")
  for who in "${those[@]}"; do
    case $who in
      cliptune) step=("$CLIPTUNE" bench train "${options[@]}") ;;
      open_clip) step=("$PYTHON" "$PEER" "${options[@]}") ;;
      *) step=("$PYTHON" "$PEER" "${options[@]}" --compile) ;;
    esac
    line=$(LIMIT=180 within "${step[@]}" 2> "$OUT/peer.txt") || { row peer "$1, $who" "$(said "$OUT/peer.txt")"; continue; }
    echo "$line" >> "$OUT/speed.jsonl"
    row peer "$1, bf16, batch $batch, $who: images/s" "$(value images_per_s <<< "$line")"
  done
}

# Activations of a pair in benches/gpu/large.json, in bf16.
MB_OF_A_PAIR=240

# A loss that is no number, loss scaling: recognised and acted upon.
failures() {
  train --automl off --results-dir "$OUT/fp16" train.precision=fp16 train.num_epochs=2 > "$OUT/fp16.txt" 2>&1
  row failures "fp16 with loss scaling trains" "exit $?"
  train --automl off --results-dir "$OUT/nan" train.num_epochs=2 train.optim.vision_lr=1e30 \
    train.optim.text_lr=1e30 train.optim.warmup_steps=0 > "$OUT/nan.txt" 2>&1
  row failures "a loss that is no number ends the training by name" "exit $?, $(grep -c loss_not_finite "$OUT/nan/train/events.jsonl") event"
}

# Out of memory: a batch whose activations are half as large again as the memory.
memory() {
  memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1)
  LIMIT=400 train --results-dir "$OUT/oom" automl.max_trials=1 automl.promote=false train.num_epochs=1 \
    model.type=benches/gpu/large.json model.image_size=224 dataset.train.batch_size=$((memory * 3 / 2 / MB_OF_A_PAIR)) > "$OUT/oom.txt" 2>&1
  row failures "out of memory: tried again in smaller pieces" "$(grep -c trial_adjusted "$OUT/oom/study.jsonl") event"
}

studies() {
  LIMIT=540 train --results-dir "$OUT/study" automl.max_trials=8 automl.trials_per_gpu=2 \
    automl.promote=false train.num_epochs=3 > "$OUT/study.txt" 2>&1
  row studies "8 trials, 2 at once on the GPU" "exit $?, $(grep -c gpus_sampled "$OUT/study/study.jsonl") samples of NVML"
  "$CLIPTUNE" status "$OUT/study" > "$OUT/status.txt" 2>&1
}

# NCCL with one rank, and two ranks that would share a GPU.
ranks() {
  RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=29511 train \
    --automl off --results-dir "$OUT/one" train.num_epochs=1 > "$OUT/one.txt" 2>&1
  row ranks "one rank that torchrun would start" "exit $?"
  # Each process is told that it is alone on its machine.
  for rank in 0 1; do
    RANK=$rank WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=29512 \
      LIMIT=120 train --automl off --results-dir "$OUT/two" train.num_gpus=1 train.num_nodes=2 \
      dataset.train.batch_size=16 train.num_epochs=1 > "$OUT/two-$rank.txt" 2>&1 &
  done
  wait
  row ranks "two ranks on one GPU are refused" "$(grep -ho 'ranks 0 and 1 would share a GPU' "$OUT"/two-*.txt | head -1)"
}

# Where a step's time goes, by kernel, where Nsight Compute is there; starting up is skipped.
kernels() {
  command -v ncu > /dev/null || { row kernels "$1" "there is no ncu"; return; }
  within ncu --clock-control none --metrics gpu__time_duration.sum --csv --launch-skip "$2" --launch-count 6000 --log-file "$OUT/kernels.csv" \
    "$CLIPTUNE" bench train --config "$(model "$1")" --batch 64 --steps 1 --loss siglip --precision bf16 --device cuda > "$OUT/kernels.txt" 2>&1
  "$PYTHON" - "$OUT/kernels.csv" > "$OUT/kernels-$1.txt" <<'PY'
import collections, csv, sys
rows = csv.DictReader(line for line in open(sys.argv[1]) if line.startswith('"'))
spent, calls = collections.Counter(), collections.Counter()
for row in rows:
    spent[row["Kernel Name"][:100]] += float(row["Metric Value"].replace(",", ""))
    calls[row["Kernel Name"][:100]] += 1
total = sum(spent.values()) or 1
for name, time in spent.most_common(30):
    print(f"{time / total:6.1%} {calls[name]:6} {name}")
PY
  row kernels "$1, batch 64: the three that take longest" "$(head -3 "$OUT/kernels-$1.txt" | tr -s ' ' | tr '\n|' ';/' | cut -c 1-200)"
}

engines() {
  [ -d "$OUT/fp16/train/checkpoints/best" ] || { row engines "TensorRT" "run the part failures first"; return; }
  within "$CLIPTUNE" export -e templates/export.yaml --results-dir "$OUT/export" export.checkpoint="$OUT/fp16/train/checkpoints/best" > "$OUT/export.txt" 2>&1
  row engines "export" "exit $?"
  within "$CLIPTUNE" gen_trt_engine -e templates/gen_trt_engine.yaml --parent "$OUT/export" --results-dir "$OUT/engine" > "$OUT/engine.txt" 2>&1
  row engines "TensorRT for this GPU" "exit $?: $(said "$OUT/engine.txt")"
}

parts=("$@")
[ $# -gt 0 ] || parts=(starts speed-small speed-l14 speed-so400m peer-so400m peer-l14 failures memory studies ranks kernels engines)
for part in "${parts[@]}"; do
  case $part in
    starts) starts ;;
    speed-small) speed clip-tiny-64 128 512 2048 ;;
    speed-l14) speed ViT-L-14-SigLIP-CLIPA-224 32 128 256 512 ;;
    speed-so400m) speed siglip2-so400m-patch16-256 32 64 128 256 ;;
    peer-so400m) peer so400m "${BATCH:-64}" ;;
    peer-l14) peer large "${BATCH:-128}" ;;
    failures) failures ;;
    memory) memory ;;
    studies) studies ;;
    ranks) ranks ;;
    kernels) kernels siglip2-so400m-patch16-256 9000 ;;
    engines) engines ;;
    *) echo "there is no part $part" >&2; exit 2 ;;
  esac
done
