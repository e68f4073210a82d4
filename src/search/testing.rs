//! The conformance suite that every sampler must pass.
