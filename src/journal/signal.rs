//! Early signs that a training goes wrong: the events of a worker that say so, in one form for whoever shows them.

use serde::Serialize;

use super::event::JobEvent;

/// A sign, as a worker reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// The kind of its event.
    pub kind: &'static str,
    /// The epoch.
    pub epoch: u32,
    /// Optimiser steps by then.
    pub step: u64,
    /// A sentence.
    pub message: String,
}

impl Signal {
    /// The sign that an event is, if it is one.
    pub fn of(event: &JobEvent) -> Option<Self> {
        let (kind, epoch, step, message) = match event {
            JobEvent::LossSpiked { epoch, step, loss, usual } => {
                ("loss_spiked", epoch, step, format!("the loss rose to {loss:.4} at step {step}; {usual:.4} was usual"))
            }
            JobEvent::EmbeddingsCollapsed { epoch, step, side, variance, start } => {
                let what = format!(
                    "the embeddings of {side} have collapsed by step {step}: their variance is {variance:.2e}, {start:.2e} before the first step"
                );
                ("embeddings_collapsed", epoch, step, what)
            }
            JobEvent::GradientsOverflowed { epoch, step, scale } => {
                let what = format!(
                    "gradients overflowed at step {step}, which was left out; the loss is now scaled by {scale}"
                );
                ("gradients_overflowed", epoch, step, what)
            }
            JobEvent::LossNotFinite { epoch, step } => {
                ("loss_not_finite", epoch, step, format!("the loss is not finite at step {step}"))
            }
            _ => return None,
        };
        Some(Self { kind, epoch: *epoch, step: *step, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_of_their_events() {
        let events = [
            JobEvent::LossSpiked { epoch: 1, step: 7, loss: 9.0, usual: 2.0 },
            JobEvent::EmbeddingsCollapsed { epoch: 1, step: 7, side: "images".into(), variance: 1e-5, start: 0.5 },
            JobEvent::GradientsOverflowed { epoch: 1, step: 7, scale: 32768.0 },
            JobEvent::LossNotFinite { epoch: 1, step: 7 },
        ];
        for event in events {
            let signal = Signal::of(&event).unwrap();
            assert_eq!(serde_json::to_value(&event).unwrap()["kind"], signal.kind);
            assert_eq!((signal.epoch, signal.step), (1, 7));
        }
        assert_eq!(Signal::of(&JobEvent::Note { message: "all is well".into() }), None);
    }
}
