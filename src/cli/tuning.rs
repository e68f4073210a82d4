//! How a study searches: what `automl` says of sampler, scheduler, objectives and budgets, looked up and checked.

use std::sync::Arc;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::event::{Direction, Objective};
use crate::search::algorithm::{self, Algorithm, Budget};
use crate::search::sampler::Sampler;
use crate::search::scheduler::{Scheduler, Settings};
use crate::spec::sections::AutomlSection;
use crate::study::core::{Confirm, Plan};

/// What a study's search is made of.
#[derive(Debug)]
pub(super) struct Tuning {
    /// Where to look.
    pub(super) sampler: Box<dyn Sampler>,
    /// What is weighed; empty when it is the ranking metric alone.
    pub(super) objectives: Vec<Objective>,
    /// Scheduler, budgets and confirmation; slots are still to be named.
    pub(super) plan: Plan,
    /// What people should be told about it.
    pub(super) said: Vec<String>,
}

/// The search that `automl` asks for, for trials of `max_epochs` on so many slots.
///
/// # Errors
/// Everything that is asked for and does not exist.
pub(super) fn tuning(automl: &AutomlSection, max_epochs: u32, slots: usize) -> Result<Tuning, Problems> {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let settings = Settings { min_epochs: small(automl.min_epochs), factor: small(automl.reduction_factor) };
    let workers = if automl.max_concurrent == 0 { slots as u64 } else { automl.max_concurrent.min(slots as u64) };
    let wanted = algorithm::Plan {
        trials: small(automl.max_trials),
        budget: Budget::Trials,
        workers: small(workers).max(1),
        max_epochs,
        settings,
    };
    let found = Algorithm::by_name(&automl.algorithm, &automl.scheduler, &wanted);
    let objectives = objectives(automl);
    let (chosen, objectives) = match (found, objectives) {
        (Ok(chosen), Ok(objectives)) => (chosen, objectives),
        (Err(a), Err(b)) => return Err(Problems::new(ExitCode::Usage, a.list.into_iter().chain(b.list).collect())),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => return Err(problems),
    };
    let scheduler: Arc<dyn Scheduler> = chosen.scheduler.into();
    let mut said: Vec<String> = chosen.note.into_iter().collect();
    let rungs: Vec<String> = scheduler.rungs(max_epochs).iter().map(u32::to_string).collect();
    match rungs.len() {
        0 | 1 => {}
        n if n > 8 => said.push(format!("{} compares trials after every epoch", scheduler.name())),
        _ => said.push(format!("{} compares trials after epoch {}", scheduler.name(), rungs.join(", "))),
    }
    let plan = Plan {
        max_concurrent: automl.max_concurrent as usize,
        max_failures: automl.max_failures as usize,
        retries: small(automl.retries),
        scheduler,
        patience: automl.patience.unwrap_or(0) as usize,
        time_budget: automl.time_budget_seconds(),
        device_hours: automl.gpu_hours,
        epoch_budget: automl.epoch_budget,
        min_gain: automl.min_gain,
        confirm: Confirm { top: automl.confirm_top as usize, seeds: automl.confirm_seeds as usize },
        promote: automl.promote,
        ..Plan::default()
    };
    Ok(Tuning { sampler: chosen.sampler, objectives, plan, said })
}

/// `metric`, `metric:minimize` or `metric:maximize`; the ranking metric comes first whether it is named or not.
fn objectives(automl: &AutomlSection) -> Result<Vec<Objective>, Problems> {
    let first = Objective { metric: automl.metric.clone(), direction: automl.direction };
    let (mut list, mut problems) = (vec![first], Vec::new());
    for text in &automl.objectives {
        let (metric, word) = text.trim().rsplit_once(':').unwrap_or((text.trim(), "maximize"));
        let direction = match word {
            "maximize" => Direction::Maximize,
            "minimize" => Direction::Minimize,
            _ => {
                let help = "write a metric, or a metric with :minimize or :maximize";
                problems.push(Problem::new(format!("automl.objectives: {text} is no objective")).help(help));
                continue;
            }
        };
        if metric == automl.metric {
            continue;
        }
        if list.iter().any(|o| o.metric == metric) {
            problems.push(Problem::new(format!("automl.objectives: {metric} is listed twice")).help("list it once"));
        }
        list.push(Objective { metric: metric.to_owned(), direction });
    }
    if !problems.is_empty() {
        return Err(Problems::new(ExitCode::Usage, problems));
    }
    if list.len() == 1 {
        list.clear();
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::job::Action;
    use crate::spec;

    fn automl(overrides: &[&str]) -> AutomlSection {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(
            file.path(),
            "dataset:\n  train: {datasets: [{image_dir: a}]}\n  val: {datasets: [{image_dir: a}]}\n",
        )
        .unwrap();
        spec::load(Action::Train, Some(file.path()), &overrides).unwrap_or_else(|p| panic!("{p}")).spec.automl
    }

    #[test]
    fn scheduler_auto_trains_few_trials_in_full() {
        let of = |overrides: &[&str]| tuning(&automl(overrides), 27, 2).unwrap().plan.scheduler.name();
        assert_eq!(of(&[]), "none");
        assert_eq!(of(&["automl.max_trials=60"]), "asha");
        assert_eq!(of(&["automl.algorithm=hyperband"]), "hyperband");
        assert_eq!(of(&["automl.scheduler=median"]), "median");
    }

    #[test]
    fn objectives_begin_with_the_ranking_metric_and_are_checked_with_the_names() {
        let two = automl(&["automl.objectives=['val/i2t_mAP','model/latency_ms:minimize','val/t2i_mAP']"]);
        let list = tuning(&two, 3, 1).unwrap().objectives;
        let shown: Vec<String> = list.iter().map(|o| format!("{} {:?}", o.metric, o.direction)).collect();
        assert_eq!(shown, ["val/t2i_mAP Maximize", "val/i2t_mAP Maximize", "model/latency_ms Minimize"]);
        assert!(tuning(&automl(&[]), 3, 1).unwrap().objectives.is_empty());
        let wrong = automl(&["automl.objectives=['val/t2i_mAP:best']", "automl.scheduler=ashs"]);
        let problems = tuning(&wrong, 3, 1).unwrap_err().to_string();
        assert!(problems.contains("val/t2i_mAP:best") && problems.contains("ashs"), "{problems}");
    }
}
