//! Where Pillow makes other RGB of a file than the `image` crate does.

use image::DynamicImage;

use super::Rgb;

/// RGB of 8 bits. Pillow cuts off the lower half of 16-bit colours; 16-bit greys, which it takes for measurements, it cuts off
/// at 255.
pub(super) fn eight_bits(image: DynamicImage) -> Vec<u8> {
    let high = |value: u16| (value >> 8) as u8;
    match image {
        DynamicImage::ImageLuma16(image) => image.as_raw().iter().flat_map(|&v| [v.min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.as_raw().iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(image) => image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(high)).collect(),
        image => image.into_rgb8().into_raw(),
    }
}

/// Colours of a BMP with 16 bits a pixel, spread over 8 bits: Pillow rounds down where `image` rounds.
pub(super) fn levels_of_bmp(file: &[u8], image: &mut Rgb) {
    const MASKS: u8 = 3;
    const GREEN_OF_SIX_BITS: [u8; 4] = [0xe0, 0x07, 0, 0];
    if file.get(28..30) != Some(&[16, 0]) {
        return;
    }
    let six = file.get(30) == Some(&MASKS) && file.get(58..62) == Some(&GREEN_OF_SIX_BITS);
    let down = |byte: u8, levels: u32| ((u32::from(byte) * levels + 127) / 255 * 255 / levels) as u8;
    for [r, g, b] in image.pixels.as_chunks_mut::<3>().0 {
        (*r, *g, *b) = (down(*r, 31), down(*g, if six { 63 } else { 31 }), down(*b, 31));
    }
}

/// What the first frame of a GIF leaves free of its screen has, in Pillow, the colour of transparency or the first one.
pub(super) fn around_frame(file: &[u8], image: &mut Rgb) {
    let Some(Frame { left, top, width, height, color }) = first_frame(file) else { return };
    let (columns, rows) = (left..left.saturating_add(width), top..top.saturating_add(height));
    let side = image.width as usize;
    for (i, pixel) in image.pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        if !rows.contains(&(i / side)) || !columns.contains(&(i % side)) {
            *pixel = color;
        }
    }
}

struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    color: [u8; 3],
}

/// Where the first frame lies, and the colour around it.
fn first_frame(file: &[u8]) -> Option<Frame> {
    const EXTENSION: u8 = 0x21;
    const CONTROL: u8 = 0xf9;
    const FRAME: u8 = 0x2c;
    let table_bytes = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let global = table_bytes(*file.get(10)?);
    let mut at = 13 + global;
    let mut transparent = 0;
    loop {
        match *file.get(at)? {
            EXTENSION => {
                if let (CONTROL, Some(&[_, flags, _, _, index])) = (*file.get(at + 1)?, file.get(at + 2..at + 7))
                    && flags & 1 == 1
                {
                    transparent = usize::from(index);
                }
                at += 2;
                while *file.get(at)? != 0 {
                    at += 1 + usize::from(file[at]);
                }
                at += 1;
            }
            FRAME => {
                let number =
                    |i: usize| Some(usize::from(u16::from_le_bytes([*file.get(at + i)?, *file.get(at + i + 1)?])));
                let table = if table_bytes(*file.get(at + 9)?) > 0 { at + 10 } else { 13 };
                let color = file.get(table + transparent * 3..)?.first_chunk::<3>()?;
                return Some(Frame {
                    left: number(1)?,
                    top: number(3)?,
                    width: number(5)?,
                    height: number(7)?,
                    color: *color,
                });
            }
            _ => return None,
        }
    }
}
