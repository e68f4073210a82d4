//! Naming the classes of images: by the classes' names alone, by labelled neighbours, by a linear probe.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::pairs::write;
use super::{Found, Task};
use crate::data::labelled::Labelled;
use crate::eval::classify::{self, Classified};
use crate::eval::probe::Probe;
use crate::eval::{knn, torch, zero_shot};
use crate::infer::embed;
use crate::infer::source::Source;
use crate::journal::event::Metrics;
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::{ClassificationSection, TableFormat};
use crate::tables::{Kind, Values};

/// Pairs of classes that are listed because one is often taken for the other.
const CONFUSED: usize = 20;

/// Images with their classes.
struct Labels {
    images: Vec<PathBuf>,
    classes: Vec<usize>,
}

/// What is to be named.
pub(super) struct Classes<'a> {
    section: &'a ClassificationSection,
    /// The classes, as prompts name them.
    names: Vec<String>,
    templates: Vec<String>,
    test: Labels,
    /// Images that are learned from.
    train: Option<Labels>,
}

impl<'a> Classes<'a> {
    /// What the section names; `None` when it names nothing.
    ///
    /// # Errors
    /// `BadData` and `SpecInvalid` with everything that is wrong with images, labels, names or templates.
    pub(super) fn read(section: &'a ClassificationSection, archives_to: &Path) -> Result<Option<Self>, Failure> {
        let Some(image_dir) = &section.image_dir else { return Ok(None) };
        let test = Labelled::open(image_dir, section.labels_file.as_deref(), archives_to)?;
        let train = match &section.train_image_dir {
            Some(dir) => Some(Labelled::open(dir, section.train_labels_file.as_deref(), archives_to)?),
            None => None,
        };
        let labels: BTreeSet<&str> =
            test.labels.iter().chain(train.iter().flat_map(|t| &t.labels)).map(String::as_str).collect();
        let (names, places) = named(section, &labels)?;
        let of = |labelled: Labelled| Labels {
            classes: labelled.labels.iter().map(|label| places[label]).collect(),
            images: labelled.images,
        };
        let templates = zero_shot::templates(&section.templates)?;
        Ok(Some(Self { section, templates, test: of(test), train: train.map(of), names }))
    }

    /// Embeds the images and measures every method; `None` when it was stopped.
    pub(super) fn measure(&self, task: Task<'_>, source: &mut Source) -> Result<Option<Found>, Failure> {
        let Some(images) = embedded(task, source, &self.test.images)? else { return Ok(None) };
        let known = match &self.train {
            Some(train) => match embedded(task, source, &train.images)? {
                Some(rows) => Some((rows, train)),
                None => return Ok(None),
            },
            None => None,
        };
        let mut found = Found::default();
        let mut results = Map::new();
        results.insert("classes".to_owned(), json!(self.names));
        results.insert("templates".to_owned(), json!(self.templates));
        let mut named: Vec<(&str, Classified)> = Vec::new();
        for method in &self.section.methods {
            let (scores, about) = match (method.as_str(), &known) {
                ("knn", Some((rows, train))) => {
                    let k = usize::try_from(self.section.knn_k).unwrap_or(1);
                    (knn::scores(&images, rows, &train.classes, self.names.len(), k)?, json!({"k": k}))
                }
                ("linear_probe", Some((rows, train))) => {
                    let probe = Probe::fit(rows, &train.classes, self.names.len(), self.section.probe_c)?;
                    (probe.scores(&images)?, json!({"c": probe.c}))
                }
                _ => (self.by_name(task, source, &images)?, json!({})),
            };
            let measured = classify::measure(&scores, &self.test.classes)?;
            found.metrics.extend(metrics(method, &measured));
            if let Some([top1, top5]) = measured.intervals {
                found.intervals.extend([(format!("{method}/top1"), top1), (format!("{method}/top5"), top5)]);
            }
            found.files.push(("confusion", self.confusion(task, method, &measured)?));
            results.insert(method.clone(), self.told(task, &measured, about)?);
            named.push((method.as_str(), measured));
        }
        if let Some(format) = task.spec.evaluate.per_query {
            found.files.push(("per_image", self.table(task, format, &named)?));
        }
        found.results.insert("classification".to_owned(), results.into());
        Ok(Some(found))
    }

    /// Scores by the classes' names.
    fn by_name(&self, task: Task<'_>, source: &mut Source, images: &Tensor) -> Result<Tensor, Failure> {
        let options = options(task);
        let classifier = zero_shot::classifier(&self.names, &self.templates, |prompts| {
            let mut rows = Vec::new();
            embed::texts(source.embedder.as_mut(), prompts, &source.tokenizer, options, &mut |part| {
                rows.push(part);
                Ok(())
            })?;
            Tensor::f_cat(&rows, 0).map_err(torch)
        })?;
        classifier.f_transpose(0, 1).and_then(|c| images.f_matmul(&c)).map_err(torch)
    }

    /// A method's entry of `results.json`.
    fn told(&self, task: Task<'_>, measured: &Classified, about: Value) -> Result<Value, Failure> {
        let mut value = serde_json::to_value(measured).map_err(std::io::Error::from)?;
        let Some(entries) = value.as_object_mut() else { return Ok(value) };
        // A thousand classes make a million numbers, which have a file of their own.
        entries.remove("confusion");
        for class in entries.get_mut("classes").and_then(Value::as_array_mut).into_iter().flatten() {
            class["name"] = class["class"].as_u64().map_or(Value::Null, |i| json!(self.names[i as usize]));
        }
        let mut confused: Vec<(u32, usize, usize)> = Vec::new();
        for (own, row) in measured.confusion.iter().enumerate() {
            confused.extend(row.iter().enumerate().filter(|(n, c)| *n != own && **c > 0).map(|(n, c)| (*c, own, n)));
        }
        confused.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        confused.truncate(CONFUSED);
        let confused = confused.iter().map(
            |&(images, own, named)| json!({"class": self.names[own], "named": self.names[named], "images": images}),
        );
        entries.insert("confused".to_owned(), confused.collect::<Vec<_>>().into());
        entries.insert("worst".to_owned(), self.worst(task, measured));
        if let Value::Object(about) = about {
            entries.extend(about);
        }
        Ok(value)
    }

    /// The images that were named wrong with the largest lead.
    fn worst(&self, task: Task<'_>, measured: &Classified) -> Value {
        let mut wrong: Vec<(usize, &classify::Verdict)> =
            measured.verdicts.iter().enumerate().filter(|(_, v)| v.named != v.label).collect();
        let lead = |v: &classify::Verdict| v.score - v.own_score;
        wrong.sort_by(|a, b| lead(b.1).total_cmp(&lead(a.1)).then(a.0.cmp(&b.0)));
        wrong.truncate(usize::try_from(task.spec.evaluate.worst_queries).unwrap_or(0));
        let entry = |(image, v): &(usize, &classify::Verdict)| {
            json!({
                "image": self.test.images[*image], "class": self.names[v.label], "named": self.names[v.named],
                "rank": v.rank, "score": v.score, "own_score": v.own_score,
            })
        };
        wrong.iter().map(entry).collect::<Vec<_>>().into()
    }

    /// `confusion_<method>.csv`: a row a class, a column for what its images were named.
    fn confusion(&self, task: Task<'_>, method: &str, measured: &Classified) -> Result<PathBuf, Failure> {
        let mut columns = vec![("class", Kind::Text)];
        columns.extend(self.names.iter().map(|name| (name.as_str(), Kind::Whole)));
        let named: Vec<Vec<i64>> = (0..self.names.len())
            .map(|named| measured.confusion.iter().map(|row| row[named].into()).collect())
            .collect();
        write(task, &format!("confusion_{method}"), TableFormat::Csv, &columns, |put| {
            let mut values = vec![Values::Text(&self.names)];
            values.extend(named.iter().map(|column| Values::Whole(column)));
            put(&values)
        })
    }

    /// What every method said of every image.
    fn table(&self, task: Task<'_>, format: TableFormat, named: &[(&str, Classified)]) -> Result<PathBuf, Failure> {
        let names: Vec<[String; 3]> =
            named.iter().map(|(m, _)| ["named", "rank", "score"].map(|what| format!("{m}_{what}"))).collect();
        let mut columns = vec![("image", Kind::Text), ("class", Kind::Text)];
        for [named, rank, score] in &names {
            columns.extend([
                (named.as_str(), Kind::Text),
                (rank.as_str(), Kind::Number),
                (score.as_str(), Kind::Number),
            ]);
        }
        write(task, "per_image", format, &columns, |put| {
            let images: Vec<String> = self.test.images.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            let of = |class: &usize| self.names[*class].clone();
            let own: Vec<String> = self.test.classes.iter().map(of).collect();
            type Said = (Vec<String>, Vec<f64>, Vec<f64>);
            let said: Vec<Said> = named
                .iter()
                .map(|(_, measured)| {
                    let verdicts = &measured.verdicts;
                    (
                        verdicts.iter().map(|v| of(&v.named)).collect(),
                        verdicts.iter().map(|v| v.rank).collect(),
                        verdicts.iter().map(|v| v.own_score.into()).collect(),
                    )
                })
                .collect();
            let mut values = vec![Values::Text(&images), Values::Text(&own)];
            for (named, ranks, scores) in &said {
                values.extend([Values::Text(named), Values::Number(ranks), Values::Number(scores)]);
            }
            put(&values)
        })
    }
}

/// The names of the classes, and the place of each label among them.
fn named(
    section: &ClassificationSection,
    labels: &BTreeSet<&str>,
) -> Result<(Vec<String>, HashMap<String, usize>), Failure> {
    let mut sorted: Vec<&str> = labels.iter().copied().collect();
    let numbers = sorted.iter().all(|label| label.parse::<u64>().is_ok());
    if numbers {
        sorted.sort_by_key(|label| label.parse::<u64>().unwrap_or(0));
    }
    let lines = match &section.class_names_file {
        Some(file) => zero_shot::lines(file).map_err(|why| Failure::new(FailureKind::SpecInvalid, why))?,
        None => section.class_names.clone(),
    };
    let spoken = |label: &str| label.replace('_', " ");
    if lines.is_empty() {
        let names = sorted.iter().map(|label| spoken(label)).collect();
        return Ok((names, sorted.into_iter().enumerate().map(|(i, label)| (label.to_owned(), i)).collect()));
    }
    // `label<TAB>name`, or only names: then a label is a name, or the number of one, or the n-th of the sorted labels.
    let parted: Vec<Option<(&str, &str)>> = lines.iter().map(|line| line.split_once('\t')).collect();
    let names: Vec<String> =
        lines.iter().zip(&parted).map(|(line, parts)| parts.map_or(line.as_str(), |p| p.1).trim().to_owned()).collect();
    let place = |label: &str| -> Option<(String, usize)> {
        let by_key = parted.iter().position(|p| p.is_some_and(|(key, _)| key.trim() == label));
        let by_name = || names.iter().position(|name| name == label || *name == spoken(label));
        let by_number = || label.parse::<usize>().ok().filter(|n| *n < names.len());
        Some((label.to_owned(), by_key.or_else(by_name).or_else(by_number)?))
    };
    let mut places: HashMap<String, usize> = sorted.iter().copied().filter_map(place).collect();
    if places.is_empty() && sorted.len() == names.len() && parted.iter().all(Option::is_none) {
        places = sorted.iter().copied().enumerate().map(|(at, label)| (label.to_owned(), at)).collect();
    }
    let unknown: Vec<&str> = sorted.iter().copied().filter(|label| !places.contains_key(*label)).take(10).collect();
    if !unknown.is_empty() {
        let why = format!(
            "evaluate.classification: {} class names, {} labels, and no name for {}; name every label, by lines of a label, a tab and its name",
            names.len(),
            sorted.len(),
            unknown.join(", ")
        );
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    Ok((names, places))
}

fn metrics(method: &str, measured: &Classified) -> Metrics {
    [("top1", measured.top1), ("top5", measured.top5), ("mean_per_class", measured.mean_per_class)]
        .into_iter()
        .map(|(name, value)| (format!("{method}/{name}"), Some(value)))
        .collect()
}

fn options(task: Task<'_>) -> embed::Options<'_> {
    let threads = usize::try_from(task.spec.evaluate.num_workers).unwrap_or(0);
    embed::Options { batch: task.batch(), threads, stop: task.stop }
}

/// Embedded images; `None` when it was stopped.
fn embedded(task: Task<'_>, source: &mut Source, images: &[PathBuf]) -> Result<Option<Tensor>, Failure> {
    let mut rows = Vec::new();
    let whole = embed::images(source.embedder.as_mut(), images, &source.transform, options(task), &mut |part| {
        rows.push(part);
        Ok(())
    })?;
    if whole { Tensor::f_cat(&rows, 0).map(Some).map_err(torch) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(names: &[&str]) -> ClassificationSection {
        ClassificationSection {
            image_dir: None,
            labels_file: None,
            train_image_dir: None,
            train_labels_file: None,
            class_names: names.iter().map(|&n| n.to_owned()).collect(),
            class_names_file: None,
            templates: "plain".into(),
            methods: Vec::new(),
            knn_k: 1,
            probe_c: None,
        }
    }

    fn places(names: &[&str], labels: &[&str]) -> Result<Vec<String>, String> {
        let (names, places) = named(&section(names), &labels.iter().copied().collect()).map_err(|f| f.message)?;
        Ok(labels.iter().map(|label| names[places[*label]].clone()).collect())
    }

    #[test]
    fn labels_are_names_numbers_keys_or_in_order() {
        assert_eq!(places(&[], &["red_fox", "cat"]).unwrap(), ["red fox", "cat"]);
        assert_eq!(places(&["dog", "red fox", "cat"], &["red_fox", "cat"]).unwrap(), ["red fox", "cat"]);
        assert_eq!(places(&["zero", "one", "two"], &["2", "0"]).unwrap(), ["two", "zero"]);
        assert_eq!(places(&["n2\tcat", "n1\tdog"], &["n1", "n2"]).unwrap(), ["dog", "cat"]);
        assert_eq!(places(&["first", "second"], &["b", "a"]).unwrap(), ["second", "first"]);
        assert!(places(&["dog", "fox"], &["dog", "zebra"]).unwrap_err().contains("no name for zebra"));
        let why = places(&["n2\tcat"], &["n1", "n2"]).unwrap_err();
        assert!(why.contains("no name for n1"), "{why}");
        assert!(places(&["zero"], &["0", "7"]).unwrap_err().contains("no name for 7"));
    }
}
