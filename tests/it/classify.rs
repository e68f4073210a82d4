//! Classification against NumPy and scikit-learn (tests/golden/classify_golden.py).

use cliptune::eval::classify::{self, Classified};
use cliptune::eval::probe::Probe;
use cliptune::eval::{knn, zero_shot};
use serde_json::Value;
use tch::{Kind, Tensor};

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/classify.json")).unwrap()
}

fn matrix(value: &Value) -> Tensor {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    let width = rows[0].len() as i64;
    Tensor::from_slice(&rows.concat()).reshape([-1, width]).to_kind(Kind::Float)
}

fn labels(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).unwrap()
}

fn compare(name: &str, found: &Classified, expected: &Value) {
    for (what, found) in [("top1", found.top1), ("top5", found.top5), ("mean_per_class", found.mean_per_class)] {
        let expected = expected[what].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{name} {what}: {found}, expected {expected}");
    }
    let confusion: Vec<Vec<u32>> = serde_json::from_value(expected["confusion"].clone()).unwrap();
    assert_eq!(found.confusion, confusion, "{name}");
}

fn close(name: &str, found: &Tensor, expected: &Value, within: f64) {
    let off = (found.to_kind(Kind::Float) - matrix(expected)).abs().max().double_value(&[]);
    assert!(off < within, "{name} is off by {off}");
}

#[test]
fn zero_shot_averages_templates_and_measures_as_scikit_learn() {
    let data = golden();
    let prompts: Vec<Vec<Vec<f32>>> = serde_json::from_value(data["prompts"].clone()).unwrap();
    let classes: Vec<String> = (0..prompts.len()).map(|i| i.to_string()).collect();
    let templates: Vec<String> = (0..5).map(|t| format!("{{}} {t}")).collect();
    let classifier = zero_shot::classifier(&classes, &templates, |texts| {
        let rows: Vec<f32> = texts
            .iter()
            .flat_map(|text| {
                let (class, template) = text.split_once(' ').unwrap();
                prompts[class.parse::<usize>().unwrap()][template.parse::<usize>().unwrap()].clone()
            })
            .collect();
        Ok(Tensor::from_slice(&rows).reshape([texts.len() as i64, -1]))
    })
    .unwrap();
    close("classifier", &classifier, &data["zero_shot"]["classifier"], 1e-6);
    let scores = matrix(&data["test"]).matmul(&classifier.transpose(0, 1));
    let found = classify::measure(&scores, &labels(&data["test_labels"])).unwrap();
    compare("zero_shot", &found, &data["zero_shot"]);
    let [top1, _] = found.intervals.unwrap();
    assert!(top1.low < found.top1 && found.top1 < top1.high);
    assert_eq!(found.classes.iter().map(|c| c.images).sum::<u32>() as usize, found.images);
}

#[test]
fn knn_votes_as_the_reference() {
    let data = golden();
    let (classes, k) = (data["classes"].as_u64().unwrap() as usize, data["k"].as_u64().unwrap() as usize);
    let scores =
        knn::scores(&matrix(&data["test"]), &matrix(&data["train"]), &labels(&data["train_labels"]), classes, k)
            .unwrap();
    close("votes", &scores, &data["knn"]["scores"], 1e-4);
    compare("knn", &classify::measure(&scores, &labels(&data["test_labels"])).unwrap(), &data["knn"]);
}

#[test]
fn linear_probe_is_the_logistic_regression_of_scikit_learn() {
    let data = golden();
    let classes = data["classes"].as_u64().unwrap() as usize;
    let (train, train_labels) = (matrix(&data["train"]), labels(&data["train_labels"]));
    for expected in data["probes"].as_array().unwrap() {
        let probe = Probe::fit(&train, &train_labels, classes, expected["c"].as_f64()).unwrap();
        close("weight", probe.parameters().0, &expected["weight"], 1e-4);
        let scores = probe.scores(&matrix(&data["test"])).unwrap();
        close("probabilities", &scores.softmax(1, Kind::Double), &expected["probabilities"], 1e-5);
        compare("probe", &classify::measure(&scores, &labels(&data["test_labels"])).unwrap(), expected);
    }
    let chosen = Probe::fit(&train, &train_labels, classes, None).unwrap();
    assert_eq!(chosen.c, Probe::fit(&train, &train_labels, classes, None).unwrap().c, "the same every time");
    assert!(Probe::fit(&train, &train_labels[1..], classes, None).is_err());
}
