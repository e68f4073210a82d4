//! What a run does about early signs that it goes wrong: it tells them, and ends where the spec says so.

use super::Run;
use crate::journal::event::{JobEvent, Metrics};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::signal::Signal;
use crate::spec::sections::OnSignal;
use crate::train::console;
use crate::train::health::has_collapsed;

/// What a step came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stepped {
    /// The mean loss.
    pub loss: f64,
    /// The new scale of the loss, where gradients overflowed and the step was left out.
    pub overflowed: Option<f64>,
}

/// The sides of a pair, as metrics and as events name them.
const SIDES: [(&str, &str); 2] = [("img", "images"), ("txt", "texts")];

impl Run<'_> {
    /// Looks at a step that was made.
    pub(super) fn watch(&mut self, stepped: Stepped) -> Result<(), Failure> {
        let (epoch, step) = (self.meta.epoch + 1, self.meta.step);
        if let Some(scale) = stepped.overflowed {
            self.tell(JobEvent::GradientsOverflowed { epoch, step, scale })?;
        }
        let loss = stepped.loss;
        match self.meta.losses.take(loss) {
            Some(usual) => {
                let event = JobEvent::LossSpiked { epoch, step, loss, usual };
                self.act_on(event, self.spec.train.on_loss_spike, FailureKind::LossSpike)
            }
            None => Ok(()),
        }
    }

    /// Looks at the embeddings that a validation measured.
    pub(super) fn watch_embeddings(&mut self, metrics: &Metrics, epoch: u32) -> Result<(), Failure> {
        let step = self.meta.step;
        let variances = SIDES.map(|(name, _)| metrics.get(&format!("val/{name}_variance")).copied().flatten());
        let [Some(images), Some(texts)] = variances else { return Ok(()) };
        if step == 0 {
            self.meta.start_variance = Some([images, texts]);
        }
        let Some(start) = self.meta.start_variance else { return Ok(()) };
        for (i, variance) in [images, texts].into_iter().enumerate() {
            if has_collapsed(variance, start[i]) {
                let side = SIDES[i].1.to_owned();
                let event = JobEvent::EmbeddingsCollapsed { epoch, step, side, variance, start: start[i] };
                self.act_on(event, self.spec.train.on_collapse, FailureKind::Collapsed)?;
            }
        }
        Ok(())
    }

    /// Tells a sign; an error where the run is to end with it.
    fn act_on(&mut self, event: JobEvent, policy: OnSignal, kind: FailureKind) -> Result<(), Failure> {
        let message = self.tell(event)?;
        match policy {
            OnSignal::Warn => Ok(()),
            OnSignal::Stop => Err(Failure::new(kind, message)),
        }
    }

    /// Writes a sign into the journal and the console; its sentence.
    pub(super) fn tell(&mut self, event: JobEvent) -> Result<String, Failure> {
        let message = Signal::of(&event).map_or_else(String::new, |signal| signal.message);
        console::line(&message);
        self.record(event)?;
        Ok(message)
    }
}
