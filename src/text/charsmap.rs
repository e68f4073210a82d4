//! SentencePiece's precompiled character tables, checked before the `tokenizers` crate walks them: it indexes by what the
//! file says.
//!
//! Layout: the trie's size in bytes (u32), the trie (u32 units of a double array), the replacement texts, each ended by
//! a zero byte. Reference: darts-clone's double array and sentencepiece's normalizer.

use serde::Deserialize;
use serde_json::Value;

/// Most bytes that a normaliser may make of one.
const LARGEST_GROWTH: usize = 64;

/// Checks that every step the trie can take stays inside of it and every text it names is one.
pub(super) fn check(map: &[u8]) -> Result<(), String> {
    let bad = |why: &str| Err(format!("has a broken character table: {why}"));
    let Some((size, rest)) = map.split_first_chunk::<4>() else { return bad("no size") };
    let Some((trie, texts)) = rest.split_at_checked(u32::from_le_bytes(*size) as usize) else {
        return bad("it ends early");
    };
    let Ok(texts) = std::str::from_utf8(texts) else { return bad("its texts are not UTF-8") };
    let units: Vec<usize> = trie.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
    if units.is_empty() {
        return bad("it is empty");
    }
    const VALUE: usize = 1 << 31;
    // A unit that holds a value is never stepped to; the first one is always stepped from.
    for (at, unit) in units.iter().enumerate().filter(|(at, unit)| *at == 0 || **unit & VALUE == 0) {
        let base = at ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
        if base | 0xff >= units.len() {
            return bad("a step leads out of it");
        }
        let ends_here = (unit >> 8) & 1 == 1;
        if ends_here && !texts.is_char_boundary(units[base] & (VALUE - 1)) {
            return bad("a text lies out of it");
        }
    }
    Ok(())
}

/// Checks what the `tokenizers` crate takes on trust in a `tokenizer.json`: that the parts beside the model are JSON to
/// the last escape, its character tables, and that its normaliser cannot blow a text up without bound.
pub(super) fn check_json(json: &[u8]) -> Result<(), String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Parts {
        normalizer: Value,
        #[serde(rename = "pre_tokenizer")]
        _pre_tokenizer: Value,
        #[serde(rename = "post_processor")]
        _post_processor: Value,
        #[serde(rename = "decoder")]
        _decoder: Value,
    }
    let parts: Parts = serde_json::from_slice(json).map_err(|e| format!("is not a tokenizer.json: {e}"))?;
    let growth = growth(&parts.normalizer)?;
    if growth > LARGEST_GROWTH {
        return Err(format!("has a normaliser that can make {growth} bytes of one, expected at most {LARGEST_GROWTH}"));
    }
    Ok(())
}

/// Bytes that a normaliser can make of one.
fn growth(normalizer: &Value) -> Result<usize, String> {
    let kind = normalizer.get("type").and_then(Value::as_str);
    let map = normalizer.get("precompiled_charsmap");
    if kind == Some("Precompiled") || map.is_some() {
        let bytes = map.and_then(Value::as_str).and_then(from_base64);
        check(&bytes.ok_or("has a character table that is not base64")?)?;
    }
    let inner = normalizer.get("normalizers").and_then(Value::as_array);
    let own = match kind {
        // A replaced piece has at least a byte; one that can be empty stands between all characters.
        Some("Replace") => normalizer.get("content").and_then(Value::as_str).map_or(1, |c| c.len().max(1)),
        _ => 1,
    };
    inner.into_iter().flatten().try_fold(own, |product, one| Ok(product.saturating_mul(growth(one)?)))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut word, mut bits) = (0u32, 0);
    for c in digits.bytes() {
        let digit = ALPHABET.iter().position(|a| *a == c)?;
        word = (word << 6 | digit as u32) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    // One spelling for each value: no stray bits, no missing padding.
    (to_base64(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(97)).collect();
            assert_eq!(from_base64(&to_base64(&bytes)).unwrap(), bytes);
        }
        assert_eq!(to_base64(b"ab"), "YWI=");
    }

    #[test]
    fn check_refuses_a_table_that_leads_out_of_itself() {
        let unit = |value: u32| value.to_le_bytes();
        let table = |size: u32, units: &[u32]| {
            [&unit(size)[..], &units.iter().flat_map(|u| unit(*u)).collect::<Vec<u8>>()].concat()
        };
        assert!(check(&[1, 0]).is_err());
        assert!(check(&table(u32::MAX, &[])).is_err());
        assert!(check(&table(4, &[1 << 10])).is_err());
        let mut units = vec![0; 512];
        units[0] = 256 << 10;
        check(&table(2048, &units)).unwrap();
    }

    #[test]
    fn check_json_refuses_growth_without_bound() {
        let step = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"}"#;
        let json = format!(r#"{{"normalizer":{{"type":"Sequence","normalizers":[{step},{step}]}}}}"#);
        assert!(check_json(json.as_bytes()).unwrap_err().contains("100 bytes"));
    }
}
