//! Retrieval on the pairs of the data sets: each of them, and all together.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::gallery::{self, Shown};
use super::{Found, Task, ends, plain};
use crate::base::files;
use crate::base::task::Task as Progress;
use crate::data::attributes::Wanted;
use crate::data::scan::Scan;
use crate::data::{Attributes, DataSource, OpenOptions, PairSet};
use crate::eval::embedder::in_batches;
use crate::eval::retrieval::{self, Queries, Query, Truth};
use crate::eval::torch;
use crate::infer::embed;
use crate::infer::source::Source;
use crate::journal::event::{JobEvent, Metrics};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::writer::Writer;
use crate::spec::Spec;
use crate::spec::sections::{GroundTruth, TableFormat};
use crate::tables::{self, Kind, Values, csv, parquet};
use crate::train::truth;
use crate::worker::{artifact, opened};

/// Rows of a table that are gathered at once.
const TABLE_ROWS: usize = 1 << 14;

/// One of the data sets within all pairs.
struct Part {
    name: String,
    images: Range<usize>,
    texts: Range<usize>,
}

/// Measures on the pairs of `sources`; `None` when it was stopped.
pub(super) fn measure(
    task: Task<'_>,
    sources: &[DataSource],
    source: &mut Source,
    events: &mut Writer<JobEvent>,
) -> Result<Option<Found>, Failure> {
    let Task { job, spec, .. } = task;
    let section = &spec.evaluate;
    let prompts = section.text_file.as_deref().map(embed::prompts).transpose()?;
    let mut options = OpenOptions::new("val", source.transform, source.tokenizer.clone(), &job.cache);
    options.threads = job.threads;
    options.choice = spec.dataset.val.caption_choice;
    options.cache_bytes = spec.dataset.cache_bytes();
    let pairs = PairSet::open(sources, &options)?;
    let attributes = attributes(spec, sources, &pairs)?;
    let ready = JobEvent::DataReady {
        split: "val".into(),
        pairs: pairs.len(),
        seconds: pairs.build_seconds(),
        cached: pairs.from_cache(),
    };
    artifact::append(events, ready)?;
    let parts = parts(sources, &pairs, &options)?;
    let Some((images, texts)) = embedded(task, &pairs, source)? else { return Ok(None) };
    let prompted = match &prompts {
        Some(prompts) => {
            let found = in_batches(prompts.len(), task.batch(), None, |rows| {
                let texts: Vec<&str> = rows.iter().map(|&row| prompts[row].as_str()).collect();
                source.embedder.texts(&source.tokenizer.tokens(&texts))
            });
            Some((prompts, found?))
        }
        None => None,
    };
    let grouped = GroundTruth::CaptionGroups;
    let ground_truth = if section.ground_truth == grouped { grouped } else { spec.dataset.val.ground_truth };
    let truth = match &attributes {
        Some((attributes, accessories)) => truth::by_attributes(attributes, *accessories),
        None => truth::of(&pairs, ground_truth),
    };
    let (measured, queries) = retrieval::queries(&images, &texts, &truth)?;
    let mut found =
        Found { metrics: measured.metrics("val"), intervals: measured.intervals("val"), ..Found::default() };
    if let Some((attributes, _)) = &attributes {
        found.metrics.extend(truth::of_kinds(attributes, (&images, &texts), (&pairs, &truth), "val")?);
    }
    let mut sets = Vec::new();
    if parts.len() > 1 {
        for part in &parts {
            let measured = retrieval::evaluate(
                &rows(&images, &part.images)?,
                &rows(&texts, &part.texts)?,
                &of_part(&truth, part),
            )?;
            let (metrics, intervals) = (measured.metrics(&part.name), measured.intervals(&part.name));
            sets.push(entry(part, plain(&metrics, &part.name), ends(&intervals, &part.name)));
            found.metrics.extend(metrics);
            found.intervals.extend(intervals);
        }
    } else if let [part] = parts.as_slice() {
        sets.push(entry(part, plain(&found.metrics, "val"), ends(&found.intervals, "val")));
    }
    let shown = Shown { pairs: &pairs, images: &images, texts: &texts };
    let most = usize::try_from(section.worst_queries).unwrap_or(0);
    let listed = |pick: fn(&[Query], usize) -> Vec<Query>| -> Result<Value, Failure> {
        let [texts, images] = [&queries.t2i, &queries.i2t].map(|queries| pick(queries, most));
        Ok(json!({"t2i": shown.of_texts(&texts)?, "i2t": shown.of_images(&images)?}))
    };
    let mut results = Map::new();
    let own: Metrics =
        found.metrics.iter().filter(|(n, _)| n.starts_with("val/")).map(|(n, v)| (n.clone(), *v)).collect();
    let all = (plain(&own, "val"), ends(&measured.intervals("val"), "val"));
    for (name, value) in [
        ("ground_truth", json!(ground_truth)),
        ("num_images", json!(pairs.image_count())),
        ("num_texts", json!(pairs.captions().len())),
        ("metrics", all.0),
        ("intervals", all.1),
        ("datasets", Value::Array(sets)),
        ("worst", listed(gallery::worst)?),
        ("best", listed(gallery::best)?),
    ] {
        results.insert(name.to_owned(), value);
    }
    if let Some((prompts, embedded)) = &prompted {
        results.insert("prompts".to_owned(), shown.best_for(prompts, embedded)?);
    }
    if let Some(format) = section.per_query {
        let file = table(task, format, &pairs, &parts, &queries)?;
        results.insert("per_query".to_owned(), json!(file.file_name().map(|n| n.to_string_lossy())));
        found.files.push(("per_query", file));
    }
    found.results = results;
    Ok(Some(found))
}

/// Images and texts, embedded; `None` when it was stopped.
fn embedded(task: Task<'_>, pairs: &PairSet, source: &mut Source) -> Result<Option<(Tensor, Tensor)>, Failure> {
    let stopped = || Failure::new(FailureKind::Unknown, "stopped");
    let go_on = || if task.stopped() { Err(stopped()) } else { Ok(()) };
    let progress = Progress::of("embedding images and texts", pairs.image_count() + pairs.captions().len());
    let folder = Some(task.job.cache.as_path());
    let images = in_batches(pairs.image_count(), task.batch(), folder, |indices| {
        go_on()?;
        progress.advance(indices.len() as u64);
        source.embedder.images(&pairs.images(indices)?)
    });
    let both = images.and_then(|images| {
        let texts = in_batches(pairs.captions().len(), task.batch(), folder, |indices| {
            go_on()?;
            progress.advance(indices.len() as u64);
            source.embedder.texts(&pairs.tokens(indices))
        });
        Ok((images, texts?))
    });
    if task.stopped() { Ok(None) } else { both.map(Some) }
}

/// Which pairs are whose.
fn parts(sources: &[DataSource], pairs: &PairSet, options: &OpenOptions) -> Result<Vec<Part>, Failure> {
    let names = opened::names(sources);
    let counts = match sources {
        [_] => vec![pairs.image_count()],
        _ => sources
            .iter()
            .map(|one| Ok(Scan::of(std::slice::from_ref(one), &options.archives_to, true)?.pairs.len()))
            .collect::<Result<Vec<_>, Failure>>()?,
    };
    let mut start = 0;
    let mut first = |count: usize| {
        let images = start..start + count;
        start += count;
        images
    };
    let caption = |image: usize| {
        if image < pairs.image_count() { pairs.captions_of(image).start } else { pairs.captions().len() }
    };
    let part = |(name, count): (String, usize)| {
        let images = first(count);
        let texts = caption(images.start)..caption(images.end);
        Part { name, images, texts }
    };
    Ok(names.into_iter().zip(counts).map(part).collect())
}

fn rows(of: &Tensor, range: &Range<usize>) -> Result<Tensor, Failure> {
    of.f_narrow(0, range.start as i64, range.len() as i64).map_err(torch)
}

fn of_part(truth: &Truth, part: &Part) -> Truth {
    match truth {
        Truth::Paired => Truth::Paired,
        Truth::Groups(groups) => Truth::Groups(groups[part.images.clone()].to_vec()),
        Truth::Labels { images, texts } => {
            Truth::Labels { images: images[part.images.clone()].to_vec(), texts: texts[part.texts.clone()].to_vec() }
        }
        Truth::Related { images, texts_of, texts, images_of } => {
            let within = |of: &HashMap<i64, Vec<u32>>, range: &Range<usize>| {
                let inside = |rows: &Vec<u32>| {
                    let rows = rows.iter().filter(|row| range.contains(&(**row as usize)));
                    rows.map(|row| row - range.start as u32).collect()
                };
                of.iter().map(|(label, rows)| (*label, inside(rows))).collect()
            };
            Truth::Related {
                images: images[part.images.clone()].to_vec(),
                texts_of: within(texts_of, &part.texts),
                texts: texts[part.texts.clone()].to_vec(),
                images_of: within(images_of, &part.images),
            }
        }
    }
}

/// The attributes by which hits count, where the spec says so, and whether accessories are among them.
fn attributes(spec: &Spec, sources: &[DataSource], pairs: &PairSet) -> Result<Option<(Attributes, bool)>, Failure> {
    let mode = match spec.evaluate.pas_ground_truth_mode.as_str() {
        "paired_caption" if spec.dataset.val.metadata_match_eval => spec.dataset.val.metadata_match_mode.as_str(),
        "paired_caption" => return Ok(None),
        mode => mode,
    };
    let accessories = mode == "scalar_plus_accessories";
    let wanted = Wanted { train: false, attributes: true, accessories };
    Ok(Some((Attributes::read(sources, wanted, pairs, "val")?, accessories)))
}

fn entry(part: &Part, metrics: Value, intervals: Value) -> Value {
    json!({
        "name": part.name,
        "num_images": part.images.len(),
        "num_texts": part.texts.len(),
        "metrics": metrics,
        "intervals": intervals,
    })
}

/// Writes what every query contributed, texts first.
fn table(
    task: Task<'_>,
    format: TableFormat,
    pairs: &PairSet,
    parts: &[Part],
    queries: &Queries,
) -> Result<PathBuf, Failure> {
    const COLUMNS: [(&str, Kind); 11] = [
        ("direction", Kind::Text),
        ("dataset", Kind::Text),
        ("query", Kind::Whole),
        ("text", Kind::Text),
        ("image", Kind::Text),
        ("rank", Kind::Number),
        ("average_precision", Kind::Number),
        ("recall_at_1", Kind::Number),
        ("recall_at_5", Kind::Number),
        ("recall_at_10", Kind::Number),
        ("score", Kind::Number),
    ];
    let image_of: Vec<usize> = gallery::image_of(pairs);
    let chunk = |direction: &str, list: &[Query], put: &mut dyn FnMut(&[Values<'_>]) -> std::io::Result<()>| {
        let image = |q: &Query| if direction == "t2i" { image_of[q.index] } else { q.index };
        let caption = |q: &Query| if direction == "t2i" { q.index } else { pairs.captions_of(q.index).start };
        let dataset = |q: &Query| {
            parts.iter().find(|p| p.images.contains(&image(q))).map_or_else(String::new, |p| p.name.clone())
        };
        let texts = |text: &dyn Fn(&Query) -> String| list.iter().map(text).collect::<Vec<String>>();
        let numbers = |number: &dyn Fn(&Query) -> f64| list.iter().map(number).collect::<Vec<f64>>();
        put(&[
            Values::Text(&texts(&|_| direction.to_owned())),
            Values::Text(&texts(&dataset)),
            Values::Whole(&list.iter().map(|q| q.index as i64).collect::<Vec<_>>()),
            Values::Text(&texts(&|q| pairs.captions()[caption(q)].clone())),
            Values::Text(&texts(&|q| pairs.image(image(q)).shown().to_string_lossy().into_owned())),
            Values::Number(&numbers(&|q| q.first)),
            Values::Number(&numbers(&|q| q.average_precision)),
            Values::Number(&numbers(&|q| q.recall[0])),
            Values::Number(&numbers(&|q| q.recall[1])),
            Values::Number(&numbers(&|q| q.recall[2])),
            Values::Number(&numbers(&|q| q.score.into())),
        ])
    };
    let each = |put: &mut dyn FnMut(&[Values<'_>]) -> std::io::Result<()>| -> std::io::Result<()> {
        for (direction, list) in [("t2i", &queries.t2i), ("i2t", &queries.i2t)] {
            list.chunks(TABLE_ROWS).try_for_each(|list| chunk(direction, list, put))?;
        }
        Ok(())
    };
    write(task, "per_query", format, &COLUMNS, each)
}

/// Writes the table `<name>.csv` or `<name>.parquet` into the folder of the job; `each` hands the rows on, group by group.
pub(super) fn write(
    task: Task<'_>,
    name: &str,
    format: TableFormat,
    columns: &[(&str, tables::Kind)],
    each: impl Fn(&mut dyn FnMut(&[Values<'_>]) -> std::io::Result<()>) -> std::io::Result<()>,
) -> Result<PathBuf, Failure> {
    let path = task.dir.path().join(format!("{name}.{}", format.extension()));
    files::atomic_write_with(&path, |file| {
        let mut out = BufWriter::new(file);
        match format {
            TableFormat::Csv => {
                csv::heading(&mut out, columns)?;
                each(&mut |values| csv::rows(&mut out, columns, values))?;
                out.flush()
            }
            TableFormat::Parquet => {
                let mut writer = parquet::Writer::new(out, columns)?;
                each(&mut |values| writer.rows(values))?;
                writer.finish()?.flush()
            }
        }
    })?;
    Ok(path)
}
