//! Where the workers of a spec run: the launcher and the slots that `automl.launcher` asks for.

use std::path::Path;
use std::time::Duration;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::gpu::{self, Inventory, Watch, slots};
use crate::journal::event::Slot;
use crate::spec::Resolved;
use crate::spec::sections::{LauncherSection, LauncherType, Spec};
use crate::study::launch::kubernetes::{Kubernetes, Pods};
use crate::study::launch::slurm::{Request, Slurm};
use crate::study::launch::{Launcher, Local, Steps, WorkerCommand, allocated_slots};

/// Seconds that a pod has between TERM and KILL.
const POD_GRACE_S: u64 = 120;

/// Where workers run and what they may occupy.
pub(super) struct Place {
    pub(super) launcher: Box<dyn Launcher>,
    pub(super) slots: Vec<Slot>,
    pub(super) watch: Watch,
}

/// The place that a spec asks for.
///
/// # Errors
/// When it cannot be had on this machine.
pub(super) fn place(resolved: &Resolved) -> Result<Place, Problems> {
    let automl = &resolved.spec.automl;
    let section = &automl.launcher;
    let num_gpus = resolved.spec.train.num_gpus;
    let worker = WorkerCommand::of(&section.worker)
        .map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string())))?;
    let poll = duration(&section.poll);
    let gpus = section.gpus.unwrap_or(num_gpus);
    let elsewhere = |launcher: Box<dyn Launcher>| {
        let count = usize::try_from(automl.max_concurrent).unwrap_or(usize::MAX);
        if count == 0 {
            let what = "automl.max_concurrent is 0: how many jobs may be in the queue at the same time is not known";
            let problem = Problem::new(what).help("set automl.max_concurrent, for example to 8");
            return Err(Problems::one(ExitCode::Usage, problem));
        }
        let own: Vec<u32> = (0..u32::try_from(gpus).unwrap_or(0)).collect();
        let threads = section.cpus as usize;
        let slots = (0..count).map(|index| Slot { index, gpus: own.clone(), threads }).collect();
        Ok(Place { launcher, slots, watch: Watch::new(Inventory::none(), false) })
    };
    match section.kind {
        LauncherType::Local => {
            let inventory = gpu::inventory();
            all_known(&inventory)?;
            let slots = local_slots(resolved, &inventory);
            if slots.is_empty() {
                let what = format!("train.num_gpus is {num_gpus}, the study may use {} GPUs", inventory.gpus().len());
                let problem = Problem::new(what).help("lower train.num_gpus, or give it more GPUs (automl.gpus)");
                return Err(Problems::one(ExitCode::Device, problem));
            }
            let launcher = Box::new(Local::new(worker).pinned(automl.pin_threads && slots.len() > 1));
            Ok(Place { launcher, slots, watch: Watch::new(inventory, automl.avoid_busy_gpus) })
        }
        LauncherType::Slurm => elsewhere(Box::new(Slurm::new(request(section, gpus), worker, poll))),
        LauncherType::Srun => {
            let request = request(section, gpus);
            let slots = allocated_slots(&request, gpus as usize);
            let launcher = Steps::new(request, worker)
                .map_err(|e| Problems::one(ExitCode::Unavailable, Problem::new(e.to_string())))?;
            Ok(Place { launcher: Box::new(launcher), slots, watch: Watch::new(Inventory::none(), false) })
        }
        LauncherType::Kubernetes => {
            let pods = pods(section, gpus)?;
            elsewhere(Box::new(Kubernetes::new(pods, worker, poll)))
        }
    }
}

/// A GPU that was named and cannot be used is no reason to train on the CPU instead.
fn all_known(inventory: &Inventory) -> Result<(), Problems> {
    let Some(name) = inventory.unknown() else { return Ok(()) };
    let what = format!("CUDA_VISIBLE_DEVICES names {name}, which is no GPU of this machine that a trial can be given");
    let help = "name whole GPUs by their index or UUID (parts of one, MIG, are not given to trials); an empty CUDA_VISIBLE_DEVICES trains on the CPU";
    Err(Problems::one(ExitCode::Device, Problem::new(what).help(help)))
}

/// The slots of this machine.
fn local_slots(resolved: &Resolved, inventory: &Inventory) -> Vec<Slot> {
    let automl = &resolved.spec.automl;
    let wanted = gpu::SlotPlan {
        gpus: automl.gpus.clone().or_else(|| chosen_gpus(&resolved.spec)),
        trials_per_gpu: automl.trials_per_gpu as usize,
        gpus_per_trial: resolved.spec.train.num_gpus as usize,
        cpu_slots: automl.cpu_slots as usize,
    };
    gpu::plan(&wanted, inventory.gpus(), slots::physical_cores())
}

/// The GPUs that `train.gpu_ids` restricts a study to. The first ones, as many as a trial takes, are what a spec says that
/// chooses none: trials then share all GPUs.
fn chosen_gpus(spec: &Spec) -> Option<Vec<u32>> {
    let ids = &spec.train.gpu_ids;
    let first = ids.iter().copied().eq(0..u32::try_from(ids.len()).unwrap_or(u32::MAX));
    (!first).then(|| ids.clone())
}

/// The GPUs of one training: those of `train.gpu_ids`, none on a machine without GPUs.
///
/// # Errors
/// When one is named that is not there, by the spec or by `CUDA_VISIBLE_DEVICES`.
pub(super) fn gpus_of_one(spec: &Spec, inventory: &Inventory) -> Result<Vec<u32>, Problems> {
    all_known(inventory)?;
    let there: Vec<u32> = inventory.gpus().iter().map(|g| g.index).collect();
    let missing = spec.train.gpu_ids.iter().find(|id| !there.contains(id)).filter(|_| !there.is_empty());
    if let Some(missing) = missing {
        let there = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let problem = Problem::new(format!("train.gpu_ids names GPU {missing}; this machine has {there}"));
        return Err(Problems::one(
            ExitCode::Device,
            problem.help("set train.gpu_ids (and train.num_gpus) to GPUs that are there"),
        ));
    }
    Ok(if there.is_empty() { Vec::new() } else { spec.train.gpu_ids.clone() })
}

/// A length of time of the spec, which was checked when the spec was read.
pub(super) fn duration(text: &str) -> Duration {
    Duration::from_secs_f64(crate::spec::duration::seconds(text).unwrap_or(1.0))
}

fn request(section: &LauncherSection, gpus: u64) -> Request {
    let asked = section.gres.clone().filter(|gres| !gres.is_empty());
    Request {
        partition: section.partition.clone(),
        account: section.account.clone(),
        qos: section.qos.clone(),
        gres: asked.or_else(|| (gpus > 0).then(|| format!("gpu:{gpus}"))),
        cpus: section.cpus,
        memory: section.memory.clone(),
        time: section.time.as_deref().map(|t| duration(t).as_secs()),
        warning: duration(&section.signal_before).as_secs(),
        requeue: section.requeue,
        extra: section.extra_args.clone(),
        setup: section.setup.clone(),
    }
}

fn pods(section: &LauncherSection, gpus: u64) -> Result<Pods, Problems> {
    let usage = |what: String, help: &str| Problems::one(ExitCode::Usage, Problem::new(what).help(help));
    let template = section.manifest.as_deref().map(manifest).transpose()?;
    if section.image.is_none() && template.is_none() {
        let what = "automl.launcher.type kubernetes needs an image".to_owned();
        return Err(usage(what, "set automl.launcher.image, or name a Job in automl.launcher.manifest"));
    }
    if section.volume_claim.is_some() != section.mount_path.is_some() {
        let what = "automl.launcher.volume_claim and automl.launcher.mount_path belong together".to_owned();
        return Err(usage(what, "set both, or none when the manifest mounts the volume"));
    }
    Ok(Pods {
        namespace: section.namespace.clone(),
        image: section.image.clone(),
        claim: section.volume_claim.clone(),
        mount: section.mount_path.clone(),
        gpus,
        cpus: section.cpus,
        memory: section.memory.clone(),
        template,
        grace: POD_GRACE_S,
    })
}

fn manifest(path: &Path) -> Result<serde_json::Value, Problems> {
    let failed = |exit, what: String| Problems::one(exit, Problem::new(format!("{}: {what}", path.display())));
    let text = std::fs::read_to_string(path).map_err(|e| failed(ExitCode::NotFound, e.to_string()))?;
    let value: serde_json::Value =
        serde_yaml::from_str(&text).map_err(|e| failed(ExitCode::Usage, format!("not YAML: {e}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(failed(ExitCode::Usage, "a manifest is a mapping".to_owned())),
    }
}
