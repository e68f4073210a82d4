//! Which parameters of a model a run trains: what the freeze and lock keys of `model` say or, with `peft`, its modes.

use super::optim::depth;
use crate::journal::failure::{Failure, FailureKind};
use crate::model::parameters::Part;
use crate::model::{Clip, Lora};
use crate::spec::sections::{PeftTower, Spec};

/// Freezes, locks and adapts the towers of a model as the spec says.
///
/// # Errors
/// `SpecInvalid` when adapters would stand nowhere or more blocks are locked than there are.
pub(super) fn choose(model: &mut Clip, spec: &Spec, seed: u64) -> Result<(), Failure> {
    if spec.peft.enabled {
        for (part, tower) in [(Part::Vision, &spec.peft.vision), (Part::Text, &spec.peft.text)] {
            match tower.mode.as_str() {
                "full" => {}
                "lora" => model.adapt(part, &lora(tower), seed)?,
                _ => model.freeze(part),
            }
        }
        if !spec.peft.train_logit_calibration {
            model.freeze(Part::Logit);
        }
        return Ok(());
    }
    let m = &spec.model;
    let flags = [(Part::Vision, m.freeze_vision_encoder), (Part::Text, m.freeze_text_encoder)];
    flags.iter().filter(|(_, on)| *on).for_each(|(part, _)| model.freeze(*part));
    for (part, blocks) in [(Part::Vision, m.locked_vision_blocks), (Part::Text, m.locked_text_blocks)] {
        lock(model, part, i32::try_from(blocks).unwrap_or(i32::MAX))?;
    }
    Ok(())
}

fn lora(tower: &PeftTower) -> Lora {
    Lora {
        rank: i64::try_from(tower.rank).unwrap_or(i64::MAX),
        alpha: tower.alpha as f64,
        dropout: tower.dropout,
        targets: tower.target_modules.clone(),
        last_blocks: usize::try_from(tower.num_last_blocks).unwrap_or(usize::MAX),
    }
}

/// Keeps the first blocks of a tower and what is below them as they are (LiT's locking, from the input).
fn lock(model: &Clip, part: Part, blocks: i32) -> Result<(), Failure> {
    if blocks == 0 {
        return Ok(());
    }
    let own = || model.named().filter(|(p, _)| p.part == part);
    let top = own().map(|(p, _)| depth(&p.name, 0)).max().unwrap_or(0);
    if blocks > top {
        let key = if part == Part::Vision { "vision" } else { "text" };
        let why =
            format!("model.locked_{key}_blocks is {blocks}, the tower has {top} blocks; to keep all of it, freeze it");
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    for (_, tensor) in own().filter(|(p, _)| depth(&p.name, top + 1) <= blocks) {
        let _ = tensor.set_requires_grad(false);
    }
    Ok(())
}
