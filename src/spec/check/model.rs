//! Rules between fields: what is trained.

use super::{Finding, finding};
use crate::spec::sections::Spec;

pub(super) fn adaptor_missing(spec: &Spec) -> Option<Finding> {
    let known = spec.model.adaptor_name.as_deref().is_some_and(|a| matches!(a, "siglip" | "clip"));
    (spec.model.kind.starts_with("c-radio") && !known).then(|| {
        let what = format!("{} needs model.adaptor_name", spec.model.kind);
        finding("model.adaptor_name", what, "set model.adaptor_name to siglip or clip")
    })
}

pub(super) fn nothing_trains(spec: &Spec) -> Option<Finding> {
    let peft = &spec.peft;
    if peft.enabled && [&peft.vision, &peft.text].iter().all(|tower| tower.mode == "frozen") {
        let what = "peft.enabled is true and both towers are frozen: nothing would be adapted";
        return Some(finding("peft.vision.mode", what, "set peft.vision.mode or peft.text.mode to lora (or full)"));
    }
    let frozen = spec.model.freeze_vision_encoder && spec.model.freeze_text_encoder && !peft.enabled;
    frozen.then(|| {
        finding("model.freeze_text_encoder", "both towers are frozen: nothing would be trained", "free one of them")
    })
}

pub(super) fn image_size_positive(spec: &Spec) -> Option<Finding> {
    let size = spec.model.image_size?;
    (!(1..=8192).contains(&size)).then(|| {
        finding(
            "model.image_size",
            format!("model.image_size is {size}"),
            "use the side, in pixels, that the model takes",
        )
    })
}
