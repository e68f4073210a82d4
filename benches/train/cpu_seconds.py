"""CPU seconds of a training step, cliptune against a peer, on one thread: what a busy machine does to the clock does not count.
Each figure is the difference of two runs of unequal length, so that starting up does not count either. The runs take turns.

usage: benches/train/cpu_seconds.py PEER_SCRIPT [CONFIG.json] [BATCH] [ROUNDS]
  PEER_SCRIPT  prints the keys of `cliptune bench train` and takes its options
  CLIPTUNE     the binary (default: target/debug/cliptune); PYTHON  the interpreter of the peer (default: python3)
"""
import json
import os
import resource
import statistics
import subprocess
import sys

peer = sys.argv[1]
config = sys.argv[2] if len(sys.argv) > 2 else "src/model/configs/clip-tiny-64.json"
batch = sys.argv[3] if len(sys.argv) > 3 else "64"
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
COMMANDS = {
    "cliptune": [os.environ.get("CLIPTUNE", "target/debug/cliptune"), "bench", "train"],
    "peer": [os.environ.get("PYTHON", "python3"), peer],
}
FEW, MANY = 1, 7


def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(who, precision, steps):
    options = ["--config", config, "--batch", batch, "--steps", str(steps), "--warmup", "1", "--loss", "clip"]
    before = spent()
    done = subprocess.run([*COMMANDS[who], *options, "--precision", precision, "--threads", "1"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return spent() - before, json.loads(done.stdout.splitlines()[-1])["peak_rss_mb"]


seconds, memory = {}, {}
for _ in range(rounds):
    for key in [(who, precision) for precision in ("fp32", "bf16") for who in COMMANDS]:
        few, many = run(*key, FEW), run(*key, MANY)
        seconds.setdefault(key, []).append((many[0] - few[0]) / (MANY - FEW))
        memory[key] = many[1]
middle = {key: statistics.median(values) for key, values in seconds.items()}
for key, value in middle.items():
    print(f"{key[0]:9} {key[1]}  {value:.3f} CPU s a step  {memory[key]} MB")
print(f"peer / cliptune: fp32 {middle['peer', 'fp32'] / middle['cliptune', 'fp32']:.2f}, "
      f"bf16 {middle['peer', 'bf16'] / middle['cliptune', 'bf16']:.2f}; "
      f"fp32 / bf16 of cliptune: {middle['cliptune', 'fp32'] / middle['cliptune', 'bf16']:.2f}")
