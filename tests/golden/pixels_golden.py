"""Makes tests/golden/pixels.json: Pillow's and torchvision's results on small generated images.

Needs numpy, pillow. Images are given by their formula, results as hex, so that the file stays small.
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
json.dump(out, open(os.path.join(os.path.dirname(__file__), "pixels.json"), "w"), separators=(",", ":"))
