//! Tests of the ONNX graphs: against open_clip's own embeddings, in ONNX Runtime, and as engines.

use std::path::{Path, PathBuf};

use cliptune::export::architecture::{Architecture, Pool, Tower};
use cliptune::export::graph::{self, Options, Towers};
use cliptune::export::weights::Weights;
use cliptune::onnx::ops::Activation;
use cliptune::onnx::proto::ModelProto;
use cliptune::onnx::runtime::{Array, Session};
use cliptune::onnx::{check, external, half};
use cliptune::trt::builder::{self, InputProfile, Request};
use cliptune::trt::target::Target;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn architecture(activation: Activation) -> Architecture {
    let tower = Tower { width: 16, heads: 2, layers: 2, mlp_width: 64 };
    Architecture {
        embed_dim: 12,
        image_size: 16,
        patch_size: 8,
        vision: tower,
        text: tower,
        context_length: 8,
        vocab_size: 64,
        activation,
        epsilon: 1e-5,
        ln_pre: true,
        vision_pool: Pool::First,
        norm_after_pool: false,
        text_pool: Pool::End,
        causal: true,
    }
}

fn model(weights: &Weights, activation: Activation, towers: Towers, options: Options) -> ModelProto {
    let model = graph::build(weights, &architecture(activation), towers, options, &[]);
    weights.finish().unwrap();
    assert_eq!(check::faults(&model), Vec::<String>::new());
    model
}

fn integers(path: &Path, name: &str) -> Vec<i64> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensor(name).unwrap().data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
}

const DYNAMIC: Options = Options { opset: 17, batch: None };

fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "worst difference {worst}: {got:?} {expected:?}");
}

/// Runs `rows` samples of the golden file and compares with open_clip.
fn compare(file: &Path, onnx: &Path, towers: Towers, rows: usize, tolerance: f32) {
    let weights = Weights::open(file).unwrap();
    let n = rows as i64;
    let mut inputs = Vec::new();
    let mut wanted = vec!["logit_scale", "logit_bias"];
    let mut expected = Vec::new();
    if towers.vision() {
        let image = weights.get("golden.image", &[3, 3, 16, 16])[..rows * 768].to_vec();
        inputs.push(("image", Array::Float(vec![n, 3, 16, 16], image)));
        wanted.push("image_embedding");
        expected.push(weights.get("golden.image_embedding", &[3, 12])[..rows * 12].to_vec());
    }
    if towers.text() {
        let ids = integers(file, "golden.input_ids")[..rows * 8].to_vec();
        inputs.push(("input_ids", Array::Int(vec![n, 8], ids)));
        inputs.push(("attention_mask", Array::Int(vec![n, 8], vec![1; rows * 8])));
        wanted.push("text_embedding");
        expected.push(weights.get("golden.text_embedding", &[3, 12])[..rows * 12].to_vec());
    }
    let results = Session::open(onnx, 1).unwrap().run(&inputs, &wanted).unwrap();
    let bias = if weights.has("logit_bias") { weights.scalar("logit_bias") } else { 0.0 };
    assert_close(&results[0].1, &[weights.scalar("logit_scale").exp()], 1e-4);
    assert_close(&results[1].1, &[bias], 1e-6);
    assert!(results[0].0.is_empty() && results[1].0.is_empty());
    for (result, expected) in results[2..].iter().zip(&expected) {
        assert_eq!(result.0, [n, 12]);
        assert_close(&result.1, expected, tolerance);
    }
}

#[test]
fn graph_in_onnx_runtime_equals_open_clip() {
    let dir = tempfile::tempdir().unwrap();
    for (name, activation) in [("gelu_bias", Activation::Gelu), ("quick_gelu", Activation::QuickGelu)] {
        let file = golden(&format!("onnx_{name}.safetensors"));
        let weights = Weights::open(&file).unwrap();
        for towers in [Towers::Combined, Towers::Vision, Towers::Text] {
            for (opset, batch, rows) in [(17, None, 1), (17, None, 3), (21, None, 3), (17, Some(2), 2)] {
                let model = model(&weights, activation, towers, Options { opset, batch });
                let onnx = dir.path().join("model.onnx");
                assert_eq!(external::write(model, &onnx, external::LIMIT).unwrap(), std::slice::from_ref(&onnx));
                compare(&file, &onnx, towers, rows, 2e-5);
            }
        }
    }
}

#[test]
fn graph_inputs_and_outputs_have_taos_names() {
    let weights = Weights::open(&golden("onnx_quick_gelu.safetensors")).unwrap();
    let names = |towers| {
        let graph = model(&weights, Activation::QuickGelu, towers, DYNAMIC).graph.unwrap();
        let list = |values: &[cliptune::onnx::proto::ValueInfoProto]| {
            values.iter().map(|v| v.name.clone()).collect::<Vec<_>>().join(" ")
        };
        (list(&graph.input), list(&graph.output))
    };
    let expected = |inputs: &str, outputs: &str| (inputs.to_owned(), format!("{outputs} logit_scale logit_bias"));
    assert_eq!(names(Towers::Vision), expected("image", "image_embedding"));
    assert_eq!(names(Towers::Text), expected("input_ids attention_mask", "text_embedding"));
    assert_eq!(names(Towers::Combined), expected("image input_ids attention_mask", "image_embedding text_embedding"));
}

#[test]
fn external_weights_in_side_file_give_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let file = golden("onnx_gelu_bias.safetensors");
    let weights = Weights::open(&file).unwrap();
    let onnx = dir.path().join("clip_model.onnx");
    let whole = model(&weights, Activation::Gelu, Towers::Combined, DYNAMIC);
    let written = external::write(whole.clone(), &onnx, 1000).unwrap();
    assert_eq!(written, [onnx.clone(), dir.path().join("clip_model_weights.bin")]);
    compare(&file, &onnx, Towers::Combined, 3, 2e-5);
    let mut read = external::read(&onnx).unwrap();
    external::load_weights(&mut read, &onnx).unwrap();
    assert_eq!(read, whole);

    std::fs::remove_file(&written[1]).unwrap();
    let message = external::load_weights(&mut external::read(&onnx).unwrap(), &onnx).unwrap_err().to_string();
    assert!(message.contains("clip_model_weights.bin") && message.contains("keep both files"), "{message}");
}

#[test]
fn half_graph_in_onnx_runtime_is_near_open_clip() {
    let dir = tempfile::tempdir().unwrap();
    let file = golden("onnx_gelu_bias.safetensors");
    let mut model = model(&Weights::open(&file).unwrap(), Activation::Gelu, Towers::Combined, DYNAMIC);
    half::convert(&mut model).unwrap();
    assert_eq!(check::faults(&model), Vec::<String>::new());
    let onnx = dir.path().join("half.onnx");
    external::write(model, &onnx, external::LIMIT).unwrap();
    let weights = Weights::open(&file).unwrap();
    let image = weights.get("golden.image", &[3, 3, 16, 16]);
    let inputs = [
        ("image", Array::Float(vec![3, 3, 16, 16], image)),
        ("input_ids", Array::Int(vec![3, 8], integers(&file, "golden.input_ids"))),
        ("attention_mask", Array::Int(vec![3, 8], vec![1; 24])),
    ];
    let results = Session::open(&onnx, 1).unwrap().run(&inputs, &["image_embedding", "text_embedding"]).unwrap();
    assert_close(&results[0].1, &weights.get("golden.image_embedding", &[3, 12]), 2e-2);
    assert_close(&results[1].1, &weights.get("golden.text_embedding", &[3, 12]), 2e-2);
}

#[test]
fn half_unknown_operator_is_named() {
    let mut model = model(
        &Weights::open(&golden("onnx_gelu_bias.safetensors")).unwrap(),
        Activation::Gelu,
        Towers::Vision,
        DYNAMIC,
    );
    model.graph.as_mut().unwrap().node[0].op_type = "QuantizeLinear".into();
    assert!(half::convert(&mut model).unwrap_err().contains("QuantizeLinear"));
}

#[test]
fn weights_wrong_architecture_lists_every_fault() {
    let weights = Weights::open(&golden("onnx_gelu_bias.safetensors")).unwrap();
    let mut architecture = architecture(Activation::Gelu);
    architecture.embed_dim = 10;
    architecture.vision.layers = 3;
    graph::build(&weights, &architecture, Towers::Combined, DYNAMIC, &[]);
    let message = weights.finish().unwrap_err().message;
    for part in
        ["visual.proj has shape [16, 12]", "text_projection", "visual.transformer.resblocks.2.ln_1.weight is missing"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
}

fn profiles(max: i64) -> Vec<InputProfile> {
    let profile = |name: &str, rest: &[i64]| {
        let shape = |batch: i64| [&[batch], rest].concat();
        InputProfile { name: name.into(), min: shape(1), opt: shape(2), max: shape(max) }
    };
    vec![profile("image", &[3, 16, 16]), profile("input_ids", &[8]), profile("attention_mask", &[8])]
}

#[test]
fn engine_of_dynamic_graph_builds_without_a_gpu_and_keeps_every_input() {
    if let Err(missing) = cliptune::trt::library::load() {
        assert!(missing.message.contains("libtensorrt_rtx.so"), "{missing}");
        eprintln!("no engine was built: {missing}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let weights = Weights::open(&golden("onnx_gelu_bias.safetensors")).unwrap();
    for precision in ["fp32", "fp16"] {
        let mut model = model(&weights, Activation::Gelu, Towers::Combined, DYNAMIC);
        if precision == "fp16" {
            half::convert(&mut model).unwrap();
        }
        let onnx = dir.path().join(format!("{precision}.onnx"));
        external::write(model, &onnx, 1000).unwrap();
        let request = Request {
            onnx: &onnx,
            profiles: &profiles(4),
            workspace_mib: 64,
            targets: &[Target::Sm86, Target::Sm89],
            verbose: true,
        };
        let engine = builder::build(&request).unwrap();
        let inputs: Vec<&str> = engine.inputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(inputs, ["image", "input_ids", "attention_mask"]);
        assert_eq!(engine.inputs[0].1, [-1, 3, 16, 16]);
        assert_eq!(engine.outputs, ["image_embedding", "text_embedding", "logit_scale", "logit_bias"]);
        assert!(engine.bytes.len() > 10_000, "{} bytes", engine.bytes.len());
    }
}
