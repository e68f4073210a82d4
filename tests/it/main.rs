//! The one integration binary: each extra one would link libtorch again.
#![allow(missing_docs, clippy::unwrap_used)]
#[cfg(feature = "torch")]
mod again;
#[cfg(feature = "torch")]
mod attributes;
#[cfg(feature = "torch")]
mod bad_data;
mod bench;
#[cfg(feature = "torch")]
mod classify;
mod cli;
#[cfg(feature = "torch")]
mod data;
#[cfg(feature = "torch")]
mod data_fuzz;
#[cfg(feature = "torch")]
mod distributed;
mod docs;
#[cfg(feature = "torch")]
mod e2e;
#[cfg(feature = "torch")]
mod encryption;
mod eta;
#[cfg(feature = "torch")]
mod export;
#[cfg(feature = "torch")]
mod exported;
mod fake;
#[cfg(feature = "torch")]
mod families;
mod faults;
#[cfg(feature = "torch")]
mod frozen;
#[cfg(feature = "torch")]
mod full_size;
#[cfg(feature = "torch")]
mod hub;
#[cfg(feature = "torch")]
mod images;
mod kubernetes;
#[cfg(feature = "torch")]
mod layouts;
#[cfg(feature = "torch")]
mod lora;
#[cfg(feature = "torch")]
mod measure;
#[cfg(feature = "torch")]
mod model;
#[cfg(feature = "torch")]
mod onnx;
mod outputs;
#[cfg(feature = "torch")]
mod pixels;
mod promotion;
#[cfg(feature = "torch")]
mod ranks;
mod report;
#[cfg(feature = "torch")]
mod retrieval;
#[cfg(feature = "torch")]
mod s3;
mod search;
#[cfg(feature = "torch")]
mod shards;
#[cfg(feature = "torch")]
mod signals;
mod slurm;
mod space;
mod spec;
mod steer;
mod store;
mod study;
#[cfg(feature = "torch")]
mod tables;
#[cfg(feature = "torch")]
mod tensors;
#[cfg(feature = "torch")]
mod text;
mod tidy;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod train_curves;
#[cfg(feature = "torch")]
mod train_families;
#[cfg(feature = "torch")]
mod train_steps;
mod tui;
#[cfg(feature = "torch")]
mod worker;
