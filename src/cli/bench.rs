//! `cliptune bench`.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `train` (steps on synthetic batches), `data` (image files to batches) or `eval` (metrics of random pairs).
    #[arg(value_name = "train|data|eval")]
    pub subject: String,
    /// An open_clip model config (train).
    #[arg(long, value_name = "FILE.json", required_if_eq("subject", "train"))]
    pub config: Option<std::path::PathBuf>,
    /// Folder of images (data).
    #[arg(long, value_name = "DIR", required_if_eq("subject", "data"))]
    pub image_dir: Option<std::path::PathBuf>,
    /// Names of the images to take (data).
    #[arg(long, value_name = "FILE")]
    pub list: Option<std::path::PathBuf>,
    /// Side that images are brought to (data).
    #[arg(long, default_value_t = 224)]
    pub size: u32,
    /// Augment as in training (data).
    #[arg(long)]
    pub augment: bool,
    /// Use the study's cache, as all epochs and trials do; without, every epoch decodes every file (data).
    #[arg(long)]
    pub cached: bool,
    /// Epochs that are measured; the best one counts (data).
    #[arg(long, default_value_t = 2)]
    pub epochs: u32,
    /// Pairs (eval).
    #[arg(long, default_value_t = 100_000)]
    pub pairs: i64,
    /// Values of an embedding (eval).
    #[arg(long, default_value_t = 1152)]
    pub width: i64,
    /// Length of what a text has not in common with its image, whose length is 1 (eval).
    #[arg(long, default_value_t = 8.0)]
    pub noise: f64,
    /// Images of a step.
    #[arg(long, default_value_t = 64)]
    pub batch: i64,
    /// Steps that are measured.
    #[arg(long, default_value_t = 20)]
    pub steps: usize,
    /// Steps before that.
    #[arg(long, default_value_t = 3)]
    pub warmup: usize,
    /// `siglip` or `clip`.
    #[arg(long, default_value = "siglip")]
    pub loss: String,
    /// `fp32` or `bf16`.
    #[arg(long, default_value = "fp32")]
    pub precision: String,
    /// Threads of libtorch, or of the decoder.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// `cpu` or `cuda`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    match (args.subject.as_str(), &args.config, &args.image_dir) {
        ("train", Some(config), _) => measure(args, config),
        ("data", _, Some(images)) => measure_data(args, images),
        ("eval", ..) => measure_metrics(args),
        _ => {
            let problem = Problem::new(format!("there is no benchmark {:?}", args.subject));
            Err(Problems::one(ExitCode::Usage, problem.help("`cliptune bench train`, `data` or `eval`")))
        }
    }
}

#[cfg(not(feature = "torch"))]
fn measure(_args: &Args, _path: &std::path::Path) -> Result<ExitCode, Problems> {
    let problem = Problem::new("this binary was built without libtorch").help("build it with the feature `torch`");
    Err(Problems::one(ExitCode::Unavailable, problem))
}

#[cfg(not(feature = "torch"))]
use measure as measure_data;

#[cfg(not(feature = "torch"))]
fn measure_metrics(args: &Args) -> Result<ExitCode, Problems> {
    measure(args, std::path::Path::new(""))
}

/// Measures retrieval on pairs whose embeddings have the given width: texts are their images with noise.
#[cfg(feature = "torch")]
fn measure_metrics(args: &Args) -> Result<ExitCode, Problems> {
    use crate::eval::embedder::unit;
    use crate::eval::matrix::Matrix;
    use crate::eval::retrieval::{self, Truth};
    use crate::journal::failure::{Failure, FailureKind};
    use tch::{Device, Kind, Tensor};

    if args.pairs < 1 || args.width < 1 {
        return Err(Problems::one(ExitCode::Usage, Problem::new("--pairs and --width must be at least 1")));
    }
    tch::set_num_threads(i32::try_from(args.threads).unwrap_or(1));
    let some = |rows: i64| -> Result<(Tensor, Tensor), tch::TchError> {
        let random = || Tensor::f_randn([rows, args.width], (Kind::Float, Device::Cpu));
        let images = unit(&random()?)?;
        let texts = unit(&unit(&random()?)?.f_mul_scalar(args.noise)?.f_add(&images)?)?;
        Ok((images, texts))
    };
    // As a validation has them: batch by batch.
    let make = || -> Result<(Tensor, Tensor), Failure> {
        tch::manual_seed(0);
        let folder = std::env::temp_dir();
        let matrix = || Matrix::new([args.pairs, args.width], Device::Cpu, Some(&folder));
        let (mut images, mut texts) = (matrix()?, matrix()?);
        for start in (0..args.pairs).step_by(1024) {
            let rows = some(1024.min(args.pairs - start));
            let rows = rows.map_err(|e| Failure::new(FailureKind::Unknown, e.to_string()))?;
            images.add(&rows.0)?;
            texts.add(&rows.1)?;
        }
        Ok((images.rows()?, texts.rows()?))
    };
    let failed = |f: Failure| Problems::one(f.kind.exit(), Problem::new(f.message).help(f.kind.help()));
    let (images, texts) = make().map_err(failed)?;
    let start = std::time::Instant::now();
    let metrics = retrieval::evaluate(&images, &texts, &Truth::Paired).map_err(failed)?.metrics("val");
    let line = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pairs": args.pairs,
        "width": args.width,
        "noise": args.noise,
        "threads": args.threads,
        "seconds": start.elapsed().as_secs_f64(),
        "embeddings_mb": 8 * args.pairs * args.width / 1_000_000,
        "peak_rss_mb": peak_rss_mb(),
        "t2i_mAP": metrics.get("val/t2i_mAP"),
        "i2t_mAP": metrics.get("val/i2t_mAP"),
        "t2i_R@1": metrics.get("val/t2i_R@1"),
    });
    super::output::data(&line.to_string());
    Ok(ExitCode::Ok)
}

#[cfg(feature = "torch")]
fn measure_data(args: &Args, images: &std::path::Path) -> Result<ExitCode, Problems> {
    use crate::data::bench::Bench;
    use crate::journal::failure::Failure;

    let failed = |f: Failure| Problems::one(f.kind.exit(), Problem::new(f.message).help(f.kind.help()));
    let cache = std::env::temp_dir().join(format!("cliptune-bench-{}", std::process::id()));
    let bench = Bench {
        image_dir: images.to_owned(),
        list: args.list.clone(),
        size: args.size.max(1),
        batch: usize::try_from(args.batch).unwrap_or(1),
        threads: args.threads.max(1),
        train: args.augment,
        cached: args.cached,
        epochs: args.epochs.max(1),
        cache: cache.clone(),
    };
    // As a training does.
    crate::train::keep_freed_memory();
    let measured = bench.run();
    let _ = std::fs::remove_dir_all(&cache);
    let measured = measured.map_err(failed)?;
    let line = serde_json::json!({
        "peer": "cliptune",
        "version": env!("CARGO_PKG_VERSION"),
        "images_per_s": (measured.images_per_s * 10.0).round() / 10.0,
        "images": measured.images,
        "size": args.size,
        "workers": args.threads,
        "train": args.augment,
        "cached": args.cached,
        "peak_rss_mb": peak_rss_mb(),
    });
    super::output::data(&line.to_string());
    Ok(ExitCode::Ok)
}

#[cfg(feature = "torch")]
fn measure(args: &Args, config: &std::path::Path) -> Result<ExitCode, Problems> {
    use crate::journal::failure::Failure;
    use crate::model::ClipConfig;
    use crate::train::bench::Bench;
    use crate::train::loss::Loss;
    use tch::{Device, Kind};

    let mut list = Vec::new();
    let mut choose = |key: &str, value: &str, among: &[&str]| {
        let found = among.iter().position(|a| *a == value);
        if found.is_none() {
            list.push(Problem::new(format!("--{key} is {value:?}, expected one of: {}", among.join(", "))));
        }
        found == Some(0)
    };
    let loss = if choose("loss", &args.loss, &["clip", "siglip"]) { Loss::Clip } else { Loss::Siglip };
    let kind = if choose("precision", &args.precision, &["fp32", "bf16"]) { Kind::Float } else { Kind::BFloat16 };
    let device = if choose("device", &args.device, &["cpu", "cuda"]) { Device::Cpu } else { Device::Cuda(0) };
    if args.batch < 1 || args.steps < 1 {
        list.push(Problem::new("--batch and --steps must be at least 1"));
    }
    if !list.is_empty() {
        return Err(Problems::new(ExitCode::Usage, list));
    }
    let failed = |f: Failure| Problems::from(&f);
    if device != Device::Cpu {
        crate::train::device::load_cuda().map_err(failed)?;
    }
    let config = ClipConfig::read(config).map_err(failed)?;
    let (batch, steps, warmup, threads) = (args.batch, args.steps, args.warmup, args.threads);
    let bench = Bench { config, batch, steps, warmup, loss, kind, threads, device };
    let measured = bench.run().map_err(failed)?;
    let line = serde_json::json!({
        "peer": "cliptune",
        "version": env!("CARGO_PKG_VERSION"),
        "batch": args.batch,
        "precision": args.precision,
        "loss": args.loss,
        "params": measured.params,
        "step_s_median": measured.step_s_median,
        "images_per_s": args.batch as f64 / measured.step_s_median,
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": measured.peak_gpu_bytes.map(|bytes| bytes / 1_000_000),
        "tflops_per_s": 1e-12 * measured.flops_per_pair * args.batch as f64 / measured.step_s_median,
        "last_loss": measured.last_loss,
    });
    super::output::data(&line.to_string());
    Ok(ExitCode::Ok)
}

#[cfg(feature = "torch")]
fn peak_rss_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
