//! The `inference` action: embeddings of image data sets and of a prompts file, each in a file of its own. A run that was
//! killed goes on where it was.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use tch::Tensor;

use super::{artifact, opened};
use crate::base::files;
use crate::data::blob::{Blob, fingerprint};
use crate::data::problem::{self, DataProblem};
use crate::eval::torch;
use crate::infer::embed::{self, Options};
use crate::infer::hdf5::Kind;
use crate::infer::output;
use crate::infer::rows::{self, Rows};
use crate::infer::source::Source;
use crate::journal::event::{JobEvent, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::spec::Spec;

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from embedding.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.inference;
    if section.datasets.is_empty() && section.text_file.is_none() {
        let why = "there is nothing to embed: set inference.datasets, inference.text_file or both";
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    // What can be wrong with the input is found before the model is loaded.
    let prompts = section.text_file.as_deref().map(embed::prompts).transpose()?;
    let archives = job.cache.join("archives");
    let sets = section.datasets.iter().map(|one| embed::image_files(one, &archives)).collect::<Result<Vec<_>, _>>()?;
    let named = (section.checkpoint.as_deref(), section.trt_engine.as_deref());
    let source = opened::source("inference", named, job, spec, events)?;
    let options = Options {
        batch: usize::try_from(section.batch_size).unwrap_or(16),
        threads: usize::try_from(section.num_workers).unwrap_or(0),
        stop,
    };
    let model = source.fingerprint()?;
    let mut work = Work { dir, spec, source, model, options, events, made: Vec::new() };
    let names = opened::names(&section.datasets);
    for (files, name) in sets.iter().zip(&names) {
        let name = Some(name.as_str()).filter(|_| sets.len() > 1);
        if !work.images(files, name)? {
            return stopped();
        }
    }
    if let Some(prompts) = prompts
        && !work.texts(&prompts)?
    {
        return stopped();
    }
    work.made.iter().try_for_each(|file| rows::forget(file))?;
    Ok(Outcome::Completed)
}

fn stopped() -> Result<Outcome, Failure> {
    let why = "asked to stop; the same command goes on where it was".to_owned();
    Ok(Outcome::Stopped { why })
}

struct Work<'a> {
    dir: &'a JobDir,
    spec: &'a Spec,
    source: Source,
    /// Names the model in its state.
    model: String,
    options: Options<'a>,
    events: &'a mut Writer<JobEvent>,
    /// The files so far.
    made: Vec<PathBuf>,
}

impl Work<'_> {
    /// Embeds the images of a data set; `false` when it was stopped.
    fn images(&mut self, files: &[PathBuf], name: Option<&str>) -> Result<bool, Failure> {
        let blobs: Vec<Result<Blob, DataProblem>> =
            files.iter().map(|file| Blob::file(file).map_err(|why| DataProblem::new(file, why))).collect();
        let (blobs, problems): (Vec<_>, Vec<_>) = blobs.into_iter().partition(Result::is_ok);
        if !problems.is_empty() {
            let problems: Vec<DataProblem> = problems.into_iter().filter_map(Result::err).collect();
            return Err(problem::failure("inference", &problems));
        }
        let blobs: Vec<Blob> = blobs.into_iter().filter_map(Result::ok).collect();
        let key = fingerprint(&self.model, blobs.iter());
        let names: Vec<String> = files.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        self.file(Kind::Images, name, &key, &names, |source, options, from, take| {
            let (embedder, transform) = (source.embedder.as_mut(), &source.transform);
            embed::images(embedder, &files[from..], transform, options, take)
        })
    }

    /// Embeds texts; `false` when it was stopped.
    fn texts(&mut self, texts: &[String]) -> Result<bool, Failure> {
        let mut hash = Sha256::new();
        hash.update(self.model.as_bytes());
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let key = files::hex(&hash.finalize());
        self.file(Kind::Texts, None, &key, texts, |source, options, from, take| {
            embed::texts(source.embedder.as_mut(), &texts[from..], &source.tokenizer, options, take)
        })
    }

    /// Makes one file: `embed` hands the rows on from the one that is missing.
    fn file(
        &mut self,
        kind: Kind,
        name: Option<&str>,
        key: &str,
        names: &[String],
        embed: impl FnOnce(
            &mut Source,
            Options<'_>,
            usize,
            &mut dyn FnMut(Tensor) -> Result<(), Failure>,
        ) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let format = self.spec.inference.output_format;
        let path = self.dir.path().join(output::file_name(kind, name, format));
        self.made.push(path.clone());
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if rows::is_done(&path, key) {
            artifact::note(self.events, format!("{shown}: an earlier run made it"))?;
            return self.announce(kind, &output::files(&path, format)).map(|()| true);
        }
        let mut rows = Rows::open(&path, key)?;
        let from = rows.count().min(names.len());
        if from > 0 {
            artifact::note(
                self.events,
                format!("{shown}: {from} of {} rows are there from an earlier run", names.len()),
            )?;
        }
        let whole = embed(&mut self.source, self.options, from, &mut |part| append(&mut rows, &part))?;
        rows.save()?;
        if !whole {
            return Ok(false);
        }
        output::write(&path, kind, format, names, &rows.bytes()?, rows.width())?;
        rows.done(&path)?;
        self.announce(kind, &output::files(&path, format)).map(|()| true)
    }

    fn announce(&mut self, kind: Kind, written: &[PathBuf]) -> Result<(), Failure> {
        let name = format!("{}_embeddings", kind.embedding_type());
        written.iter().try_for_each(|file| artifact::announce(self.events, &name, file))
    }
}

fn append(rows: &mut Rows, part: &Tensor) -> Result<(), Failure> {
    let &[_, width] = part.size().as_slice() else {
        return Err(Failure::new(FailureKind::Unknown, "embeddings are not a matrix"));
    };
    let values: Vec<f32> = part.f_view(-1_i64).and_then(|t| Vec::try_from(&t)).map_err(torch)?;
    rows.append(&values, usize::try_from(width).unwrap_or(0))
}
