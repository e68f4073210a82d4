//! What the ranks of one training say to each other. In a training of one process every collective is the identity.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Kind, TchError, Tensor};

use super::checked;
use super::store::{Store, millis, text};
use crate::base::rank::Rank;
use crate::base::seed;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::clip::failed;

type Ptr = *const c_void;

unsafe extern "C" {
    fn ct_group_open(
        store: *mut c_void,
        name: *const c_char,
        rank: c_int,
        size: c_int,
        local: bool,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn ct_group_close(group: *mut c_void);
    fn ct_all_reduce(group: *mut c_void, tensor: Ptr, max: bool) -> *mut c_char;
    fn ct_all_gather(group: *mut c_void, out: Ptr, own: Ptr) -> *mut c_char;
    fn ct_broadcast(group: *mut c_void, tensor: Ptr, root: i64) -> *mut c_char;
    fn ct_barrier(group: *mut c_void) -> *mut c_char;
    fn ct_gather(group: *mut c_void, own: Ptr, out: *mut *mut c_void) -> *mut c_char;
    fn ct_shift(group: *mut c_void, own: Ptr, by: i64, out: *mut *mut c_void) -> *mut c_char;
    fn ct_sum(group: *mut c_void, own: Ptr, out: *mut *mut c_void) -> *mut c_char;
}

/// How long a rank waits for the others: one may read and decode a large data set first.
const TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// The ranks of a training, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Group {
    rank: usize,
    size: usize,
    ranks: Option<Arc<Ranks>>,
}

#[derive(Debug)]
struct Ranks {
    /// What the loop and the loss say.
    words: Handle,
    /// Gradients travel while the backward pass goes on, so they have connections of their own.
    gradients: Handle,
}

#[derive(Debug)]
pub(super) struct Handle(*mut c_void);

// SAFETY: c10d's process groups may be used from any thread; collectives are ordered by their callers.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    fn open(store: &Store, name: &str, rank: &Rank) -> Result<Self, Failure> {
        let name = text(name)?;
        let mut out = std::ptr::null_mut();
        let (own, size) = (rank.rank as c_int, rank.size as c_int);
        // SAFETY: a live store, a live string, a place to write to.
        checked(unsafe {
            let local = rank.is_local();
            ct_group_open(store.handle(), name.as_ptr(), own, size, local, millis(TIMEOUT), &raw mut out)
        })?;
        Ok(Self(out))
    }

    pub(super) fn get(&self) -> *mut c_void {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: opened by ct_group_open and closed once.
        unsafe { ct_group_close(self.0) };
    }
}

impl Group {
    /// A training of one process.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, ranks: None }
    }

    /// Meets the other ranks at the store.
    ///
    /// # Errors
    /// `Lost` when one of them does not come.
    pub fn open(store: &Store, rank: &Rank) -> Result<Self, Failure> {
        let ranks =
            Ranks { words: Handle::open(store, "words", rank)?, gradients: Handle::open(store, "gradients", rank)? };
        Ok(Self { rank: rank.rank, size: rank.size, ranks: Some(Arc::new(ranks)) })
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether it is rank 0, which keeps the journal and writes checkpoints.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }

    /// Sums a tensor over all ranks, in place.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn add_up(&self, tensor: &Tensor) -> Result<(), Failure> {
        let Some(ranks) = &self.ranks else { return Ok(()) };
        // SAFETY: a live group and a live tensor.
        checked(unsafe { ct_all_reduce(ranks.words.get(), tensor.as_ptr().cast(), false) })
    }

    /// The mean of a number over all ranks.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn mean(&self, value: f64) -> Result<f64, Failure> {
        let sum = Tensor::from_slice(&[value]);
        self.add_up(&sum)?;
        Ok(sum.f_double_value(&[0]).map_err(failed)? / self.size as f64)
    }

    /// Whether it is so on any rank.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn any(&self, flag: bool) -> Result<bool, Failure> {
        Ok(self.mean(f64::from(u8::from(flag)))? > 0.0)
    }

    /// Rows `[n, ...]` of every rank, one below the other: `[size * n, ...]`. Every rank must have as many.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn all_gather(&self, own: &Tensor) -> Result<Tensor, Failure> {
        let Some(ranks) = &self.ranks else { return Ok(own.shallow_clone()) };
        let own = own.f_contiguous().map_err(failed)?;
        let mut shape = own.size();
        match shape.first_mut() {
            Some(rows) => *rows *= self.size as i64,
            None => shape.push(self.size as i64),
        }
        let all = Tensor::f_empty(shape, (own.kind(), own.device())).map_err(failed)?;
        // SAFETY: a live group and live tensors.
        checked(unsafe { ct_all_gather(ranks.words.get(), all.as_ptr().cast(), own.as_ptr().cast()) })?;
        Ok(all)
    }

    /// Gives rank 0's values of a tensor to all, in place.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn spread(&self, tensor: &Tensor) -> Result<(), Failure> {
        let Some(ranks) = &self.ranks else { return Ok(()) };
        // SAFETY: a live group and a live tensor.
        checked(unsafe { ct_broadcast(ranks.words.get(), tensor.as_ptr().cast(), 0) })
    }

    /// Rank 0's value on every rank; what the others bring is not looked at.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn of_first<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<T, Failure> {
        if self.size == 1 {
            return Ok(own);
        }
        let bytes = if self.leads() { serde_json::to_vec(&own).map_err(std::io::Error::from)? } else { Vec::new() };
        let length = Tensor::from_slice(&[bytes.len() as i64]);
        self.spread(&length)?;
        let length = length.f_int64_value(&[0]).map_err(failed)?;
        let text = if self.leads() {
            Tensor::f_from_slice(&bytes)
        } else {
            Tensor::f_zeros([length].as_slice(), (Kind::Uint8, tch::Device::Cpu))
        };
        let text = text.map_err(failed)?;
        self.spread(&text)?;
        if self.leads() {
            return Ok(own);
        }
        let bytes = Vec::<u8>::try_from(&text).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::new(FailureKind::Unknown, format!("from rank 0: {e}")))
    }

    /// The first two ranks that say the same.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn first_alike(&self, word: &str) -> Result<Option<(usize, usize)>, Failure> {
        let own = Tensor::from_slice(&[seed::child(0, word) as i64]);
        let all = Vec::<i64>::try_from(&self.all_gather(&own)?).map_err(failed)?;
        let before = |i: usize| all[..i].iter().position(|other| *other == all[i]);
        Ok((1..all.len()).find_map(|i| before(i).map(|other| (other, i))))
    }

    /// Does something on rank 0 and only then on the others, which find what it left (a cache).
    ///
    /// # Errors
    /// Those of `act`, or `Lost` when a rank is gone.
    pub fn first_leads<T>(&self, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        if self.leads() {
            let done = act()?;
            self.wait()?;
            return Ok(done);
        }
        self.wait()?;
        act()
    }

    /// Waits for all ranks.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn wait(&self) -> Result<(), Failure> {
        let Some(ranks) = &self.ranks else { return Ok(()) };
        // SAFETY: a live group.
        checked(unsafe { ct_barrier(ranks.words.get()) })
    }

    /// [`Group::all_gather`] that can be differentiated: a rank's rows take the gradients that all ranks give them.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn gathered(&self, own: &Tensor) -> Result<Tensor, TchError> {
        let Some(ranks) = &self.ranks else { return Ok(own.shallow_clone()) };
        // SAFETY: as in `differentiable`.
        differentiable(|out| unsafe { ct_gather(ranks.words.get(), own.as_ptr().cast(), out) })
    }

    /// What the rank `by` places back around the ring holds, while the rank `by` places on takes `own`; gradients go the
    /// other way.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn shifted(&self, own: &Tensor, by: i64) -> Result<Tensor, TchError> {
        let Some(ranks) = &self.ranks else { return Ok(own.shallow_clone()) };
        // SAFETY: as in `differentiable`.
        differentiable(|out| unsafe { ct_shift(ranks.words.get(), own.as_ptr().cast(), by, out) })
    }

    /// The sum over all ranks, of which each takes the gradients that all ranks give it.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn summed(&self, own: &Tensor) -> Result<Tensor, TchError> {
        let Some(ranks) = &self.ranks else { return Ok(own.shallow_clone()) };
        // SAFETY: as in `differentiable`.
        differentiable(|out| unsafe { ct_sum(ranks.words.get(), own.as_ptr().cast(), out) })
    }

    pub(super) fn gradients(&self) -> Option<*mut c_void> {
        self.ranks.as_ref().map(|ranks| ranks.gradients.get())
    }
}

/// Calls the shim with live handles and tensors, which outlive the graph: a group lives as long as its training.
fn differentiable(call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Result<Tensor, TchError> {
    let mut out = std::ptr::null_mut();
    checked(call(&raw mut out)).map_err(|f| TchError::Torch(f.message))?;
    // SAFETY: the shim allocated it with `new at::Tensor`, which is what tch frees.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}
