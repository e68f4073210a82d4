//! Captions: the lines of a caption file that are not empty, without the white space around them.

use super::blob::Blob;

/// Largest caption file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the captions of an image; there is at least one.
///
/// # Errors
/// A clause that follows the file's name: missing, empty, not UTF-8, or far too long.
pub fn read(blob: &Blob) -> Result<Vec<String>, String> {
    if blob.bytes > MAX_BYTES {
        return Err("is larger than 1 MiB: not a caption".to_owned());
    }
    let bytes = blob.read(MAX_BYTES).map_err(|e| format!("the caption {e}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the caption is not UTF-8 text".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err("the caption is empty".to_owned());
    }
    Ok(lines)
}
