//! Tests of exports: files get their names after the comparison with the model, and engines come with what they need.

use std::fs;
use std::path::Path;

use cliptune::deploy::build::{self, Plan};
use cliptune::deploy::profile::Batches;
use cliptune::eval::embedder::Embedder;
use cliptune::export::run;
use cliptune::infer::onnx::OnnxEmbedder;
use cliptune::journal::failure::FailureKind;
use cliptune::onnx::external;
use cliptune::onnx::pin::Pin;
use cliptune::onnx::runtime::Load;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::exported::{self, FAMILIES, export, export_with};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn export_combined_and_separate_write_taos_files() {
    let dir = tempfile::tempdir().unwrap();
    let exported = export("nv_clip", &dir.path().join("clip_model.onnx"), false).unwrap();
    assert_eq!(names(dir.path()), ["clip_model.onnx", "clip_model_config.yaml", "clip_model_tokenizer", "parity.json"]);
    let parity: Value = serde_json::from_slice(&fs::read(&exported.parity).unwrap()).unwrap();
    assert_eq!(parity["passed"], true);
    assert_eq!(parity["graphs"][0]["image"]["samples"], 4);
    assert!(parity["graphs"][0]["text"]["worst_cosine"].as_f64().unwrap() > 0.999_99);
    let config: Value = serde_yaml::from_slice(&fs::read(dir.path().join("clip_model_config.yaml")).unwrap()).unwrap();
    assert!((config["logit_bias"].as_f64().unwrap() + 3.0).abs() < 1.0, "{config}");

    let dir = tempfile::tempdir().unwrap();
    let exported = export("nv_clip", &dir.path().join("clip.onnx"), true).unwrap();
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
    let failure = export("hf_clip", &onnx, false).unwrap_err();
    assert_eq!(failure.kind, FailureKind::SpecInvalid);
    assert!(failure.message.contains("clip_model.onnx exists already"), "{failure}");
    assert_eq!(fs::read(&onnx).unwrap(), b"mine");
    assert_eq!(names(dir.path()), ["clip_model.onnx"]);
    export_with("hf_clip", &onnx, exported::model("hf_clip"), |request| request.replace = true).unwrap();
    assert!(fs::metadata(&onnx).unwrap().len() > 1000);
}

#[test]
fn a_graph_that_differs_from_the_model_fails_and_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    // A model that computes in 16 bits is not what the graph computes.
    let mut model = exported::model("radio_clip");
    model.set_matmul_kind(Kind::BFloat16);
    let failure = export_with("radio_clip", &out.join("clip_model.onnx"), model, |r| r.separate = true).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Parity);
    assert!(failure.message.contains("clip_model_vision.onnx"), "{failure}");
    assert_eq!(names(&out), ["parity.json"]);
    let passed = |name: &str| {
        let parity: Value = serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap();
        parity["passed"].as_bool().unwrap()
    };
    assert!(!passed("parity.json"));

    // Graphs that are there stay, with what is known of them.
    let onnx = out.join("clip_model.onnx");
    export_with("radio_clip", &onnx, exported::model("radio_clip"), |r| r.external_limit = 1000).unwrap();
    let (graph, all) = (fs::read(&onnx).unwrap(), names(&out));
    assert!(passed("parity.json") && all.contains(&"clip_model_weights.bin".to_owned()), "{all:?}");
    let mut model = exported::model("radio_clip");
    model.set_matmul_kind(Kind::BFloat16);
    let failure = export_with("radio_clip", &onnx, model, |r| r.replace = true).unwrap_err();
    assert!(failure.message.contains("parity_failed.json"), "{failure}");
    assert!(passed("parity.json") && !passed("parity_failed.json"));
    assert_eq!(fs::read(&onnx).unwrap(), graph);
    fs::remove_file(out.join("parity_failed.json")).unwrap();
    assert_eq!(names(&out), all);
    export_with("radio_clip", &onnx, exported::model("radio_clip"), |r| r.replace = true).unwrap();
    assert!(!names(&out).contains(&"clip_model_weights.bin".to_owned()), "it belonged to the graph before");

    // A graph with another name leaves what is said of this one.
    let before = fs::read(out.join("parity.json")).unwrap();
    let second = export_with("radio_clip", &out.join("other.onnx"), exported::model("radio_clip"), |_| {}).unwrap();
    assert_eq!(second.parity, out.join("other_parity.json"));
    assert!(fs::read(out.join("parity.json")).unwrap() == before && passed("other_parity.json"));
}

#[test]
fn export_opset_without_layer_norm_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = dir.path().join("a.onnx");
    let failure = export_with("hf_clip", &onnx, exported::model("hf_clip"), |r| r.options.opset = 11).unwrap_err();
    assert!(failure.message.contains("export.opset_version is 11"), "{failure}");
}

#[test]
fn onnx_embedder_combined_separate_and_fixed_batch_agree_with_every_family() {
    for family in FAMILIES {
        embedder_agrees(family);
    }
}

fn embedder_agrees(family: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (samples, data) = (exported::samples(family), exported::golden(family));
    for (file, separate, batch, limit) in [
        ("combined.onnx", false, None, external::LIMIT),
        ("separate.onnx", true, None, external::LIMIT),
        ("fixed.onnx", false, Some(3), external::LIMIT),
        ("outside.onnx", false, None, 1000),
    ] {
        let onnx = dir.path().join(file);
        export_with(family, &onnx, exported::model(family), |request| {
            request.separate = separate;
            (request.options.batch, request.external_limit) = (batch, limit);
        })
        .unwrap();
        let mut embedder = OnnxEmbedder::open(&onnx, &Load::default()).unwrap();
        let unit = |t: &Tensor| t / t.norm_scalaropt_dim(2, [1_i64].as_slice(), true);
        let image = embedder.images(&samples.images).unwrap();
        let text = embedder.texts(&samples.tokens).unwrap();
        assert!((image - unit(&data["out.images"])).abs().max().double_value(&[]) < 1e-5, "{family} {file}");
        assert!((text - unit(&data["out.texts"])).abs().max().double_value(&[]) < 1e-5, "{family} {file}");
        assert_eq!(embedder.metadata(run::key::PREPROCESS), Some(r#"{"size":16}"#));
    }
    let missing = OnnxEmbedder::open(&dir.path().join("nothing.onnx"), &Load::default()).unwrap_err().message;
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
    export("nv_clip", &onnx, true).unwrap();
    let plan = Plan {
        onnx_file: &onnx,
        engine_file: &dir.path().join("deploy/clip.engine"),
        batch_size: -1,
        batches: Batches::new(-1, 1, 2, 4).unwrap(),
        half: true,
        pins: &[Pin::parse("*.softmax:fp32").unwrap()],
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
    assert_eq!(metadata["layers_precision"], json!({"*.softmax": "fp32"}));
    assert_eq!(metadata["graph"]["preprocess"]["size"], 16);
    assert!(metadata["graph"]["logit_scale"].as_f64().unwrap() > 1.0);
    assert_eq!(metadata["engine"]["bytes"].as_u64().unwrap(), built[0].bytes);
    let message = build::build(&Plan { onnx_file: &dir.path().join("no.onnx"), ..plan }).unwrap_err().message;
    assert!(message.contains("no.onnx") && message.contains("no_vision.onnx"), "{message}");
}

/// What `cliptune gen_trt_engine` says in an empty folder, and its exit code.
fn gen_trt_engine(args: &[&str], variables: &[(&str, &Path)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cliptune"))
        .args(["gen_trt_engine", "--results-dir", "out", "gen_trt_engine.onnx_file=clip_model.onnx"])
        .args(args)
        .current_dir(dir.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn gen_trt_engine_without_tensorrt_exits_8_and_says_what_is_missing() {
    let nothing = tempfile::tempdir().unwrap();
    let (code, text) = gen_trt_engine(&[], &[("CLIPTUNE_TENSORRT_DIR", nothing.path())]);
    assert_eq!(code, Some(8), "{text}");
    let looked_in = nothing.path().to_string_lossy();
    for part in ["libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so", "tensorrt-rtx-cu13-libs", &*looked_in] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn gen_trt_engine_for_a_gpu_that_is_not_there_is_refused() {
    let (code, text) = gen_trt_engine(&["gen_trt_engine.gpu_id=99"], &[]);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("gen_trt_engine.gpu_id is 99") && text.contains("promote_target_compute"), "{text}");
    // Ahead of time it matters to nobody: the graph is what is missing then.
    let (_, text) = gen_trt_engine(&["gen_trt_engine.gpu_id=99", "automl.promote_target_compute=[\"8.6\"]"], &[]);
    assert!(text.contains("there is no graph") || text.contains("tensorrt-rtx-cu13-libs"), "{text}");
}
