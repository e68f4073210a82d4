"""Makes train_curves.safetensors: 50 steps of open_clip's class CLIP on one batch, for each loss, optimiser and precision,
with layer-wise rates and with the added terms.

usage: python tests/golden/train_curves.py (needs torch, open_clip 3.3 and timm 1.0 beside model_golden.*)
"""
import copy, json, math, pathlib, torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss, SigLipLoss
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from timm.optim import Lamb, Lion

here = pathlib.Path(__file__).parent
config = json.loads((here / "model_golden.json").read_text())
data = load_file(here / "model_golden.safetensors")
weights = load_file(here / "model_golden_weights.safetensors")
STEPS, DECAY = 50, 0.1


def model():
    m = CLIP(**config, init_logit_bias=-10.0)
    m.load_state_dict({**m.state_dict(), **weights})
    return m.train()


def depth(name, top):
    if "resblocks." in name:
        return int(name.split("resblocks.")[1].split(".")[0]) + 1
    low = ("conv1", "class_embedding", "positional_embedding", "token_embedding", "ln_pre")
    return 0 if any(k in name for k in low) else top


def groups(m, layer_decay=None):
    out = []
    for name, p in m.named_parameters():
        vision = name.startswith("visual.")
        top = config["vision_cfg" if vision else "text_cfg"]["layers"] + 1
        factor = 1.0 if layer_decay is None or name.startswith("logit_") else layer_decay ** (top - depth(name, top))
        out.append({"params": [p], "factor": (1.0 if vision else 2.0) * factor, "weight_decay": DECAY if p.ndim >= 2 else 0.0})
    return out


def lamb(gs, lr):
    # LAMB clips the norm of all gradients to 1 by itself.
    return Lamb(gs, lr=lr, betas=(0.9, 0.95), eps=1e-6, max_grad_norm=1.0)


OPTIMIZERS = {
    "adamw": (1e-4, lambda gs, lr: torch.optim.AdamW(gs, lr=lr, betas=(0.9, 0.95), eps=1e-6)),
    "lamb": (3e-4, lamb),
    "lion": (2e-5, lambda gs, lr: Lion(gs, lr=lr, betas=(0.9, 0.95))),
}


def triplet(images, texts, margin=0.2):
    s = images @ texts.T
    others = s.masked_fill(torch.eye(len(s), dtype=torch.bool), -math.inf)
    return (F.relu(margin + others.amax(1) - s.diagonal()).mean() + F.relu(margin + others.amax(0) - s.diagonal()).mean()) / 2


def preserve(own, start, weights=(0.05, 0.05, 0.1)):
    mse = sum(F.mse_loss(a, b) for a, b in zip(own, start)) / 2
    cosine = sum((1 - F.cosine_similarity(a, b)).mean() for a, b in zip(own, start)) / 2
    return weights[0] * mse + weights[1] * cosine + weights[2] * F.mse_loss(own[0] @ own[1].T, start[0] @ start[1].T)


def curve(loss, optimizer, dtype=torch.float32, layer_decay=None, extra=False):
    m = model()
    frozen = copy.deepcopy(m).eval()
    lr, make = OPTIMIZERS[optimizer]
    gs = groups(m, layer_decay)
    opt = make(gs, lr)
    for g in opt.param_groups:
        g["lr"] = lr * g["factor"]
    losses = []
    for _ in range(STEPS):
        opt.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            i, t = m.encode_image(data["images"]), m.encode_text(data["tokens"])
        i, t = F.normalize(i.float(), dim=-1), F.normalize(t.float(), dim=-1)
        value = ClipLoss()(i, t, m.logit_scale.exp(), m.logit_bias) if loss == "clip" else SigLipLoss()(i, t, m.logit_scale.exp(), m.logit_bias)
        if extra:
            with torch.no_grad():
                start = [F.normalize(x, dim=-1) for x in (frozen.encode_image(data["images"]), frozen.encode_text(data["tokens"]))]
            value = value + 0.5 * triplet(i, t) + preserve((i, t), start)
        value.backward()
        opt.step()
        with torch.no_grad():
            m.logit_scale.clamp_(0, math.log(100))
        losses.append(value.detach())
    return torch.stack(losses)


out = {}
for loss in ("clip", "siglip"):
    for optimizer in OPTIMIZERS:
        out[f"{loss}.{optimizer}.fp32"] = curve(loss, optimizer)
        out[f"{loss}.{optimizer}.bf16"] = curve(loss, optimizer, torch.bfloat16)
        out[f"{loss}.{optimizer}.fp16"] = curve(loss, optimizer, torch.float16)
    out[f"{loss}.adamw.layers"] = curve(loss, "adamw", layer_decay=0.7)
    out[f"{loss}.adamw.extra"] = curve(loss, "adamw", extra=True)
for name, values in out.items():
    print(name, [round(v, 4) for v in values[::7].tolist()])
save_file(out, here / "train_curves.safetensors", metadata={"format": "pt"})
