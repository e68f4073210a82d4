//! One line of a journal as bytes: a JSON object whose last key is the CRC-32 of everything before it. `jq` reads it, and
//! a bit that flipped on the disk is found.
//!
//! Migration rule: readers take every format up to their own and skip kinds of newer ones; a writer appends its own format
//! to an older journal and refuses a newer one. Format 1 had no checksum.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::{FORMAT_VERSION, Line};

/// The first format whose lines carry a checksum.
const WITH_CHECKSUM: u32 = 2;
const KEY: &[u8] = b",\"crc\":\"";
const DIGITS: usize = 8;

/// The bytes of a line, its end included.
///
/// # Errors
/// When the event cannot be written as JSON.
pub fn encode<E: Serialize>(line: &Line<E>) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.pop();
    let crc = crc32fast::hash(&text);
    text.extend_from_slice(KEY);
    text.extend_from_slice(format!("{crc:08x}\"}}\n").as_bytes());
    Ok(text)
}

/// What a line says besides its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Head {
    /// The format of its writer.
    pub v: u32,
    /// Its position in the file.
    pub seq: u64,
}

/// Reads a line without its end; the event is `None` when this version does not know its kind.
///
/// # Errors
/// Why it is not what a writer wrote.
pub fn decode<E: DeserializeOwned>(text: &[u8]) -> Result<(Head, Option<Line<E>>), String> {
    let sealed = checked(text)?;
    let invalid = |e: serde_json::Error| format!("not an event: {e}");
    let (head, line) = match serde_json::from_slice::<Line<E>>(text) {
        Ok(line) => (Head { v: line.v, seq: line.seq }, Some(line)),
        Err(e) => (serde_json::from_slice::<Head>(text).map_err(|_| invalid(e))?, None),
    };
    match line {
        _ if head.v >= WITH_CHECKSUM && !sealed => Err("it has no checksum".to_owned()),
        // Of the kinds of its own format none is unknown, and an older one's were checked by nobody.
        None if head.v < FORMAT_VERSION => Err("not an event of its format".to_owned()),
        line => Ok((head, line)),
    }
}

/// Whether the line has a checksum.
fn checked(text: &[u8]) -> Result<bool, String> {
    let Some(at) = text.len().checked_sub(KEY.len() + DIGITS + 2) else { return Ok(false) };
    let (body, tail) = text.split_at(at);
    let Some(digits) = tail.strip_prefix(KEY).and_then(|t| t.strip_suffix(b"\"}")) else { return Ok(false) };
    if digits == format!("{:08x}", crc32fast::hash(body)).as_bytes() {
        return Ok(true);
    }
    Err("its checksum does not match: the line was changed or damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::journal::event::JobEvent;
    use proptest::prelude::*;

    fn line() -> Line<JobEvent> {
        let event = JobEvent::Note { message: "a \"remark\"\n".to_owned() };
        Line { v: FORMAT_VERSION, seq: 7, ts: Timestamp::UNIX_EPOCH, event }
    }

    proptest! {
        #[test]
        fn decode_finds_every_flipped_bit(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut text = encode(&line()).unwrap();
            text.pop();
            let (head, read) = decode::<JobEvent>(&text).unwrap();
            prop_assert_eq!((head.seq, read), (7, Some(line())));
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            prop_assert!(decode::<JobEvent>(&text).is_err(), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn decode_older_line_needs_no_checksum_and_newer_kind_is_skipped() {
        let old = br#"{"v":1,"seq":0,"ts":"1970-01-01T00:00:00Z","event":{"kind":"note","message":"x"}}"#;
        assert!(decode::<JobEvent>(old).unwrap().1.is_some());
        let mut newer = {
            let Line { seq, ts, .. } = line();
            encode(&Line { v: 99, seq, ts, event: serde_json::json!({"kind": "from_the_future"}) }).unwrap()
        };
        newer.pop();
        assert_eq!(decode::<JobEvent>(&newer).unwrap(), (Head { v: 99, seq: 7 }, None));
        let bare = br#"{"v":2,"seq":0,"ts":"1970-01-01T00:00:00Z","event":{"kind":"note","message":"x"}}"#;
        assert!(decode::<JobEvent>(bare).unwrap_err().contains("no checksum"));
    }
}
