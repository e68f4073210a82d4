#!/usr/bin/env bash
# What the terminal UI costs on a study of 1,000 trials with 1,000 points each: frames (a test prints them), then the CPU time of
# the real binary at rest, in a terminal of tmux. Prints the rows of benches/tui/RESULTS.md.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
folder=${1:-$(mktemp -d)/large}
export CLIPTUNE_BENCH_FOLDER=$folder
cargo test --test it -- --ignored --exact tui::large::frames_of_a_thousand_trials --nocapture | grep '^|'
cargo build
tmux=(tmux -f /dev/null -L "cliptune-bench-$$")
trap '"${tmux[@]}" kill-server' EXIT
LC_ALL=C.UTF-8 TERM=screen-256color "${tmux[@]}" new-session -d -x 160 -y 50 "exec $target/debug/cliptune tui $folder"
pid=$("${tmux[@]}" list-panes -F '#{pane_pid}')
ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
until "${tmux[@]}" capture-pane -p | grep -q '1 Trials'; do sleep 0.2; done
sleep 2
before=$(ticks); sleep 60; after=$(ticks)
awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "| CPU at rest, over a minute | %.2f %% of a core |\n", t / hz / 60 * 100}'
awk '/VmRSS/ {printf "| memory | %.0f MB |\n", $2 / 1000}' "/proc/$pid/status"
