//! Captions: the whole file, without the white space around it.

use std::path::Path;

/// Largest caption file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a caption.
///
/// # Errors
/// A clause that follows the file's name: missing, empty, not UTF-8, or far too long.
pub fn read(path: &Path) -> Result<String, String> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err("the caption file is missing".to_owned()),
        Ok(meta) if meta.len() > MAX_BYTES => return Err("is larger than 1 MiB: not a caption".to_owned()),
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|e| format!("the caption cannot be read: {e}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the caption is not UTF-8 text".to_owned())?;
    let caption = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
    if caption.is_empty() {
        return Err("the caption is empty".to_owned());
    }
    Ok(caption.to_owned())
}
