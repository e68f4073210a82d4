#!/usr/bin/env bash
# Puts Python's onnx, whose checker reads the graphs that the tests write, into a folder (default .deps/onnx). A second run
# does nothing. usage: fetch.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../../.."
to=${1:-.deps/onnx}
stamp="onnx==1.19.1"
[ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
rm -rf "$to" "$to.new"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$to.new" "$stamp"
echo "$stamp" > "$to.new/stamp"
mv "$to.new" "$to"
