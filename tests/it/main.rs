//! The one integration binary: each extra one would link libtorch again.
#![allow(missing_docs)]
mod spec;
mod search;
mod study;
mod tui;
mod cli;
mod tidy;
#[cfg(feature = "torch")]
mod data;
#[cfg(feature = "torch")]
mod retrieval;
#[cfg(feature = "torch")]
mod model;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod onnx;
#[cfg(feature = "torch")]
mod export;
#[cfg(feature = "torch")]
mod e2e;
#[cfg(feature = "torch")]
mod bad_data;
