//! Functions whose activations are not kept between the passes: the backward pass computes them again (gradient
//! checkpointing, Chen et al. 2016). Gradients are those without it, bit for bit; dropout drops the same both times.

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{TchError, Tensor};

/// Computes on `x`; null and a message otherwise.
type Run = extern "C" fn(*mut c_void, *const c_void, *mut *const c_char) -> *mut c_void;
type Forget = extern "C" fn(*mut c_void);

unsafe extern "C" {
    fn ct_recomputed(
        x: *const c_void,
        trained: bool,
        function: *mut c_void,
        run: Run,
        forget: Forget,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn ct_free(message: *mut c_char);
}

type Function = dyn Fn(&Tensor) -> Result<Tensor, TchError> + Send;

struct Closure {
    function: Box<Function>,
    /// The last error, kept while the shim copies it.
    error: CString,
}

extern "C" fn run(closure: *mut c_void, x: *const c_void, error: *mut *const c_char) -> *mut c_void {
    // SAFETY: the shim hands back what `recomputed` gave it, one call at a time.
    let closure = unsafe { &mut *closure.cast::<Closure>() };
    // SAFETY: a live tensor, of which this takes a reference of its own.
    let x = unsafe { Tensor::clone_from_ptr(x.cast_mut().cast()) };
    let text = match catch_unwind(AssertUnwindSafe(|| (closure.function)(&x))) {
        Ok(Ok(y)) => {
            let out = y.as_ptr().cast_mut().cast();
            // The shim takes the tensor over.
            std::mem::forget(y);
            return out;
        }
        Ok(Err(e)) => e.to_string(),
        Err(_) => "a panic while activations were computed".to_owned(),
    };
    closure.error = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: a place to write to.
    unsafe { *error = closure.error.as_ptr() };
    std::ptr::null_mut()
}

extern "C" fn forget(closure: *mut c_void) {
    // SAFETY: made by Box::into_raw in `recomputed`, and forgotten once.
    drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
}

/// `function` of `x`, computed again in the backward pass. `trained` says whether anything inside it takes gradients, which
/// it then adds to when the backward pass comes by.
///
/// # Errors
/// Those of `function`.
pub(super) fn recomputed(
    x: &Tensor,
    trained: bool,
    function: impl Fn(&Tensor) -> Result<Tensor, TchError> + Send + 'static,
) -> Result<Tensor, TchError> {
    let closure = Box::new(Closure { function: Box::new(function), error: CString::default() });
    let mut error = std::ptr::null_mut();
    // SAFETY: a live tensor; the shim owns the closure from here on and calls it with the two functions above.
    let out = unsafe {
        ct_recomputed(x.as_ptr().cast(), trained, Box::into_raw(closure).cast(), run, forget, &raw mut error)
    };
    if !out.is_null() {
        // SAFETY: the shim allocated it with `new at::Tensor`, which is what tch frees.
        return Ok(unsafe { Tensor::from_ptr(out.cast()) });
    }
    // SAFETY: without a result there is a message, NUL-terminated, from strdup.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: as above; nothing else holds it.
    unsafe { ct_free(error) };
    Err(TchError::Torch(text))
}
