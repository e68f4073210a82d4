//! Parameter groups: image tower, text tower and logit scalars, each split into what decays and what does not.

use tch::Tensor;

use crate::model::Clip;
use crate::model::parameters::Part;

/// Parameters that share a learning rate and a weight decay.
#[derive(Debug)]
pub struct Group {
    /// Whose learning rate applies.
    pub part: Part,
    /// Whether weight decay applies.
    pub decays: bool,
    /// Names, in the order of the tensors.
    pub names: Vec<String>,
    /// The parameters.
    pub tensors: Vec<Tensor>,
}

/// The groups of a model's trained parameters; empty groups are left out.
pub fn groups(model: &Clip) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for part in [Part::Vision, Part::Text, Part::Logit] {
        for decays in [true, false] {
            let members = model.named().filter(|(p, t)| p.part == part && p.decays() == decays && t.requires_grad());
            let (names, tensors): (Vec<_>, Vec<_>) = members.map(|(p, t)| (p.name.clone(), t.shallow_clone())).unzip();
            if !tensors.is_empty() {
                out.push(Group { part, decays, names, tensors });
            }
        }
    }
    out
}
