//! What the tests of exports share: the families' tiny models (`tests/golden/models`), exported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cliptune::export::graph::Options;
use cliptune::export::run::{self, Exported, Request};
use cliptune::export::samples::Samples;
use cliptune::export::weights::Storage;
use cliptune::journal::failure::Failure;
use cliptune::model::{Clip, ClipConfig, weights};
use cliptune::onnx::external;
use cliptune::text::Tokenizer;
use serde_json::json;
use tch::{Device, Tensor};

/// Families with a graph.
pub(crate) const FAMILIES: &[&str] = &["siglip", "nv_clip", "hf_clip", "radio_siglip", "radio_clip"];

pub(crate) const OPTIONS: Options = Options { opset: 17, batch: None, storage: Storage::Fp32 };

pub(crate) fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(family)
}

/// Inputs and embeddings of the Python reference.
pub(crate) fn golden(family: &str) -> BTreeMap<String, Tensor> {
    weights::read(&folder(family).join("golden.safetensors")).unwrap()
}

pub(crate) fn model(family: &str) -> Clip {
    let mut config = ClipConfig::read(&ClipConfig::file_in(&folder(family)).unwrap()).unwrap();
    config.init_logit_bias = config.init_logit_bias.or(Some(-3.0));
    let model = Clip::new(&config, Device::Cpu, 1).unwrap();
    model.load(&folder(family).join("canonical.safetensors")).unwrap();
    model
}

pub(crate) fn samples(family: &str) -> Samples {
    let mut data = golden(family);
    let mut take = |name: &str| data.remove(name).unwrap();
    Samples { images: take("images"), tokens: take("tokens"), source: "golden".into() }
}

/// Exports with what `change` makes of the usual request.
pub(crate) fn export_with(
    family: &str,
    onnx_file: &Path,
    model: Clip,
    change: impl FnOnce(&mut Request<'_>),
) -> Result<Exported, Failure> {
    let (weights, tokenizer) = (folder(family).join("canonical.safetensors"), Tokenizer::clip_bpe(9));
    let mut request = Request {
        weights: &weights,
        preprocess: json!({"size": 16}),
        tokenizer: &tokenizer,
        onnx_file,
        separate: false,
        options: OPTIONS,
        batch: 3,
        threads: 1,
        external_limit: external::LIMIT,
        replace: false,
    };
    change(&mut request);
    run::export(&request, model, &samples(family))
}

pub(crate) fn export(family: &str, onnx_file: &Path, separate: bool) -> Result<Exported, Failure> {
    export_with(family, onnx_file, model(family), |request| request.separate = separate)
}
