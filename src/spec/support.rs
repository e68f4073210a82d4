//! Values of the schema that this version does not carry out yet. They are refused with a reason, never ignored; whoever
//! implements one deletes its row.

use super::check::{Finding, finding};
use super::sections::{AutomlPolicy, Spec};
use crate::base::action::Action;

struct Row {
    key: &'static str,
    refused: fn(&Spec) -> bool,
    why: &'static str,
}

const TRAIN: &[Row] = &[
    Row {
        key: "train.num_nodes",
        refused: |s| s.train.num_nodes > 1 && s.automl_policy != AutomlPolicy::Off,
        why: "each trial of a study trains on one machine; for one training on several set automl_policy: off and start it on all of them with srun or torchrun",
    },
    Row {
        key: "train.seed",
        refused: |s| s.train.seed < 0,
        why: "-1 would mean a seed that nobody knows; every run is seeded, so that it can be reproduced and continued: use a number from 0",
    },
];

const DEPLOY: &[Row] = &[
    Row { key: "evaluate.num_gpus", refused: |s| s.evaluate.num_gpus > 1, why: "one device measures" },
    Row { key: "inference.num_gpus", refused: |s| s.inference.num_gpus > 1, why: "one device embeds" },
    Row { key: "export.input_channel", refused: |s| s.export.input_channel != 3, why: "images have three channels" },
];

/// Everything that is asked for and not offered.
pub(super) fn run(action: Action, spec: &Spec) -> Vec<Finding> {
    let rows = match action {
        Action::Train | Action::Select => TRAIN,
        Action::Evaluate | Action::Inference | Action::Export | Action::GenTrtEngine => DEPLOY,
    };
    rows.iter()
        .filter(|row| (row.refused)(spec))
        .map(|row| {
            finding(
                row.key,
                format!("this value of {} is not offered: {}", row.key, row.why),
                "leave the key at its default",
            )
        })
        .collect()
}
