//! 8-bit pixels to normalised floats, bit-equal to torchvision's `ToTensor` followed by `Normalize`.

use super::ImageTransform;

/// The normalised value of each byte, by channel.
#[derive(Clone, Debug)]
pub struct Normalize {
    table: [[f32; 256]; 3],
}

impl Normalize {
    /// The table of a transform.
    pub fn new(transform: &ImageTransform) -> Self {
        let mut table = [[0.0; 256]; 3];
        for (channel, row) in table.iter_mut().enumerate() {
            for (byte, value) in row.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - transform.mean[channel]) / transform.std[channel];
            }
        }
        Self { table }
    }

    /// Writes interleaved pixels as they are; the lengths must agree.
    pub fn apply_interleaved(&self, pixels: &[u8], out: &mut [f32]) {
        for (values, bytes) in out.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
            for ((value, &byte), table) in values.iter_mut().zip(bytes).zip(&self.table) {
                *value = table[usize::from(byte)];
            }
        }
    }

    /// Writes one image, both sides in channel, row, column order; the lengths must agree.
    pub fn apply(&self, chw: &[u8], out: &mut [f32]) {
        let plane = chw.len() / 3;
        for (channel, table) in self.table.iter().enumerate() {
            let range = channel * plane..(channel + 1) * plane;
            for (value, &byte) in out[range.clone()].iter_mut().zip(&chw[range]) {
                *value = table[usize::from(byte)];
            }
        }
    }
}
