//! JPEGs by libjpeg-turbo, with what Pillow does around it: which damage is borne, and how four inks become three colours.

use turbojpeg::{Colorspace, Decompressor, Error, Image, PixelFormat};

use super::Rgb;
use super::decode::{NotAnImage, check_size};

/// Scans of a progressive file; each costs a pass over the image.
const MOST_SCANS: u32 = 500;
/// What libjpeg says of files that it reads on in spite of it.
const WARNINGS: [&str; 6] = [
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
];

/// Decodes a JPEG.
pub(super) fn decode(file: &[u8]) -> Result<Rgb, NotAnImage> {
    let refused = |e: Error| {
        let text = e.to_string();
        NotAnImage(format!("cannot be decoded: {}", text.strip_prefix("TurboJPEG error: ").unwrap_or(&text)))
    };
    let mut decoder = Decompressor::new().map_err(refused)?;
    decoder.set_scan_limit(MOST_SCANS).map_err(refused)?;
    let header = match decoder.read_header(file) {
        // A header that is odd is read again below; what it says is known nonetheless.
        Err(Error::TurboJpegError(text)) if is_warning(&text) && is_cut_short(file) => return Err(cut_short()),
        found => found.map_err(refused)?,
    };
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (width, height) = (side(header.width), side(header.height));
    check_size(width, height)?;
    let inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let format = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    let pitch = header.width * format.size();
    let mut pixels = vec![0; pitch * header.height];
    let output = Image { pixels: pixels.as_mut_slice(), width: header.width, pitch, height: header.height, format };
    match decoder.decompress(file, output) {
        Err(Error::TurboJpegError(text)) if is_warning(&text) => {
            if is_cut_short(file) {
                return Err(cut_short());
            }
        }
        done => done.map_err(refused)?,
    }
    if inks {
        pixels = without_inks(&pixels);
    }
    Ok(Rgb { width, height, pixels })
}

fn cut_short() -> NotAnImage {
    NotAnImage("cannot be decoded: the file is cut short".to_owned())
}

fn is_warning(text: &str) -> bool {
    WARNINGS.iter().any(|w| text.contains(w))
}

/// Whether the file ends before its end mark.
fn is_cut_short(file: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END: u8 = 0xd9;
    let mut at = 2;
    loop {
        // Up to the next marker; within a scan, 0xff stands before a zero or a restart mark.
        let marker = loop {
            match file.get(at..at + 2) {
                Some(&[0xff, 0x00 | 0xd0..=0xd7]) => at += 2,
                Some(&[0xff, 0xff]) => at += 1,
                Some(&[0xff, marker]) => break marker,
                Some(_) => at += 1,
                None => return true,
            }
        };
        match (marker, file.get(at + 2..at + 4)) {
            (END, _) => return false,
            // The scan's header is passed over like a segment; what follows it holds no other marker.
            (START_OF_SCAN | 0x01..=0xfe, Some(&[high, low])) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
            _ => return true,
        }
    }
}

/// Cyan, magenta, yellow and black to RGB. Pillow takes all such files for inverted, as Adobe writes them.
fn without_inks(pixels: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / 4 * 3);
    for &[c, m, y, k] in pixels.as_chunks::<4>().0 {
        out.extend([c, m, y].map(|ink| {
            let product = u32::from(255 - ink) * u32::from(k) + 128;
            k.saturating_sub((((product >> 8) + product) >> 8) as u8)
        }));
    }
    out
}
