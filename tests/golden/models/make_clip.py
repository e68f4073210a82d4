"""Tiny random models of transformers' CLIP and of open_clip's CLIPA (NV-CLIP), with their embeddings and gradients.

usage: python tests/golden/models/make_clip.py (torch 2.11, transformers 5.23, open_clip 3.3)
"""
import json
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel
from common import HERE, golden, hugging_face, randomise, text_ids


def hf():
    torch.manual_seed(4)
    # Ids above the end token: the first end token is pooled, not the largest id.
    text = dict(hidden_size=8, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, vocab_size=48,
                max_position_embeddings=9, bos_token_id=39, eos_token_id=40, pad_token_id=40)
    vision = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, patch_size=4, image_size=16)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=10)).eval()
    randomise(model.parameters(), 5)
    with torch.no_grad():
        model.logit_scale.fill_(2.5)
    (HERE / "hf_clip").mkdir(exist_ok=True)
    model.save_pretrained(HERE / "hf_clip")
    (HERE / "hf_clip" / "generation_config.json").unlink(missing_ok=True)
    bias = torch.nn.Parameter(torch.tensor(-3.0))
    images, larger = torch.randn(4, 3, 16, 16), torch.randn(2, 3, 24, 24)
    tokens = text_ids(6, 4, 9, 48, start=39, end=40, pad=40)
    with torch.no_grad():
        resized = model.visual_projection(model.vision_model(pixel_values=larger, interpolate_pos_encoding=True).pooler_output)
    golden("hf_clip", {"images": images, "tokens": tokens},
           lambda: (model.get_image_features(pixel_values=images).pooler_output,
                    model.get_text_features(input_ids=tokens).pooler_output, model.logit_scale, bias),
           list(model.named_parameters()) + [("logit_bias", bias)], lambda named: hugging_face(named, (2, 2)),
           **{"resized.images": larger, "resized.out": resized})


def canonical(named):
    own = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
    return {f"text.{n}" if n.startswith(own) else n: v for n, v in named.items()}


def nv_clip():
    torch.manual_seed(7)
    config = {"embed_dim": 10, "init_logit_bias": -3.0,
              "vision_cfg": {"image_size": 16, "layers": 2, "width": 12, "head_width": 4, "patch_size": 4, "mlp_ratio": 2.0,
                             "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True, "pos_embed_type": "sin_cos_2d"},
              "text_cfg": {"context_length": 9, "vocab_size": 48, "width": 8, "heads": 2, "layers": 2, "mlp_ratio": 2.0,
                           "hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": {"strip_sep_token": True},
                           "pool_type": "last", "no_causal_mask": True}}
    model = CLIP(**{k: v for k, v in config.items()}, init_logit_scale=2.5).eval()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    randomise([p for n, p in trained if not n.startswith("logit")], 8)
    folder = HERE / "nv_clip"
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors",
              metadata={"format": "pt"})
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}, indent=1) + "\n")
    images, tokens = torch.randn(4, 3, 16, 16), text_ids(9, 4, 9, 48, start=3)
    larger = torch.randn(2, 3, 28, 28)
    resized = {}
    table = model.visual.positional_embedding
    grid = table[1:].reshape(1, 4, 4, 12).permute(0, 3, 1, 2)
    # TAO states the factor, with a guard against rounding down; open_clip resizes learned tables with antialiasing.
    for name, options in (("resized", dict(scale_factor=[7.1 / 4] * 2)), ("antialiased", dict(size=(7, 7), antialias=True))):
        rows = F.interpolate(grid, mode="bicubic", align_corners=False, **options).permute(0, 2, 3, 1).reshape(49, 12)
        model.visual.positional_embedding = torch.nn.Parameter(torch.cat([table[:1], rows]), requires_grad=False)
        with torch.no_grad():
            resized[f"{name}.out"] = model.encode_image(larger)
    model.visual.positional_embedding = table
    golden("nv_clip", {"images": images, "tokens": tokens},
           lambda: (model.encode_image(images), model.encode_text(tokens), model.logit_scale, model.logit_bias),
           trained, canonical, {"visual.positional_embedding": table.detach()}, **{"resized.images": larger}, **resized)


hf()
nv_clip()
