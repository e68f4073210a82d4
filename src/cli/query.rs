//! `cliptune query`: the best of an image folder, or of a file of embeddings, for a text or an image.

use std::path::PathBuf;

use super::format::Shape;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to search for.
    #[arg(value_name = "TEXT", required_unless_present = "image", conflicts_with = "image")]
    pub text: Option<String>,
    /// An image to search for, instead of a text.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Where to search: a folder or an archive of images, or a file of embeddings (.h5, .safetensors).
    #[arg(long = "in", value_name = "FOLDER_OR_FILE")]
    pub place: PathBuf,
    /// A study or a job folder whose model embeds.
    #[arg(long, value_name = "STUDY_OR_JOB")]
    pub parent: Option<PathBuf>,
    /// The model that embeds: a checkpoint, an .onnx file or an engine.
    #[arg(long, value_name = "PATH")]
    pub checkpoint: Option<PathBuf>,
    /// A spec that says more about the model.
    #[arg(short = 'e', long = "spec", value_name = "SPEC.yaml")]
    pub spec: Option<PathBuf>,
    /// How many to show.
    #[arg(short = 'k', long = "top", default_value_t = 10)]
    pub top: usize,
    /// Images at a time.
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Threads; 0 uses all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// Every problem of the spec, the model or the images.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    if args.parent.is_none() && args.checkpoint.is_none() && args.spec.is_none() {
        let problem =
            Problem::new("no model is named").help("name a study with --parent, or a model with --checkpoint");
        return Err(Problems::one(ExitCode::Usage, problem));
    }
    if !args.place.exists() && !args.place.to_string_lossy().contains("://") {
        let problem = Problem::new(format!("{} does not exist", args.place.display()));
        return Err(Problems::one(ExitCode::NotFound, problem));
    }
    #[cfg(feature = "torch")]
    return with_torch::run(args);
    #[cfg(not(feature = "torch"))]
    Err(Problems::one(
        ExitCode::Unavailable,
        Problem::new("this binary was built without the compute plane, which embeds images")
            .help("build with default features"),
    ))
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::AtomicBool;

    use serde_json::{Value, json};

    use super::Args;
    use crate::base::diagnostic::Problems;
    use crate::base::exit::ExitCode;
    use crate::base::units;
    use crate::cli::{output, parent};
    use crate::infer::embed::{self, Options};
    use crate::infer::search::{self, Hit, Hits, Query};
    use crate::infer::source::{Artifact, Source};
    use crate::journal::failure::{Failure, FailureKind};
    use crate::journal::job::Action;
    use crate::report::table::Grid;
    use crate::spec::Spec;
    use crate::train::device;

    pub(super) fn run(args: &Args) -> Result<ExitCode, Problems> {
        let text = |path: &Path| Value::from(path.to_string_lossy().into_owned());
        let mut overrides = vec![format!("inference.datasets={}", json!([{"image_dir": text(&args.place)}]))];
        if let Some(path) = &args.checkpoint {
            let (key, other) = match Artifact::at(path) {
                Artifact::Engine(_) => ("trt_engine", "checkpoint"),
                Artifact::Checkpoint(_) => ("checkpoint", "trt_engine"),
            };
            overrides.extend([format!("inference.{key}={}", text(path)), format!("inference.{other}=null")]);
        }
        let resolved =
            parent::load_with(Action::Inference, args.spec.as_deref(), args.parent.as_deref(), None, &overrides)?;
        resolved.share_key();
        let scratch = Scratch(std::env::temp_dir().join(format!("cliptune-query-{}", std::process::id())));
        let mut found = search(args, &resolved.spec, &scratch.0).map_err(|f| Problems::from(&f))?;
        found.best.iter_mut().for_each(|hit| hit.name = scratch.shown(&hit.name, &args.place));
        let grid = |exact: bool| {
            let row = |(rank, hit): (usize, &Hit)| {
                let score = if exact { hit.score.to_string() } else { format!("{:.4}", hit.score) };
                vec![rank.to_string(), score, hit.name.clone()]
            };
            let rows = (1..).zip(&found.best).map(row).collect();
            Grid::new(&["rank", "score", "found"], rows, &["rank", "score"])
        };
        let json = || {
            json!({
                "version": 1,
                "query": {"text": args.text, "image": args.image},
                "in": args.place,
                "searched": found.searched,
                "hits": found.best,
            })
        };
        args.shape.print(|| grid(false).text(), grid, json);
        output::note(&format!("the best of {}", units::plural(found.searched, "row")));
        Ok(ExitCode::Ok)
    }

    fn search(args: &Args, spec: &Spec, scratch: &Path) -> Result<Hits, Failure> {
        let section = &spec.inference;
        let artifact = section
            .trt_engine
            .as_deref()
            .map(Artifact::Engine)
            .or(section.checkpoint.as_deref().map(Artifact::at))
            .ok_or_else(|| {
                Failure::new(FailureKind::SpecInvalid, "inference.checkpoint is not set: nothing can embed")
            })?;
        let is_file = ["h5", "hdf5", "safetensors", "npy", "parquet"]
            .iter()
            .any(|end| args.place.extension().is_some_and(|e| e == *end));
        // What can be wrong with the place is found before the model is loaded.
        let files = match section.datasets.first() {
            Some(one) if !is_file => embed::image_files(one, scratch)?,
            _ => Vec::new(),
        };
        if args.threads > 0 {
            tch::set_num_threads(i32::try_from(args.threads).unwrap_or(1));
        }
        let gpus: Vec<u32> = if crate::gpu::inventory().gpus().is_empty() { Vec::new() } else { vec![0] };
        let mut source = Source::open(artifact, &spec.model, device::of(&gpus)?, args.threads)?;
        source.notes.iter().for_each(|note| output::note(note));
        let options = Options { batch: args.batch, threads: args.threads, stop: &AtomicBool::new(false) };
        let query = match (&args.text, &args.image) {
            (_, Some(image)) => Query::Image(image),
            (text, None) => Query::Text(text.as_deref().unwrap_or_default()),
        };
        let query = search::embedded(&mut source, query, options)?;
        if is_file {
            search::in_embeddings(&query, &args.place, args.top)
        } else {
            search::in_files(&mut source, &query, &files, args.top, options)
        }
    }

    /// A folder for unpacked archives that goes with the command.
    struct Scratch(PathBuf);

    impl Scratch {
        /// A file that was unpacked, below the name of its archive.
        fn shown(&self, name: &str, archive: &Path) -> String {
            let inside = Path::new(name).strip_prefix(&self.0).ok();
            let inside = inside.map(|path| path.components().skip(1).collect::<PathBuf>());
            inside.map_or_else(|| name.to_owned(), |path| archive.join(path).to_string_lossy().into_owned())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
