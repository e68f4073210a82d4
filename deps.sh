#!/usr/bin/env bash
# Puts everything the build, the tests and the demo need, and a fresh machine lacks, below .deps (and nothing elsewhere,
# except the C++ compiler, which comes from the system's packages). A second run does nothing.
set -euo pipefail
cd "$(dirname "$0")"

# The pins were tried together: tch 0.24 binds libtorch 2.11. The torch wheel runs without a GPU with just these CUDA parts.
packages=(
  torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85   # libtorch
  onnxruntime==1.32.0                                                      # parity of exported graphs
  tensorrt-rtx-cu13-libs==1.7.1.116                                        # engines, built ahead of time
  libclang==18.1.1 cmake==4.4.4                                            # to build the TensorRT bindings and HDF5
)
stamp=.deps/stamp
wanted=$(printf '%s\n' "${packages[@]}")

missing() { echo "deps.sh: $1 is missing: $2" >&2; exit 1; }

system_packages() {
  local need=()
  command -v g++ >/dev/null || need+=(g++)
  command -v make >/dev/null || need+=(make)
  command -v python3 >/dev/null || need+=(python3)
  python3 -m pip --version >/dev/null 2>&1 || need+=(python3-pip)
  [ ${#need[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}"
  else
    missing "${need[*]}" "install it with your system's package manager, for example: sudo apt-get install ${need[*]}"
  fi
}

command -v cargo >/dev/null || missing cargo "install Rust 1.95 or newer (https://rustup.rs)"
system_packages
mkdir -p .deps

if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  echo "deps.sh: fetching libtorch, ONNX Runtime, TensorRT-RTX and build tools (about 1.3 GB, once)" >&2
  rm -rf .deps/python .deps/python.new "$stamp"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target .deps/python.new "${packages[@]}"
  mv .deps/python.new .deps/python
  printf '%s\n' "$wanted" > "$stamp"
fi

# The assembler of libjpeg-turbo's fast paths: without them JPEGs take twice the time.
if [ "$(uname -m)" = x86_64 ] && [ ! -x .deps/nasm ]; then
  if command -v nasm >/dev/null; then
    ln -sfn "$(command -v nasm)" .deps/nasm
  elif (cd .deps && { apt-get download -qq nasm || { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq nasm; }; } >/dev/null 2>&1); then
    dpkg -x .deps/nasm_*.deb .deps/nasm.new && mv .deps/nasm.new/usr/bin/nasm .deps/nasm
    rm -rf .deps/nasm.new .deps/nasm_*.deb
  else
    missing nasm "install it with your system's package manager, for example: sudo apt-get install nasm"
  fi
fi

# libclang's wheel comes without the compiler's own headers (stddef.h …); gcc's serve.
ln -sfn "$(gcc -print-file-name=include)" .deps/gcc-include

# What the tests of tokenizers and images compare with.
tests/golden/text/fetch_vocabularies.sh
