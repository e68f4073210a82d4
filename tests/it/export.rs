//! Tests of exports: files get their names after the comparison with the model, and engines come with what they need.

use std::fs;
use std::path::{Path, PathBuf};

use cliptune::deploy::build::{self, Plan};
use cliptune::deploy::profile::Batches;
use cliptune::eval::embedder::Embedder;
use cliptune::export::architecture::{Architecture, Pool, Tower};
use cliptune::export::graph::Options;
use cliptune::export::parity::{Reference, Samples};
use cliptune::export::run::{self, Exported, Request};
use cliptune::export::weights::Weights;
use cliptune::infer::onnx::OnnxEmbedder;
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::onnx::external;
use cliptune::onnx::ops::Activation;
use serde_json::{Value, json};
use tch::Tensor;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx_gelu_bias.safetensors")
}

fn architecture() -> Architecture {
    let tower = Tower { width: 16, heads: 2, layers: 2, mlp_width: 64 };
    Architecture {
        embed_dim: 12,
        image_size: 16,
        patch_size: 8,
        vision: tower,
        text: tower,
        context_length: 8,
        vocab_size: 64,
        activation: Activation::Gelu,
        epsilon: 1e-5,
        ln_pre: true,
        vision_pool: Pool::First,
        norm_after_pool: false,
        text_pool: Pool::End,
        causal: true,
    }
}

/// open_clip's own embeddings of the three golden samples.
struct OpenClip {
    image: Tensor,
    text: Tensor,
}

impl Reference for OpenClip {
    fn image_embedding(&mut self, images: &Tensor) -> Result<Tensor, Failure> {
        Ok(self.image.narrow(0, 0, images.size()[0]))
    }
    fn text_embedding(&mut self, tokens: &Tensor) -> Result<Tensor, Failure> {
        Ok(self.text.narrow(0, 0, tokens.size()[0]))
    }
}

fn golden_data() -> (OpenClip, Samples) {
    let weights = Weights::open(&golden()).unwrap();
    let tensor = |name: &str, shape: &[i64]| Tensor::from_slice(&weights.get(name, shape)).reshape(shape);
    let bytes = fs::read(golden()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let ids = file.tensor("golden.input_ids").unwrap().data();
    let ids: Vec<i64> = ids.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    let reference =
        OpenClip { image: tensor("golden.image_embedding", &[3, 12]), text: tensor("golden.text_embedding", &[3, 12]) };
    let samples = Samples {
        images: tensor("golden.image", &[3, 3, 16, 16]),
        tokens: Tensor::from_slice(&ids).reshape([3, 8]),
        source: "golden".into(),
    };
    (reference, samples)
}

fn request<'a>(weights: &'a Path, architecture: &'a Architecture, onnx_file: &'a Path, separate: bool) -> Request<'a> {
    Request {
        weights,
        architecture,
        config: json!({"embed_dim": 12}),
        preprocess: json!({"size": 16}),
        tokenizer: json!({"context_length": 8}),
        onnx_file,
        separate,
        options: Options { opset: 17, batch: None },
        batch: 3,
        threads: 1,
        external_limit: external::LIMIT,
        replace: false,
    }
}

fn export(weights: &Path, onnx_file: &Path, separate: bool) -> Result<Exported, Failure> {
    let (mut reference, samples) = golden_data();
    let architecture = architecture();
    run::export(&request(weights, &architecture, onnx_file, separate), &mut reference, &samples)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn export_combined_and_separate_write_taos_files() {
    let dir = tempfile::tempdir().unwrap();
    let exported = export(&golden(), &dir.path().join("clip_model.onnx"), false).unwrap();
    assert_eq!(names(dir.path()), ["clip_model.onnx", "clip_model_config.yaml", "clip_model_tokenizer", "parity.json"]);
    let parity: Value = serde_json::from_slice(&fs::read(&exported.parity).unwrap()).unwrap();
    assert_eq!(parity["passed"], true);
    assert_eq!(parity["graphs"][0]["image"]["samples"], 3);
    assert!(parity["graphs"][0]["text"]["worst_cosine"].as_f64().unwrap() > 0.999_99);
    let config: Value = serde_yaml::from_slice(&fs::read(dir.path().join("clip_model_config.yaml")).unwrap()).unwrap();
    assert!((config["logit_bias"].as_f64().unwrap() + 10.0).abs() < 1.0, "{config}");

    let dir = tempfile::tempdir().unwrap();
    let exported = export(&golden(), &dir.path().join("clip.onnx"), true).unwrap();
    assert_eq!(
        names(dir.path()),
        ["clip_config.yaml", "clip_text.onnx", "clip_tokenizer", "clip_vision.onnx", "parity.json"]
    );
    assert_eq!(exported.reports.len(), 2);
    assert!(exported.reports[0].text.is_none() && exported.reports[1].image.is_none());
}

#[test]
fn export_existing_target_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("clip_model.onnx");
    fs::write(&onnx, "mine").unwrap();
    let failure = export(&golden(), &onnx, false).unwrap_err();
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    assert!(failure.message.contains("clip_model.onnx exists already"), "{failure}");
    assert_eq!(fs::read(&onnx).unwrap(), b"mine");
    assert_eq!(names(dir.path()), ["clip_model.onnx"]);
}

#[test]
fn export_of_a_broken_weight_fails_parity_and_leaves_no_graph() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(golden()).unwrap();
    let name = "visual.transformer.resblocks.1.mlp.c_fc.weight";
    let (header, index) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let start = header + 8 + index.info(name).unwrap().data_offsets.0;
    for value in bytes[start..start + 4 * 64].chunks_exact_mut(4) {
        value.copy_from_slice(&3.0_f32.to_le_bytes());
    }
    let broken = dir.path().join("broken.safetensors");
    fs::write(&broken, bytes).unwrap();
    let out = dir.path().join("out");
    let failure = export(&broken, &out.join("clip_model.onnx"), true).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Parity);
    assert!(failure.message.contains("clip_model_vision.onnx") && !failure.message.contains("_text.onnx"), "{failure}");
    assert_eq!(names(&out), ["parity.json"]);
    let parity: Value = serde_json::from_slice(&fs::read(out.join("parity.json")).unwrap()).unwrap();
    assert_eq!(parity["passed"], false);
}

#[test]
fn export_opset_without_layer_norm_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reference, samples) = golden_data();
    let (architecture, weights, onnx) = (architecture(), golden(), dir.path().join("a.onnx"));
    let mut request = request(&weights, &architecture, &onnx, false);
    request.options.opset = 11;
    let failure = run::export(&request, &mut reference, &samples).unwrap_err();
    assert!(failure.message.contains("export.opset_version is 11"), "{failure}");
}

#[test]
fn onnx_embedder_combined_separate_and_fixed_batch_agree_with_open_clip() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reference, samples) = golden_data();
    let (architecture, weights) = (architecture(), golden());
    for (file, separate, batch, limit) in [
        ("combined.onnx", false, None, external::LIMIT),
        ("separate.onnx", true, None, external::LIMIT),
        ("fixed.onnx", false, Some(2), external::LIMIT),
        ("outside.onnx", false, None, 1000),
    ] {
        let onnx = dir.path().join(file);
        let mut request = request(&weights, &architecture, &onnx, separate);
        (request.options.batch, request.external_limit) = (batch, limit);
        // A fixed batch is filled up with the first rows again, which this reference cannot know.
        if batch.is_none() {
            run::export(&request, &mut reference, &samples).unwrap();
        } else {
            let two = Samples {
                images: samples.images.narrow(0, 0, 2),
                tokens: samples.tokens.narrow(0, 0, 2),
                source: "golden".into(),
            };
            run::export(&request, &mut reference, &two).unwrap();
        }
        let mut embedder = OnnxEmbedder::open(&onnx, 1).unwrap();
        let unit = |t: &Tensor| t / t.norm_scalaropt_dim(2, [1_i64].as_slice(), true);
        let image = embedder.images(&samples.images).unwrap();
        let text = embedder.texts(&samples.tokens).unwrap();
        assert!((image - unit(&reference.image)).abs().max().double_value(&[]) < 1e-5, "{file}");
        assert!((text - unit(&reference.text)).abs().max().double_value(&[]) < 1e-5, "{file}");
        assert_eq!(embedder.metadata(run::key::PREPROCESS), Some(r#"{"size":16}"#));
    }
    let missing = OnnxEmbedder::open(&dir.path().join("nothing.onnx"), 1).unwrap_err().message;
    assert!(missing.contains("nothing_vision.onnx") && missing.contains("nothing_text.onnx"), "{missing}");
}

#[test]
fn engines_of_separate_graphs_come_with_metadata() {
    if let Err(missing) = cliptune::trt::library::load() {
        assert!(missing.message.contains("libtensorrt_rtx.so"), "{missing}");
        eprintln!("no engine was built: {missing}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("clip.onnx");
    export(&golden(), &onnx, true).unwrap();
    let plan = Plan {
        onnx_file: &onnx,
        engine_file: &dir.path().join("deploy/clip.engine"),
        batch_size: -1,
        batches: Batches::new(-1, 1, 2, 4).unwrap(),
        half: true,
        workspace_mib: 64,
        targets: &[],
        verbose: false,
    };
    let built = build::build(&plan).unwrap();
    assert_eq!(
        names(&dir.path().join("deploy")),
        [
            "clip_config.yaml",
            "clip_text.engine",
            "clip_text.engine.json",
            "clip_tokenizer",
            "clip_vision.engine",
            "clip_vision.engine.json"
        ]
    );
    let metadata: Value = serde_json::from_slice(&fs::read(&built[0].metadata).unwrap()).unwrap();
    assert_eq!(metadata["profile"][0]["max"], json!([4, 3, 16, 16]));
    assert_eq!(metadata["precision"], "fp16");
    assert_eq!(metadata["graph"]["preprocess"]["size"], 16);
    assert!(metadata["graph"]["logit_scale"].as_f64().unwrap() > 1.0);
    assert_eq!(metadata["engine"]["bytes"].as_u64().unwrap(), built[0].bytes);
    let message = build::build(&Plan { onnx_file: &dir.path().join("no.onnx"), ..plan }).unwrap_err().message;
    assert!(message.contains("no.onnx") && message.contains("no_vision.onnx"), "{message}");
}

#[test]
fn gen_trt_engine_without_tensorrt_exits_8_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(["gen_trt_engine", "--results-dir", "out", "gen_trt_engine.onnx_file=clip_model.onnx"])
        .current_dir(dir.path())
        .env("CLIPTUNE_TENSORRT_DIR", &nothing)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{text}");
    for part in ["libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so", "tensorrt-rtx-cu13-libs", "nothing"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
