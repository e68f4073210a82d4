"""Makes train_golden.safetensors: losses of open_clip and a few steps of torch.optim.AdamW with a clipped norm.

usage: python tests/golden/train_golden.py (needs torch and open_clip 3.3)
"""
import pathlib, torch
from open_clip.loss import ClipLoss, SigLipLoss
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(0)
out = {}
images, texts = torch.randn(5, 7), torch.randn(5, 7)
n = torch.nn.functional.normalize
scale, bias = torch.tensor(2.3), torch.tensor(-4.0)
for name, loss in (("clip", ClipLoss()), ("siglip", SigLipLoss())):
    i, t = images.clone().requires_grad_(), texts.clone().requires_grad_()
    s, b = scale.clone().requires_grad_(), bias.clone().requires_grad_()
    value = loss(n(i, dim=-1), n(t, dim=-1), s.exp()) if name == "clip" else loss(n(i, dim=-1), n(t, dim=-1), s.exp(), b)
    value.backward()
    out |= {f"{name}.value": value.detach(), f"{name}.images": i.grad, f"{name}.texts": t.grad, f"{name}.scale": s.grad}
save_file({"images": images, "texts": texts, "log_scale": scale, "bias": bias, **{k: v.contiguous() for k, v in out.items()}},
          here / "train_golden_loss.safetensors", metadata={"format": "pt"})

# A training run on the golden model: the whole step against open_clip and torch.
import json
from open_clip.model import CLIP
from safetensors.torch import load_file
config = json.loads((here / "model_golden.json").read_text())
model = CLIP(**config, init_logit_bias=-10.0)
model.load_state_dict({**model.state_dict(), **load_file(here / "model_golden_weights.safetensors")})
model.train()
groups = []
for vision, lr in ((True, 1e-3), (False, 2e-3)):
    for decays, wd in ((True, 0.1), (False, 0.0)):
        members = [p for k, p in model.named_parameters() if k.startswith("visual.") == vision and (p.ndim >= 2) == decays]
        groups.append({"params": members, "lr": lr, "weight_decay": wd})
optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-6, fused=True)
data = load_file(here / "model_golden.safetensors")
losses = []
for _ in range(4):
    optimizer.zero_grad()
    o = model(data["images"], data["tokens"])
    value = SigLipLoss()(o[0], o[1], o[2], o[3])
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    losses.append(value.detach())
keep = ("visual.conv1.weight", "visual.transformer.resblocks.1.attn.in_proj_weight", "visual.class_embedding", "logit_scale", "logit_bias",
        "token_embedding.weight", "transformer.resblocks.1.attn.in_proj_bias", "text_projection")
state = model.state_dict()
save_file({"losses": torch.stack(losses), **{k: state[k].contiguous() for k in keep}}, here / "train_golden_steps.safetensors", metadata={"format": "pt"})
