//! The order of the trial table.

use std::cmp::Ordering;

use super::rows::Trial;
use crate::journal::event::Direction;
use crate::state::TrialStatus;

/// A column to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The study's metric, best first.
    #[default]
    Value,
    /// The number.
    Id,
    /// What runs first, what is over last.
    State,
    /// Epochs trained, most first.
    Epochs,
    /// Images per second, most first.
    Speed,
    /// Training loss, least first.
    Loss,
}

impl Column {
    /// Every column, in the order of the sort key.
    pub const ALL: [Self; 6] = [Self::Value, Self::Id, Self::State, Self::Epochs, Self::Speed, Self::Loss];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Id => "id",
            Self::State => "state",
            Self::Epochs => "epochs",
            Self::Speed => "speed",
            Self::Loss => "loss",
        }
    }

    /// The column after this one.
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|c| *c == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }
}

/// Sorts rows. Trials without the value come last either way; equal ones stay in the order of their numbers.
pub fn sort(rows: &mut [&Trial], column: Column, reversed: bool, direction: Direction) {
    let larger_first = match column {
        Column::Value => direction == Direction::Maximize,
        Column::Epochs | Column::Speed => true,
        Column::Id | Column::State | Column::Loss => false,
    };
    let key = |t: &Trial| match column {
        Column::Value => t.value,
        Column::Id => Some(f64::from(t.id.0)),
        Column::State => Some(urgency(t.status)),
        Column::Epochs => Some(f64::from(t.epochs)),
        Column::Speed => t.images_per_s,
        Column::Loss => t.loss,
    };
    rows.sort_by(|a, b| {
        let order = match (key(a).filter(|v| !v.is_nan()), key(b).filter(|v| !v.is_nan())) {
            (Some(a), Some(b)) if larger_first != reversed => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        order.then(a.id.cmp(&b.id))
    });
}

/// What happens now comes before what waits, what waits before what is over.
fn urgency(status: TrialStatus) -> f64 {
    match status {
        TrialStatus::Running => 0.0,
        TrialStatus::Launching => 1.0,
        TrialStatus::Queued => 2.0,
        TrialStatus::Paused => 3.0,
        TrialStatus::Failed => 4.0,
        TrialStatus::Completed => 5.0,
        TrialStatus::Pruned => 6.0,
        TrialStatus::Cancelled => 7.0,
    }
}
