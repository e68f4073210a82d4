"""More containers of the tiny models: big_vision's archive of `siglip`, plain and with stacked layers, and `radio_siglip` with
spectral reparametrisation. Run after make_siglip.py and make_radio.py.

usage: python tests/golden/models/make_layouts.py (torch 2.11, numpy)
"""
import numpy as np
import torch
from safetensors.torch import load_file
from common import HERE


def big_vision(hf, stacked):
    """transformers' names and shapes to flax's: kernels are [in, out], heads are an axis of their own."""
    out = {"params/t": hf["logit_scale"], "params/b": hf["logit_bias"]}
    dense = lambda name: {"kernel": hf[f"{name}.weight"].T, "bias": hf[f"{name}.bias"]}
    norm = lambda name: {"scale": hf[f"{name}.weight"], "bias": hf[f"{name}.bias"]}

    def put(path, values):
        for key, value in values.items():
            out[f"params/{path}/{key}"] = value

    def attention(path, weights, biases, out_proj, heads):
        for name, weight, bias in zip(("query", "key", "value"), weights, biases):
            width = weight.shape[1]
            put(f"{path}/{name}", {"kernel": weight.T.reshape(width, heads, -1), "bias": bias.reshape(heads, -1)})
        width = hf[f"{out_proj}.weight"].shape[0]
        put(f"{path}/out", {"kernel": hf[f"{out_proj}.weight"].T.reshape(heads, -1, width), "bias": hf[f"{out_proj}.bias"]})

    def tower(path, name, layers, heads):
        for i in range(layers):
            a, b = f"{path}/encoderblock_{i}", f"{name}.encoder.layers.{i}"
            put(f"{a}/LayerNorm_0", norm(f"{b}.layer_norm1"))
            put(f"{a}/LayerNorm_1", norm(f"{b}.layer_norm2"))
            put(f"{a}/MlpBlock_0/Dense_0", dense(f"{b}.mlp.fc1"))
            put(f"{a}/MlpBlock_0/Dense_1", dense(f"{b}.mlp.fc2"))
            parts = [(hf[f"{b}.self_attn.{p}_proj.weight"], hf[f"{b}.self_attn.{p}_proj.bias"]) for p in "qkv"]
            attention(f"{a}/MultiHeadDotProductAttention_0", *zip(*parts), f"{b}.self_attn.out_proj", heads)

    put("img/embedding", {"kernel": hf["vision_model.embeddings.patch_embedding.weight"].permute(2, 3, 1, 0),
                          "bias": hf["vision_model.embeddings.patch_embedding.bias"]})
    out["params/img/pos_embedding"] = hf["vision_model.embeddings.position_embedding.weight"][None]
    tower("img/Transformer", "vision_model", 2, 2)
    put("img/Transformer/encoder_norm", norm("vision_model.post_layernorm"))
    out["params/img/MAPHead_0/probe"] = hf["vision_model.head.probe"]
    weight, bias = (hf[f"vision_model.head.attention.in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
    attention("img/MAPHead_0/MultiHeadDotProductAttention_0", weight, bias, "vision_model.head.attention.out_proj", 2)
    put("img/MAPHead_0/LayerNorm_0", norm("vision_model.head.layernorm"))
    put("img/MAPHead_0/MlpBlock_0/Dense_0", dense("vision_model.head.mlp.fc1"))
    put("img/MAPHead_0/MlpBlock_0/Dense_1", dense("vision_model.head.mlp.fc2"))
    put("txt/Embed_0", {"embedding": hf["text_model.embeddings.token_embedding.weight"]})
    out["params/txt/pos_embedding"] = hf["text_model.embeddings.position_embedding.weight"][None]
    tower("txt/Encoder_0", "text_model", 2, 2)
    put("txt/Encoder_0/encoder_norm", norm("text_model.final_layer_norm"))
    put("txt/head", dense("text_model.head"))
    out = {name: np.ascontiguousarray(value.numpy()) for name, value in out.items()}
    if stacked:
        for name in [n for n in out if "encoderblock_0" in n]:
            layers = [out.pop(name.replace("encoderblock_0", f"encoderblock_{i}")) for i in range(2)]
            out[name.replace("encoderblock_0", "encoderblock")] = np.stack(layers)
    # Training checkpoints hold the optimiser's state too.
    out["opt/0/count"] = np.array(3, dtype=np.int32)
    return out


def spectral(checkpoint):
    """Every linear layer of the blocks as matrix, singular vectors and scale, with scales that leave the weight what it was."""
    state, out = checkpoint["state_dict"], {}
    for name, value in state.items():
        if not (name.startswith("base_model.blocks.") and name.endswith(".weight") and value.dim() == 2):
            out[name] = value
            continue
        base = name[: -len(".weight")] + ".parametrizations.weight"
        out[f"{base}.original"] = value
        parts = value.chunk(3) if "qkv" in name else [value]
        for i, weight in enumerate(parts):
            inner = f"{base}.0.parts.{i}." if len(parts) > 1 else f"{base}.0."
            u, _, v = torch.linalg.svd(weight)
            sigma = u[:, 0] @ weight @ v[0]
            scale = torch.log(torch.expm1(sigma - 0.05))  # softplus(scale) + 0.05 = sigma
            out[f"{inner}_u"], out[f"{inner}_v"], out[f"{inner}scale"] = u[:, 0].clone(), v[0].clone(), scale.reshape(1, 1)
            out[f"{inner}_sn_version"] = torch.tensor(2)
    return {**checkpoint, "state_dict": out}


hf = load_file(HERE / "siglip" / "model.safetensors")
np.savez(HERE / "siglip" / "big_vision.npz", **big_vision(hf, False))
np.savez_compressed(HERE / "siglip" / "big_vision_stacked.npz", **big_vision(hf, True))
torch.save(spectral(torch.load(HERE / "radio_siglip" / "radio.pth.tar", weights_only=False)), HERE / "radio_siglip" / "spectral.pth.tar")
