//! Parameter groups: image tower, text tower and logit scalars, each split into what decays and what does not, and by depth
//! where the rate falls with it.

use tch::Tensor;

use crate::model::Clip;
use crate::model::parameters::Part;

/// Parameters that share a learning rate and a weight decay.
#[derive(Debug)]
pub struct Group {
    /// Whose learning rate applies.
    pub part: Part,
    /// What that rate is multiplied by.
    pub rate_factor: f64,
    /// Whether weight decay applies.
    pub decays: bool,
    /// Names, in the order of the tensors.
    pub names: Vec<String>,
    /// The parameters.
    pub tensors: Vec<Tensor>,
}

/// The groups of a model's trained parameters; empty groups are left out. With `layer_decay`, the rate of a layer is that of
/// the layer above times this: embeddings lowest, the projection highest (BEiT's rule, as open_clip applies it).
pub fn groups(model: &Clip, layer_decay: Option<f64>) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for part in [Part::Vision, Part::Text, Part::Logit] {
        let top = model.named().filter(|(p, _)| p.part == part).filter_map(|(p, _)| block(&p.name)).max();
        let top = top.map_or(0, |last| last + 2);
        for decays in [true, false] {
            let members = model.named().filter(|(p, t)| p.part == part && p.decays() == decays && t.requires_grad());
            for (p, tensor) in members {
                let below = if layer_decay.is_some() { top - depth(&p.name, top) } else { 0 };
                let rate_factor = layer_decay.unwrap_or(1.0).powi(below);
                let same = |g: &&mut Group| g.part == part && g.decays == decays && g.rate_factor == rate_factor;
                let (name, tensor) = (p.name.clone(), tensor.shallow_clone());
                match out.iter_mut().find(same) {
                    Some(group) => {
                        group.names.push(name);
                        group.tensors.push(tensor);
                    }
                    None => out.push(Group { part, rate_factor, decays, names: vec![name], tensors: vec![tensor] }),
                }
            }
        }
    }
    out
}

/// How far above the input a parameter is: embeddings 0, block `i` at `i + 1`, heads and final norms at `top`.
pub(in crate::train) fn depth(name: &str, top: i32) -> i32 {
    const EMBEDDINGS: [&str; 6] =
        ["conv1", "class_embedding", "cls_token", "positional_embedding", "token_embedding", "ln_pre"];
    match block(name) {
        Some(i) => i + 1,
        None if EMBEDDINGS.iter().any(|e| name.contains(e)) => 0,
        None => top,
    }
}

/// The transformer block of a parameter.
fn block(name: &str) -> Option<i32> {
    name.split_once("resblocks.")?.1.split('.').next()?.parse().ok()
}
