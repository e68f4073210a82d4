//! Training: losses and steps against open_clip and torch (`tests/golden/train_golden.py`), and whole runs on a toy set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use cliptune::base::ids::TrialId;
use cliptune::journal::event::{Direction, JobEvent, Outcome};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::journal::job::{Action, Job};
use cliptune::journal::layout::JobDir;
use cliptune::journal::tail::Tail;
use cliptune::journal::writer::Writer;
use cliptune::model::parameters::Part;
use cliptune::model::{Clip, ClipConfig, weights};
use cliptune::spec;
use cliptune::train::Progress;
use cliptune::train::loss::{Loss, Objective};
use cliptune::train::optim::{Optimizer, Rule, Settings, groups};
use cliptune::train::run::train;
use cliptune::train::step::{Pass, Side, accumulate, clamp_scale, scale_ceiling};
use tch::{Device, Tensor};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn losses_and_their_gradients_equal_open_clip() {
    let data = weights::read(&golden("train_golden_loss.safetensors")).unwrap();
    for (name, loss) in [("clip", Loss::Clip), ("siglip", Loss::Siglip)] {
        let leaf = |key: &str| data[key].copy().set_requires_grad(true);
        let (images, texts, scale, bias) = (leaf("images"), leaf("texts"), leaf("log_scale"), leaf("bias"));
        let bias = (loss == Loss::Siglip).then_some(&bias);
        let value = Objective::from(loss).forward([&images, &texts], None, &scale, bias).unwrap();
        value.backward();
        for (key, tensor) in
            [("value", value), ("images", images.grad()), ("texts", texts.grad()), ("scale", scale.grad())]
        {
            let expected = &data[&format!("{name}.{key}")];
            assert!(distance(&tensor, expected) < 1e-5, "{name}.{key}: {tensor} instead of {expected}");
        }
    }
}

#[test]
fn steps_of_clipped_adamw_equal_torch_on_open_clip() {
    let mut config = ClipConfig::read(&golden("model_golden.json")).unwrap();
    config.init_logit_bias = Some(-10.0);
    let model = Clip::new(&config, Device::Cpu, 0).unwrap();
    model.load(&golden("model_golden_weights.safetensors")).unwrap();
    let settings =
        Settings { rule: Rule::AdamW, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 0.1, clip_norm: Some(0.5) };
    let mut optimizer = Optimizer::new(groups(&model, None), settings).unwrap();
    let ceiling = scale_ceiling(&model).unwrap();
    let data = weights::read(&golden("model_golden.safetensors")).unwrap();
    let expected = weights::read(&golden("train_golden_steps.safetensors")).unwrap();
    let sides = (Side::Input(data["images"].copy()), Side::Input(data["tokens"].copy()));
    let rate = |part| if part == Part::Vision { 1e-3 } else { 2e-3 };
    for i in 0..4 {
        optimizer.zero_grad().unwrap();
        let pass = Pass { factor: 1.0, micro_batch: None };
        let loss = accumulate(&model, &Loss::Siglip.into(), (&sides.0, &sides.1), None, pass).unwrap();
        optimizer.step(rate, 1.0).unwrap();
        clamp_scale(&model, ceiling).unwrap();
        let should = expected["losses"].double_value(&[i]);
        assert!((loss.double_value(&[]) - should).abs() < 1e-3 * should, "step {i}: {loss} instead of {should}");
    }
    for (p, tensor) in model.named() {
        if let Some(should) = expected.get(p.name.trim_start_matches("text.")) {
            assert!(distance(tensor, should) < 2e-4, "{} is off by {}", p.name, distance(tensor, should));
        }
    }
}

/// Images of one colour with its name as the caption, and a model small enough for a test.
pub(crate) struct Toy {
    pub(crate) dir: tempfile::TempDir,
}

const COLORS: [(&str, [u8; 3]); 4] =
    [("a red square", [220, 30, 30]), ("green", [30, 200, 40]), ("the blue one", [20, 40, 230]), ("white", [240; 3])];

impl Toy {
    pub(crate) fn new(pairs: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for i in 0..pairs {
            let (caption, [r, g, b]) = COLORS[i % 4];
            let shade = (i / 4) as u8;
            let mut image = b"P6 16 16 255\n".to_vec();
            image.clear();
            let picture =
                image::RgbImage::from_pixel(16, 16, image::Rgb([r.saturating_sub(shade), g, b.saturating_sub(shade)]));
            picture.save(data.join(format!("{i:03}.png"))).unwrap();
            fs::write(data.join(format!("{i:03}.txt")), format!("{caption} {i}")).unwrap();
        }
        let config = r#"{"embed_dim": 16,
            "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
            "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}"#;
        fs::write(dir.path().join("model.json"), config).unwrap();
        Self { dir }
    }

    pub(crate) fn spec(&self, overrides: &[&str]) -> spec::sections::Spec {
        let data = self.dir.path().join("data");
        let source = format!("[{{image_dir: {0}, caption_dir: {0}, caption_file_suffix: .txt}}]", data.display());
        let text = format!(
            "model: {{type: {}}}\ndataset:\n  train: {{batch_size: 8, datasets: {source}}}\n  val: {{batch_size: 8, datasets: {source}}}\n  augmentation: {{scale: [1.0, 1.0], color_jitter: [], grayscale: 0.0}}\ntrain:\n  num_epochs: 4\n  precision: fp32\n  loss_type: clip\n  optim: {{vision_lr: 0.01, text_lr: 0.01, warmup_steps: 2}}\n",
            self.dir.path().join("model.json").display()
        );
        let path = self.dir.path().join("spec.yaml");
        fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        spec::load(Action::Train, Some(&path), &overrides).unwrap_or_else(|p| panic!("{p}")).spec
    }

    pub(crate) fn job(&self, until_epoch: u32) -> Job {
        Job {
            action: Action::Train,
            trial: Some(TrialId(0)),
            attempt: 1,
            until_epoch,
            resume: true,
            gpus: vec![],
            threads: 1,
            cache: self.dir.path().join("cache"),
            metric: "val/t2i_mAP".to_owned(),
            direction: Direction::Maximize,
        }
    }

    pub(crate) fn run(&self, name: &str, job: &Job, spec: &spec::sections::Spec) -> (JobDir, Result<Outcome, Failure>) {
        self.run_until(name, job, spec, &AtomicBool::new(false))
    }

    pub(crate) fn run_until(
        &self,
        name: &str,
        job: &Job,
        spec: &spec::sections::Spec,
        stop: &AtomicBool,
    ) -> (JobDir, Result<Outcome, Failure>) {
        // libtorch has one generator a process, and a training has its process to itself: here they take turns.
        static TURN: Mutex<()> = Mutex::new(());
        let dir = JobDir(self.dir.path().join(name));
        fs::create_dir_all(dir.path()).unwrap();
        let mut events = Writer::open(&dir.events()).unwrap();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = train(job, &dir, spec, &mut events, &Progress::new(), stop);
        (dir, outcome)
    }
}

pub(crate) fn events(dir: &JobDir) -> Vec<JobEvent> {
    Tail::new(dir.events()).read::<JobEvent>().unwrap().into_iter().map(|l| l.event).collect()
}

pub(crate) fn losses(dir: &JobDir) -> Vec<f64> {
    let loss = |e| match e {
        JobEvent::EpochEnded { loss, .. } => loss,
        _ => None,
    };
    events(dir).into_iter().filter_map(loss).collect()
}

pub(crate) fn assert_same_bits(a: &JobDir, b: &JobDir) {
    for (x, y) in [(a.last().model(), b.last().model()), (a.last().optimizer(), b.last().optimizer())] {
        assert_eq!(weights::read(&x).unwrap(), weights::read(&y).unwrap());
    }
}

#[test]
fn run_learns_validates_before_the_first_step_and_keeps_best_and_last() {
    let toy = Toy::new(16);
    let (dir, outcome) = toy.run("a", &toy.job(4), &toy.spec(&[]));
    assert_eq!(outcome.unwrap(), Outcome::Completed);
    let losses = losses(&dir);
    assert!(losses.len() == 4 && losses[3] < losses[0], "{losses:?}");
    let validated: Vec<u32> = events(&dir)
        .iter()
        .filter_map(|e| match e {
            JobEvent::Validated { epoch, .. } => Some(*epoch),
            _ => None,
        })
        .collect();
    assert_eq!(validated, [0, 1, 2, 3, 4]);
    assert!(dir.last().model().is_file() && dir.last().optimizer().is_file() && dir.best().model().is_file());
    Clip::open(dir.best().path(), Device::Cpu).unwrap();
    let folders = fs::read_dir(dir.checkpoints()).unwrap().flatten();
    assert!(folders.filter(|e| e.file_type().unwrap().is_dir()).count() <= 2);
}

#[test]
fn run_paused_at_an_epoch_and_resumed_has_the_same_bits() {
    let toy = Toy::new(16);
    let spec = toy.spec(&["train.grad_clip_norm=1.0"]);
    let (whole, outcome) = toy.run("whole", &toy.job(4), &spec);
    outcome.unwrap();
    toy.run("parts", &toy.job(2), &spec).1.unwrap();
    let (parts, outcome) = toy.run("parts", &toy.job(4), &spec);
    outcome.unwrap();
    assert_same_bits(&whole, &parts);
    assert_eq!(losses(&whole), losses(&parts));
}

#[test]
fn twenty_steps_are_ten_and_ten_resumed_with_each_optimizer_and_option() {
    let toy = Toy::new(16);
    let options: [&[&str]; 9] = [
        &["dataset.augmentation={scale: [0.4, 1.0], color_jitter: [0.8, 0.3, 0.3, 0.3, 0.1], grayscale: 0.2}"],
        &[
            "peft.enabled=true",
            "peft.vision.mode=lora",
            "peft.text.mode=full",
            "train.micro_batch_size=3",
            "train.ema_decay=0.9",
        ],
        &["train.optim.optimizer_type=lamb", "train.optim.layer_decay=0.5"],
        &["train.optim.optimizer_type=lion", "train.ema_decay=0.9"],
        &["train.precision=bf16", "train.optim.optimizer_type=lamb", "train.ema_decay=0.9"],
        &["train.precision=fp16", "train.ema_decay=0.5", "train.micro_batch_size=3"],
        &["train.accumulate_grad_batches=2", "model.locked_vision_blocks=1", "train.num_epochs=20"],
        &["train.patch_dropout=0.5", "train.micro_batch_size=3", "train.grad_checkpointing=true"],
        &["regularization.enabled=true", "train.triplet_loss_weight=0.3", "train.loss_type=siglip"],
    ];
    for (i, options) in options.into_iter().enumerate() {
        // Two steps an epoch; one where two batches make a step.
        let spec = toy.spec(&[&["train.num_epochs=10", "train.checkpoint_interval=10"][..], options].concat());
        let epochs = u32::try_from(spec.train.num_epochs).unwrap();
        let (whole, outcome) = toy.run(&format!("whole{i}"), &toy.job(epochs), &spec);
        outcome.unwrap();
        toy.run(&format!("parts{i}"), &toy.job(epochs / 2), &spec).1.unwrap();
        let (parts, outcome) = toy.run(&format!("parts{i}"), &toy.job(epochs), &spec);
        outcome.unwrap();
        assert_same_bits(&whole, &parts);
        assert_eq!(losses(&whole), losses(&parts), "{options:?}");
        let steps = events(&parts)
            .iter()
            .filter_map(|e| if let JobEvent::EpochEnded { step, .. } = e { Some(*step) } else { None })
            .max();
        assert_eq!(steps, Some(20), "{options:?}");
    }
}

#[test]
fn run_with_preservation_reports_its_drift_from_the_start() {
    let toy = Toy::new(16);
    let drift = |name: &str, weight: &str| {
        let spec = toy.spec(&["regularization.enabled=true", weight]);
        let (dir, outcome) = toy.run(name, &toy.job(4), &spec);
        outcome.unwrap();
        let found = events(&dir).into_iter().filter_map(|event| match event {
            JobEvent::Validated { metrics, .. } => metrics["val/embedding_drift"],
            _ => None,
        });
        found.collect::<Vec<f64>>()
    };
    let (free, held) =
        (drift("free", "regularization.cosine_weight=0"), drift("held", "regularization.cosine_weight=50"));
    assert!(free[0].abs() < 1e-6 && *free.last().unwrap() > 1e-3, "{free:?}");
    assert!(held.last().unwrap() < free.last().unwrap(), "held {held:?}, free {free:?}");
}

#[test]
fn run_stopped_within_an_epoch_and_resumed_has_the_same_bits() {
    let toy = Toy::new(24);
    let spec = toy.spec(&["train.num_epochs=2"]);
    let (whole, outcome) = toy.run("whole", &toy.job(2), &spec);
    outcome.unwrap();
    let (stop, progress) = (AtomicBool::new(false), Progress::new());
    // Stops as soon as the first step is done.
    let (parts, outcome) = std::thread::scope(|scope| {
        let dir = JobDir(toy.dir.path().join("parts"));
        fs::create_dir_all(dir.path()).unwrap();
        scope.spawn(|| {
            while progress.step() < 1 && !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let mut events = Writer::open(&dir.events()).unwrap();
        let outcome = train(&toy.job(2), &dir, &spec, &mut events, &progress, &stop);
        stop.store(true, Ordering::Relaxed);
        (dir, outcome)
    });
    assert!(matches!(outcome.unwrap(), Outcome::Stopped { .. } | Outcome::Completed));
    toy.run("parts", &toy.job(2), &spec).1.unwrap();
    assert_same_bits(&whole, &parts);
    assert_eq!(losses(&whole), losses(&parts));
}

#[test]
fn run_with_a_frozen_tower_leaves_it_alone_and_trains_the_other() {
    let toy = Toy::new(16);
    for (flag, frozen) in
        [("model.freeze_vision_encoder=true", Part::Vision), ("model.freeze_text_encoder=true", Part::Text)]
    {
        let spec = toy.spec(&[flag]);
        let (early, outcome) = toy.run(&format!("early-{flag}"), &toy.job(1), &spec);
        outcome.unwrap();
        let (late, outcome) = toy.run(&format!("late-{flag}"), &toy.job(4), &spec);
        outcome.unwrap();
        let (early, late) = (
            Clip::open(early.last().path(), Device::Cpu).unwrap(),
            Clip::open(late.last().path(), Device::Cpu).unwrap(),
        );
        for ((p, a), (_, b)) in early.named().zip(late.named()) {
            assert!(p.part != frozen || a == b, "{} changed", p.name);
        }
        assert!(early.named().zip(late.named()).any(|((p, a), (_, b))| p.part != frozen && a != b));
    }
}

#[test]
fn run_with_adapters_changes_what_they_stand_beside_and_the_logits_alone() {
    let toy = Toy::new(16);
    let spec = toy.spec(&[
        "peft.enabled=true",
        "peft.vision.mode=lora",
        "peft.vision.target_modules=[q_proj, fc1]",
        "train.optim.vision_lr=0.1",
        "train.optim.weight_decay=0",
    ]);
    let (dir, outcome) = toy.run("a", &toy.job(4), &spec);
    outcome.unwrap();
    let losses = losses(&dir);
    assert!(losses[3] < losses[0], "{losses:?}");
    let early = toy.run("b", &toy.job(1), &spec).0;
    let open = |dir: &JobDir| Clip::open(dir.last().path(), Device::Cpu).unwrap();
    let (early, late) = (open(&early), open(&dir));
    let changed: Vec<&str> =
        early.named().zip(late.named()).filter(|((_, a), (_, b))| a != b).map(|((p, _), _)| p.name.as_str()).collect();
    let block = "visual.transformer.resblocks.0";
    assert_eq!(changed, ["logit_scale", &format!("{block}.attn.in_proj_weight"), &format!("{block}.mlp.c_fc.weight")]);
    let fused = late.named().find(|(p, _)| p.name.ends_with("in_proj_weight") && p.part == Part::Vision).unwrap().1;
    let old = early.named().find(|(p, _)| p.name.ends_with("in_proj_weight") && p.part == Part::Vision).unwrap().1;
    assert!(fused.narrow(0, 16, 32) == old.narrow(0, 16, 32), "keys and values have no adapter");
    let adapters = weights::read(&dir.last().adapter().join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapters.len(), 4);
    // Of another start the adapters would be nonsense.
    let mut other =
        toy.spec(&["peft.enabled=true", "peft.vision.mode=lora", "peft.vision.target_modules=[q_proj, fc1]"]);
    other.train.seed += 1;
    other.train.resume_training_checkpoint_path = Some(dir.last().path().to_owned());
    let failure = toy.run("c", &toy.job(4), &other).1.unwrap_err();
    assert!(failure.message.contains("another start model"), "{}", failure.message);
}

#[test]
fn run_of_a_naflex_model_takes_images_of_every_shape_and_its_own_tokenizer() {
    let toy = Toy::new(16);
    let wide = image::RgbImage::from_fn(40, 9, |x, y| image::Rgb([x as u8 * 6, y as u8 * 20, 7]));
    wide.save(toy.dir.path().join("data/003.png")).unwrap();
    let config = r#"{"model_type": "siglip2",
        "text_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 500, "max_position_embeddings": 12},
        "vision_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 4, "num_patches": 16}}"#;
    let folder = toy.dir.path().join("naflex");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    fs::copy(golden("text/bpe.model"), folder.join("tokenizer.model")).unwrap();
    let spec = toy.spec(&[
        &format!("model.type={}", folder.display()),
        "dataset.augmentation.scale=[0.5, 1.0]",
        "train.micro_batch_size=5",
        "train.loss_type=siglip",
    ]);
    let (whole, outcome) = toy.run("whole", &toy.job(3), &spec);
    outcome.unwrap();
    toy.run("parts", &toy.job(1), &spec).1.unwrap();
    let (parts, outcome) = toy.run("parts", &toy.job(3), &spec);
    outcome.unwrap();
    assert_same_bits(&whole, &parts);
    let losses = losses(&whole);
    assert!(losses[2] < losses[0], "{losses:?}");
    // The checkpoint can be opened by itself: weights, config and tokenizer.
    Clip::open(whole.last().path(), Device::Cpu).unwrap();
    assert!(whole.last().path().join("tokenizer.json").is_file());
}

#[test]
fn run_that_diverges_fails_by_name_with_step_and_rates() {
    let toy = Toy::new(16);
    let spec = toy.spec(&[
        "train.optim.vision_lr=1e30",
        "train.optim.text_lr=1e30",
        "train.optim.warmup_steps=0",
        "train.optim.scheduler=constant",
    ]);
    let failure = toy.run("a", &toy.job(4), &spec).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NonFiniteLoss);
    assert!(failure.message.contains("step") && failure.message.contains("1e30"), "{}", failure.message);
}

#[test]
fn run_on_fewer_pairs_than_a_batch_fails_with_the_numbers() {
    let toy = Toy::new(4);
    let failure = toy.run("a", &toy.job(4), &toy.spec(&[])).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::DatasetTooSmall);
    assert!(failure.message.contains('4') && failure.message.contains('8'), "{}", failure.message);
}

#[test]
fn run_that_cannot_be_done_names_every_key() {
    let toy = Toy::new(8);
    let mut spec = toy.spec(&[]);
    spec.train.optim.betas = vec![0.9, 1.0];
    spec.train.grad_clip_norm = Some(0.0);
    let failure = toy.run("a", &toy.job(4), &spec).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    for part in ["train.optim.betas", "train.grad_clip_norm"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    let failure = toy.run("b", &toy.job(4), &toy.spec(&["model.locked_vision_blocks=7"])).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    assert!(failure.message.contains("model.locked_vision_blocks is 7"), "{}", failure.message);
}

#[test]
fn image_size_that_is_no_multiple_of_the_patch_is_refused_with_the_nearest() {
    let toy = Toy::new(16);
    let failure = toy.run("a", &toy.job(1), &toy.spec(&["model.image_size=37"])).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    assert!(failure.message.contains("37") && failure.message.contains("32 or 40"), "{}", failure.message);
}

#[test]
fn resume_with_another_horizon_is_refused() {
    let toy = Toy::new(16);
    toy.run("a", &toy.job(1), &toy.spec(&[])).1.unwrap();
    let failure = toy.run("a", &toy.job(4), &toy.spec(&["train.num_epochs=9"])).1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadCheckpoint);
    assert!(failure.message.contains("train.num_epochs"), "{}", failure.message);
}

#[test]
fn checkpoint_that_cannot_be_written_leaves_the_old_one_and_no_litter() {
    let toy = Toy::new(16);
    let spec = toy.spec(&[]);
    let (dir, outcome) = toy.run("a", &toy.job(1), &spec);
    outcome.unwrap();
    let before = weights::read(&dir.last().model()).unwrap();
    // A file where the next checkpoint's folder is written: creating it fails, as on a broken disk.
    let blocked = dir.checkpoints().join(format!(".epoch_002.{}.tmp", std::process::id()));
    fs::write(&blocked, "in the way").unwrap();
    let failure = toy.run("a", &toy.job(4), &spec).1.unwrap_err();
    assert!(failure.message.contains("epoch_002"), "{}", failure.message);
    assert_eq!(weights::read(&dir.last().model()).unwrap(), before);
    fs::remove_file(&blocked).unwrap();
    toy.run("a", &toy.job(4), &spec).1.unwrap();
}
