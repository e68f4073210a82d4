//! Fifty steps against open_clip, torch and timm (`tests/golden/train_curves.py`), and what must not change a step's gradients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cliptune::model::parameters::Part;
use cliptune::model::{Clip, ClipConfig, weights};
use cliptune::train::loss::{Exchange, Loss, Objective, Preserve, Triplet};
use cliptune::train::optim::{Average, Optimizer, Rule, Scaler, Settings, groups};
use cliptune::train::step::{Pass, Side, accumulate, clamp_scale, scale_ceiling};
use tch::{Device, Kind, Tensor};

const STEPS: usize = 50;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn model() -> Clip {
    let mut config = ClipConfig::read(&golden("model_golden.json")).unwrap();
    config.init_logit_bias = Some(-10.0);
    let model = Clip::new(&config, Device::Cpu, 0).unwrap();
    model.load(&golden("model_golden_weights.safetensors")).unwrap();
    model
}

fn batch() -> (Side, Side) {
    let data = weights::read(&golden("model_golden.safetensors")).unwrap();
    (Side::Input(data["images"].copy()), Side::Input(data["tokens"].copy()))
}

struct Curve {
    objective: Objective,
    rule: Rule,
    kind: Kind,
    layer_decay: Option<f64>,
    micro_batch: Option<i64>,
}

impl Curve {
    fn new(loss: Loss, rule: Rule) -> Self {
        Self { objective: loss.into(), rule, kind: Kind::Float, layer_decay: None, micro_batch: None }
    }

    fn losses(&self) -> Vec<f64> {
        let mut model = model();
        let start = self.objective.preserve.map(|_| self::model());
        model.set_matmul_kind(self.kind);
        let peak = match self.rule {
            Rule::AdamW => 1e-4,
            Rule::Lamb => 3e-4,
            Rule::Lion => 2e-5,
        };
        let settings = Settings { rule: self.rule, betas: [0.9, 0.95], eps: 1e-6, weight_decay: 0.1, clip_norm: None };
        let mut optimizer = Optimizer::new(groups(&model, self.layer_decay), settings).unwrap();
        let (sides, ceiling) = (batch(), scale_ceiling(&model).unwrap());
        let mut scaler = (self.kind == Kind::Half).then(Scaler::default);
        let step = |_| {
            // A step whose gradients overflowed is tried again with a smaller scale: the reference scales nothing.
            let (loss, loss_scale) = loop {
                optimizer.zero_grad().unwrap();
                let factor = scaler.map_or(1.0, |s| s.scale);
                let pass = Pass { factor, micro_batch: self.micro_batch };
                let loss = accumulate(&model, &self.objective, (&sides.0, &sides.1), start.as_ref(), pass).unwrap();
                let finite = scaler.is_none() || optimizer.grad_norm().unwrap().double_value(&[]).is_finite();
                if let Some(scaler) = &mut scaler {
                    scaler.update(finite);
                    assert!(!scaler.is_exhausted());
                }
                if finite {
                    break (loss, factor);
                }
            };
            optimizer.step(|part| if part == Part::Vision { peak } else { 2.0 * peak }, loss_scale).unwrap();
            clamp_scale(&model, ceiling).unwrap();
            loss.double_value(&[])
        };
        (0..STEPS).map(step).collect()
    }
}

/// Every value within `relative` of the expected one, or within `relative` of a hundredth of the first.
fn close(name: &str, found: &[f64], expected: &[f64], relative: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let allowed = relative * b.abs().max(expected[0].abs() / 100.0);
        assert!((a - b).abs() <= allowed, "{name}, step {i}: {a} instead of {b}");
    }
}

fn expected(name: &str) -> Vec<f64> {
    let curves = weights::read(&golden("train_curves.safetensors")).unwrap();
    Vec::<f64>::try_from(curves[name].to_kind(Kind::Double)).unwrap()
}

const LOSSES: [(&str, Loss); 2] = [("clip", Loss::Clip), ("siglip", Loss::Siglip)];
const RULES: [(&str, Rule); 3] = [("adamw", Rule::AdamW), ("lamb", Rule::Lamb), ("lion", Rule::Lion)];

#[test]
fn curves_of_each_loss_and_optimizer_equal_the_reference() {
    for (name, loss) in LOSSES {
        for (rule_name, rule) in RULES {
            let key = format!("{name}.{rule_name}.fp32");
            close(&key, &Curve::new(loss, rule).losses(), &expected(&key), 2e-3);
        }
    }
}

#[test]
fn curves_in_16_bits_follow_the_reference() {
    // Both round the products' operands, at different places: the curves agree to the precision of the format.
    for (name, loss) in LOSSES {
        for (precision, kind, relative) in [("bf16", Kind::BFloat16, 0.1), ("fp16", Kind::Half, 0.01)] {
            for (rule_name, rule) in RULES {
                let key = format!("{name}.{rule_name}.{precision}");
                let curve = Curve { kind, ..Curve::new(loss, rule) };
                close(&key, &curve.losses(), &expected(&key), relative);
            }
        }
    }
}

#[test]
fn curves_with_rates_by_layer_and_with_added_terms_equal_the_reference() {
    for (name, loss) in LOSSES {
        let layers = Curve { layer_decay: Some(0.7), ..Curve::new(loss, Rule::AdamW) };
        let key = format!("{name}.adamw.layers");
        close(&key, &layers.losses(), &expected(&key), 2e-3);
        let triplet = Some(Triplet { weight: 0.5, margin: 0.2 });
        let preserve = Some(Preserve { embedding_mse: 0.05, cosine: 0.05, similarity: 0.1 });
        let extra = Curve {
            objective: Objective { loss, triplet, preserve, exchange: Exchange::Gather },
            ..Curve::new(loss, Rule::AdamW)
        };
        let key = format!("{name}.adamw.extra");
        close(&key, &extra.losses(), &expected(&key), 2e-3);
    }
}

#[test]
fn gradients_in_micro_batches_are_those_of_the_whole_batch() {
    let gradients = |loss: Loss, micro_batch| {
        let model = model();
        let (images, texts) = batch();
        let pass = Pass { factor: 1.0, micro_batch };
        let value = accumulate(&model, &loss.into(), (&images, &texts), None, pass).unwrap();
        let named = model.named().map(|(p, t)| (p.name.clone(), t.grad())).collect::<BTreeMap<_, _>>();
        (value.double_value(&[]), named)
    };
    for (_, loss) in LOSSES {
        let (value, whole) = gradients(loss, None);
        for micro in [1, 2, 3] {
            let (same, parts) = gradients(loss, Some(micro));
            assert!((value - same).abs() < 1e-5 * value.abs());
            for (name, gradient) in &whole {
                let off = (gradient - &parts[name]).norm().double_value(&[]);
                let size = gradient.norm().double_value(&[]);
                assert!(off <= 1e-5 * size + 1e-7, "{name} in parts of {micro}: off by {off} of {size}");
            }
        }
    }
}

#[test]
fn average_follows_the_weights_and_can_be_exchanged_and_restored() {
    let model = model();
    let trained = groups(&model, None);
    let average = Average::new(&trained, 0.5).unwrap();
    let conv = |m: &Clip| m.named().find(|(p, _)| p.name.ends_with("conv1.weight")).unwrap().1.detach_copy();
    let before = conv(&model);
    tch::no_grad(|| model.named().for_each(|(_, t)| drop(t.shallow_clone().f_add_scalar_(1.0).unwrap())));
    // (1 + 100) / (10 + 100) is above 0.5: the decay of the spec holds.
    average.follow(100).unwrap();
    average.exchange().unwrap();
    assert!((conv(&model) - (&before + 0.5)).abs().max().double_value(&[]) < 1e-6);
    let saved: BTreeMap<String, Tensor> = average.state().map(|(k, t)| (k, t.detach_copy())).collect();
    let (other, averaged) = (self::model(), conv(&model));
    for ((_, to), (_, from)) in other.named().zip(model.named()) {
        tch::no_grad(|| to.shallow_clone().copy_(from));
    }
    let restored = Average::new(&groups(&other, None), 0.5).unwrap();
    restored.restore(&saved).unwrap();
    assert!((conv(&other) - (before + 1.0)).abs().max().double_value(&[]) < 1e-6);
    restored.exchange().unwrap();
    assert_eq!(conv(&other), averaged);
    assert!(restored.restore(&BTreeMap::new()).unwrap_err().message.contains("ema_decay"));
}
