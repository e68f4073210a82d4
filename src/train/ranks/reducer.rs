//! Gradients as the mean over all ranks, sent in buckets while the backward pass goes on (as PyTorch's DDP, Li et al. 2020).
//! In shards (ZeRO-2, Rajbhandari et al. 2020), each rank gets only its part of each gradient.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use super::checked;
use super::group::Group;
use crate::journal::failure::Failure;

type Ptr = *const c_void;

unsafe extern "C" {
    fn ct_reducer_new(
        group: *mut c_void,
        parameters: *const Ptr,
        pieces: *const Ptr,
        n: i64,
        bucket_bytes: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn ct_reducer_free(reducer: *mut c_void);
    fn ct_reducer_arm(reducer: *mut c_void);
    fn ct_reducer_finish(reducer: *mut c_void) -> *mut c_char;
    fn ct_reducer_share(reducer: *mut c_void) -> *mut c_char;
}

/// Bytes of a bucket: those of DDP.
const BUCKET: i64 = 25 << 20;

/// Takes the gradients of a model's parameters to the other ranks.
#[derive(Debug)]
pub struct Reducer {
    handle: Option<*mut c_void>,
    in_shards: bool,
    /// Outlives the handle, which uses its connections.
    _group: Group,
}

impl Reducer {
    /// A reducer for parameters, listed in the order in which the model uses them. `pieces` are this rank's parts of each of
    /// them (none, or without values, where it has no part), which are then all that has gradients.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(group: &Group, parameters: &[Tensor], pieces: Option<&[Tensor]>) -> Result<Self, Failure> {
        Self::with_buckets(group, parameters, pieces, BUCKET)
    }

    /// [`Reducer::new`] with buckets of so many bytes.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn with_buckets(
        group: &Group,
        parameters: &[Tensor],
        pieces: Option<&[Tensor]>,
        bytes: i64,
    ) -> Result<Self, Failure> {
        let pointers = |tensors: &[Tensor]| tensors.iter().map(|t| t.as_ptr().cast()).collect();
        let (own, parts): (Vec<Ptr>, Option<Vec<Ptr>>) = (pointers(parameters), pieces.map(pointers));
        assert!(parts.as_ref().is_none_or(|parts| parts.len() == own.len()));
        let handle = match group.gradients() {
            Some(ranks) => {
                let mut out = std::ptr::null_mut();
                let parts = parts.as_ref().map_or(std::ptr::null(), |parts| parts.as_ptr());
                // SAFETY: a live group, lists of that many live tensors, of which the shim keeps references of its own.
                checked(unsafe { ct_reducer_new(ranks, own.as_ptr(), parts, own.len() as i64, bytes, &raw mut out) })?;
                Some(out)
            }
            None => None,
        };
        Ok(Self { handle, in_shards: pieces.is_some(), _group: group.clone() })
    }

    /// The next backward pass is the last one of the step: gradients leave as they come. What came before leaves at the end.
    pub fn arm(&self) {
        if let Some(handle) = self.handle {
            // SAFETY: a live handle.
            unsafe { ct_reducer_arm(handle) };
        }
    }

    /// Waits for what is under way; the gradients are then the means over all ranks.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn finish(&self) -> Result<(), Failure> {
        // SAFETY: a live handle.
        self.handle.map_or(Ok(()), |handle| checked(unsafe { ct_reducer_finish(handle) }))
    }

    /// After a step: gives this rank's parts of the parameters to the others and takes theirs.
    ///
    /// # Errors
    /// `Lost` when a rank is gone.
    pub fn share(&self) -> Result<(), Failure> {
        match self.handle.filter(|_| self.in_shards) {
            // SAFETY: a live handle.
            Some(handle) => checked(unsafe { ct_reducer_share(handle) }),
            None => Ok(()),
        }
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            // SAFETY: made by ct_reducer_new and freed once.
            unsafe { ct_reducer_free(handle) };
        }
    }
}
