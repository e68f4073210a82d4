"""Makes tests/golden/retrieval.json: retrieval metrics from a plain NumPy reference, with ties and groups.

Scores are small integers over a power of two, so that every product is exact and ties are real.
"""
import json, os
import numpy as np

KS = (1, 5, 10)

def direction(S, ql, gl):
    ap, rec, hit, first, auc = [], [], [], [], []
    for q in range(S.shape[0]):
        pos = np.flatnonzero(gl == ql[q]); neg = np.flatnonzero(gl != ql[q])
        if len(pos) == 0: continue
        p = np.sort(S[q, pos])[::-1]; n = S[q, neg]
        rank = np.array([j + 1 + (n > s).sum() + 0.5 * (n == s).sum() for j, s in enumerate(p)])
        ap.append(np.mean((np.arange(len(p)) + 1) / rank))
        rec.append([np.mean(rank <= k) for k in KS]); hit.append([float(rank[0] <= k) for k in KS]); first.append(rank[0])
        if len(n): auc.append(np.mean([(a > n).mean() + 0.5 * (a == n).mean() for a in p]))
    return {"mAP": np.mean(ap), "R": np.mean(rec, 0).tolist(), "Hit": np.mean(hit, 0).tolist(), "MedR": float(np.median(first)),
            "MeanR": np.mean(first), "AUC": float(np.mean(auc)) if auc else None}

def case(name, I, T, il, tl, truth):
    S = I @ T.T
    return {"name": name, "images": I.tolist(), "texts": T.tolist(), "truth": truth, "image_labels": il.tolist(), "text_labels": tl.tolist(),
            "i2t": direction(S, il, tl), "t2i": direction(S.T, tl, il)}

rng = np.random.default_rng(0)
ints = lambda n, d: rng.integers(-2, 3, (n, d)) / 8.0
out = []
n = 23; T = ints(n, 3); out.append(case("ties", ints(n, 3), T, np.arange(n), np.arange(n), "paired"))
I = ints(n, 12); out.append(case("aligned", I, I + ints(n, 12) / 4, np.arange(n), np.arange(n), "paired"))
out.append(case("collapsed", np.full((8, 4), 0.5), np.full((8, 4), 0.5), np.arange(8), np.arange(8), "paired"))
g = rng.integers(0, 6, n); out.append(case("groups", ints(n, 3), ints(n, 3), g, g, "groups"))
g = np.zeros(5, int); out.append(case("one group", ints(5, 3), ints(5, 3), g, g, "groups"))
out.append(case("five captions", ints(4, 3), ints(20, 3), np.arange(4), np.repeat(np.arange(4), 5), "labels"))
out.append(case("query without positive", ints(4, 3), ints(6, 3), np.array([0, 1, 2, 9]), np.array([0, 0, 1, 2, 2, 7]), "labels"))
json.dump(out, open(os.path.join(os.path.dirname(__file__), "retrieval.json"), "w"), separators=(",", ":"))
