//! The content of images, by hash: what the study's cache goes by.
//!
//! A file is read for its hash once; as long as path, size and times stay, the hash is remembered. So a file that is written
//! again or copied elsewhere with the same bytes is found in the cache, and one with other bytes never is.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::blob::{Blob, fingerprint};
use super::cache::{Rows, Shape};
use super::pair_set::OpenOptions;
use crate::base::files::hex;
use crate::journal::failure::Failure;
use crate::pixels::decode::MAX_BYTES;

const HASH_BYTES: usize = 32;

/// The hash of all hashes, in order.
pub(super) fn hash(blobs: &[Blob], options: &OpenOptions) -> Result<String, Failure> {
    let key = fingerprint("contents/1", blobs.iter());
    let shape = Shape { rows: blobs.len(), row_bytes: HASH_BYTES };
    let (rows, _) = Rows::open_or_build(&options.cached("contents", &key), &key, shape, |sink| {
        blobs.par_iter().enumerate().try_for_each(|(i, blob)| {
            // What cannot be read is told when it is decoded.
            let of = blob.read(MAX_BYTES).map_or_else(Sha256::digest, Sha256::digest);
            sink.put(i, &of)
        })?;
        Ok(())
    })?;
    Ok(hex(&Sha256::digest(rows.bytes(0, blobs.len() * HASH_BYTES))))
}
