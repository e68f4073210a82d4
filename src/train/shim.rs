//! The Rust side of `shim.cpp`: the only foreign calls of the trainer.
//!
//! Invariant: tensors that are handed over are borrowed for the call alone.

use std::ffi::{CStr, c_char};

use tch::Tensor;

use crate::journal::failure::{Failure, FailureKind};

type Ptr = *const std::ffi::c_void;

unsafe extern "C" {
    fn ct_free(message: *mut c_char);
    fn ct_adamw(
        parameters: *const Ptr,
        first: *const Ptr,
        second: *const Ptr,
        steps: *const Ptr,
        n: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        eps: f64,
        grad_scale: Ptr,
    ) -> *mut c_char;
    fn ct_lamb(
        parameters: *const Ptr,
        first: *const Ptr,
        second: *const Ptr,
        steps: *const Ptr,
        n: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        eps: f64,
        grad_scale: Ptr,
    ) -> *mut c_char;
    fn ct_lion(
        parameters: *const Ptr,
        first: *const Ptr,
        steps: *const Ptr,
        n: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        grad_scale: Ptr,
    ) -> *mut c_char;
    fn ct_average(averages: *const Ptr, values: *const Ptr, n: i64, decay: f64) -> *mut c_char;
    fn ct_grad_norm(parameters: *const Ptr, n: i64, out: *mut *mut std::ffi::c_void) -> *mut c_char;
    fn ct_zero_grad(parameters: *const Ptr, n: i64) -> *mut c_char;
    fn ct_keep_freed_memory();
    fn ct_kernels(benchmark: bool, deterministic: bool);
    fn ct_peak_memory(device: i64, out: *mut i64) -> *mut c_char;
}

/// Which optimiser makes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Adam with a step for each tensor in proportion to its norm.
    Lamb,
    /// The sign of the momentum.
    Lion,
}

/// Coefficients of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub decay: f64,
    pub eps: f64,
}

fn pointers(tensors: &[Tensor]) -> Vec<Ptr> {
    tensors.iter().map(|t| t.as_ptr().cast()).collect()
}

fn checked(message: *mut c_char) -> Result<(), Failure> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns a NUL-terminated string that nothing else holds.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; it came from strdup.
    unsafe { ct_free(message) };
    let first = text.lines().next().unwrap_or_default();
    let kind = if text.contains("out of memory") || text.contains("can't allocate memory") {
        FailureKind::OutOfMemory
    } else {
        FailureKind::Unknown
    };
    Err(Failure::new(kind, format!("libtorch: {first}")))
}

/// One step over the parameters that have a gradient; counts their steps. Gradients are divided by `grad_scale`. The
/// second moments are not looked at by Lion.
pub(super) fn optimizer_step(
    rule: Rule,
    [parameters, first, second, steps]: [&[Tensor]; 4],
    step: Step,
    grad_scale: Option<&Tensor>,
) -> Result<(), Failure> {
    let (p, m, v, s) = (pointers(parameters), pointers(first), pointers(second), pointers(steps));
    assert!(p.len() == m.len() && (rule == Rule::Lion || p.len() == v.len()) && p.len() == s.len());
    let scale = grad_scale.map_or(std::ptr::null(), |t| t.as_ptr().cast());
    let (p, m, v, s, n) = (p.as_ptr(), m.as_ptr(), v.as_ptr(), s.as_ptr(), p.len() as i64);
    let Step { lr, beta1, beta2, decay, eps } = step;
    // SAFETY: lists of the same length of live tensors.
    checked(unsafe {
        match rule {
            Rule::AdamW => ct_adamw(p, m, v, s, n, lr, beta1, beta2, decay, eps, scale),
            Rule::Lamb => ct_lamb(p, m, v, s, n, lr, beta1, beta2, decay, eps, scale),
            Rule::Lion => ct_lion(p, m, s, n, lr, beta1, beta2, decay, scale),
        }
    })
}

/// Moves each average towards its value by a share of 1 - `decay`.
pub(super) fn average(averages: &[Tensor], values: &[Tensor], decay: f64) -> Result<(), Failure> {
    assert_eq!(averages.len(), values.len());
    let (to, from) = (pointers(averages), pointers(values));
    // SAFETY: two lists of the same length of live tensors.
    checked(unsafe { ct_average(to.as_ptr(), from.as_ptr(), to.len() as i64, decay) })
}

/// The 2-norm of all gradients together, a scalar on their device.
pub(super) fn grad_norm(parameters: &[Tensor]) -> Result<Tensor, Failure> {
    let p = pointers(parameters);
    let mut out = std::ptr::null_mut();
    // SAFETY: a list of live tensors; the result is a new tensor that we own.
    checked(unsafe { ct_grad_norm(p.as_ptr(), p.len() as i64, &raw mut out) })?;
    // SAFETY: the shim allocated it with `new at::Tensor`, which is what tch frees.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// Drops the gradients.
pub(super) fn zero_grad(parameters: &[Tensor]) -> Result<(), Failure> {
    let p = pointers(parameters);
    // SAFETY: a list of live tensors.
    checked(unsafe { ct_zero_grad(p.as_ptr(), p.len() as i64) })
}

/// Chooses the kernels of a GPU (`train.cudnn`): the fastest of those that were tried, and only those that repeat bit by bit.
pub(super) fn choose_kernels(benchmark: bool, deterministic: bool) {
    // SAFETY: only sets switches of libtorch's context.
    unsafe { ct_kernels(benchmark, deterministic) };
}

/// Most bytes that tensors took of a GPU at a time.
pub(super) fn peak_memory(device: usize) -> Result<u64, Failure> {
    let mut bytes = 0;
    // SAFETY: a place to write to.
    checked(unsafe { ct_peak_memory(device as i64, &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Lets the process keep freed activations for the next step.
pub fn keep_freed_memory() {
    // SAFETY: only sets parameters of the allocator.
    unsafe { ct_keep_freed_memory() };
}
