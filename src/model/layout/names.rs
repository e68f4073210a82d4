//! Names without what training frameworks put around a model.

/// Prefixes of wrappers: data-parallel and compiled modules, Lightning, TAO's adapter and its backbone.
const WRAPPERS: &[&str] = &["module.", "_orig_mod.", "model.", "backbone.", "inner."];

/// Other spellings of the same tensors, after the wrappers.
const SPELLINGS: &[(&str, &str)] = &[
    ("radio_model.model.", "base_model."),
    ("radio_model.input_conditioner.", "input_conditioner."),
    ("params/", ""),
    // A tower of timm on its own.
    ("embeds.", "visual.trunk.embeds."),
    ("patch_embed.", "visual.trunk.patch_embed."),
    ("pos_embed", "visual.trunk.pos_embed"),
    ("blocks.", "visual.trunk.blocks."),
    ("norm.", "visual.trunk.norm."),
    ("attn_pool.", "visual.trunk.attn_pool."),
];

/// The name without wrappers, and how many there were: of two tensors that end up with one name, the one with fewer counts.
pub fn plain(name: &str) -> (String, usize) {
    let (mut rest, mut depth) = (name, 0);
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| rest.strip_prefix(wrapper)) {
        (rest, depth) = (inner, depth + 1);
    }
    let spelled = SPELLINGS.iter().find_map(|(from, to)| Some(format!("{to}{}", rest.strip_prefix(from)?)));
    // An old spelling of a layer scale, chosen to keep `gamma` out of reach of a renaming in transformers.
    let plain = spelled.unwrap_or_else(|| rest.to_owned());
    let plain = plain.strip_suffix(".grandma").map(|p| format!("{p}.gamma")).unwrap_or(plain);
    (plain, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_of_lightning_and_tao_are_taken_off() {
        let plain = |name| plain(name).0;
        assert_eq!(plain("model.backbone.inner.vision_model.head.probe"), "vision_model.head.probe");
        assert_eq!(plain("module.visual.proj"), "visual.proj");
        assert_eq!(plain("radio_model.model.blocks.0.ls1.grandma"), "base_model.blocks.0.ls1.gamma");
        assert_eq!(plain("blocks.0.attn.qkv.bias"), "visual.trunk.blocks.0.attn.qkv.bias");
        assert_eq!(plain("logit_scale"), "logit_scale");
        assert_eq!(super::plain("model.backbone.inner.logit_scale"), ("logit_scale".to_owned(), 3));
    }
}
