//! Tests of the ONNX graphs of every family: against their Python references in ONNX Runtime, and as engines.

use std::path::Path;

use cliptune::export::graph::{self, Options, Towers};
use cliptune::export::weights::{Storage, Weights};
use cliptune::model::Clip;
use cliptune::onnx::graph::Model;
use cliptune::onnx::proto::ValueInfoProto;
use cliptune::onnx::runtime::{self, Array, Load, Session};
use cliptune::onnx::{check, external, half};
use cliptune::trt::builder::{self, InputProfile, Request};
use cliptune::trt::target::Target;
use tch::Tensor;

use crate::exported::{self, FAMILIES, OPTIONS};

fn draw(model: &Clip, towers: Towers, options: Options) -> Model {
    let weights = Weights::of(model).unwrap();
    let mut graph = graph::build(&weights, model.config(), towers, options, &[]).unwrap();
    assert_eq!(check::complete(&mut graph.proto), Ok(()));
    graph
}

/// The largest difference, as a share of the largest expected value, from the reference on its first `rows` samples.
fn off(family: &str, onnx: &Path, towers: Towers, rows: i64) -> f64 {
    let data = exported::golden(family);
    let array = |name: &str| Array::from_tensor(&data[name].narrow(0, 0, rows)).unwrap();
    let (mut inputs, mut wanted, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    if towers != Towers::Text {
        inputs.push(("image", array("images")));
        wanted.push("image_embedding");
        expected.push(&data["out.images"]);
    }
    if towers != Towers::Vision {
        inputs.push(("input_ids", array("tokens")));
        inputs.push(("attention_mask", Array::from_tensor(&data["tokens"].narrow(0, 0, rows).ones_like()).unwrap()));
        wanted.push("text_embedding");
        expected.push(&data["out.texts"]);
    }
    let results = Session::open(onnx, &Load { threads: 1, ..Load::default() }).unwrap().run(&inputs, &wanted).unwrap();
    let far = results.iter().zip(expected).map(|(got, expected)| {
        let (got, expected) = (runtime::to_tensor(got).unwrap(), expected.narrow(0, 0, rows));
        assert_eq!(got.size(), expected.size());
        (got - &expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[])
    });
    far.fold(0.0, f64::max)
}

#[test]
fn graphs_of_every_family_equal_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("model.onnx");
    for family in FAMILIES {
        let model = exported::model(family);
        for towers in [Towers::Combined, Towers::Vision, Towers::Text] {
            for (opset, batch, rows) in [(17, None, 1), (21, None, 4), (18, Some(3), 3)] {
                let graph = draw(&model, towers, Options { opset, batch, ..OPTIONS });
                assert_eq!(external::write(graph, &onnx, external::LIMIT).unwrap(), std::slice::from_ref(&onnx));
                let off = off(family, &onnx, towers, rows);
                assert!(off < 1e-5, "{family} {towers:?} opset {opset} batch {batch:?}: {off}");
            }
        }
    }
}

/// What ONNX itself says of the graphs of every family, tower, operator set, batch and kind of number.
#[test]
#[ignore = "needs Python's onnx: tests/golden/onnx/fetch.sh"]
fn graphs_pass_the_checker_of_onnx_and_have_the_shapes_it_infers() {
    let dir = tempfile::tempdir().unwrap();
    let mut count = 0;
    for family in FAMILIES {
        let model = exported::model(family);
        for towers in [Towers::Combined, Towers::Vision, Towers::Text] {
            for (opset, batch, storage) in
                [(17, None, Storage::Fp32), (18, Some(3), Storage::Fp16), (21, None, Storage::Bf16)]
            {
                let graph = draw(&model, towers, Options { opset, batch, storage });
                let onnx = dir.path().join(format!("{family}_{towers:?}_{opset}.onnx"));
                external::write(graph, &onnx, if opset == 18 { 1000 } else { external::LIMIT }).unwrap();
                count += 1;
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new("python3")
        .arg(root.join("tests/golden/onnx/check.py"))
        .arg(dir.path())
        .env("PYTHONPATH", root.join(".deps/onnx"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count.to_string());
}

#[test]
fn matrices_in_16_bits_stay_near_the_reference_in_half_the_room() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("model.onnx");
    for family in FAMILIES {
        let model = exported::model(family);
        let whole = external::weight_bytes(&draw(&model, Towers::Combined, OPTIONS).proto);
        for (storage, tolerance) in [(Storage::Fp16, 5e-3), (Storage::Bf16, 5e-2)] {
            let graph = draw(&model, Towers::Combined, Options { storage, ..OPTIONS });
            let share = external::weight_bytes(&graph.proto) as f64 / whole as f64;
            assert!(share < 0.7, "{family}: {share}");
            external::write(graph, &onnx, external::LIMIT).unwrap();
            let off = off(family, &onnx, Towers::Combined, 4);
            assert!(off < tolerance && off > 1e-6, "{family} {storage:?}: {off}");
        }
    }
}

#[test]
fn graph_inputs_and_outputs_have_taos_names() {
    let model = exported::model("hf_clip");
    let names = |towers| {
        let graph = draw(&model, towers, OPTIONS).proto.graph.unwrap();
        let list = |values: &[ValueInfoProto]| values.iter().map(|v| v.name.clone()).collect::<Vec<_>>().join(" ");
        (list(&graph.input), list(&graph.output))
    };
    let expected = |inputs: &str, outputs: &str| (inputs.to_owned(), format!("{outputs} logit_scale logit_bias"));
    assert_eq!(names(Towers::Vision), expected("image", "image_embedding"));
    assert_eq!(names(Towers::Text), expected("input_ids attention_mask", "text_embedding"));
    assert_eq!(names(Towers::Combined), expected("image input_ids attention_mask", "image_embedding text_embedding"));
}

#[test]
fn logit_outputs_are_the_scale_itself_and_the_bias() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("model.onnx");
    let model = exported::model("nv_clip");
    external::write(draw(&model, Towers::Text, OPTIONS), &onnx, external::LIMIT).unwrap();
    let tokens = exported::golden("nv_clip")["tokens"].shallow_clone();
    let inputs = [
        ("input_ids", Array::from_tensor(&tokens).unwrap()),
        ("attention_mask", Array::from_tensor(&tokens.ones_like()).unwrap()),
    ];
    let mut session = Session::open(&onnx, &Load::default()).unwrap();
    let results = session.run(&inputs, &["logit_scale", "logit_bias"]).unwrap();
    let scale = model.logit_scale().exp().double_value(&[]);
    assert!((f64::from(results[0].1[0]) - scale).abs() < 1e-4 * scale);
    assert!((f64::from(results[1].1[0]) - model.logit_bias().unwrap().double_value(&[])).abs() < 1e-6);
    assert!(results[0].0.is_empty() && results[1].0.is_empty());
}

#[test]
fn a_naflex_model_has_no_graph_and_the_types_that_have_one_are_named() {
    let model = exported::model("naflex");
    let weights = Weights::of(&model).unwrap();
    let message = graph::build(&weights, model.config(), Towers::Vision, OPTIONS, &[]).unwrap_err().message;
    for part in ["NaFlex", "siglip2-so400m-patch16-384", "c-radio_v3-b", "ViT-H-14-SigLIP-CLIPA-574"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn external_weights_in_side_file_give_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("clip_model.onnx");
    let model = exported::model("siglip");
    let written = external::write(draw(&model, Towers::Combined, OPTIONS), &onnx, 1000).unwrap();
    assert_eq!(written, [onnx.clone(), dir.path().join("clip_model_weights.bin")]);
    assert!(off("siglip", &onnx, Towers::Combined, 4) < 1e-5);
    let mut read = external::read(&onnx).unwrap();
    external::load_weights(&mut read, &onnx).unwrap();
    assert_eq!(read, draw(&model, Towers::Combined, OPTIONS).whole().unwrap());

    std::fs::remove_file(&written[1]).unwrap();
    let message = external::load_weights(&mut external::read(&onnx).unwrap(), &onnx).unwrap_err().to_string();
    assert!(message.contains("clip_model_weights.bin") && message.contains("keep both files"), "{message}");
}

#[test]
fn half_graphs_in_onnx_runtime_are_near_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("half.onnx");
    for family in FAMILIES {
        for storage in [Storage::Fp32, Storage::Bf16] {
            let options = Options { storage, ..OPTIONS };
            let mut graph = draw(&exported::model(family), Towers::Combined, options).whole().unwrap();
            half::convert(&mut graph).unwrap();
            assert_eq!(check::faults(&graph), Vec::<String>::new());
            external::write(graph, &onnx, external::LIMIT).unwrap();
            let off = off(family, &onnx, Towers::Combined, 4);
            assert!(off < 5e-2, "{family} {storage:?}: {off}");
        }
    }
}

#[test]
fn half_unknown_operator_is_named() {
    let mut graph = draw(&exported::model("hf_clip"), Towers::Vision, OPTIONS).whole().unwrap();
    graph.graph.as_mut().unwrap().node[0].op_type = "QuantizeLinear".into();
    assert!(half::convert(&mut graph).unwrap_err().contains("QuantizeLinear"));
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let model = exported::model("hf_clip");
    let name = "visual.transformer.resblocks.1.ln_1.weight";
    let (_, tensor) = model.named().find(|(p, _)| p.name == name).unwrap();
    tch::no_grad(|| drop(tensor.get(0).fill_(f64::NAN)));
    assert!(Weights::of(&model).unwrap_err().message.contains(name));
}

fn profiles(model: &Clip) -> Vec<InputProfile> {
    let (side, length) = (model.config().vision_cfg.image_size, model.config().text_cfg.context_length);
    let profile = |name: &str, rest: &[i64]| {
        let shape = |batch: i64| [&[batch], rest].concat();
        InputProfile { name: name.into(), min: shape(1), opt: shape(2), max: shape(4) }
    };
    vec![profile("image", &[3, side, side]), profile("input_ids", &[length]), profile("attention_mask", &[length])]
}

#[test]
fn engines_of_every_family_build_without_a_gpu_and_keep_every_input() {
    if let Err(missing) = cliptune::trt::library::load() {
        assert!(missing.message.contains("libtensorrt_rtx.so"), "{missing}");
        eprintln!("no engine was built: {missing}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let model = exported::model(family);
        for precision in ["fp32", "fp16"] {
            let mut graph = draw(&model, Towers::Combined, OPTIONS).whole().unwrap();
            if precision == "fp16" {
                half::convert(&mut graph).unwrap();
            }
            let onnx = dir.path().join(format!("{family}_{precision}.onnx"));
            external::write(graph, &onnx, 1000).unwrap();
            let request = Request {
                onnx: &onnx,
                profiles: &profiles(&model),
                workspace_mib: 64,
                targets: &[Target::Sm86, Target::Sm89, Target::Sm120],
                verbose: true,
            };
            let engine = builder::build(&request).unwrap();
            let inputs: Vec<&str> = engine.inputs.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(inputs, ["image", "input_ids", "attention_mask"], "{family}");
            let side = model.config().vision_cfg.image_size;
            assert_eq!(engine.inputs[0].1, [-1, 3, side, side]);
            assert_eq!(engine.outputs, ["image_embedding", "text_embedding", "logit_scale", "logit_bias"]);
            assert!(engine.bytes.len() > 10_000, "{family}: {} bytes", engine.bytes.len());
        }
    }
}

#[test]
fn later_weights_of_a_tensor_that_changes_are_those_of_the_writing() {
    // The graph holds the model's own tensors: nothing is copied before a file is written.
    let model = exported::model("hf_clip");
    let graph = draw(&model, Towers::Text, OPTIONS);
    let (_, tensor) = model.named().find(|(p, _)| p.name == "text.ln_final.bias").unwrap();
    let other = Tensor::full_like(tensor, 7.0);
    tch::no_grad(|| tensor.shallow_clone().copy_(&other));
    let graph = graph.whole().unwrap().graph.unwrap();
    let bias = graph.initializer.iter().find(|t| t.name == "text.ln_final.bias").unwrap();
    assert_eq!(bias.raw_data[..4], 7.0_f32.to_le_bytes());
}
