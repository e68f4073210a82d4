"""Makes tests/golden/classify.json: classification by names, neighbours and a linear probe, from NumPy and scikit-learn.

pip install numpy scikit-learn; the versions that made the file are in it.
"""
import json, os
import numpy as np, sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

C, D, K, T = 7, 8, 9, 0.07
rng = np.random.default_rng(3)
unit = lambda x: (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
centres = unit(rng.normal(size=(C, D)))
def some(n):
    y = np.concatenate([np.arange(C), rng.integers(0, C, n - C)])
    return unit(centres[y] + 0.45 * rng.normal(size=(n, D))), y
(train, yt), (test, y) = some(90), some(60)
prompts = unit(centres[:, None] + 0.3 * rng.normal(size=(C, 5, D)))    # five templates a class

def measured(scores):
    named = scores.argmax(1); classes = np.arange(C)
    return {"top1": accuracy_score(y, named), "top5": top_k_accuracy_score(y, scores, k=5, labels=classes),
            "mean_per_class": balanced_accuracy_score(y, named), "confusion": confusion_matrix(y, named, labels=classes).tolist()}

zero = unit(prompts.mean(1))
cosine = test.astype(np.float64) @ train.T.astype(np.float64)
votes = np.zeros((len(test), C))
for q, row in enumerate(cosine):
    for i in np.argsort(-row)[:K]: votes[q, yt[i]] += np.exp((row[i] - 1) / T)
probes = []
for c in (0.5, 20.0):
    p = LogisticRegression(C=c, tol=1e-10, max_iter=100000).fit(train.astype(np.float64), yt)
    # Adding the same to all biases changes nothing; ours need not add up to zero.
    probes.append({"c": c, "weight": p.coef_.tolist(), "probabilities": p.predict_proba(test).tolist(), **measured(p.decision_function(test))})
out = {"numpy": np.__version__, "sklearn": sklearn.__version__, "classes": C, "k": K, "train": train.tolist(), "train_labels": yt.tolist(),
       "test": test.tolist(), "test_labels": y.tolist(), "prompts": prompts.tolist(), "zero_shot": {"classifier": zero.tolist(), **measured(test @ zero.T)},
       "knn": {"scores": votes.tolist(), **measured(votes)}, "probes": probes}
json.dump(out, open(os.path.join(os.path.dirname(__file__), "classify.json"), "w"), separators=(",", ":"))
