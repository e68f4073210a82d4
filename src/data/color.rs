//! Changes of colour, byte for byte those of Pillow's `ImageEnhance` and of torchvision's hue shift.

use std::sync::OnceLock;

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
    let (hsv, rgb) = (Hsv::tables(), ToRgb::tables());
    for pixel in image.pixels.chunks_exact_mut(3) {
        let [h, s, v] = hsv.of([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&rgb.of([h.wrapping_add(shift), s, v]));
    }
}

/// [`to_hsv`] as tables: the saturation follows from the largest value and the range, the hue from the order of the three
/// colours, the range, and how far the middle one is below the largest.
struct Hsv {
    /// By largest value and range.
    saturation: Vec<u8>,
    /// By order, and of each by range and distance, of which there are as many as the range and one.
    hue: Vec<u8>,
}

/// Pairs of a range and a distance that is not above it.
const PAIRS: usize = 256 * 257 / 2;

impl Hsv {
    fn tables() -> &'static Self {
        static TABLES: OnceLock<Hsv> = OnceLock::new();
        TABLES.get_or_init(|| {
            let bytes = || 0..=255u8;
            let saturation =
                bytes().flat_map(|max| bytes().map(move |range| to_hsv([max, max, max.saturating_sub(range)])[1]));
            let hue = ORDERS.iter().flat_map(|order| {
                bytes().flat_map(move |range| {
                    (0..=range).map(move |distance| {
                        let mut pixel = [255; 3];
                        (pixel[order[1]], pixel[order[2]]) = (255 - distance, 255 - range);
                        to_hsv(pixel)[0]
                    })
                })
            });
            Self { saturation: saturation.collect(), hue: hue.collect() }
        })
    }

    fn of(&self, [r, g, b]: [u8; 3]) -> [u8; 3] {
        // No branches: in a photograph a processor cannot predict them.
        let order = ORDER_OF[(usize::from(r >= g) << 2) | (usize::from(g >= b) << 1) | usize::from(r >= b)];
        let (max, min) = (r.max(g).max(b), r.min(g).min(b));
        let middle = r.max(g).min(r.min(g).max(b));
        let (range, distance) = (usize::from(max - min), usize::from(max - middle));
        let hue = self.hue[order * PAIRS + range * (range + 1) / 2 + distance];
        [hue, self.saturation[(usize::from(max) << 8) | range], max]
    }
}

/// The channels from the largest to the least.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Which of them it is, by whether red is not below green, green not below blue, red not below blue; the first of equals is the
/// largest, as in [`to_hsv`]. Two combinations cannot be.
const ORDER_OF: [usize; 8] = [5, 0, 3, 2, 4, 1, 0, 0];

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

/// Back from hue, saturation and value, with tables of what follows from a byte or two.
struct ToRgb {
    /// By hue: the sixth of the circle, and how far the middle colour is from the largest, as a share of the range.
    hue: [(u8, f64); 256],
    /// By saturation, as a share.
    share: [f64; 256],
    /// The least colour, by saturation and value.
    least: Vec<u8>,
}

impl ToRgb {
    fn tables() -> &'static Self {
        static TABLES: OnceLock<ToRgb> = OnceLock::new();
        TABLES.get_or_init(|| {
            let share: [f64; 256] = std::array::from_fn(|s| f64::from((s as f64 / 255.0) as f32));
            let hue = std::array::from_fn(|h| {
                let at = h as f64 * 6.0 / 255.0;
                let sextant = at as u8;
                let rest = f64::from((at - f64::from(sextant)) as f32);
                // In every other sixth the middle colour rises.
                (sextant % 6, if sextant.is_multiple_of(2) { 1.0 - rest } else { rest })
            });
            let least = share.iter().flat_map(|s| (0..=255).map(move |v| level(v, 1.0 - s))).collect();
            Self { hue, share, least }
        })
    }

    fn of(&self, [h, s, v]: [u8; 3]) -> [u8; 3] {
        if s == 0 {
            return [v; 3];
        }
        let (sextant, distance) = self.hue[usize::from(h)];
        let share = self.share[usize::from(s)];
        let p = self.least[(usize::from(s) << 8) | usize::from(v)];
        let levels = [v, level(v, 1.0 - share * distance), p];
        PLACES[usize::from(sextant)].map(|place| levels[place])
    }
}

/// Which of value, middle and least is red, green and blue, by the sixth of the circle.
const PLACES: [[usize; 3]; 6] = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0], [1, 2, 0], [0, 2, 1]];

/// A share of `value`, rounded half up, which for what is not negative is away from zero.
fn level(value: u8, share: f64) -> u8 {
    let exact = f64::from(value) * share;
    let whole = exact as u8;
    whole + u8::from(exact - f64::from(whole) >= 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_the_formula_for_every_colour() {
        let tables = Hsv::tables();
        for colour in 0..1u32 << 24 {
            let [_, r, g, b] = colour.to_be_bytes();
            assert_eq!(tables.of([r, g, b]), to_hsv([r, g, b]), "{r} {g} {b}");
        }
    }
}
