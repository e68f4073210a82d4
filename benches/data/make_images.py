"""Makes photograph-like JPEGs: noise whose spectrum falls as that of photographs does, in colours that vary as theirs do.

usage: make_images.py DIR [COUNT [WIDTH HEIGHT]]. Needs numpy and pillow. The same files for the same arguments.
"""
import os, sys
import numpy as np
from PIL import Image

folder, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600
w, h = (int(a) for a in sys.argv[3:5]) if len(sys.argv) > 4 else (640, 480)
os.makedirs(folder, exist_ok=True)
fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
fall = 1 / np.maximum(np.hypot(fy, fx), 1 / max(w, h)) ** 1.1
random = np.random.default_rng(7)
for i in range(count):
    # Every third stands upright.
    field = np.stack([np.fft.irfft2(fall * np.exp(2j * np.pi * random.random(fall.shape)), (h, w)) for _ in range(3)], -1)
    field /= field.std((0, 1))
    pixels = np.clip(field @ np.array([[50, 50, 50], [14, 0, -14], [6, -12, 6]]) + random.integers(80, 160), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if i % 3 == 2: image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(os.path.join(folder, f"{i:05}.jpg"), quality=90)
