//! What a SLURM job asks for and what it runs.

use std::fmt::Write as _;

use crate::study::launch::{Order, WorkerCommand, quoted};

/// What every job asks of SLURM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--gres`, such as `gpu:a100:2`; `None` asks for none.
    pub gres: Option<String>,
    /// `--cpus-per-task`.
    pub cpus: u64,
    /// `--mem`.
    pub memory: Option<String>,
    /// `--time`, in seconds.
    pub time: Option<u64>,
    /// Seconds before the end of the time limit at which the worker is told to write a checkpoint and end.
    pub warning: u64,
    /// Whether SLURM itself starts a job again whose node failed or that had to make room.
    pub requeue: bool,
    /// Further arguments of `sbatch` or `srun`, as they are.
    pub extra: Vec<String>,
    /// Shell lines before the worker (`module load …`).
    pub setup: Vec<String>,
}

impl Request {
    /// The arguments that `sbatch` and `srun` share.
    pub(in crate::study::launch) fn resources(&self) -> Vec<String> {
        let mut args = vec!["--ntasks=1".to_owned(), format!("--cpus-per-task={}", self.cpus.max(1))];
        args.extend(self.gres.iter().map(|gres| format!("--gres={gres}")));
        args.extend(self.memory.iter().map(|memory| format!("--mem={memory}")));
        args
    }

    /// The arguments of `sbatch` but for the name, the console and the array.
    pub(super) fn submission(&self) -> Vec<String> {
        let mut args = vec!["--parsable".to_owned(), "--nodes=1".to_owned(), "--open-mode=append".to_owned()];
        args.extend(self.resources());
        let named = [("partition", &self.partition), ("account", &self.account), ("qos", &self.qos)];
        args.extend(named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))));
        if let Some(seconds) = self.time {
            // SLURM counts whole minutes.
            args.push(format!("--time={}", seconds.div_ceil(60).max(1)));
        }
        args.push(format!("--signal=B:USR1@{}", self.warning));
        args.push(if self.requeue { "--requeue" } else { "--no-requeue" }.to_owned());
        args.extend(self.extra.iter().cloned());
        args
    }
}

/// The job's script: a line for each worker, chosen by the task's number.
pub(super) fn script(setup: &[String], worker: &WorkerCommand, orders: &[&Order<'_>]) -> String {
    let mut text = "#!/bin/sh\n".to_owned();
    for line in setup {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("export RUST_BACKTRACE=0 OMP_NUM_THREADS=\"${SLURM_CPUS_PER_TASK:-1}\" MKL_NUM_THREADS=\"${SLURM_CPUS_PER_TASK:-1}\"\n");
    for (name, value) in &worker.env {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    match orders {
        [one] => {
            let _ = writeln!(text, "exec {}", worker.shell_line(one.job));
        }
        many => {
            text.push_str("case \"$SLURM_ARRAY_TASK_ID\" in\n");
            for (task, order) in many.iter().enumerate() {
                let console = quoted(&order.job.console().to_string_lossy());
                let _ = writeln!(text, "{task}) exec {} >>{console} 2>&1 ;;", worker.shell_line(order.job));
            }
            text.push_str("esac\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Slot;
    use crate::journal::layout::JobDir;

    fn order<'a>(job: &'a JobDir, slot: &'a Slot, item: &str) -> Order<'a> {
        Order { job, study: "0a1b2c3d".to_owned(), item: item.to_owned(), attempt: 1, slot, avoid: None }
    }

    #[test]
    fn scripts_become_the_worker_and_quote_what_they_are_given() {
        let worker = WorkerCommand { program: "/opt/clip tune".into(), args: vec!["job".into()], env: Vec::new() };
        let (job, slot) = (JobDir("/it's/0001".into()), Slot::default());
        let (a, b) = (order(&job, &slot, "t1a1"), order(&job, &slot, "t2a1"));
        let text = script(&["module load cuda".to_owned()], &worker, &[&a]);
        assert!(text.starts_with("#!/bin/sh\nmodule load cuda\n"), "{text}");
        assert!(text.ends_with("exec '/opt/clip tune' job '/it'\\''s/0001'\n"), "{text}");
        let text = script(&[], &worker, &[&a, &b]);
        assert!(
            text.contains("\n1) exec '/opt/clip tune' job '/it'\\''s/0001' >>'/it'\\''s/0001/console.log' 2>&1 ;;\n"),
            "{text}"
        );
    }

    #[test]
    fn submission_carries_what_the_spec_asks_for() {
        let request = Request {
            partition: Some("gpu".to_owned()),
            gres: Some("gpu:a100:2".to_owned()),
            cpus: 8,
            time: Some(5430),
            warning: 120,
            requeue: true,
            extra: vec!["--constraint=80g".to_owned()],
            ..Request::default()
        };
        let args = request.submission().join(" ");
        for wanted in [
            "--partition=gpu",
            "--gres=gpu:a100:2",
            "--cpus-per-task=8",
            "--time=91",
            "--signal=B:USR1@120",
            " --requeue",
            "--constraint=80g",
        ] {
            assert!(args.contains(wanted), "{wanted} in {args}");
        }
        assert!(!args.contains("--account") && !args.contains("--mem"), "{args}");
    }
}
