#!/usr/bin/env bash
# Packs what run.sh needs for a machine without a network and without Rust: the binary, stripped and compressed (11 MB), and the
# wheels of open_clip. There, `source FOLDER/unpack.sh` sets CLIPTUNE, PYTHONPATH and PEER for run.sh.
#
# usage: benches/gpu/pack.sh FOLDER [PEER_SCRIPT]
#   CLIPTUNE  the binary (default: target/debug/cliptune); PYTHON  an interpreter with pip (default: python3)
set -euo pipefail
folder=${1:?the folder to make} peer=${2:-}
cliptune=${CLIPTUNE:-target/debug/cliptune}
mkdir -p "$folder/wheels"
strip -o "$folder/cliptune" "$cliptune"
xz -T0 -f "$folder/cliptune"
"${PYTHON:-python3}" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux2014_x86_64 \
  --platform manylinux_2_17_x86_64 -d "$folder/wheels" open_clip_torch==3.3.0 ftfy wcwidth
[ -z "$peer" ] || cp "$peer" "$folder/peer.py"
cat > "$folder/unpack.sh" <<'UNPACK'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) place=$(mktemp -d)
python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$here/cliptune.xz" "$place/cliptune"
chmod +x "$place/cliptune"
python3 -m pip install -q --no-index --no-deps --no-compile --target "$place/site" "$here"/wheels/*.whl
export CLIPTUNE=$place/cliptune PYTHONPATH=$place/site${PYTHONPATH:+:$PYTHONPATH}
[ ! -e "$here/peer.py" ] || export PEER=$here/peer.py
UNPACK
du -sh "$folder"
