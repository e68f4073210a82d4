//! When something is done that is done again and again: validation, checkpoints.

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so many epochs.
    Epochs(u32),
    /// After so many optimiser steps, wherever in an epoch.
    Steps(u64),
    /// Never by itself.
    Never,
}

impl Every {
    /// Whether it is time after `step` steps; `ended` is the epoch that ended with the last of them.
    pub fn is_due(self, step: u64, ended: Option<u32>) -> bool {
        match self {
            Self::Epochs(n) => ended.is_some_and(|epoch| epoch.is_multiple_of(n.max(1))),
            Self::Steps(n) => step.is_multiple_of(n.max(1)),
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_counts_epochs_at_their_ends_and_steps_anywhere() {
        assert!(Every::Epochs(2).is_due(10, Some(4)) && !Every::Epochs(2).is_due(10, Some(3)));
        assert!(!Every::Epochs(1).is_due(10, None));
        assert!(
            Every::Steps(5).is_due(10, None)
                && Every::Steps(5).is_due(10, Some(1))
                && !Every::Steps(4).is_due(10, None)
        );
        assert!(!Every::Never.is_due(1, Some(1)));
    }
}
