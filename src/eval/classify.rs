//! How well scores of classes name the class of an image: the same measure for zero-shot prompts, neighbours and probes.
//!
//! The rank of the true class is `1 + classes above it + half the classes that tie with it`, as in retrieval: a model that
//! scores all classes alike is not rewarded.

use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::{bootstrap, torch};
use crate::journal::event::Interval;
use crate::journal::failure::{Failure, FailureKind};

/// Images whose scores are held as plain numbers at once.
const BLOCK: i64 = 4096;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// Share of images whose class has the highest score.
    pub top1: f64,
    /// Share of images whose class is among the five highest.
    pub top5: f64,
    /// Mean over classes of their own top1, each class counting alike.
    pub mean_per_class: f64,
    /// 95 % intervals of top1 and top5 over the images.
    pub intervals: Option<[Interval; 2]>,
    /// Images.
    pub images: usize,
    /// Every class that has an image, in the order of the classes.
    pub classes: Vec<Class>,
    /// `confusion[true class][named class]`, in images.
    pub confusion: Vec<Vec<u32>>,
    /// What was said of each image.
    #[serde(skip)]
    pub verdicts: Vec<Verdict>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Its place among the classes.
    pub class: usize,
    /// Images of it.
    pub images: u32,
    /// Share of them that were named right.
    pub top1: f64,
    /// Share of them whose class is among the five highest.
    pub top5: f64,
    /// Share of the images named so that are of it; `None` when none was.
    pub precision: Option<f64>,
}

/// What was said of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Its class.
    pub label: usize,
    /// The class with the highest score, the first of several.
    pub named: usize,
    /// The rank of its class.
    pub rank: f64,
    /// The score of its class.
    pub own_score: f32,
    /// The score of the class that was named.
    pub score: f32,
}

/// Measures scores `[N, C]` against the class of each image.
///
/// # Errors
/// When the shapes do not fit, or a score is not finite (there is nothing to rank then).
pub fn measure(scores: &Tensor, labels: &[usize]) -> Result<Classified, Failure> {
    let wrong = |why: String| Failure::new(FailureKind::Unknown, format!("classification: {why}"));
    let &[n, c] = scores.size().as_slice() else { return Err(wrong("scores are not a matrix".into())) };
    let classes = usize::try_from(c).unwrap_or(0);
    if n as usize != labels.len() || labels.iter().any(|&l| l >= classes) || classes == 0 {
        return Err(wrong(format!("{n} × {c} scores do not fit {} labels", labels.len())));
    }
    let mut verdicts = Vec::with_capacity(labels.len());
    for start in (0..n).step_by(BLOCK as usize) {
        let count = BLOCK.min(n - start);
        let rows = scores.f_narrow(0, start, count).and_then(|t| t.f_to_device(Device::Cpu));
        let flat = rows.and_then(|t| t.f_to_kind(Kind::Float)?.f_contiguous()?.f_view(-1_i64)).map_err(torch)?;
        let values: Vec<f32> = Vec::try_from(&flat).map_err(torch)?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Failure::new(FailureKind::NonFiniteLoss, "the model gives embeddings that are not finite"));
        }
        let labels = &labels[start as usize..(start + count) as usize];
        verdicts.extend(values.chunks_exact(classes).zip(labels).map(|(row, &label)| verdict(row, label)));
    }
    Ok(summarise(verdicts, classes))
}

fn verdict(row: &[f32], label: usize) -> Verdict {
    let own_score = row[label];
    let above = row.iter().filter(|&&s| s > own_score).count();
    let tied = row.iter().filter(|&&s| s == own_score).count() - 1;
    let (named, score) =
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, &s)| if s > best.1 { (i, s) } else { best });
    Verdict { label, named, rank: 1.0 + above as f64 + tied as f64 / 2.0, own_score, score }
}

fn summarise(verdicts: Vec<Verdict>, count: usize) -> Classified {
    let mut confusion = vec![vec![0_u32; count]; count];
    let mut hits = vec![[0_u32; 2]; count];
    for v in &verdicts {
        confusion[v.label][v.named] += 1;
        hits[v.label][0] += u32::from(v.rank <= 1.0);
        hits[v.label][1] += u32::from(v.rank <= 5.0);
    }
    let share = |part: u32, of: u32| f64::from(part) / f64::from(of.max(1));
    let classes: Vec<Class> = (0..count)
        .filter_map(|class| {
            let images = confusion[class].iter().sum::<u32>();
            let named: u32 = confusion.iter().map(|row| row[class]).sum();
            let precision = (named > 0).then(|| share(confusion[class][class], named));
            let [top1, top5] = hits[class].map(|h| share(h, images));
            (images > 0).then_some(Class { class, images, top1, top5, precision })
        })
        .collect();
    let rows: Vec<[f64; 2]> = verdicts.iter().map(|v| [1.0, 5.0].map(|k| f64::from(v.rank <= k))).collect();
    let places: Vec<i64> = (0..verdicts.len() as i64).collect();
    let mean = |column: usize| rows.iter().map(|r| r[column]).sum::<f64>() / rows.len().max(1) as f64;
    Classified {
        top1: mean(0),
        top5: mean(1),
        mean_per_class: classes.iter().map(|c| c.top1).sum::<f64>() / classes.len().max(1) as f64,
        intervals: bootstrap::intervals(&rows, &places).map(|ends| ends.map(|[low, high]| Interval { low, high })),
        images: verdicts.len(),
        classes,
        confusion,
        verdicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapsed_scores_are_not_rewarded_and_shapes_are_checked() {
        let same = Tensor::ones([4, 10], (Kind::Float, Device::Cpu));
        let found = measure(&same, &[0, 1, 2, 3]).unwrap();
        assert_eq!((found.top1, found.top5), (0.0, 0.0));
        assert!(measure(&same, &[0, 1, 2]).is_err() && measure(&same, &[0, 1, 2, 10]).is_err());
        assert!(measure(&(same / 0.0), &[0, 1, 2, 3]).unwrap_err().message.contains("not finite"));
    }
}
