//! The terminal UI: frames of a fixed study at several sizes, and what scripted keys do.

mod frames;
mod keys;
mod large;
mod live;
mod source;

use std::sync::Arc;

use cliptune::base::estimate::Estimate;
use cliptune::base::ids::TrialId;
use cliptune::base::machine::Load;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{Direction, GpuSample};
use cliptune::search::importance::Importance;
use cliptune::state::timeline::{Bar, Lane, Step};
use cliptune::state::{PromotionStep, TrialStatus};
use cliptune::tui::app::{App, Effect};
use cliptune::tui::keymap_table::Key;
use cliptune::tui::rows::{Controller, Curves, Gpu, Host, PromotedFile, Promotion, Study, Tick, Trial};
use cliptune::tui::theme::{Colours, Theme};
use cliptune::tui::view;
use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

const RICH: Theme = Theme { colours: Colours::Many, ascii: false };
const PLAIN: Theme = Theme { colours: Colours::None, ascii: true };

fn trial(id: u32, status: TrialStatus, values: &[f64], budget: u32, rates: (f64, f64)) -> Trial {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(epoch, v)| (epoch as f64, *v)).collect();
    let best = points.iter().filter(|p| p.1.is_finite()).fold(None, |best: Option<(f64, f64)>, p| match best {
        Some(b) if b.1 >= p.1 => Some(b),
        _ => Some(*p),
    });
    let epochs = values.len().saturating_sub(1) as u32;
    let losses = (1..=epochs).map(|e| (f64::from(e), 2.0 / f64::from(e))).collect();
    Trial {
        id: TrialId(id),
        status,
        value: best.map(|b| b.1),
        best_epoch: best.map(|b| b.0 as u32),
        epochs,
        budget,
        curves: Arc::new(Curves {
            metrics: [("val/t2i_mAP".to_owned(), points), ("train/loss".to_owned(), losses)].into(),
            ticks: (0..=epochs).map(f64::from).map(|e| Tick { epoch: e, step: 8.0 * e, seconds: 61.0 * e }).collect(),
        }),
        params: if id == 0 {
            Default::default()
        } else {
            [("train.optim.vision_lr".to_owned(), json!(rates.0)), ("train.optim.text_lr".to_owned(), json!(rates.1))]
                .into()
        },
        rates: (Some(rates.0), Some(rates.1)),
        images_per_s: (epochs > 0).then_some(400.0 + f64::from(id)),
        loss: (epochs > 0).then_some(2.0 / f64::from(epochs.max(1))),
        seconds: 61.0 * f64::from(epochs),
        slot: if status == TrialStatus::Running { format!("gpu {id}") } else { String::new() },
        failure: (status == TrialStatus::Failed)
            .then(|| ("out_of_memory".to_owned(), "batch 64 does not fit into 8 GiB".to_owned())),
    }
}

fn importance() -> Vec<Importance> {
    let of = |key: &str, share, trend| Importance { key: key.to_owned(), share, spread: 0.05, trend, trials: 8 };
    vec![of("train.optim.vision_lr", 0.62, Some(-0.8)), of("train.optim.text_lr", 0.17, Some(0.1))]
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn gpus() -> Vec<Gpu> {
    let of = |index: u32, load: &[f64], trials: &[u32]| Gpu {
        sample: GpuSample {
            index,
            utilisation: *load.last().unwrap() as u32,
            memory_used: (61 - u64::from(index)) << 30,
            memory_total: 80 << 30,
            power: (index == 0).then_some(412.4),
            temperature: Some(66),
        },
        load: load.to_vec(),
        trials: trials.iter().map(|id| TrialId(*id)).collect(),
    };
    vec![of(0, &[0.0, 40.0, 90.0, 97.0, 100.0, 87.0], &[4]), of(1, &[100.0, 50.0, 0.0], &[])]
}

fn lanes() -> Vec<Lane> {
    let bar = |trial, from, to, status| Bar { trial: TrialId(trial), attempt: 1, from: at(from), to: at(to), status };
    vec![
        Lane {
            name: "gpu 0".to_owned(),
            bars: vec![
                bar(0, 0, 600, TrialStatus::Completed),
                bar(2, 620, 900, TrialStatus::Pruned),
                bar(4, 920, 1500, TrialStatus::Running),
            ],
        },
        Lane {
            name: "gpu 1".to_owned(),
            bars: vec![
                bar(1, 5, 700, TrialStatus::Completed),
                bar(3, 710, 740, TrialStatus::Failed),
                bar(5, 800, 1500, TrialStatus::Running),
            ],
        },
    ]
}

fn promotion() -> Promotion {
    let step = |step: &str, status: &str, detail: &str| PromotionStep {
        step: step.to_owned(),
        status: status.to_owned(),
        detail: detail.to_owned(),
        ts: at(0),
    };
    Promotion {
        trial: TrialId(1),
        steps: vec![
            step("checkpoint", "done", "epoch 6"),
            step("export", "done", "clip_model.onnx"),
            step("parity", "started", ""),
        ],
        files: vec![
            PromotedFile { name: "clip_model.onnx".to_owned(), bytes: 605 << 20, sha256: Some("3f2a".repeat(16)) },
            PromotedFile { name: "model.safetensors".to_owned(), bytes: 610 << 20, sha256: None },
        ],
    }
}

fn study() -> App {
    let study = Study {
        name: "clip-lr-sweep".to_owned(),
        sampler: "gp".to_owned(),
        metric: "val/t2i_mAP".to_owned(),
        direction: Direction::Maximize,
        max_trials: 12,
        controller: Controller::Live,
        paused: false,
        promoting: false,
        best: Some(TrialId(1)),
        elapsed_s: 6130.0,
        left: Some(Estimate { mean: 12_260.0, low: 11_000.0, high: 13_500.0 }),
        importance: importance(),
        history: [(0, 0.57, 0.57), (1, 0.7312, 0.7312), (2, 0.41, 0.7312)]
            .map(|(id, value, best)| Step { trial: TrialId(id), value, best })
            .into(),
        gpus: gpus(),
        hosts: vec![Host {
            name: "node-a".to_owned(),
            load: Load { cpu: 0.61, memory_used: 18 << 30, memory_total: 64 << 30 },
            data_wait: Some(0.12),
            trials: vec![TrialId(4), TrialId(5)],
        }],
        rungs: Vec::new(),
        lanes: lanes(),
        promotion: Some(promotion()),
        age_s: 1.0,
    };
    let trials = vec![
        trial(0, TrialStatus::Completed, &[0.41, 0.48, 0.52, 0.55, 0.56, 0.56, 0.57], 6, (1e-4, 1e-4)),
        trial(1, TrialStatus::Completed, &[0.41, 0.55, 0.63, 0.68, 0.71, 0.725, 0.7312], 6, (3e-5, 1e-5)),
        trial(2, TrialStatus::Pruned, &[0.41, 0.39, 0.35], 6, (2e-3, 4e-5)),
        trial(3, TrialStatus::Failed, &[], 6, (5e-5, 1e-5)),
        trial(4, TrialStatus::Running, &[0.41, 0.52, f64::NAN, 0.69, 0.7104], 6, (5e-5, 2e-5)),
        trial(5, TrialStatus::Running, &[0.41, 0.5], 6, (8e-6, 3e-6)),
        trial(6, TrialStatus::Paused, &[0.41, 0.49, 0.51], 6, (6e-6, 3e-4)),
        trial(7, TrialStatus::Queued, &[], 6, (3.16e-5, 7e-6)),
    ];
    App::new(study, trials)
}

fn frame(app: &mut App, width: u16, height: u16, theme: Theme) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(app, theme, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().to_string()
}

/// Presses keys: characters as they are, names in angle brackets (`<enter>`).
fn press(app: &mut App, script: &str) -> Option<Effect> {
    let mut effect = None;
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        const NAMED: [(&str, Key); 7] = [
            ("<enter>", Key::Code(KeyCode::Enter)),
            ("<ctrl-s>", Key::Ctrl('s')),
            ("<ctrl-z>", Key::Ctrl('z')),
            ("<esc>", Key::Code(KeyCode::Esc)),
            ("<tab>", Key::Code(KeyCode::Tab)),
            ("<backspace>", Key::Code(KeyCode::Backspace)),
            ("<ctrl-c>", Key::Ctrl('c')),
        ];
        let named = NAMED.iter().find_map(|(name, key)| Some((rest.strip_prefix(name)?, *key)));
        let (after, key) = named.unwrap_or((&rest[first.len_utf8()..], Key::Char(first)));
        rest = after;
        effect = app.press(key);
    }
    effect
}

fn ids(app: &App) -> Vec<u32> {
    app.visible().iter().map(|t| t.id.0).collect()
}
