//! Values of the schema that this version does not carry out yet. They are refused with a reason, never ignored; whoever
//! implements one deletes its row.

use super::check::{Finding, finding};
use super::sections::{AutomlPolicy, Spec};
use crate::base::action::Action;

struct Row {
    action: Action,
    key: &'static str,
    refused: fn(&Spec) -> bool,
    why: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        action: Action::Train,
        key: "train.num_nodes",
        refused: |s| s.train.num_nodes > 1 && s.automl_policy != AutomlPolicy::Off,
        why: "each trial of a study trains on one machine; for one training on several set automl_policy: off and start it on all of them with srun or torchrun",
    },
    Row {
        action: Action::Train,
        key: "train.seed",
        refused: |s| s.train.seed < 0,
        why: "-1 would mean a seed that nobody knows; every run is seeded, so that it can be reproduced and continued: use a number from 0",
    },
    Row {
        action: Action::Evaluate,
        key: "evaluate.num_gpus",
        refused: |s| s.evaluate.num_gpus > 1,
        why: "one device measures",
    },
    Row {
        action: Action::Inference,
        key: "inference.num_gpus",
        refused: |s| s.inference.num_gpus > 1,
        why: "one device embeds",
    },
    Row {
        action: Action::Export,
        key: "export.input_channel",
        refused: |s| s.export.input_channel != 3,
        why: "images have three channels",
    },
    Row {
        action: Action::Export,
        key: "export.gpu_id",
        refused: |s| s.export.gpu_id != 0,
        why: "graphs are written and compared on the CPU, where they come out the same whatever GPUs there are",
    },
    Row {
        action: Action::GenTrtEngine,
        key: "gen_trt_engine.timing_cache",
        refused: |s| s.gen_trt_engine.timing_cache.is_some(),
        why: "TensorRT-RTX times no kernels when it builds (since 1.2 its timing cache does nothing), and the bindings to TensorRT for data-centre GPUs have none",
    },
];

/// Everything that is asked for and not offered. A study that promotes exports and builds, too.
pub(super) fn run(action: Action, spec: &Spec) -> Vec<Finding> {
    let promotes = action == Action::Train && spec.automl_policy != AutomlPolicy::Off && spec.automl.promote;
    let is_run = |of: Action| match of {
        Action::Train => matches!(action, Action::Train | Action::Select),
        Action::Export | Action::GenTrtEngine => of == action || promotes,
        other => other == action,
    };
    ROWS.iter()
        .filter(|row| is_run(row.action) && (row.refused)(spec))
        .map(|row| {
            finding(
                row.key,
                format!("this value of {} is not offered: {}", row.key, row.why),
                "leave the key at its default",
            )
        })
        .collect()
}
