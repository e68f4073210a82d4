//! The model types that come with the binary: a config each, in whichever format says it.
//!
//! C-RADIO's configs hold the backbone; the head and the text tower come from the adaptor's own.

use serde_json::Value;

use super::{ClipConfig, invalid};
use crate::journal::failure::Failure;

macro_rules! bundle {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../configs/", $name, ".json")))),*] };
}

const COMPLETE: &[(&str, &str)] = bundle![
    "siglip2-so400m-patch16-256",
    "siglip2-so400m-patch14-224",
    "siglip2-so400m-patch14-384",
    "siglip2-so400m-patch16-384",
    "siglip2-so400m-patch16-512",
    "siglip2-so400m-patch16-naflex",
    "ViT-L-14-SigLIP-CLIPA-224",
    "ViT-L-14-SigLIP-CLIPA-336",
    "ViT-H-14-SigLIP-CLIPA-224",
    "ViT-H-14-SigLIP-CLIPA-336",
    "ViT-H-14-SigLIP-CLIPA-574",
    "clip-tiny-64",
];
const BACKBONES: &[(&str, &str)] = bundle!["c-radio_v3-b", "c-radio_v3-l", "c-radio_v3-h", "c-radio_v3-g"];
/// Adaptors of C-RADIO by the name a spec gives them.
const ADAPTORS: &[(&str, &str)] = &[
    ("siglip", include_str!("../configs/c-radio_v3-siglip.json")),
    ("clip", include_str!("../configs/c-radio_v3-clip.json")),
];

/// Names of the bundled model types.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMPLETE.iter().chain(BACKBONES).map(|(name, _)| *name)
}

/// The bundled config of this name, if there is one.
pub(super) fn find(name: &str, adaptor: Option<&str>) -> Option<Result<ClipConfig, Failure>> {
    if let Some((_, text)) = COMPLETE.iter().find(|(own, _)| *own == name) {
        return Some(ClipConfig::parse(text, name));
    }
    let (_, backbone) = BACKBONES.iter().find(|(own, _)| *own == name)?;
    let chosen = ADAPTORS.iter().find(|(own, _)| Some(*own) == adaptor);
    let Some((_, overlay)) = chosen else {
        let given = adaptor.map_or("is not set".to_owned(), |a| format!("is {a:?}"));
        let choice: Vec<&str> = ADAPTORS.iter().map(|(own, _)| *own).collect();
        return Some(Err(invalid(format!(
            "model.adaptor_name {given}: {name} makes embeddings through the adaptor of a teacher, so set it to {}",
            choice.join(" or ")
        ))));
    };
    let merged = serde_json::from_str::<Value>(backbone).and_then(|mut tree| {
        merge(&mut tree, serde_json::from_str(overlay)?);
        Ok(tree.to_string())
    });
    Some(match merged {
        Ok(text) => ClipConfig::parse(&text, name),
        Err(e) => Err(invalid(format!("{name}: {e}"))),
    })
}

/// Puts the keys of `over` into `tree`, objects into objects.
fn merge(tree: &mut Value, over: Value) {
    match (tree, over) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (tree, over) => *tree = over,
    }
}
