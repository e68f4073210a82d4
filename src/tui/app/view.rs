//! The views and how they show things.

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The studies of the workspace.
    Studies,
    /// The table of trials.
    #[default]
    Trials,
    /// Metrics over epochs.
    Curves,
    /// Parameters against the metric.
    Params,
    /// Devices, how busy they are and what ran on them.
    Gpus,
    /// The console of a trial.
    Logs,
    /// From the best checkpoint to the manifest.
    Promotion,
}

impl View {
    /// Every view, in the order of the tab key.
    pub const ALL: [Self; 7] =
        [Self::Studies, Self::Trials, Self::Curves, Self::Params, Self::Gpus, Self::Logs, Self::Promotion];

    /// Its number and title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Studies => "0 Studies",
            Self::Trials => "1 Trials",
            Self::Curves => "2 Curves",
            Self::Params => "3 Params",
            Self::Gpus => "4 GPUs",
            Self::Logs => "5 Logs",
            Self::Promotion => "6 Promotion",
        }
    }

    /// Its name in the command palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Studies => "studies",
            Self::Trials => "trials",
            Self::Curves => "curves",
            Self::Params => "params",
            Self::Gpus => "gpus",
            Self::Logs => "logs",
            Self::Promotion => "promotion",
        }
    }

    /// The view so many further; the studies are skipped unless there are `several`.
    pub fn step(self, by: usize, several: bool) -> Self {
        let all = &Self::ALL[usize::from(!several)..];
        let here = all.iter().position(|v| *v == self).unwrap_or(0);
        all[(here + by) % all.len()]
    }
}

/// What the parameters view draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Picture {
    /// Shares of the variance, and the points as a table.
    #[default]
    Importance,
    /// The metric against each parameter.
    Slices,
    /// A line a trial through an axis a parameter.
    Parallel,
    /// The best value from trial to trial.
    History,
}

impl Picture {
    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Slices => "slices",
            Self::Parallel => "parallel coordinates",
            Self::History => "best so far",
        }
    }

    /// The one after it.
    pub fn next(self) -> Self {
        match self {
            Self::Importance => Self::Slices,
            Self::Slices => Self::Parallel,
            Self::Parallel => Self::History,
            Self::History => Self::Importance,
        }
    }
}

/// What the curves are drawn over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// Epochs.
    #[default]
    Epochs,
    /// Optimiser steps.
    Steps,
    /// Minutes since the trial was launched.
    Minutes,
}

impl Over {
    /// What stands below the axis.
    pub fn title(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Steps => "step",
            Self::Minutes => "minutes",
        }
    }

    /// The one after it.
    pub fn next(self) -> Self {
        match self {
            Self::Epochs => Self::Steps,
            Self::Steps => Self::Minutes,
            Self::Minutes => Self::Epochs,
        }
    }
}

/// Weights of the smoothing that the key goes through; 0 is none.
pub const SMOOTHING: [f64; 4] = [0.0, 0.6, 0.9, 0.99];
