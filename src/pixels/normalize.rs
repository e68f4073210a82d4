//! 8-bit pixels to normalised floats, bit-equal to torchvision's `ToTensor` followed by `Normalize`.

use super::{ImageTransform, ResizeMode, SHAPE_BYTES};

/// The normalised value of each byte, by channel.
#[derive(Clone, Debug)]
pub struct Normalize {
    table: [[f32; 256]; 3],
    patches: bool,
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
        Self { table, patches: matches!(transform.mode, ResizeMode::Patches { .. }) }
    }

    /// Writes one prepared image; `out` has the transform's number of values.
    pub fn apply(&self, prepared: &[u8], out: &mut [f32]) {
        if self.patches { self.apply_patches(prepared, out) } else { self.apply_planes(prepared, out) }
    }

    fn apply_patches(&self, prepared: &[u8], out: &mut [f32]) {
        let Some((shape, pixels)) = prepared.split_first_chunk::<SHAPE_BYTES>() else { return };
        let [rows, columns] = [[shape[0], shape[1]], [shape[2], shape[3]]].map(u16::from_le_bytes);
        // The first row has the width of a patch and holds the shape.
        let width = out.len() - pixels.len();
        out[..width].fill(0.0);
        (out[0], out[1]) = (f32::from(rows), f32::from(columns));
        let real = usize::from(rows) * usize::from(columns) * width;
        let (values, padding) = out[width..].split_at_mut(real);
        for (values, bytes) in values.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
            for ((value, &byte), table) in values.iter_mut().zip(bytes).zip(&self.table) {
                *value = table[usize::from(byte)];
            }
        }
        padding.fill(0.0);
    }

    fn apply_planes(&self, chw: &[u8], out: &mut [f32]) {
        let plane = chw.len() / 3;
        for (channel, table) in self.table.iter().enumerate() {
            let range = channel * plane..(channel + 1) * plane;
            for (value, &byte) in out[range.clone()].iter_mut().zip(&chw[range]) {
                *value = table[usize::from(byte)];
            }
        }
    }
}
