//! Image files to RGB. The content decides the format, not the name; EXIF orientation is ignored, as Pillow does.
//!
//! JPEGs are decoded by libjpeg-turbo, as in Pillow: the inverse transform and the upsampling of colours leave room for
//! differences of several levels, which other decoders use. Of other formats the `image` crate's pixels are made Pillow's.
//!
//! Invariant: no file, however hostile, makes the decoder allocate more than [`MAX_BYTES`] or for more than [`MAX_PIXELS`].

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::{ImageFormat, ImageReader, Limits};

use super::{Rgb, jpeg, like_pillow};

/// Longest side that is accepted, in pixels.
pub const MAX_SIDE: u32 = 65_535;
/// Most pixels that are accepted: what Pillow takes for an attack.
pub const MAX_PIXELS: u64 = 178_956_970;
/// Most memory one decoded image may take.
pub const MAX_BYTES: u64 = 1 << 30;

/// Why a file is not an image that can be used: a clause that follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnImage(pub String);

/// Reads an image file (JPEG, PNG, WebP, BMP or GIF, first frame) as RGB; an alpha channel is dropped.
///
/// # Errors
/// When the file cannot be read, is not an image, is cut short, or is larger than the limits.
pub fn decode(path: &Path) -> Result<Rgb, NotAnImage> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    file.map_err(|e| NotAnImage(format!("cannot be read: {e}")))?;
    decode_bytes(&bytes)
}

/// Decodes the content of an image file, as [`decode`] does.
///
/// # Errors
/// When it is not an image, is cut short, or is larger than the limits.
pub fn decode_bytes(bytes: &[u8]) -> Result<Rgb, NotAnImage> {
    let reader = reader(Cursor::new(bytes), bytes.is_empty())?;
    if reader.format() == Some(ImageFormat::Jpeg) {
        return jpeg::decode(bytes);
    }
    let (format, (width, height)) = (reader.format(), size_of_bytes(bytes)?);
    check_size(width, height)?;
    let image = reader.decode().map_err(|e| NotAnImage(format!("cannot be decoded: {e}")))?;
    let (width, height) = (image.width(), image.height());
    let mut image = Rgb { width, height, pixels: like_pillow::eight_bits(image) };
    match format {
        Some(ImageFormat::Bmp) => like_pillow::levels_of_bmp(bytes, &mut image),
        Some(ImageFormat::Gif) => like_pillow::around_frame(bytes, &mut image),
        _ => {}
    }
    Ok(image)
}

/// Width and height of an image file, from its header alone.
///
/// # Errors
/// When the file cannot be read or its header is not that of an image.
pub fn size(path: &Path) -> Result<(u32, u32), NotAnImage> {
    let file = File::open(path).map_err(|e| NotAnImage(format!("cannot be read: {e}")))?;
    let empty = file.metadata().is_ok_and(|m| m.len() == 0);
    dimensions(reader(BufReader::new(file), empty)?)
}

/// Width and height of the content of an image file.
///
/// # Errors
/// When its header is not that of an image.
pub fn size_of_bytes(bytes: &[u8]) -> Result<(u32, u32), NotAnImage> {
    dimensions(reader(Cursor::new(bytes), bytes.is_empty())?)
}

/// Whether an image of this size is decoded.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), NotAnImage> {
    if width == 0 || height == 0 {
        return Err(NotAnImage("has no pixels".to_owned()));
    }
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(NotAnImage(format!("claims {width} x {height} pixels, beyond the limit of {MAX_PIXELS}")));
    }
    Ok(())
}

fn dimensions(reader: ImageReader<impl BufRead + Seek>) -> Result<(u32, u32), NotAnImage> {
    reader.into_dimensions().map_err(|e| NotAnImage(format!("cannot be decoded: {e}")))
}

fn reader<R: BufRead + Seek>(content: R, empty: bool) -> Result<ImageReader<R>, NotAnImage> {
    if empty {
        return Err(NotAnImage("is empty".to_owned()));
    }
    let mut reader =
        ImageReader::new(content).with_guessed_format().map_err(|e| NotAnImage(format!("cannot be read: {e}")))?;
    if reader.format().is_none() {
        return Err(NotAnImage("is not an image (expected JPEG, PNG, WebP, BMP or GIF)".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}
