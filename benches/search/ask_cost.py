#!/usr/bin/env python3
"""Processor time and memory of `cliptune search`'s ask: 20 parameters of every kind, after many trials.

  ask_cost.py BINARY [TRIALS ...]

Prints the processor milliseconds (user + system, so that other load does not count) of the next asks at each number of
finished trials, and the peak memory of the process.
"""
import json, math, os, random, subprocess, sys, tempfile, zlib


def space():
    out = [{"name": f"x{i}", "type": "float", "low": 1e-6, "high": 1.0, "log": i % 2 == 0} for i in range(9)]
    out += [{"name": f"i{i}", "type": "int", "low": 1, "high": 64, "log": i % 2 == 0} for i in range(3)]
    out += [{"name": f"o{i}", "type": "ord", "choices": [1, 2, 4, 8, 16]} for i in range(2)]
    out += [{"name": f"c{i}", "type": "cat", "choices": ["a", "b", "c"]} for i in range(3)]
    out += [{"name": f"k{i}", "type": "float", "low": 0.0, "high": 1.0, "when": {"param": "c0", "in": ["a"]}}
            for i in range(3)]
    return out


def loss(q, draw):
    u = [math.log10(v) / 6 + 1 if k[0] == "x" and int(k[1:]) % 2 == 0 else float(v) for k, v in q.items() if k[0] in "xk"]
    return sum((v - 0.4) ** 2 for v in u) + 0.1 * (q["c1"] == "b") + 0.02 * draw.gauss(0, 1)


class Session:
    def __init__(self, binary, sampler, folder, resume, trials):
        self.p = subprocess.Popen([binary, "search", "--sampler", sampler, "--scheduler", "none"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.call({"op": "init", "protocol": 1, "direction": "minimize", "seed": 1, "space": space(),
                   "n_trials": trials, "state_dir": folder, "resume": resume})

    def call(self, message):
        self.p.stdin.write(json.dumps(message).encode() + b"\n")
        self.p.stdin.flush()
        reply = json.loads(self.p.stdout.readline())
        if "error" in reply:
            sys.exit(reply["error"])
        return reply

    def trial(self, draw):
        q = self.call({"op": "ask"})
        done = {"op": "tell", "id": q["id"], "status": "complete", "value": loss(q["params"], draw), "epoch": 1}
        if q["id"] % 7 == 3:
            done.update(status="failed", value=None, reason="oom")
        self.call(done)

    def spent(self):
        fields = open(f"/proc/{self.p.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1000

    def memory(self):
        lines = open(f"/proc/{self.p.pid}/status")
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

    def close(self):
        self.call({"op": "bye"})
        self.p.wait()


def main():
    binary, sizes, asks = sys.argv[1], [int(a) for a in sys.argv[2:]] or [50, 200, 2000], 10
    for size in sizes:
        draw = random.Random(size)
        with tempfile.TemporaryDirectory() as folder:
            # A long history costs nothing to make with random draws; then its journal is continued by the default.
            s = Session(binary, "random", folder, False, size)
            for _ in range(size):
                s.trial(draw)
            s.close()
            path = os.path.join(folder, "search.jsonl")
            first, rest = open(path).read().split("\n", 1)
            # The line ends with the checksum of what stands before it.
            body = first.replace('"sampler":"random"', '"sampler":"gp"', 1).rsplit(',"crc":"', 1)[0]
            open(path, "w").write(f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n{rest}')
            s = Session(binary, "gp", folder, True, size)
            costs = []
            for _ in range(asks):
                before = s.spent()
                s.trial(draw)
                costs.append(s.spent() - before)
            print(f"{size} trials: {sum(costs) / asks:.0f} ms an ask, worst {max(costs):.0f} ms, {s.memory()} MiB", flush=True)
            s.close()


main()
