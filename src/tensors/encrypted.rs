//! Encrypted files: a passphrase, Argon2id, and XChaCha20-Poly1305 over chunks, so that any part can be read alone.
//!
//! The chunks follow the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizard 2015): nonce = random prefix, number of the
//! chunk, whether it is the last. A chunk that was changed, moved or left out is noticed.
//!
//! Layout: magic (16 bytes), salt (16), Argon2's memory in KiB, passes and lanes (4 each, little endian), prefix (19), then
//! chunks of 64 KiB with 16 bytes of tag each.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::bad;
use crate::base::files::with_path;
use crate::journal::failure::Failure;
use crate::spec::KEY_VARIABLE;

/// What to do about a missing or wrong key.
pub const ADVICE: &str =
    "set encryption_key, or the variable CLIPTUNE_ENCRYPTION_KEY, to the passphrase it was encrypted with";

const MAGIC: &[u8; 16] = b"cliptune-crypt-1";
const HEADER: usize = 16 + 16 + 12 + PREFIX;
const PREFIX: usize = 19;
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
/// Argon2id: 64 MiB, 3 passes, 1 lane (RFC 9106, second recommendation, with one lane).
const COST: [u32; 3] = [64 << 10, 3, 1];
/// A hostile header may not ask for more than this.
const COST_LIMIT: [u32; 3] = [1 << 20, 16, 16];

/// A passphrase. Never printed, never written.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A passphrase as the user gave it.
    pub fn new(passphrase: impl Into<String>) -> Self {
        Self(passphrase.into())
    }

    /// The passphrase of the environment, when it is set.
    pub fn from_environment() -> Option<Self> {
        std::env::var(KEY_VARIABLE).ok().filter(|text| !text.is_empty()).map(Self)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(super) fn is_encrypted(magic: &[u8]) -> bool {
    magic == MAGIC
}

fn cipher(key: &Key, salt: &[u8], cost: [u32; 3]) -> io::Result<XChaCha20Poly1305> {
    let failed = |e: argon2::Error| io::Error::other(format!("the key cannot be derived: {e}"));
    let params = Params::new(cost[0], cost[1], cost[2], Some(32)).map_err(failed)?;
    let mut derived = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(key.0.as_bytes(), salt, &mut derived)
        .map_err(failed)?;
    Ok(XChaCha20Poly1305::new(&derived.into()))
}

fn nonce(header: &[u8], chunk: u64, last: bool) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..PREFIX].copy_from_slice(&header[HEADER - PREFIX..]);
    // Files end long before 2^32 chunks (256 TiB).
    nonce[PREFIX..PREFIX + 4].copy_from_slice(&(chunk as u32).to_be_bytes());
    nonce[23] = last.into();
    nonce.into()
}

/// Encrypts what is written to it.
pub struct Encryptor<W: Write> {
    out: W,
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER],
    buffer: Vec<u8>,
    chunk: u64,
}

impl<W: Write> std::fmt::Debug for Encryptor<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encryptor(chunk {})", self.chunk)
    }
}

impl<W: Write> Encryptor<W> {
    /// Begins an encrypted file with fresh salt and nonces.
    ///
    /// # Errors
    /// When `out` fails or the system has no randomness.
    pub fn new(mut out: W, key: &Key) -> io::Result<Self> {
        let mut header = [0; HEADER];
        header[..16].copy_from_slice(MAGIC);
        // Salt and nonces come from the system and from no seed: they must never repeat.
        let random = |part: &mut [u8]| getrandom::fill(part).map_err(|e| io::Error::other(e.to_string()));
        random(&mut header[16..32])?;
        random(&mut header[HEADER - PREFIX..])?;
        for (to, from) in header[32..44].chunks_exact_mut(4).zip(COST) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        let cipher = cipher(key, &header[16..32], COST)?;
        out.write_all(&header)?;
        Ok(Self { out, cipher, header, buffer: Vec::with_capacity(CHUNK), chunk: 0 })
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = nonce(&self.header, self.chunk, last);
        let payload = Payload { msg: &self.buffer, aad: &self.header };
        let encrypted = self.cipher.encrypt(&nonce, payload).map_err(|_| io::Error::other("encryption failed"))?;
        self.out.write_all(&encrypted)?;
        self.buffer.clear();
        self.chunk += 1;
        Ok(())
    }

    /// Writes the last chunk and returns what is below.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_chunk(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full buffer waits for what follows: only then is it known that it is not the last chunk.
        if self.buffer.len() == CHUNK {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An open encrypted file.
pub(super) struct Encrypted {
    path: PathBuf,
    file: File,
    cipher: XChaCha20Poly1305,
    header: Vec<u8>,
    /// Bytes behind the header.
    body: u64,
    /// The chunk that was read last, with its number.
    recent: Mutex<Option<(u64, Vec<u8>)>>,
}

impl std::fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encrypted({})", self.path.display())
    }
}

impl Encrypted {
    pub(super) fn open(path: &Path, file: File, key: &Key) -> Result<Self, Failure> {
        let size = file.metadata().map_err(with_path(path))?.len();
        let body = size.checked_sub(HEADER as u64).filter(|&b| b >= TAG as u64);
        let body = body.ok_or_else(|| bad(path, "an encrypted file that was cut"))?;
        let mut header = vec![0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(with_path(path))?;
        let mut cost = [0; 3];
        for (to, from) in cost.iter_mut().zip(header[32..44].chunks_exact(4)) {
            *to = u32::from_le_bytes(from.try_into().unwrap_or_default());
        }
        if cost.iter().zip(COST_LIMIT).any(|(&c, limit)| c > limit) {
            return Err(bad(path, format!("a damaged encrypted file: it asks for Argon2 costs of {cost:?}")));
        }
        let cipher = cipher(key, &header[16..32], cost).map_err(with_path(path))?;
        let encrypted = Self { path: path.to_owned(), file, cipher, header, body, recent: Mutex::new(None) };
        // The first chunk shows whether the key is right, the last whether the file is whole.
        encrypted.chunk(0).map_err(|_| bad(path, format!("the key is wrong, or the file is damaged; {ADVICE}")))?;
        encrypted.chunk(encrypted.chunks() - 1)?;
        Ok(encrypted)
    }

    fn chunks(&self) -> u64 {
        self.body.div_ceil((CHUNK + TAG) as u64)
    }

    /// Bytes of the plain text.
    pub(super) fn len(&self) -> u64 {
        self.body.saturating_sub(self.chunks() * TAG as u64)
    }

    fn chunk(&self, number: u64) -> Result<Vec<u8>, Failure> {
        let start = number * (CHUNK + TAG) as u64;
        let mut encrypted = vec![0; (self.body - start).min((CHUNK + TAG) as u64) as usize];
        self.file.read_exact_at(&mut encrypted, HEADER as u64 + start).map_err(with_path(&self.path))?;
        let nonce = nonce(&self.header, number, number + 1 == self.chunks());
        let payload = Payload { msg: &encrypted, aad: &self.header };
        let opened = self.cipher.decrypt(&nonce, payload);
        opened.map_err(|_| bad(&self.path, format!("the encrypted file was cut or changed (in its chunk {number})")))
    }

    /// Part of the plain text.
    pub(super) fn read(&self, start: u64, len: usize) -> Result<Vec<u8>, Failure> {
        let end = start.checked_add(len as u64).filter(|&end| end <= self.len());
        let end = end.ok_or_else(|| bad(&self.path, "the encrypted file is shorter than its header says"))?;
        let mut out = Vec::with_capacity(len);
        let mut at = start;
        while at < end {
            let (number, inside) = (at / CHUNK as u64, (at % CHUNK as u64) as usize);
            let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if recent.as_ref().is_none_or(|(n, _)| *n != number) {
                *recent = Some((number, self.chunk(number)?));
            }
            if let Some((_, chunk)) = recent.as_ref() {
                let taken = (chunk.len() - inside).min((end - at) as usize);
                out.extend_from_slice(&chunk[inside..inside + taken]);
                at += taken as u64;
            }
        }
        Ok(out)
    }
}
