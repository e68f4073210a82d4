//! Measuring, embedding and searching as a user does it, with the real binary on real drawings and a tiny model.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;

use crate::e2e::{Workspace, journal};

/// A workspace with a trained checkpoint and its graphs, shared by the tests that run at the same time; the last one of them
/// deletes it.
fn trained() -> Arc<Workspace> {
    static TRAINED: Mutex<Weak<Workspace>> = Mutex::new(Weak::new());
    let mut shared = TRAINED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let w = Arc::new(Workspace::new(1, 1));
        w.ok(&["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "plain"]);
        w.ok(&["export", "--parent", "plain", "--results-dir", "exported", "export.encoder_type=separate"]);
        *shared = Arc::downgrade(&w);
        w
    })
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn results(w: &Workspace, dir: &str) -> Value {
    json(&w.path(dir).join("evaluate/results.json"))
}

/// The drawings of a split, unpacked as a folder of images with their captions beside them.
fn drawings(w: &Workspace, split: &str, to: &str, take: usize) -> Vec<String> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/demo").join(split);
    let names: Vec<String> =
        fs::read_to_string(demo.join("image_list.txt")).unwrap().lines().take(take).map(str::to_owned).collect();
    let folder = w.path(to);
    fs::create_dir_all(&folder).unwrap();
    for archive in ["images.tar.gz", "captions.tar.gz"] {
        let unpacked = std::process::Command::new("tar")
            .args(["-xzf", &demo.join(archive).to_string_lossy(), "--strip-components=1", "-C"])
            .arg(&folder)
            .status();
        assert!(unpacked.unwrap().success());
    }
    for file in fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !names.iter().any(|n| n.starts_with(&format!("{stem}."))) {
            fs::remove_file(file).unwrap();
        }
    }
    names
}

#[test]
fn evaluate_measures_a_graph_as_its_checkpoint_and_every_data_set_by_itself() {
    let w = &*trained();
    for (folder, split) in [("sets/a/pics", "val"), ("sets/b/pics", "train")] {
        drawings(w, split, folder, 16);
    }
    let sets = "evaluate.datasets=[{image_dir: sets/a/pics}, {image_dir: sets/b/pics}]";
    let prompts = w.path("queries.txt");
    fs::write(&prompts, "a red apple\n").unwrap();
    let text_file = "evaluate.text_file=queries.txt";
    let shown =
        w.ok(&["evaluate", "--parent", "plain", "--results-dir", "twice", sets, text_file, "evaluate.per_query=csv"]);
    assert!(shown.contains("a-pics/t2i_mAP") && shown.contains("val/t2i_mAP"), "{shown}");
    let found = results(w, "twice");
    assert_eq!(found["num_images"], 32);
    let names: Vec<&str> = found["datasets"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a-pics", "b-pics"]);
    // Alone, a set measures what it measures beside another.
    w.ok(&["evaluate", "--parent", "plain", "--results-dir", "alone", "evaluate.datasets=[{image_dir: sets/b/pics}]"]);
    assert_eq!(results(w, "alone")["metrics"], found["datasets"][1]["metrics"]);
    assert_ne!(found["metrics"]["t2i_mAP"], found["datasets"][1]["metrics"]["t2i_mAP"]);

    // The worst queries come with what was found instead, and nothing that was found first is among them.
    for direction in ["t2i", "i2t"] {
        let worst = found["worst"][direction].as_array().unwrap();
        assert!(!worst.is_empty() && worst.len() <= 20);
        let ranks: Vec<f64> = worst.iter().map(|q| q["rank"].as_f64().unwrap()).collect();
        assert!(ranks.is_sorted_by(|a, b| a >= b) && ranks.iter().all(|r| *r > 1.0), "{ranks:?}");
        for query in worst {
            assert!(Path::new(query["image"].as_str().unwrap()).is_file());
            assert_eq!(query["found"].as_array().unwrap().len(), 5);
            let best = &query["found"][0];
            assert!(best["score"].as_f64() >= query["score"].as_f64(), "{query}");
        }
    }
    // The best ones found their own first.
    for direction in ["t2i", "i2t"] {
        let best = found["best"][direction].as_array().unwrap();
        assert!(best.iter().all(|q| q["rank"] == 1.0), "{best:?}");
        let scores: Vec<f64> = best.iter().map(|q| q["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
    assert_eq!(found["prompts"][0]["text"], "a red apple");
    assert_eq!(found["prompts"][0]["found"].as_array().unwrap().len(), 5);

    // A line a query, whose mean is the metric.
    let table = fs::read_to_string(w.path("twice/evaluate/per_query.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 2 * 32);
    let after = lines[0].rsplit(',').position(|name| name == "average_precision").unwrap();
    let of_texts: Vec<f64> = lines[1..33]
        .iter()
        // Captions may hold commas; what follows the number may not.
        .map(|line| line.rsplit(',').nth(after).unwrap().parse().unwrap())
        .collect();
    let mean = of_texts.iter().sum::<f64>() / 32.0;
    assert!((mean - found["metrics"]["t2i_mAP"].as_f64().unwrap()).abs() < 1e-9);

    let onnx = "evaluate.checkpoint=exported/export/clip_model.onnx";
    w.ok(&["evaluate", "--parent", "plain", "--results-dir", "onnx", sets, onnx]);
    let graph = results(w, "onnx");
    assert_eq!(graph["kind"], "ONNX graph");
    for (name, value) in found["metrics"].as_object().unwrap() {
        let (a, b) = (value.as_f64().unwrap(), graph["metrics"][name].as_f64().unwrap());
        assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "{name}: {a} against {b}");
    }
}

/// A checkpoint whose projections are too large for 16 bits.
fn too_large(w: &Workspace, to: &str) {
    let (from, to) = (w.path("plain/train/checkpoints/best"), w.path(to));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        // The seal would say that somebody changed the weights.
        if file.is_file() && !file.ends_with("meta.json") {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let weights = to.join("model.safetensors");
    let scaled = |(name, t): (String, tch::Tensor)| {
        let factor = if ["visual.proj", "text_projection"].contains(&name.as_str()) { 1e7 } else { 1.0 };
        (name, t.to_kind(tch::Kind::Float) * factor)
    };
    let tensors: Vec<_> = cliptune::model::weights::read(&weights).unwrap().into_iter().map(scaled).collect();
    tch::Tensor::write_safetensors(&tensors, &weights).unwrap();
}

#[test]
fn export_that_changes_the_model_exits_10_and_leaves_what_was_there() {
    let w = &*trained();
    too_large(w, "large");
    let export = |dir: &str, more: &[&str]| {
        let checkpoint = "export.checkpoint=large";
        let output = w.run(&[&["export", "-e", "spec.yaml", "--results-dir", dir, checkpoint], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let graphs = |dir: &str| {
        let names = fs::read_dir(w.path(dir).join("export")).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|n| !n.to_string_lossy().ends_with(".json") && n.to_string_lossy().contains("clip_model")).count()
    };
    let half = "export.data_type=fp16";
    let (code, said) = export("refused", &[half]);
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("does not compute what the model computes") && said.contains("parity.json"), "{said}");
    assert_eq!(graphs("refused"), 0, "{said}");
    assert_eq!(json(&w.path("refused/export/parity.json"))["passed"], false);

    let (code, said) = export("kept", &[]);
    assert_eq!(code, Some(0), "{said}");
    let (onnx, count) = (w.path("kept/export/clip_model.onnx"), graphs("kept"));
    let bytes = fs::read(&onnx).unwrap();
    let (code, said) = export("kept", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("clip_model.onnx") && said.contains("export.overwrite=true"), "{said}");
    let (code, said) = export("kept", &[half, "export.overwrite=true"]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!((fs::read(&onnx).unwrap() == bytes, graphs("kept")), (true, count));
    assert_eq!(json(&w.path("kept/export/parity.json"))["passed"], true);
}

#[test]
fn evaluate_with_several_captions_counts_any_of_them_as_a_hit() {
    let w = &*trained();
    let names = drawings(w, "val", "captions/pics", 8);
    for name in &names {
        let file = w.path("captions/pics").join(name).with_extension("txt");
        let caption = fs::read_to_string(&file).unwrap();
        let lines: Vec<String> = (0..5).map(|i| format!("{} {i}", caption.trim())).collect();
        fs::write(&file, lines.join("\n")).unwrap();
    }
    let sets = "evaluate.datasets=[{image_dir: captions/pics}]";
    let all = "dataset.val.caption_choice=all";
    w.ok(&["evaluate", "--parent", "plain", "--results-dir", "five", sets, all]);
    let found = results(w, "five");
    assert_eq!((found["num_images"].as_u64(), found["num_texts"].as_u64()), (Some(8), Some(40)));
    let metric = |name: &str| found["metrics"][name].as_f64().unwrap();
    // Five hits cannot all be first: recall counts the share, the hit rate any of them.
    assert!(metric("i2t_Hit@1") > metric("i2t_R@1") && metric("i2t_R@1") <= 0.2, "{found}");
    assert_eq!(metric("t2i_Hit@5"), metric("t2i_R@5"));
    assert_eq!(found["worst"]["i2t"][0]["texts"].as_array().unwrap().len(), 5);
    let grouped = "evaluate.ground_truth=caption_groups";
    w.ok(&["evaluate", "--parent", "plain", "--results-dir", "grouped", sets, all, grouped]);
    assert_eq!(results(w, "grouped")["metrics"], found["metrics"], "captions that all differ make no groups");
}

/// Images of one colour and some noise, a folder for each.
fn colours(root: &Path, each: u32, seed: u32) {
    for (name, colour) in [("dark_red", [150, 20, 20]), ("green", [20, 150, 20]), ("blue", [20, 20, 150])] {
        fs::create_dir_all(root.join(name)).unwrap();
        for i in 0..each {
            let mut state = seed.wrapping_mul(7919) + i;
            let pixel = |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                image::Rgb(colour.map(|c: u8| c.saturating_add((state >> 26) as u8)))
            };
            image::RgbImage::from_fn(32, 32, pixel).save(root.join(name).join(format!("{i}.png"))).unwrap();
        }
    }
}

#[test]
fn evaluate_names_classes_by_prompts_neighbours_and_a_probe() {
    let w = &*trained();
    colours(&w.path("colours/test"), 6, 1);
    colours(&w.path("colours/train"), 10, 2);
    let args = [
        "evaluate",
        "--parent",
        "plain",
        "--results-dir",
        "classes",
        "dataset.val.datasets=[]",
        "evaluate.classification.image_dir=colours/test",
        "evaluate.classification.train_image_dir=colours/train",
        "evaluate.classification.methods=[zero_shot, knn, linear_probe]",
        "evaluate.classification.templates=photos",
        "evaluate.classification.knn_k=5",
        "evaluate.per_query=csv",
    ];
    let shown = w.ok(&args);
    assert!(shown.contains("zero_shot/top1") && !shown.contains("val/t2i_mAP"), "{shown}");
    let found = results(w, "classes");
    let classes = &found["classification"];
    assert_eq!(classes["classes"], serde_json::json!(["blue", "dark red", "green"]));
    assert_eq!(classes["templates"].as_array().unwrap().len(), 15);
    for method in ["knn", "linear_probe"] {
        assert_eq!(classes[method]["top1"], 1.0, "colours are told apart by {method}: {classes}");
        assert_eq!(classes[method]["worst"].as_array().unwrap().len(), 0);
    }
    assert_eq!(classes["zero_shot"]["top5"], 1.0, "of three classes each is among the first five");
    assert_eq!(classes["zero_shot"]["images"], 18);
    assert_eq!(classes["knn"]["classes"][1]["name"], "dark red");
    let confusion = fs::read_to_string(w.path("classes/evaluate/confusion_knn.csv")).unwrap();
    assert_eq!(confusion, "class,blue,dark red,green\nblue,6,0,0\ndark red,0,6,0\ngreen,0,0,6\n");
    let table = fs::read_to_string(w.path("classes/evaluate/per_image.csv")).unwrap();
    assert_eq!(table.lines().count(), 19);
    assert!(table.starts_with("image,class,zero_shot_named,zero_shot_rank,zero_shot_score,knn_named"), "{table}");

    // Only those methods need labelled images to learn from.
    let missing = w.run(&[&args[..7], &["evaluate.classification.methods=[knn]"]].concat());
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(2), "{text}");
    assert!(text.contains("evaluate.classification.train_image_dir"), "{text}");
    let unnamed = w.run(&[&args[..7], &["evaluate.classification.class_names=[blue, green]"]].concat());
    let text = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(text.contains("no name for dark_red"), "{text}");
}

#[test]
fn engine_without_a_gpu_says_what_to_name_instead() {
    if Path::new("/dev/nvidia0").exists() {
        return;
    }
    let w = &*trained();
    fs::write(w.path("some.engine"), "engine").unwrap();
    for (action, more) in [("evaluate", "evaluate.batch_size=4"), ("inference", "inference.text_file=spec.yaml")] {
        let key = format!("{action}.trt_engine=some.engine");
        let null = format!("{action}.checkpoint=null");
        let output = w.run(&[action, "--parent", "plain", "--results-dir", "engine", &key, &null, more]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(8), "{text}");
        assert!(text.contains("some.engine") && text.contains("GPU") && text.contains("ONNX"), "{text}");
    }
}

fn hdf5(path: &Path) -> (Vec<String>, ndarray::Array2<f32>) {
    let file = hdf5::File::open(path).unwrap();
    let names = file.dataset("image_paths").unwrap().read_1d::<hdf5::types::VarLenUnicode>().unwrap();
    (names.iter().map(|n| n.as_str().to_owned()).collect(), file.dataset("embeddings").unwrap().read_2d().unwrap())
}

/// What a run should not leave behind.
fn hidden(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn inference_keeps_data_sets_apart_in_every_format() {
    let w = &*trained();
    for (folder, split) in [("embed/a/pics", "val"), ("embed/b/pics", "train")] {
        drawings(w, split, folder, 12);
    }
    let sets = "inference.datasets=[{image_dir: embed/a/pics}, {image_dir: embed/b/pics}]";
    let embed = |to: &str, more: &[&str]| {
        w.ok(&[&["inference", "--parent", "plain", "--results-dir", to, sets, "inference.batch_size=5"], more].concat())
    };
    embed("h5", &[]);
    let (names, a) = hdf5(&w.path("h5/inference/image_embeddings_a-pics.h5"));
    let (_, b) = hdf5(&w.path("h5/inference/image_embeddings_b-pics.h5"));
    assert_eq!((a.dim(), b.dim()), ((12, 32), (12, 32)));
    assert_ne!(a, b);
    assert!(names[0].ends_with("embed/a/pics/fluent-1f171.jpg"), "{names:?}");
    assert!(a.rows().into_iter().all(|row| (row.dot(&row) - 1.0).abs() < 1e-5), "rows are of length one");
    let left = hidden(&w.path("h5/inference"));
    assert!(left.is_empty(), "{left:?}");

    embed("st", &["inference.output_format=safetensors"]);
    let bytes = fs::read(w.path("st/inference/image_embeddings_b-pics.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let flat: Vec<u8> = b.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(tensors.tensor("embeddings").unwrap().data(), flat);
    let listed: Vec<String> = serde_json::from_slice(tensors.tensor("image_paths").unwrap().data()).unwrap();
    assert!(listed[0].contains("embed/b/pics"));

    embed("npy", &["inference.output_format=npy"]);
    let bytes = fs::read(w.path("npy/inference/image_embeddings_a-pics.npy")).unwrap();
    let flat: Vec<u8> = a.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && bytes.ends_with(&flat));
    assert_eq!((bytes.len() - flat.len()) % 64, 0);
    assert_eq!(json(&w.path("npy/inference/image_embeddings_a-pics.names.json"))[0], names[0].as_str());
}

#[test]
fn inference_killed_at_any_moment_goes_on_and_writes_the_same() {
    let w = &*trained();
    drawings(w, "train", "many/pics", 300);
    drawings(w, "val", "few/pics", 40);
    let sets = "inference.datasets=[{image_dir: many/pics}, {image_dir: few/pics}]";
    let args = |to: &'static str| {
        [
            "inference",
            "--parent",
            "plain",
            "--results-dir",
            to,
            sets,
            "inference.batch_size=4",
            "inference.num_workers=1",
        ]
    };
    w.ok(&args("whole"));
    for wait in [300, 700, 1100, 1500] {
        let mut child = w.command(&args("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let _ = child.kill();
        let _ = child.wait();
    }
    w.ok(&args("killed"));
    for name in ["many-pics", "few-pics"] {
        let file = |dir: &str| w.path(dir).join(format!("inference/image_embeddings_{name}.h5"));
        assert_eq!(hdf5(&file("killed")), hdf5(&file("whole")), "{name}");
    }
    let left = hidden(&w.path("killed/inference"));
    assert!(left.is_empty(), "{left:?}");
    let last = journal(&w.path("killed/inference/events.jsonl")).pop().unwrap();
    assert_eq!(last["event"]["outcome"]["outcome"], "completed");
}

#[test]
fn query_finds_an_image_by_itself_in_a_folder_and_in_embeddings() {
    let w = &*trained();
    let names = drawings(w, "val", "search/pics", 20);
    let image = format!("search/pics/{}", names[7]);
    w.ok(&[
        "inference",
        "--parent",
        "plain",
        "--results-dir",
        "index",
        "inference.datasets=[{image_dir: search/pics}]",
    ]);
    for place in ["search/pics", "index/inference/image_embeddings.h5"] {
        let shown = w.ok(&["query", "--image", &image, "--in", place, "--parent", "plain", "-k", "3", "--json"]);
        let found: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((found["version"].as_u64(), found["searched"].as_u64()), (Some(1), Some(20)));
        let hits = found["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 3);
        assert!(hits[0]["name"].as_str().unwrap().ends_with(&image), "{hits:?}");
        assert!((hits[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-5);
    }
    let graph = ["--checkpoint", "exported/export/clip_model.onnx"];
    let table = w.ok(&[&["query", "a red apple", "--in", "search/pics", "-k", "2"], &graph[..]].concat());
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("rank"), "{table}");

    let nothing = w.run(&["query", "a cat", "--in", "no/such", "--parent", "plain"]);
    assert_eq!(nothing.status.code(), Some(6));
    let nobody = w.run(&["query", "a cat", "--in", "search/pics"]);
    assert_eq!(nobody.status.code(), Some(2));
}
