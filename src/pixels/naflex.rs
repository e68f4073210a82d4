//! NaFlex: an image of any shape as at most so many patches, its shape nearly kept.
//!
//! Reference: transformers' `Siglip2ImageProcessor` (target size by bisection, patches by row, column, channel).

use super::{Filter, Rgb, resize};

/// Most patches of an image, as the public processor has it.
pub const MAX_PATCHES: u32 = 256;

/// The patches of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patches {
    /// Rows of patches.
    pub rows: u32,
    /// Columns of patches.
    pub columns: u32,
    /// `rows * columns` patches, each `side * side * 3` bytes by row, column, channel.
    pub pixels: Vec<u8>,
}

/// Rows and columns of patches that an image gets: the largest scale at which they are at most `most`.
pub fn grid(width: u32, height: u32, side: u32, most: u32) -> (u32, u32) {
    // The bounds and the end of the search are the reference's: an exact solution would differ for some shapes.
    const EPS: f64 = 1e-5;
    let patches = |scale: f64, pixels: u32| (f64::from(pixels) * scale / f64::from(side)).ceil().max(1.0);
    let (mut low, mut high) = (EPS / 10.0, 100.0);
    while high - low >= EPS {
        let scale = f64::midpoint(low, high);
        if patches(scale, height) * patches(scale, width) <= f64::from(most) {
            low = scale;
        } else {
            high = scale;
        }
    }
    (patches(low, height) as u32, patches(low, width) as u32)
}

/// Resizes an image to its [`grid`] and cuts it into patches of `side` x `side` pixels.
pub fn patches(image: &Rgb, side: u32, most: u32, filter: Filter) -> Patches {
    let (rows, columns) = grid(image.width, image.height, side, most);
    let resized = resize::resize(image, columns * side, rows * side, filter);
    let (stride, bytes) = (resized.width as usize * 3, side as usize * 3);
    let mut pixels = Vec::with_capacity(resized.pixels.len());
    for row in 0..rows as usize {
        for column in 0..columns as usize {
            for y in 0..side as usize {
                let start = (row * side as usize + y) * stride + column * bytes;
                pixels.extend_from_slice(&resized.pixels[start..start + bytes]);
            }
        }
    }
    Patches { rows, columns, pixels }
}
