//! Classes from their names alone: every name in every template, embedded; the mean of a class's embeddings is its
//! classifier (Radford et al. 2021, section 3.1.4).

use std::path::Path;

use tch::Tensor;

use super::prompts_table::SETS;
use super::torch;
use crate::journal::failure::{Failure, FailureKind};

/// Largest file of templates or class names that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The templates that `name` means: a bundled set, or else a file with one a line.
///
/// # Errors
/// `SpecInvalid` when it is neither, or a template has no place for the name.
pub fn templates(name: &str) -> Result<Vec<String>, Failure> {
    if let Some((_, set)) = SETS.iter().find(|(set, _)| *set == name) {
        return Ok(set.iter().map(|&t| t.to_owned()).collect());
    }
    let invalid =
        |why: String| Failure::new(FailureKind::SpecInvalid, format!("evaluate.classification.templates: {why}"));
    let sets: Vec<&str> = SETS.iter().map(|(set, _)| *set).collect();
    if !Path::new(name).is_file() {
        return Err(invalid(format!("{name} is neither a file nor one of the bundled sets: {}", sets.join(", "))));
    }
    let lines = lines(Path::new(name)).map_err(&invalid)?;
    let wrong: Vec<&str> = lines.iter().filter(|l| !l.contains("{}")).map(String::as_str).take(5).collect();
    if !wrong.is_empty() {
        return Err(invalid(format!("{name}: the class's name goes where {{}} stands, which is missing in {wrong:?}")));
    }
    if lines.is_empty() {
        return Err(invalid(format!("{name} holds no template; write one a line, such as: a photo of a {{}}")));
    }
    Ok(lines)
}

/// The lines of a text file that are not empty, without the white space around them.
///
/// # Errors
/// In words, when it cannot be read, is not UTF-8 or is far too large.
pub fn lines(file: &Path) -> Result<Vec<String>, String> {
    let cannot = |e: std::io::Error| format!("{}: cannot be read: {e}", file.display());
    if std::fs::metadata(file).map_err(cannot)?.len() > MAX_BYTES {
        return Err(format!("{}: is larger than {MAX_BYTES} bytes", file.display()));
    }
    let bytes = std::fs::read(file).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8 text", file.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

/// The classifier `[C, D]` of the classes, L2-normalised rows. `embed` gives L2-normalised rows for texts.
///
/// # Errors
/// Those of `embed`, and of libtorch.
pub fn classifier(
    classes: &[String],
    templates: &[String],
    mut embed: impl FnMut(&[String]) -> Result<Tensor, Failure>,
) -> Result<Tensor, Failure> {
    let rows = classes.iter().map(|class| {
        let prompts: Vec<String> = templates.iter().map(|t| t.replace("{}", class)).collect();
        let embedded = embed(&prompts)?;
        let mean = || {
            let mean = embedded.f_mean_dim([0_i64].as_slice(), false, None)?;
            mean.f_div(&mean.f_norm()?.f_clamp_min(1e-12)?)
        };
        mean().map_err(torch)
    });
    let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
    Tensor::f_stack(&rows, 0).map_err(torch)
}
