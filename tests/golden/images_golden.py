"""Makes tests/golden/images.json: small image files of every kind that data sets hold, and the pixels that Pillow reads from them.

Needs numpy and pillow 13. Each case is [name, file as hex, width, height, RGB as hex], or [name, file as hex] where Pillow refuses.
"""
import io, json, os, struct, zlib
import numpy as np
from PIL import Image, ImageFile

W, H = 11, 7
y, x = np.mgrid[0:H, 0:W]
rgb = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * y * 9) % 256], -1).astype(np.uint8)
color = Image.fromarray(rgb)
gray = Image.fromarray((x * 23 % 256).astype(np.uint8))
alpha = Image.fromarray((255 - y * 40).astype(np.uint8))
rgba = Image.merge("RGBA", (*color.split(), alpha))
palette = color.quantize(8)
cases = []

def add(name, file):
    try:
        with Image.open(io.BytesIO(file)) as image: got = image.convert("RGB")
    except Exception as why:
        print("refused:", name, why)
        cases.append([name, file.hex()])
        return
    cases.append([name, file.hex(), got.width, got.height, got.tobytes().hex()])

def save(name, image, format, **options):
    file = io.BytesIO(); image.save(file, format, **options); add(name, file.getvalue()); return file.getvalue()

def png(depth, kind, rows, extra=b""):
    """A PNG from rows of raw bytes, for depths that Pillow does not write."""
    def chunk(tag, body): return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
    header = struct.pack(">IIBBBBB", W, H, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b"")

def chunk(tag, body): return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

# JPEG: greys, four inks (Adobe's are inverted, with and without its colour transform), orientation, Adobe RGB, a comment.
jpeg = save("jpeg", color, "JPEG", quality=85)
save("jpeg gray", gray, "JPEG", quality=85)
save("jpeg progressive 4:2:0", color, "JPEG", quality=70, progressive=True, subsampling="4:2:0")
save("jpeg 4:4:4", color, "JPEG", quality=90, subsampling="4:4:4")
cmyk = save("jpeg cmyk", color.convert("CMYK"), "JPEG", quality=90)
at = cmyk.index(b"Adobe")
add("jpeg cmyk without adobe's mark", cmyk[:at - 4] + cmyk[at + 12:])
ycck = bytearray(cmyk); ycck[at + 11] = 2
add("jpeg ycck", bytes(ycck))
save("jpeg adobe rgb", color, "JPEG", quality=90, keep_rgb=True)
exif = Image.Exif(); exif[0x0112] = 6
save("jpeg orientation 6", color, "JPEG", quality=85, exif=exif)
add("jpeg with junk behind it", jpeg + b"junk" * 20)
add("jpeg cut short", jpeg[:len(jpeg) // 2 + 100])
add("jpeg without its end mark", jpeg[:-2])
add("jpeg header alone", jpeg[:200])

# PNG: every colour type and depth.
save("png", color, "PNG")
save("png alpha", rgba, "PNG")
save("png gray", gray, "PNG")
save("png gray alpha", Image.merge("LA", (gray, alpha)), "PNG")
save("png palette", palette, "PNG")
save("png palette with transparency", palette, "PNG", transparency=2)
save("png palette with alpha", palette, "PNG", transparency=bytes([0, 10, 255, 7, 90, 128, 254, 3]))
save("png gray with transparency", gray, "PNG", transparency=23)
save("png rgb with transparency", color, "PNG", transparency=(0, 0, 0))
save("png one bit", gray.point(lambda v: 255 * (v > 100)).convert("1"), "PNG")
save("png 16 bit gray", Image.fromarray((x * 6000 + y * 91).astype(np.uint16)), "PNG")
save("png 16 bit gray of small values", Image.fromarray((x * 20 + y).astype(np.uint16)), "PNG")
deep = (rgb.astype(np.uint16) * 257 + x[..., None].astype(np.uint16) * 13) & 0xFFFF
add("png 16 bit rgb", png(16, 2, [row.astype(">u2").tobytes() for row in deep]))
deep_alpha = np.concatenate([deep, np.full((H, W, 1), 0x1234, np.uint16)], -1)
add("png 16 bit rgba", png(16, 6, [row.astype(">u2").tobytes() for row in deep_alpha]))
add("png 16 bit gray alpha", png(16, 4, [row.astype(">u2").tobytes() for row in deep_alpha[..., :2]]))
add("png 2 bit gray", png(2, 0, [np.packbits(np.unpackbits((r % 4).astype(np.uint8)[:, None], axis=1)[:, 6:].ravel()).tobytes() for r in x + y]))
add("png 4 bit gray", png(4, 0, [np.packbits(np.unpackbits((r % 16).astype(np.uint8)[:, None], axis=1)[:, 4:].ravel()).tobytes() for r in x + y]))
add("png 4 bit palette", png(4, 3, [np.packbits(np.unpackbits((r % 5).astype(np.uint8)[:, None], axis=1)[:, 4:].ravel()).tobytes() for r in x + y], chunk(b"PLTE", bytes(range(15)))))
add("png gamma", png(8, 2, [row.tobytes() for row in rgb], chunk(b"gAMA", struct.pack(">I", 100000))))
exif = Image.Exif(); exif[0x0112] = 3
save("png orientation 3", color, "PNG", exif=exif)
whole = io.BytesIO(); color.save(whole, "PNG")
add("png cut short", whole.getvalue()[:-40])

# GIF: palette, transparency, a first frame that does not fill the screen, several frames.
save("gif", palette, "GIF")
save("gif transparent", palette, "GIF", transparency=1)
save("gif gray", gray, "GIF")
save("gif frames", palette, "GIF", save_all=True, append_images=[palette.transpose(Image.Transpose.ROTATE_180)], duration=20)
part = bytearray(save("gif interlaced", palette, "GIF", interlace=True))
struct.pack_into("<HH", part, 6, W + 3, H + 2)
descriptor = part.index(b",", 13 + 3 * 8)
struct.pack_into("<HH", part, descriptor + 1, 2, 1)
add("gif frame within the screen", bytes(part))

# BMP: depths, runs, rows from the top.
save("bmp", color, "BMP")
save("bmp gray", gray, "BMP")
save("bmp palette", palette, "BMP")
save("bmp one bit", gray.point(lambda v: 255 * (v > 100)).convert("1"), "BMP")
save("bmp 32 bit", rgba, "BMP")
down = io.BytesIO(); color.save(down, "BMP"); down = bytearray(down.getvalue())
struct.pack_into("<i", down, 22, -H)
add("bmp from the top", bytes(down))
def bmp(bits, compression, pixels, table=b""):
    offset = 54 + len(table)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + struct.pack("<IiiHHIIiiII", 40, W, H, 1, bits, compression, len(pixels), 0, 0, len(table) // 4, 0) + table + pixels
table = b"".join(bytes([i * 30, 255 - i * 30, i * 7, 0]) for i in range(8))
runs = b"".join(bytes([6, r % 8, 5, (r + 3) % 8]) + b"\0\0" for r in range(H)) + b"\0\1"
add("bmp runs", bmp(8, 1, runs, table))
words = b"".join((((x[r] * 3 % 32) << 10) | ((y[r] * 4 % 32) << 5) | (x[r] + y[r])).astype("<u2").tobytes() + b"\0" * (-2 * W % 4) for r in range(H))
add("bmp 16 bit", bmp(16, 0, words))

# WebP: both codecs, alpha, several frames.
save("webp", color, "WEBP", quality=80)
save("webp lossless", color, "WEBP", lossless=True)
save("webp alpha", rgba, "WEBP", quality=80)
save("webp lossless alpha", rgba, "WEBP", lossless=True, exact=True)
save("webp frames", color, "WEBP", lossless=True, save_all=True, append_images=[color.transpose(Image.Transpose.ROTATE_180)])
big = Image.fromarray(np.random.default_rng(0).integers(0, 256, (33, 45, 3), dtype=np.uint8)).resize((90, 70), Image.BICUBIC)
save("webp of noise", big, "WEBP", quality=60)
json.dump(cases, open(os.path.join(os.path.dirname(__file__), "images.json"), "w"), separators=(",", ":"))
print(len(cases), "cases")
