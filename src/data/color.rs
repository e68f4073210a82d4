//! Changes of colour, byte for byte those of Pillow's `ImageEnhance` and of torchvision's hue shift.

use crate::pixels::Rgb;

/// Luma of a pixel (ITU-R 601), rounded.
fn luma(pixel: &[u8]) -> u8 {
    ((u32::from(pixel[0]) * 19_595 + u32::from(pixel[1]) * 38_470 + u32::from(pixel[2]) * 7_471 + 0x8000) >> 16) as u8
}

/// `from + factor * (to - from)`, cut off at 0 and 255 and rounded towards zero.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // A float that is out of range saturates when it is made a byte.
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Blends every byte with `from`, which is the same for all of them.
fn blend_all(image: &mut Rgb, from: u8, factor: f64) {
    let table: [u8; 256] = std::array::from_fn(|byte| blend(from, byte as u8, factor as f32));
    for byte in &mut image.pixels {
        *byte = table[usize::from(*byte)];
    }
}

/// Scales brightness.
pub fn brightness(image: &mut Rgb, factor: f64) {
    blend_all(image, 0, factor);
}

/// Scales the distance from the mean luma.
pub fn contrast(image: &mut Rgb, factor: f64) {
    let sum: u64 = image.pixels.chunks_exact(3).map(|p| u64::from(luma(p))).sum();
    let mean = (sum as f64 / (image.pixels.len() / 3).max(1) as f64 + 0.5) as u8;
    blend_all(image, mean, factor);
}

/// Scales the distance from grey.
pub fn saturation(image: &mut Rgb, factor: f64) {
    for pixel in image.pixels.chunks_exact_mut(3) {
        let gray = luma(pixel);
        for byte in pixel {
            *byte = blend(gray, *byte, factor as f32);
        }
    }
}

/// Turns the image grey.
pub fn grayscale(image: &mut Rgb) {
    for pixel in image.pixels.chunks_exact_mut(3) {
        let gray = luma(pixel);
        pixel.fill(gray);
    }
}

/// Turns the hue by a share of the circle, from -0.5 to 0.5.
pub fn hue(image: &mut Rgb, shift: f64) {
    let shift = (shift * 255.0) as i32 as u8;
    for pixel in image.pixels.chunks_exact_mut(3) {
        let [h, s, v] = to_hsv([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&to_rgb([h.wrapping_add(shift), s, v]));
    }
}

fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let max = r.max(g).max(b);
    let min = r.min(g).min(b);
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let saturation = range / f32::from(max);
    let part = |c: u8| f32::from(max - c) / range;
    let (rc, gc, bc) = (part(r), part(g), part(b));
    // Pillow adds these in double precision and stores a float.
    let sixth = if r == max {
        bc - gc
    } else if g == max {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    // The rest of a division by 1 of what lies between 0.8 and 1.9.
    let turned = f64::from(sixth) / 6.0 + 1.0;
    let hue = if turned >= 1.0 { turned - 1.0 } else { turned } as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, max]
}

fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let at = f64::from(h) * 6.0 / 255.0;
    let sextant = f64::from(at as u8);
    let rest = f64::from((at - sextant) as f32);
    let s = f64::from((f64::from(s) / 255.0) as f32);
    // Rounded half up, which for what is not negative is away from zero.
    let level = |x: f64| {
        let exact = f64::from(v) * x;
        let whole = exact as u8;
        whole + u8::from(exact - f64::from(whole) >= 0.5)
    };
    let p = level(1.0 - s);
    let q = level(1.0 - s * rest);
    let t = level(1.0 - s * (1.0 - rest));
    match sextant as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
