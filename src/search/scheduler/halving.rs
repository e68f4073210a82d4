//! Successive halving, asynchronous: of the trials that reached a rung, one in `factor` goes on, as soon as that can be said.
//!
//! Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA), with two changes. A *quota*: once
//! one in `factor` has gone on, only a new best of the rung does, because proposals of a model are nearly all in the best
//! third. And *groups*: the trials of a group compete among themselves, which makes successive halving (one kind of group)
//! and Hyperband (groups that start at different rungs) of the same rule, without their barriers.

use super::rungs::{Bracket, brackets, rungs};
use super::{Promotion, ScheduleContext, Scheduler, Settings};
use crate::base::ids::TrialId;
use crate::search::history::{Observation, ObservedState};

/// Who competes with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Asha,
    Successive,
    Hyperband,
}

/// The scheduler.
#[derive(Clone, Copy, Debug)]
pub struct Halving {
    kind: Kind,
    settings: Settings,
}

/// The trials of one group and the rung that they start at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    first: u32,
    size: u32,
    start: usize,
}

impl Halving {
    /// All trials in one group without end.
    pub fn asha(settings: Settings) -> Self {
        Self { kind: Kind::Asha, settings }
    }

    /// Groups of `factor^k` trials, of which one reaches the last of `k + 1` rungs.
    pub fn successive(settings: Settings) -> Self {
        Self { kind: Kind::Successive, settings }
    }

    /// Hyperband's brackets, again and again.
    pub fn hyperband(settings: Settings) -> Self {
        Self { kind: Kind::Hyperband, settings }
    }

    /// The group of a trial.
    fn group(&self, rungs: usize, trial: u32) -> Group {
        let round: Vec<Bracket> = match self.kind {
            Kind::Asha => return Group { first: 0, size: u32::MAX, start: 0 },
            Kind::Successive => brackets(rungs, self.settings.factor).into_iter().take(1).collect(),
            Kind::Hyperband => brackets(rungs, self.settings.factor),
        };
        let total = round.iter().fold(0_u32, |sum, b| sum.saturating_add(b.size)).max(1);
        let mut first = trial - trial % total;
        for bracket in &round {
            if trial - first < bracket.size {
                return Group { first, size: bracket.size, start: bracket.start };
            }
            first += bracket.size;
        }
        Group { first, size: total, start: 0 }
    }

    /// The trial of `members` that goes on from the rung `at`, if one does; `pending` when others may still arrive there.
    fn next<'a>(
        &self,
        ctx: &ScheduleContext<'_>,
        members: &[&'a Observation],
        at: u32,
        pending: bool,
    ) -> Option<&'a Observation> {
        let reached = members.iter().filter(|o| !o.has_failed() && o.reached() >= at);
        let mut entries: Vec<(f64, &Observation)> =
            reached.filter_map(|o| Some((ctx.loss_until(o, at)?, *o))).collect();
        entries.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.trial.cmp(&b.1.trial)));
        let gone = entries.iter().filter(|(_, o)| o.budget > at).count();
        let mut quota = entries.len() / self.settings.factor.max(2) as usize;
        if !pending {
            // Nobody else will come: at least the best one goes on.
            quota = quota.max(1);
        }
        let waits = |o: &Observation| o.state == ObservedState::Paused && o.budget <= at;
        let (rank, (_, first)) = entries.iter().enumerate().find(|(_, (_, o))| waits(o))?;
        let record = rank == 0 && quota > 0;
        (rank < quota && (gone < quota || record)).then_some(*first)
    }
}

impl Scheduler for Halving {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Asha => "asha",
            Kind::Successive => "successive_halving",
            Kind::Hyperband => "hyperband",
        }
    }

    fn rungs(&self, max_epochs: u32) -> Vec<u32> {
        rungs(self.settings.min_epochs, max_epochs, self.settings.factor)
    }

    fn allot(&self, max_epochs: u32, trial: TrialId) -> u32 {
        let rungs = self.rungs(max_epochs);
        let start = self.group(rungs.len(), trial.0).start;
        rungs.get(start).copied().unwrap_or(max_epochs)
    }

    fn promote(&self, ctx: &ScheduleContext<'_>) -> Option<Promotion> {
        let rungs = self.rungs(ctx.max_epochs);
        let mut groups: Vec<(Group, Vec<&Observation>)> = Vec::new();
        let mut history: Vec<&Observation> = ctx.history.iter().collect();
        history.sort_by_key(|o| o.trial);
        for observation in history {
            let group = self.group(rungs.len(), observation.trial.0);
            match groups.last_mut() {
                Some((last, members)) if *last == group => members.push(observation),
                _ => groups.push((group, vec![observation])),
            }
        }
        let mut best: Option<Promotion> = None;
        for (group, members) in &groups {
            let mut pending = !ctx.closing && (members.len() as u32) < group.size;
            for pair in rungs.windows(2) {
                let (at, until) = (pair[0], pair[1]);
                pending |= members.iter().any(|o| o.state == ObservedState::Running && o.budget <= at);
                if let Some(trial) = self.next(ctx, members, at, pending) {
                    // The highest rung first: what is furthest is nearest to a result.
                    if best.is_none_or(|b| until > b.until) {
                        best = Some(Promotion { trial: trial.trial, until });
                    }
                    // Once it has gone on, it may stand at the next rung.
                    pending = true;
                }
            }
        }
        best
    }
}
