//! One training on several processes, with the real binary over Gloo: the same losses as one process, ranks that die, and a
//! checkpoint that another number of ranks goes on from.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::e2e::{Workspace, journal};

/// 48 pairs in global batches of 16, in fp32.
fn train(w: &Workspace, name: &str, ranks: usize, more: &[&str]) -> Vec<f64> {
    let ids: Vec<String> = (0..ranks).map(|id| id.to_string()).collect();
    let own = [
        format!("train.num_gpus={ranks}"),
        format!("train.gpu_ids=[{}]", ids.join(",")),
        format!("dataset.train.batch_size={}", 16 / ranks),
    ];
    let mut args = vec!["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", name];
    args.extend(own.iter().map(String::as_str).chain(more.iter().copied()));
    w.ok(&args);
    losses(&w.path(name))
}

fn losses(results: &Path) -> Vec<f64> {
    events(results, "epoch_ended").iter().map(|e| e["loss"].as_f64().unwrap()).collect()
}

fn events(results: &Path, kind: &str) -> Vec<Value> {
    let lines = journal(&results.join("train/events.jsonl"));
    lines.into_iter().map(|l| l["event"].clone()).filter(|e| e["kind"] == kind).collect()
}

#[track_caller]
fn assert_alike(what: &str, own: &[f64], expected: &[f64]) {
    assert_eq!(own.len(), expected.len(), "{what}");
    assert!(own.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{what}: {own:?} against {expected:?}");
}

#[test]
fn losses_of_several_ranks_are_those_of_one_for_every_exchange() {
    let w = Workspace::new(1, 2);
    let expected = train(&w, "clip", 1, &[]);
    for ranks in [2, 4] {
        assert_alike("clip", &train(&w, &format!("clip{ranks}"), ranks, &[]), &expected);
    }
    let siglip = ["train.loss_type=siglip", "model.init_logit_bias=-10", "model.init_logit_scale=2.3"];
    let expected = train(&w, "siglip", 1, &siglip);
    for exchange in ["gather", "bidir", "shift", "reduce"] {
        let named = format!("train.siglip_loss_dist_impl={exchange}");
        for ranks in [2, 4] {
            let own = train(&w, &format!("{exchange}{ranks}"), ranks, &[&siglip[..], &[&named]].concat());
            assert_alike(&format!("{exchange} on {ranks} ranks"), &own, &expected);
        }
    }
}

#[test]
fn shards_micro_batches_and_averages_give_the_same_losses_and_take_less_memory_each() {
    let w = Workspace::new(1, 2);
    let more = ["train.ema_decay=0.9", "train.accumulate_grad_batches=1", "train.grad_clip_norm=0.5"];
    let expected = train(&w, "one", 1, &more);
    let memory = |name: &str| {
        events(&w.path(name), "validated").last().unwrap()["metrics"]["perf/optimizer_bytes"].as_f64().unwrap()
    };
    assert_alike("ddp", &train(&w, "ddp", 2, &[&more[..], &["train.micro_batch_size=4"]].concat()), &expected);
    let shards = [&more[..], &["train.distributed_strategy=fsdp", "train.grad_checkpointing=true"]].concat();
    assert_alike("fsdp", &train(&w, "fsdp", 2, &shards), &expected);
    let share = memory("fsdp") / memory("ddp");
    assert!((0.49..0.52).contains(&share), "a rank holds {share} of the optimiser's state");
}

#[test]
fn two_ranks_that_are_asked_to_stop_write_what_one_goes_on_from() {
    let w = Workspace::new(1, 1);
    let epochs = "train.num_epochs=100";
    let expected = train(&w, "one", 1, &[epochs]);
    let args = ["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "both", epochs];
    let two =
        ["train.num_gpus=2", "train.gpu_ids=[0,1]", "dataset.train.batch_size=8", "train.distributed_strategy=fsdp"];
    let mut leader = w.command(&[&args[..], &two].concat());
    let mut leader = leader.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while losses(&w.path("both")).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "no epoch within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process(Pid::from_raw(i32::try_from(leader.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(leader.wait().unwrap().code(), Some(143));
    let stopped = losses(&w.path("both")).len();
    assert!(stopped < 100, "it was done before it was asked to stop");
    w.ok(&[&args[..], &["--resume"]].concat());
    // Sums in another order part slowly; an epoch that saw other pairs or another state would show at once.
    let own = losses(&w.path("both"));
    assert_eq!(own.len(), 100);
    assert_alike("around the stop", &own[..(stopped + 3).min(100)], &expected[..(stopped + 3).min(100)]);
}

#[test]
fn rank_that_is_killed_ends_the_training_within_seconds_by_name() {
    let w = Workspace::new(1, 2);
    let args = ["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "r", "train.num_gpus=2"];
    let more = ["train.gpu_ids=[0,1]", "dataset.train.batch_size=8", "train.num_epochs=100000"];
    let mut leader = w.command(&[&args[..], &more].concat());
    let mut leader = leader.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while events(&w.path("r"), "epoch_ended").is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "no epoch within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let started = journal(&w.path("r/train/ranks/1/events.jsonl"));
    let pid = started.iter().find_map(|l| l["event"]["process"]["pid"].as_i64()).unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let killed = Instant::now();
    while leader.try_wait().unwrap().is_none() {
        assert!(killed.elapsed() < Duration::from_secs(20), "the training goes on without rank 1");
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = leader.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains(&format!("rank 1 (pid {pid}) was killed by signal 9")), "{text}");
    let ended = events(&w.path("r"), "job_ended").pop().unwrap();
    assert_eq!(ended["outcome"]["failure"]["kind"], "killed", "{ended}");
}

#[test]
fn processes_that_torchrun_would_start_train_together() {
    let w = Workspace::new(1, 1);
    let expected = train(&w, "one", 1, &["train.num_epochs=2"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ranks: Vec<_> = ["0", "1"]
        .into_iter()
        .map(|rank| {
            let args = ["train", "-e", "spec.yaml", "--automl", "off", "--results-dir", "r", "train.num_epochs=2"];
            let more = ["train.num_gpus=1", "train.num_nodes=2", "automl_policy=off", "dataset.train.batch_size=8"];
            let mut command = w.command(&[&args[..], &more].concat());
            command.env("RANK", rank).env("WORLD_SIZE", "2").env("LOCAL_RANK", "0").env("LOCAL_WORLD_SIZE", "1");
            command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &port);
            command.stdout(Stdio::null()).stderr(fs::File::create(w.path(&format!("{rank}.log"))).unwrap());
            command.spawn().unwrap()
        })
        .collect();
    for mut rank in ranks {
        assert!(rank.wait().unwrap().success(), "{}", fs::read_to_string(w.path("1.log")).unwrap());
    }
    assert_alike("torchrun", &losses(&w.path("r")), &expected);
}
