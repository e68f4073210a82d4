//! Early signs that a training goes wrong, in runs that do, and what a second validation set tells.

use cliptune::journal::event::{JobEvent, Metrics};
use cliptune::journal::failure::FailureKind;
use cliptune::journal::signal::Signal;

use crate::train::{Toy, events};

fn signals(events: &[JobEvent]) -> Vec<Signal> {
    events.iter().filter_map(Signal::of).collect()
}

fn validations(events: &[JobEvent]) -> Vec<&Metrics> {
    let found = events.iter().filter_map(|event| match event {
        JobEvent::Validated { metrics, .. } => Some(metrics),
        _ => None,
    });
    found.collect()
}

#[test]
fn healthy_run_reports_how_its_embeddings_lie_and_no_sign() {
    let toy = Toy::new(16);
    let (dir, outcome) = toy.run("run", &toy.job(4), &toy.spec(&[]));
    outcome.unwrap();
    let events = events(&dir);
    assert_eq!(signals(&events), []);
    for metrics in validations(&events) {
        for side in ["img", "txt"] {
            let value = |what: &str| metrics[&format!("val/{side}_{what}")].unwrap();
            assert!(
                (-1e-6..=1.0001).contains(&value("variance")) && (-8.0..=1e-6).contains(&value("uniformity")),
                "{metrics:?}"
            );
        }
    }
}

#[test]
fn loss_that_leaps_is_told_and_ends_the_run_where_it_should() {
    let toy = Toy::new(16);
    // Every batch holds all pairs, so that nothing but learning moves the loss.
    let both = [
        "train.num_epochs=100",
        "train.optim.scheduler=constant",
        "train.optim.logit_lr=0",
        "dataset.train.batch_size=16",
    ];
    let steady = toy.spec(&both);
    // Weights that went nowhere in particular know nothing: the loss is that of chance or worse.
    let leap = ["train.optim.vision_lr=300", "train.optim.text_lr=300"];
    let after = |name: &str, policy: &str| {
        toy.run(name, &toy.job(80), &steady).1.unwrap();
        let spec = toy.spec(&[&both[..], &leap[..], &[policy]].concat());
        let (dir, outcome) = toy.run(name, &toy.job(82), &spec);
        let told: Vec<Signal> = signals(&events(&dir)).into_iter().filter(|s| s.kind == "loss_spiked").collect();
        (told, outcome)
    };
    let (told, outcome) = after("warn", "train.on_loss_spike=warn");
    outcome.unwrap();
    assert_eq!(told.iter().map(|s| (s.epoch, s.step)).collect::<Vec<_>>(), [(82, 82)], "{told:?}");
    let (told, outcome) = after("stop", "train.on_loss_spike=stop");
    let failure = outcome.unwrap_err();
    assert_eq!((failure.kind, &failure.message), (FailureKind::LossSpike, &told[0].message));
    assert!(failure.kind.is_infeasible(), "a study learns that the point is bad");
}

#[test]
fn embeddings_that_become_alike_are_told_and_end_the_run_where_they_should() {
    let toy = Toy::new(16);
    // Decay takes everything away that the pixels had to go through.
    let decay = [
        "train.optim.weight_decay=1e6",
        "train.optim.vision_lr=1e-6",
        "train.optim.text_lr=1e-6",
        "train.optim.warmup_steps=0",
    ];
    let run = |name: &str, policy: &str| {
        let (dir, outcome) = toy.run(name, &toy.job(2), &toy.spec(&[&decay[..], &[policy]].concat()));
        (signals(&events(&dir)), outcome)
    };
    let (told, outcome) = run("warn", "train.on_collapse=warn");
    outcome.unwrap();
    assert!(told.iter().all(|s| s.kind == "embeddings_collapsed") && told[0].epoch == 1, "{told:?}");
    assert!(told[0].message.contains("of images"), "{told:?}");
    let (told, outcome) = run("stop", "train.on_collapse=stop");
    let failure = outcome.unwrap_err();
    assert_eq!((failure.kind, told.len()), (FailureKind::Collapsed, 1), "{failure}");
}

#[test]
fn loss_that_is_not_finite_is_an_event_before_the_end() {
    let toy = Toy::new(16);
    let spec = toy.spec(&["train.optim.vision_lr=1e30", "train.optim.text_lr=1e30", "train.optim.warmup_steps=0"]);
    let (dir, outcome) = toy.run("run", &toy.job(4), &spec);
    assert_eq!(outcome.unwrap_err().kind, FailureKind::NonFiniteLoss);
    assert_eq!(signals(&events(&dir)).last().unwrap().kind, "loss_not_finite");
}

#[test]
fn second_validation_set_is_measured_beside_the_first() {
    let toy = Toy::new(16);
    let data = toy.dir.path().join("data");
    std::fs::write(toy.dir.path().join("few.txt"), "000.png\n001.png\n002.png\n003.png\n").unwrap();
    let second = format!(
        "dataset.val2={{ground_truth: caption_groups, datasets: [{{image_dir: {}, image_list_file: {}}}]}}",
        data.display(),
        toy.dir.path().join("few.txt").display()
    );
    let spec = toy.spec(&[&second, "automl.objectives=[val/t2i_mAP, val2/t2i_mAP]"]);
    let (dir, outcome) = toy.run("run", &toy.job(1), &spec);
    outcome.unwrap();
    let events = events(&dir);
    for metrics in validations(&events) {
        // Chance of the first of four is far above that of the first of sixteen.
        let (first, second) = (metrics["val/t2i_MeanR"].unwrap(), metrics["val2/t2i_MeanR"].unwrap());
        assert!((1.0..=4.0).contains(&second) && first > 1.0, "{metrics:?}");
        assert!(metrics.contains_key("val2/t2i_Hit@1"), "its own ground truth");
    }
    let splits = events.iter().filter_map(|e| {
        if let JobEvent::DataReady { split, pairs, .. } = e { Some((split.as_str(), *pairs)) } else { None }
    });
    assert!(splits.into_iter().any(|s| s == ("val2", 4)));
}
