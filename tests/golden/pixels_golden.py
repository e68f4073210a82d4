"""Makes tests/golden/pixels.json: Pillow's and torchvision's results on small generated images.

Needs numpy, pillow 13, torch, torchvision, transformers. Images are given by their formula, results as hex, so that the file stays small.
"""
import colorsys, json, math, os
import numpy as np
from PIL import Image, ImageEnhance

def noise(w, h, k):
    i = np.arange(w * h * 3, dtype=np.uint64)
    x = (i * np.uint64(2654435761) + np.uint64(k) * np.uint64(40503)) & np.uint64(0xFFFFFFFF)
    x = x ^ (x >> np.uint64(15)); x = (x * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF); x = x ^ (x >> np.uint64(13))
    return Image.fromarray((x & np.uint64(255)).astype(np.uint8).reshape(h, w, 3))

def smooth(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return Image.fromarray(np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), (x * y) % 256], -1).astype(np.uint8))

def make(kind, w, h): return noise(w, h, w * 31 + h) if kind == "noise" else smooth(w, h)
def hexed(im): return np.asarray(im.convert("RGB")).tobytes().hex()

def hue(im, f):
    h, s, v = im.convert("HSV").split()
    a = np.array(h, dtype=np.uint8); a = a + np.array(int(f * 255)).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(a, "L"), s, v)).convert("RGB")

out = {"resize": [], "shortest": [], "color": []}
for kind in ("noise", "smooth"):
    for (w, h) in ((37, 23), (9, 14), (64, 64), (101, 7), (1, 5)):
        for (tw, th) in ((16, 16), (24, 11), (5, 20)):
            for f, name in ((Image.BILINEAR, "bilinear"), (Image.BICUBIC, "bicubic")):
                out["resize"].append([kind, w, h, tw, th, name, hexed(make(kind, w, h).resize((tw, th), f))])
for (w, h, s) in ((37, 23, 16), (23, 38, 12), (40, 40, 9), (10, 33, 11)):
    im = make("noise", w, h)
    nw, nh = (s, int(s * h / w)) if w <= h else (int(s * w / h), s)
    r = im.resize((nw, nh), Image.BICUBIC)
    top, left = int(round((nh - s) / 2.0)), int(round((nw - s) / 2.0))
    out["shortest"].append([w, h, s, hexed(r.crop((left, top, left + s, top + s)))])
im = make("noise", 17, 11)
for f in (0.0, 0.3, 0.68, 1.0, 1.32, 1.9):
    out["color"].append(["brightness", f, hexed(ImageEnhance.Brightness(im).enhance(f))])
    out["color"].append(["contrast", f, hexed(ImageEnhance.Contrast(im).enhance(f))])
    out["color"].append(["saturation", f, hexed(ImageEnhance.Color(im).enhance(f))])
for f in (-0.5, -0.08, -0.013, 0.0, 0.05, 0.08, 0.31, 0.5):
    out["color"].append(["hue", f, hexed(hue(im, f))])
out["color"].append(["grayscale", 0.0, hexed(im.convert("L"))])
# Colours at half resolution, progressive, grey: file and pixels.
import io
out["jpeg"] = []
for (image, options) in ((smooth(45, 37), {"quality": 80}), (noise(33, 18, 5), {"quality": 60, "progressive": True}), (smooth(24, 40).convert("L"), {"quality": 90}), (noise(20, 21, 9), {"quality": 95, "subsampling": "4:2:2"})):
    file = io.BytesIO(); image.save(file, "JPEG", **options)
    out["jpeg"].append([image.width, image.height, file.getvalue().hex(), hexed(Image.open(file))])

# Far up and far down, where a cubic overshoots and where antialiasing matters most.
for (w, h, tw, th) in ((7, 5, 40, 33), (301, 199, 13, 11), (64, 9, 9, 64)):
    for f, name in ((Image.BILINEAR, "bilinear"), (Image.BICUBIC, "bicubic")):
        out["resize"].append(["noise", w, h, tw, th, name, hexed(make("noise", w, h).resize((tw, th), f))])

# open_clip's ResizeKeepRatio(longest=1) and CenterCropOrPad.
out["longest"] = []
for (w, h, s) in ((37, 23, 16), (23, 38, 17), (9, 14, 20), (101, 7, 16)):
    im = make("noise", w, h)
    ratio = max(h / s, w / s)
    nh, nw = (max(round(x / ratio), 1) for x in (h, w))
    square = Image.new("RGB", (s, s))
    square.paste(im.resize((nw, nh), Image.BICUBIC), ((s - nw) // 2, (s - nh) // 2))
    out["longest"].append([w, h, s, hexed(square)])

# transformers' processor of SigLIP 2 NaFlex: shapes, real patches, bytes of all patches up to the last real one.
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil, get_image_size_for_max_num_patches
out["naflex"], out["naflex_sizes"] = [], []
for (kind, w, h, patch, most) in (("noise", 37, 23, 4, 24), ("smooth", 90, 30, 5, 30), ("noise", 12, 40, 4, 64), ("smooth", 3, 200, 4, 16), ("noise", 16, 16, 8, 4)):
    processor = Siglip2ImageProcessorPil(patch_size=patch, max_num_patches=most)
    got = processor(images=make(kind, w, h), return_tensors="np")
    rows, columns = (int(x) for x in got["spatial_shapes"][0])
    real = int(got["pixel_attention_mask"].sum())
    values = got["pixel_values"][0]
    assert real == rows * columns and not values[real:].any()
    raw = np.rint((values[:real].astype(np.float64) * 0.5 + 0.5) * 255).astype(np.uint8)
    out["naflex"].append([kind, w, h, patch, most, rows, columns, raw.tobytes().hex()])
for w, h in ((640, 480), (480, 640), (1, 1), (4000, 30), (30, 4000), (512, 512), (513, 511), (1920, 1080), (224, 224), (333, 777)):
    for most in (64, 128, 256, 576, 1024):
        th, tw = get_image_size_for_max_num_patches(h, w, 16, most)
        out["naflex_sizes"].append([w, h, 16, most, th // 16, tw // 16])
json.dump(out, open(os.path.join(os.path.dirname(__file__), "pixels.json"), "w"), separators=(",", ":"))
