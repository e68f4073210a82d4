//! The Pareto front of a study with several objectives.

use serde_json::{Value, json};

use super::table::Grid;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::base::pareto;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::journal::event::{Direction, Objective};
use crate::journal::layout::StudyDir;
use crate::state::{StudyState, TrialState, snapshot, winner};

/// The trials that no other beats in every objective, by the first objective, best first.
#[derive(Clone, Debug)]
pub struct Front {
    objectives: Vec<Objective>,
    trials: Vec<TrialId>,
    /// Share of the box between the best and the worst values of all trials that the front dominates.
    hypervolume: f64,
}

/// The front of a study.
///
/// # Errors
/// When the study has one objective only.
pub fn front(state: &StudyState) -> Result<Front, Problems> {
    if !winner::has_several_objectives(state) {
        let problem = Problem::new("the study has one objective, so it has a best trial and no front");
        return Err(Problems::one(ExitCode::Usage, problem.help("give automl.objectives when a study is started")));
    }
    let weighed = winner::weighed(state);
    let points: Vec<Vec<f64>> = weighed.iter().map(|(_, losses)| losses.clone()).collect();
    let mut front = pareto::front(&points);
    front.sort_by(|&a, &b| points[a][0].total_cmp(&points[b][0]));
    let ranges = pareto::ranges(&points).unwrap_or_default();
    let scaled: Vec<Vec<f64>> = front
        .iter()
        .map(|&i| points[i].iter().zip(&ranges).map(|(x, (low, high))| (x - low) / (high - low).max(1e-300)).collect())
        .collect();
    Ok(Front {
        objectives: state.meta.as_ref().map(|m| m.objectives.clone()).unwrap_or_default(),
        trials: front.into_iter().map(|i| weighed[i].0.id).collect(),
        hypervolume: pareto::hypervolume(&scaled, &vec![1.0; ranges.len()]),
    })
}

impl Front {
    /// As a table; the trial that is promoted is marked. `exact` for other programs: numbers in full.
    pub fn grid(&self, state: &StudyState, exact: bool) -> Grid {
        let mut heading = vec!["trial".to_owned(), String::new()];
        heading.extend(self.objectives.iter().map(|o| format!("{} {}", o.metric, arrow(o.direction))));
        let chosen = state.best().map(|t| t.id);
        let number = |v: f64| if exact { v.to_string() } else { units::number(v) };
        let rows: Vec<Vec<String>> = self
            .trials
            .iter()
            .filter_map(|id| state.trials.get(id))
            .map(|t| {
                let mark = if Some(t.id) == chosen { "compromise" } else { "" };
                let values = self.objectives.iter().map(|o| value(t, o).map_or("–".to_owned(), number));
                [t.id.to_string(), mark.to_owned()].into_iter().chain(values).collect()
            })
            .collect();
        Grid { right: heading[2..].to_vec(), heading, rows }
    }

    /// For people.
    pub fn text(&self, state: &StudyState) -> String {
        let table = self.grid(state, false).text();
        format!("{table}\nhypervolume {:.4} of the box between the best and the worst values", self.hypervolume)
    }

    /// As JSON.
    pub fn json(&self, dir: &StudyDir, state: &StudyState, now: Timestamp) -> Value {
        let trials: Vec<Value> = self
            .trials
            .iter()
            .filter_map(|id| state.trials.get(id))
            .map(|t| {
                let mut entry = snapshot::trial(dir, state, t, now);
                let values: Vec<Option<f64>> = self.objectives.iter().map(|o| value(t, o)).collect();
                entry["objectives"] = json!(values);
                entry
            })
            .collect();
        json!({
            "version": snapshot::VERSION,
            "study": state.meta.as_ref().map(|m| m.name.clone()),
            "objectives": self.objectives,
            "hypervolume": self.hypervolume,
            "compromise": state.best().map(|t| t.id),
            "trials": trials,
        })
    }
}

fn value(trial: &TrialState, objective: &Objective) -> Option<f64> {
    trial.best_metrics()?.get(&objective.metric).copied().flatten()
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Maximize => "↑",
        Direction::Minimize => "↓",
    }
}
