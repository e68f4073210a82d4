//! What a model costs to use, for studies that weigh that against its quality (`automl.objectives`).

use std::time::Instant;

use crate::data::PairSet;
use crate::journal::event::Metrics;
use crate::journal::failure::Failure;
use crate::model::Clip;
use crate::model::clip::failed;

/// Size of the weights in megabytes (10^6 bytes), stored as 32-bit numbers.
const SIZE: &str = "model/size_mb";
/// Milliseconds to embed one image and one text, one after the other; the median of a few.
const LATENCY: &str = "model/latency_ms";

/// Pairs that are embedded before the clock counts, and those that count.
const RUNS: (usize, usize) = (2, 9);

/// Those of the costs that are among `objectives`.
///
/// # Errors
/// When libtorch fails.
pub(super) fn measure(model: &Clip, pairs: &PairSet, objectives: &[String]) -> Result<Metrics, Failure> {
    let wanted = |name: &str| objectives.iter().any(|o| o.split(':').next().is_some_and(|o| o.trim() == name));
    let mut costs = Metrics::new();
    if wanted(SIZE) {
        let values: i64 = model.named().map(|(parameter, _)| parameter.count()).sum();
        costs.insert(SIZE.to_owned(), Some(4e-6 * values as f64));
    }
    if wanted(LATENCY) && !pairs.is_empty() {
        costs.insert(LATENCY.to_owned(), Some(latency(model, pairs)?));
    }
    Ok(costs)
}

fn latency(model: &Clip, pairs: &PairSet) -> Result<f64, Failure> {
    let device = model.device();
    let images = pairs.images(&[0])?.f_to_device(device).map_err(failed)?;
    let tokens = pairs.tokens(&[0]).f_to_device(device).map_err(failed)?;
    let mut times = Vec::with_capacity(RUNS.1);
    for run in 0..RUNS.0 + RUNS.1 {
        let start = Instant::now();
        let embed = || -> Result<f64, tch::TchError> {
            let sum = model.encode_image(&images)?.f_sum(None)?.f_add(&model.encode_text(&tokens)?.f_sum(None)?)?;
            // Fetching a number waits for the device.
            sum.f_double_value(&[])
        };
        tch::no_grad(embed).map_err(failed)?;
        if run >= RUNS.0 {
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
