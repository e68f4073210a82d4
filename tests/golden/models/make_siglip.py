"""Tiny random SigLIP models with their embeddings and gradients: fixed size (SigLIP, SigLIP 2), NaFlex, and open_clip's
layout on timm's image tower.

usage: python tests/golden/models/make_siglip.py (torch 2.11, transformers 5.23, timm 1.0, open_clip 3.3)
"""
import json
import torch
from safetensors.torch import save_file
from transformers import Siglip2Config, Siglip2Model, SiglipConfig, SiglipModel
from common import HERE, golden, hugging_face, randomise, text_ids

VISION = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, patch_size=4)
TEXT = dict(hidden_size=8, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, vocab_size=48,
            max_position_embeddings=9, projection_size=12)
tokens = text_ids(1, 4, 9, 48, end=1)


def save(model, folder):
    with torch.no_grad():
        model.logit_scale.fill_(2.5)
        model.logit_bias.fill_(-3.0)
    model.save_pretrained(HERE / folder)
    (HERE / folder / "generation_config.json").unlink(missing_ok=True)


def text_of(model):
    return model.get_text_features(input_ids=tokens).pooler_output


def fixed():
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION | dict(image_size=18))).eval()
    randomise(model.parameters(), 2)
    images = torch.randn(4, 3, 18, 18)  # the last two rows and columns fill no patch
    larger = torch.randn(2, 3, 24, 24)
    (HERE / "siglip").mkdir(exist_ok=True)
    save(model, "siglip")
    with torch.no_grad():
        resized = model.vision_model(pixel_values=larger, interpolate_pos_encoding=True).pooler_output
    golden("siglip", {"images": images, "tokens": tokens},
           lambda: (model.get_image_features(pixel_values=images).pooler_output, text_of(model), model.logit_scale, model.logit_bias),
           list(model.named_parameters()), lambda named: hugging_face(named, (2, 2)),
           **{"resized.images": larger, "resized.out": resized})
    return model


def naflex():
    torch.manual_seed(1)
    model = Siglip2Model(Siglip2Config(text_config=TEXT, vision_config=VISION | dict(num_patches=9))).eval()
    randomise(model.parameters(), 3)
    (HERE / "naflex").mkdir(exist_ok=True)
    save(model, "naflex")
    shapes = torch.tensor([[2, 5], [3, 3], [4, 2], [1, 6]])
    count, width = 11, 4 * 4 * 3
    mask = torch.arange(count)[None] < shapes.prod(1)[:, None]
    patches = torch.randn(4, count, width) * mask[..., None]

    def images(values, mask, shapes):
        return model.get_image_features(pixel_values=values, pixel_attention_mask=mask.int(), spatial_shapes=shapes).pooler_output

    square = torch.randn(2, 3, 16, 16)
    cut = square.reshape(2, 3, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(2, 16, width)
    with torch.no_grad():
        whole = images(cut, torch.ones(2, 16), torch.tensor([[4, 4]] * 2))
    golden("naflex", {"patches": patches, "shapes": shapes, "tokens": tokens},
           lambda: (images(patches, mask, shapes), text_of(model), model.logit_scale, model.logit_bias),
           list(model.named_parameters()), lambda named: hugging_face(named, (2, 2)),
           **{"square.images": square, "square.out": whole})


def open_clip_layout(model):
    """The fixed-size model's numbers under open_clip's names. timm has no tower this small by name, so the folder has no
    config: it is the same architecture."""
    from open_clip.transformer import TextTransformer
    from timm.models.vision_transformer import VisionTransformer
    trunk = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=2, mlp_ratio=20 / 12,
                              class_token=False, global_pool="map", num_classes=0, act_layer="gelu_tanh")
    text = TextTransformer(context_length=9, vocab_size=48, width=8, heads=2, layers=2, mlp_ratio=20 / 8, output_dim=12,
                           no_causal_mask=True, proj_bias=True, pool_type="last",
                           norm_layer=lambda n: torch.nn.LayerNorm(n, eps=1e-6),
                           act_layer=lambda: torch.nn.GELU(approximate="tanh"))
    own = hugging_face(dict(model.named_parameters()), (2, 2))
    state = {}
    for name, value in own.items():
        name = name.replace("text.proj.", "text.text_projection.")
        if name.startswith("visual."):
            for a, b in (("visual.", "visual.trunk."), ("conv1.", "patch_embed.proj."), ("positional_embedding", "pos_embed"),
                         ("transformer.resblocks.", "blocks."), ("ln_1.", "norm1."), ("ln_2.", "norm2."), ("ln_post.", "norm."),
                         ("attn_pool.ln.", "attn_pool.norm."), ("attn_pool.probe", "attn_pool.latent"),
                         ("mlp.c_fc.", "mlp.fc1."), ("mlp.c_proj.", "mlp.fc2."), ("attn_pool.attn.", "attn_pool."),
                         ("attn.in_proj_", "attn.qkv."), ("out_proj.", "proj.")):
                name = name.replace(a, b)
            if name.endswith("pos_embed"):
                value = value[None]
            if "attn_pool.in_proj_" in name:
                kind = name.rsplit("_", 1)[1]
                state[f"visual.trunk.attn_pool.q.{kind}"] = value[:12]
                state[f"visual.trunk.attn_pool.kv.{kind}"] = value[12:]
                continue
        state[name] = value.reshape([]) if name.startswith("logit") else value
    trunk.load_state_dict({k[len("visual.trunk."):]: v for k, v in state.items() if k.startswith("visual.trunk.")})
    text.load_state_dict({k[len("text."):]: v for k, v in state.items() if k.startswith("text.")})
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        a = model.vision_model(pixel_values=torch.nn.functional.pad(images, (0, 2, 0, 2))).pooler_output
        assert (trunk.eval()(images) - a).abs().max() < 1e-5
        assert (text.eval()(tokens) - text_of(model)).abs().max() < 1e-5
    (HERE / "siglip_open_clip").mkdir(exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in state.items()},
              HERE / "siglip_open_clip" / "open_clip_model.safetensors", metadata={"format": "pt"})


open_clip_layout(fixed())
naflex()
