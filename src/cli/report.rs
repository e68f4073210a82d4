//! `cliptune report`: one file about a study, for people who were not there.

use std::path::{Path, PathBuf};

use super::{output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files;
use crate::report::content::Content;
use crate::report::draw::png;
use crate::report::{markdown, page, plot};
use crate::state::table;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "It only reads the study: it works while the study runs, after it ended, and without libtorch.")]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: PathBuf,
    /// Where to write: a file, `-` for stdout, with png a folder. Without it html and png go beside you, the rest to stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What to write; without it what the name of FILE says.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A page with plots.
    Html,
    /// Tables as Markdown.
    Md,
    /// The leaderboard as comma-separated values.
    Csv,
    /// Plots as images.
    Png,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or the report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let format = args.format.or_else(|| of_name(args.output.as_deref())).unwrap_or(Format::Html);
    let (dir, state) = study::open(&args.study)?;
    let content = Content::gather(&dir, &state, study::moment(&dir, &state), &thumbnail);
    let text = match format {
        Format::Html => page::html(&content),
        Format::Md => markdown::report(&content),
        Format::Csv => table::csv(&state),
        Format::Png => return plots(&content, &args.output.clone().unwrap_or_else(|| beside(&args.study, "plots"))),
    };
    let target = args.output.clone().or_else(|| (format == Format::Html).then(|| beside(&args.study, "html")));
    match target.filter(|path| path != Path::new("-")) {
        None => output::data(text.trim_end()),
        Some(path) => {
            files::atomic_write(&path, text.as_bytes()).map_err(|e| failed(&e))?;
            output::data(&path.display().to_string());
        }
    }
    Ok(ExitCode::Ok)
}

fn plots(content: &Content<'_>, folder: &Path) -> Result<ExitCode, Problems> {
    std::fs::create_dir_all(folder).map_err(files::with_path(folder)).map_err(|e| failed(&e))?;
    for (name, drawing) in plot::all(content) {
        let path = folder.join(format!("{name}.png"));
        let image = png::png(&drawing).map_err(|e| failed(&e))?;
        files::atomic_write(&path, &image).map_err(|e| failed(&e))?;
        output::data(&path.display().to_string());
    }
    Ok(ExitCode::Ok)
}

fn of_name(path: Option<&Path>) -> Option<Format> {
    match path?.extension()?.to_str()? {
        "html" | "htm" => Some(Format::Html),
        "md" => Some(Format::Md),
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

/// `NAME.html` in the current folder: studies themselves are only read.
fn beside(study: &Path, extension: &str) -> PathBuf {
    let full = std::path::absolute(study).unwrap_or_else(|_| study.to_owned());
    PathBuf::from(format!("{}.{extension}", full.file_name().unwrap_or("study".as_ref()).to_string_lossy()))
}

fn failed(error: &std::io::Error) -> Problems {
    Problems::one(ExitCode::Unexpected, Problem::new(error.to_string()).help("name another place with -o"))
}

/// A small picture of an image file; `None` for what is no image.
#[cfg(feature = "torch")]
fn thumbnail(path: &Path) -> Option<Vec<u8>> {
    const SIDE: u32 = 144;
    const QUALITY: u8 = 82;
    let whole = match path.is_file() {
        true => crate::pixels::decode::decode(path).ok()?,
        false => crate::pixels::decode::decode_bytes(&member(path)?).ok()?,
    };
    let small = crate::pixels::ImageTransform::clip(SIDE).resize(&whole);
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&small.pixels, small.width, small.height, image::ExtendedColorType::Rgb8)
        .ok()?;
    Some(bytes)
}

/// A file within a tar, named as if the tar were a folder: images of WebDataset shards are.
#[cfg(feature = "torch")]
fn member(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    const MOST: u64 = 64 << 20;
    let shard = path.ancestors().skip(1).find(|p| p.is_file())?;
    let name = path.strip_prefix(shard).ok()?;
    let file = std::io::BufReader::new(std::fs::File::open(shard).ok()?);
    let mut archive = tar::Archive::new(file);
    let mut entries = archive.entries().ok()?.filter_map(Result::ok);
    let entry = entries.find(|e| e.path().is_ok_and(|p| p == name))?;
    let mut bytes = Vec::new();
    entry.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Without the compute plane nothing here decodes images: files that are small enough are shown as they are.
#[cfg(not(feature = "torch"))]
fn thumbnail(_path: &Path) -> Option<Vec<u8>> {
    None
}
