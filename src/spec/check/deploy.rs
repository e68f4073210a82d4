//! Rules between fields: graphs and engines.

use super::{Finding, finding};
use crate::spec::sections::Spec;

pub(super) fn naflex_export(spec: &Spec) -> Option<Finding> {
    spec.model.kind.ends_with("naflex").then(|| {
        let what = format!("{} cannot be exported: its image size varies", spec.model.kind);
        let help = "these can be: siglip2-so400m-patch14-224, -patch14-384, -patch16-256, -patch16-384, -patch16-512; c-radio_v3-b, -l, -h, -g; ViT-L-14-SigLIP-CLIPA-224, -336; ViT-H-14-SigLIP-CLIPA-224, -336, -574";
        finding("model.type", what, help)
    })
}

pub(super) fn export_square(spec: &Spec) -> Option<Finding> {
    let export = &spec.export;
    (export.input_height != export.input_width).then(|| {
        let what =
            format!("export.input_height {} and export.input_width {} differ", export.input_height, export.input_width);
        finding("export.input_height", what, "the models here take square images: set both to the side of training")
    })
}

/// `model.image_size` is the side of training, `export.*` that of the graph: said both ways, they must agree.
pub(super) fn export_size(spec: &Spec, is_set: &dyn Fn(&str) -> bool) -> Option<Finding> {
    let size = spec.model.image_size?;
    let sides = [("export.input_height", spec.export.input_height), ("export.input_width", spec.export.input_width)];
    let (key, side) = sides.into_iter().find(|(key, side)| is_set(key) && i64::try_from(*side) != Ok(size))?;
    let what = format!("{key} is {side}, but the model is trained at model.image_size {size}");
    Some(finding(key, what, format!("set export.input_height and export.input_width to {size}, or leave both out")))
}

pub(super) fn export_batch(spec: &Spec) -> Option<Finding> {
    let batch = spec.export.batch_size;
    (batch != -1 && batch < 1).then(|| {
        let what = format!("export.batch_size is {batch}");
        finding("export.batch_size", what, "use a fixed batch from 1 on, or -1 for a batch that may vary")
    })
}

pub(super) fn fixed_batch(spec: &Spec) -> Option<Finding> {
    (spec.gen_trt_engine.batch_size == 0).then(|| {
        let help = "use 1 or more, or -1 for a batch that may vary";
        finding("gen_trt_engine.batch_size", "gen_trt_engine.batch_size is 0", help)
    })
}

pub(super) fn onnx_file_missing(spec: &Spec) -> Option<Finding> {
    spec.gen_trt_engine.onnx_file.is_none().then(|| {
        finding(
            "gen_trt_engine.onnx_file",
            "gen_trt_engine.onnx_file is not set",
            "name the exported graph, or pass --parent with the study or export job",
        )
    })
}

pub(super) fn batch_profile(spec: &Spec) -> Option<Finding> {
    let t = &spec.gen_trt_engine.tensorrt;
    let good = t.min_batch_size <= t.opt_batch_size && t.opt_batch_size <= t.max_batch_size;
    (!good).then(|| {
        let what = format!(
            "the batch profile is min {}, opt {}, max {}",
            t.min_batch_size, t.opt_batch_size, t.max_batch_size
        );
        finding("gen_trt_engine.tensorrt.opt_batch_size", what, "keep min ≤ opt ≤ max")
    })
}
