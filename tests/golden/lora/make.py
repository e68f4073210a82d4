"""PEFT adapters on the tiny models of ../models, with the embeddings that PEFT gives: CLIP and SigLIP, both towers, all
targets, a rank and an alpha of its own for the text tower.

usage: python tests/golden/lora/make.py (torch 2.11, transformers 5.23, peft)
"""
import json, pathlib, shutil
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / "models"

for name in ("hf_clip", "siglip"):
    base = AutoModel.from_pretrained(MODELS / name).eval()
    attention = ["q_proj", "k_proj", "v_proj", "out_proj"]
    modules = [n for n, m in base.named_modules() if isinstance(m, torch.nn.Linear) and ".encoder.layers." in n
               and (n.split(".")[-1] in attention or ".layers.1.mlp." in n)]
    text = [n for n in modules if n.startswith("text_model")]
    config = LoraConfig(r=3, lora_alpha=6, lora_dropout=0.1, target_modules=modules,
                        rank_pattern={n: 2 for n in text}, alpha_pattern={n: 8 for n in text})
    model = get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": f"../../models/{name}"}
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=1) + "\n")
    inputs = load_file(MODELS / name / "golden.safetensors")
    with torch.no_grad():
        images = model.base_model.model.get_image_features(pixel_values=inputs["images"]).pooler_output
        texts = model.base_model.model.get_text_features(input_ids=inputs["tokens"]).pooler_output
    merged = model.merge_and_unload()
    q = "vision_model.encoder.layers.1.self_attn.q_proj.weight"
    save_file({"images": images, "texts": texts, "merged_q": dict(merged.named_parameters())[q].detach().clone()}, folder / "golden.safetensors")
