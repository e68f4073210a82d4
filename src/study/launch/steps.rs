//! One SLURM allocation worked by `srun`: the controller runs inside it and every worker is a step. To the controller a step
//! is a process of its own machine (`srun`), which forwards TERM to the worker and ends when the worker ends.

use std::io;
use std::process::Command;

use super::slurm::Request;
use super::{Launcher, Life, Local, Order, Ticket, WorkerCommand, answer, local};
use crate::journal::event::Slot;
use crate::journal::layout::JobDir;

/// Starts workers as steps of the present allocation.
#[derive(Debug)]
pub struct Steps {
    request: Request,
    worker: WorkerCommand,
    processes: Local,
    /// The allocation.
    job: String,
}

impl Steps {
    /// A launcher for the allocation that this process is in.
    ///
    /// # Errors
    /// When it is in none.
    pub fn new(request: Request, worker: WorkerCommand) -> io::Result<Self> {
        let job = std::env::var("SLURM_JOB_ID").map_err(|_| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "automl.launcher.type srun needs an allocation: run cliptune inside sbatch or salloc, or use the type slurm",
            )
        })?;
        Ok(Self { request, processes: Local::new(worker.clone()), worker, job })
    }

    fn command(&self, order: &Order<'_>) -> Command {
        let mut command = Command::new("srun");
        command
            .args(["--exact", "--nodes=1", "--input=none", "--kill-on-bad-exit=0"])
            .args(self.request.resources())
            .arg(format!("--job-name={}", name(order)))
            .args(order.avoid.iter().map(|node| format!("--exclude={node}")))
            .args(&self.request.extra)
            .arg("--")
            .arg(&self.worker.program)
            .args(&self.worker.args)
            .arg(order.job.path())
            .envs(self.worker.env.iter().map(|(k, v)| (k, v)))
            .env("OMP_NUM_THREADS", order.slot.threads.max(1).to_string())
            .env("MKL_NUM_THREADS", order.slot.threads.max(1).to_string())
            // What the allocation was asked for as a whole is not what a step asks for.
            .env_remove("SLURM_CPUS_PER_TASK")
            .env_remove("SLURM_NTASKS")
            .env_remove("SLURM_NPROCS");
        command
    }
}

fn name(order: &Order<'_>) -> String {
    format!("ct-{}-{}", order.study, order.item)
}

impl Launcher for Steps {
    fn start(&mut self, order: &Order<'_>) -> io::Result<Ticket> {
        let command = self.command(order);
        let ticket = self.processes.spawn(command, order.job)?;
        Ok(Ticket { batch: Some(name(order)), ..ticket })
    }

    fn find(&mut self, order: &Order<'_>) -> Option<Ticket> {
        // The lock is held by `srun`, whose pid nobody wrote down; the worker's own pid is another machine's.
        local::is_occupied(order.job).then(|| Ticket::of_batch(name(order)))
    }

    fn life(&mut self, ticket: &Ticket, job: &JobDir) -> Life {
        self.processes.life_here(ticket, job)
    }

    fn stop(&mut self, ticket: &Ticket, job: &JobDir) {
        super::leave_word(job);
        self.processes.stop(ticket, job);
    }

    fn kill(&mut self, ticket: &Ticket, job: &JobDir) {
        // `srun` alone may die without its step.
        let args = ["--noheader", "--steps", "--format=%i|%j", "--jobs", &self.job].map(str::to_owned);
        let steps = answer::run("squeue", &args, None).unwrap_or_default();
        let ours = steps
            .lines()
            .filter_map(|line| line.trim().split_once('|'))
            .filter(|(_, name)| Some(*name) == ticket.batch.as_deref());
        for (id, _) in ours {
            let _ = answer::run("scancel", &["--quiet".to_owned(), "--signal=KILL".to_owned(), id.to_owned()], None);
        }
        self.processes.kill(ticket, job);
    }
}

/// The slots of the allocation that this process is in: as many workers a node as its GPUs, or else its cores, allow.
pub fn slots(request: &Request, gpus_per_trial: usize) -> Vec<Slot> {
    let number =
        |name: &str| std::env::var(name).ok().and_then(|v| v.split(['(', ',']).next()?.trim().parse::<usize>().ok());
    let nodes = number("SLURM_JOB_NUM_NODES").unwrap_or(1);
    let cpus = number("SLURM_CPUS_ON_NODE").unwrap_or(1);
    let gpus = request.gres.as_ref().and_then(|_| number("SLURM_GPUS_ON_NODE").or_else(visible_gpus));
    planned(nodes, cpus, gpus, request.cpus as usize, gpus_per_trial)
}

fn visible_gpus() -> Option<usize> {
    let list = std::env::var("CUDA_VISIBLE_DEVICES").ok()?;
    Some(list.split(',').filter(|entry| !entry.trim().is_empty()).count())
}

fn planned(nodes: usize, cpus: usize, gpus: Option<usize>, cpus_per_trial: usize, gpus_per_trial: usize) -> Vec<Slot> {
    let threads = cpus_per_trial.max(1);
    let by_cpus = (cpus / threads).max(1);
    let a_node = gpus.map_or(by_cpus, |gpus| (gpus / gpus_per_trial.max(1)).min(by_cpus).max(1));
    let own = if gpus.is_some() { gpus_per_trial } else { 0 };
    let own: Vec<u32> = (0..u32::try_from(own).unwrap_or(0)).collect();
    (0..nodes * a_node).map(|index| Slot { index, gpus: own.clone(), threads }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_an_allocation_follow_gpus_and_cores() {
        assert_eq!(planned(2, 32, Some(4), 8, 1).len(), 8);
        assert_eq!(planned(2, 16, Some(4), 8, 1).len(), 4);
        let pairs = planned(1, 32, Some(4), 8, 2);
        assert_eq!((pairs.len(), pairs[1].gpus.clone()), (2, vec![0, 1]));
        let cpu = planned(2, 2, None, 1, 1);
        assert_eq!((cpu.len(), cpu[3].index, cpu[3].gpus.len(), cpu[3].threads), (4, 3, 0, 1));
    }
}
