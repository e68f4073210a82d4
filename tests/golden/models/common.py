"""What the make_*.py scripts share: random weights, both losses, one folder a model.

A folder holds the model as its Python library saves it, and golden.safetensors: inputs, embeddings, and for each loss its
value and every third value of each gradient (`grad.siglip`, `grad.clip`), tensor after tensor by canonical name.
canonical.safetensors holds the parameters under canonical names.
"""
import pathlib
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
STRIDE = 3


def randomise(parameters, seed):
    """Values of all sizes that matter: no norm is the identity, no bias is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in parameters:
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() >= 2:
                p.copy_(0.35 * noise)
            else:
                p.copy_(p + 0.3 * noise)


def text_ids(seed, rows, length, vocabulary, end=None, start=None, pad=0):
    """Texts of different lengths: start token, words, end token, padding."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.full((rows, length), pad, dtype=torch.long)
    for row in range(rows):
        words = 1 + (row * 2) % (length - 3)
        ids = torch.randint(4, vocabulary - 4, (words,), generator=generator).tolist()
        ids = ([start] if start is not None else []) + ids + ([end] if end is not None else [])
        out[row, : len(ids)] = torch.tensor(ids)
    return out


def losses(images, texts, scale, bias):
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    logits = scale.exp() * images @ texts.T + bias
    signs = 2 * torch.eye(len(logits)) - 1
    labels = torch.arange(len(logits))
    siglip = -F.logsigmoid(signs * logits).sum() / len(logits)
    clip = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    return {"siglip": siglip, "clip": clip}


def golden(folder, inputs, embed, parameters, canonical, frozen=None, **more):
    """`embed()` gives both embeddings, the log scale and the bias; `canonical(named tensors)` renames and joins; `frozen`
    is what is not trained, under canonical names."""
    weights = canonical({n: p.detach() for n, p in parameters}) | (frozen or {})
    save_file({k: v.contiguous().clone() for k, v in weights.items()}, HERE / folder / "canonical.safetensors")
    out = dict(inputs)
    for name in ("siglip", "clip"):
        for _, p in parameters:
            p.grad = None
        images, texts, scale, bias = embed()
        value = losses(images, texts, scale, bias)[name]
        value.backward()
        grads = canonical({n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in parameters})
        out[f"loss.{name}"] = value.detach().reshape(1)
        out[f"grad.{name}"] = torch.cat([grads[n].flatten()[::STRIDE] for n in sorted(grads)])
        out["out.images"], out["out.texts"] = images.detach(), texts.detach()
    out |= more
    save_file({k: v.contiguous().clone() for k, v in out.items()}, HERE / folder / "golden.safetensors")


def join(named, prefix, into, parts=("q", "k", "v")):
    """Query, key and value of one attention, one below the other."""
    for kind in ("weight", "bias"):
        named[f"{into}_{kind}"] = torch.cat([named.pop(f"{prefix}.{p}_proj.{kind}") for p in parts])


def hugging_face(named, towers):
    """Names of transformers' CLIP and SigLIP to the canonical ones."""
    named = dict(named)
    for own, tower, layers in (("vision_model", "visual", towers[0]), ("text_model", "text", towers[1])):
        for i in range(layers):
            a, b = f"{own}.encoder.layers.{i}", f"{tower}.transformer.resblocks.{i}"
            join(named, f"{a}.self_attn", f"{b}.attn.in_proj")
            for x, y in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                         ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                for kind in ("weight", "bias"):
                    named[f"{b}.{y}.{kind}"] = named.pop(f"{a}.{x}.{kind}")
    table = {
        "vision_model.embeddings.patch_embedding.": "visual.conv1.",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "vision_model.pre_layrnorm.": "visual.ln_pre.",
        "vision_model.post_layernorm.": "visual.ln_post.",
        "vision_model.head.probe": "visual.attn_pool.probe",
        "vision_model.head.attention.in_proj_": "visual.attn_pool.attn.in_proj_",
        "vision_model.head.attention.out_proj.": "visual.attn_pool.attn.out_proj.",
        "vision_model.head.layernorm.": "visual.attn_pool.ln.",
        "vision_model.head.mlp.fc1.": "visual.attn_pool.mlp.c_fc.",
        "vision_model.head.mlp.fc2.": "visual.attn_pool.mlp.c_proj.",
        "text_model.embeddings.token_embedding.": "text.token_embedding.",
        "text_model.embeddings.position_embedding.weight": "text.positional_embedding",
        "text_model.final_layer_norm.": "text.ln_final.",
        "text_model.head.": "text.proj.",
    }
    out = {}
    for name, value in named.items():
        for a, b in table.items():
            if name.startswith(a):
                name = b + name[len(a):]
        if name == "visual_projection.weight":
            name, value = "visual.proj", value.T
        if name == "text_projection.weight":
            name, value = "text.text_projection", value.T
        if name == "visual.conv1.weight" and value.dim() == 2:  # (row, column, channel) of the patch
            side = int((value.shape[1] / 3) ** 0.5)
            value = value.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
        out[name] = value
    return out
