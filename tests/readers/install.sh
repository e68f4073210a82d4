#!/usr/bin/env bash
# Puts the tools that read exported studies into .deps/readers (Python packages, about 250 MB, once). A second run does nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=(tensorboard==2.21.0 optuna==5.0.0 wandb==0.31.0)
to=.deps/readers
wanted=$(printf '%s\n' "${packages[@]}")
[ "$(cat "$to/stamp" 2>/dev/null)" = "$wanted" ] && exit 0
echo "install.sh: fetching TensorBoard, Optuna and wandb (once)" >&2
rm -rf "$to" "$to.new"
python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action=ignore --target "$to.new" "${packages[@]}"
printf '%s\n' "$wanted" > "$to.new/stamp"
mv "$to.new" "$to"
