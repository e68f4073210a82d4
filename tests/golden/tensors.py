"""The same tensors in every container that cliptune reads, and files that it must refuse (fixtures of tests/it/tensors.rs).

Run by hand: python tests/golden/tensors.py (torch 2.11, safetensors, numpy).
"""

import argparse
import collections
import io
import json
import os
import pathlib
import pickle
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

out = pathlib.Path(__file__).parent / "tensors"
out.mkdir(exist_ok=True)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
tensors = {
    "matrix": base,
    "transposed": base.t(),  # lies column by column in its storage
    "part": base[1:3, 2:5],  # shares the storage of `matrix`
    "half": base.half(),
    "brain": base.bfloat16(),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "count": torch.tensor([1, -2, 3]),
}
whole = {name: t.contiguous().clone() for name, t in tensors.items()}

save_file(whole, out / "plain.safetensors", metadata={"format": "pt"})
names = list(whole)
index = {"metadata": {"total_size": 1}, "weight_map": {}}
for i, group in enumerate((names[:3], names[3:])):
    shard = f"model-{i + 1:05d}-of-00002.safetensors"
    save_file({n: whole[n] for n in group}, out / shard)
    index["weight_map"].update({n: shard for n in group})
(out / "model.safetensors.index.json").write_text(json.dumps(index))

torch.save(tensors, out / "bare.pt")
args = argparse.Namespace(
    model="vit", teachers=[{"name": "clip", "use_summary": True}], cpe_max_size=2048, lr=np.float64(0.5), dtype=torch.bfloat16,
    out=pathlib.Path("a/b"), sizes=torch.Size([1, 2]), groups=collections.defaultdict(list, a=[1]), big=1 << 40, none=None,
)
ordered = collections.OrderedDict(tensors)
ordered._metadata = collections.OrderedDict(version=1)
ordered["parameter"] = torch.nn.Parameter(base)
torch.save({"arch": "vit", "epoch": 3, "state_dict": ordered, "args": args}, out / "wrapped.pth.tar")
torch.save(tensors, out / "protocol4.pt", pickle_protocol=4)
torch.save(whole, out / "legacy.pt", _use_new_zipfile_serialization=False)

numpy = {n: t.numpy() for n, t in tensors.items() if n != "brain"}
# JAX writes bfloat16 as two bytes without a meaning.
numpy["brain"] = base.bfloat16().view(torch.int16).numpy().view("V2")
np.savez(out / "stored.npz", **numpy)
np.savez_compressed(out / "deflated.npz", **numpy)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/cliptune-was-here",))


torch.save({"state_dict": {"matrix": base}, "extra": Evil()}, out / "evil.pt")
with zipfile.ZipFile(out / "evil_builtin.pt", "w") as archive:
    archive.writestr("archive/data.pkl", b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.")
