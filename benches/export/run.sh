#!/usr/bin/env bash
# Figures of exports.
#   Without arguments: full-size random weights; time and memory of the export against the writing of the weights, and how near
#   graph and model are.
#   With PEER_SCRIPT: ONNX Runtime on our graph against the graph of PyTorch's exporter for the same weights, the two alternating
#   in one run; prints the script's line of JSON (ratio_other_over_peer: below 1, ours is faster).
#
# usage: benches/export/run.sh [PEER_SCRIPT [CONFIG.json [PEER_OPTION ...]]]
#   PEER_SCRIPT  takes --config --out --weights --onnx, and options of its own
#   CONFIG.json  a model config of open_clip (default src/model/configs/clip-tiny-64.json)
#   PYTHON       the interpreter that has torch 2.11, open_clip, onnx and onnxruntime (default: python3)
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
  exec cargo test --test it -- --ignored --nocapture full_size::export_at_full_size
fi
cliptune=${CLIPTUNE:-${CARGO_TARGET_DIR:-target}/debug/cliptune} python=${PYTHON:-python3}
peer=$1 config=${2:-src/model/configs/clip-tiny-64.json}
shift $(( $# > 2 ? 2 : $# ))
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$python" - "$config" "$out" <<'PY'
import json, sys, torch
from open_clip.model import CLIP
from safetensors.torch import save_file
torch.manual_seed(0)
config = {k: v for k, v in json.load(open(sys.argv[1])).items() if k in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")}
weights = CLIP(**config).state_dict()
save_file({k: v.contiguous() for k, v in weights.items() if k != "attn_mask"}, f"{sys.argv[2]}/open_clip_model.safetensors")
json.dump(config, open(f"{sys.argv[2]}/open_clip_config.json", "w"))
PY
"$cliptune" export "export.checkpoint=$out" "model.type=$out/open_clip_config.json" "results_dir=$out" \
  "export.onnx_file=$out/ours.onnx" export.parity_samples=4 >&2
"$python" "$peer" --config "$config" --out "$out/peer" --weights "$out/open_clip_model.safetensors" --onnx "$out/ours.onnx" "$@"
