//! THE table: every field of every action, once. Validation, templates, the JSON schema and the documentation read it.
//!
//! TAO's fields keep their names, defaults and ranges; `automl.*`, `automl_policy`, `*.ground_truth`, `train.threads`,
//! `train.optim.logit_lr` and `train.optim.warmup_ratio` are cliptune's own.

use super::schema::{Field, Item, Kind};

/// Every field, in the order of a spec file. Fields of list entries have `[]` in their path.
pub const FIELDS: &[Field] = &[
    Field::new("model_name", Kind::Str, "\"clip\"")
        .help("Network tag written into the spec; constant for this network."),
    Field::new("encryption_key", Kind::Str, "null")
        .help("Passphrase for encrypted checkpoints / .etlt output; unused otherwise."),
    Field::new("results_dir", Kind::Str, "\"\"")
        .help("Root output folder; each action writes into a subfolder named after itself."),
    Field::new("automl_policy", Kind::Choice(&["auto", "off"]), "\"auto\"")
        .help("Whether train runs a study (auto) or trains once (off); --automl on the command line wins."),
    Field::new("model", Kind::Section, "null").automl(false)
        .help("Backbone selection and calibration."),
    Field::new("model.type", Kind::Str, "\"siglip2-so400m-patch16-256\"")
        .help("Backbone id; or the path of an open_clip model config; the documentation lists the names."),
    Field::new("model.adaptor_name", Kind::Str, "null")
        .help("Text adaptor for RADIO backbones; siglip or clip, required for c-radio types."),
    Field::new("model.freeze_vision_encoder", Kind::Bool, "false").automl(true)
        .help("Do not update the image tower (ignored when peft is on)."),
    Field::new("model.freeze_text_encoder", Kind::Bool, "false").automl(true)
        .help("Do not update the text tower (ignored when peft is on)."),
    Field::new("model.image_size", Kind::Int, "256")
        .help("Side of training images in pixels; must be that of the model."),
    Field::new("model.init_logit_scale", Kind::Float, "null")
        .help("Override of the log of the similarity multiplier at start; null keeps the source value."),
    Field::new("model.init_logit_bias", Kind::Float, "null")
        .help("Override of the sigmoid-loss offset at start; null keeps the source value."),
    Field::new("model.canonicalize_text", Kind::Bool, "false")
        .help("Lower-case captions and strip punctuation before tokenising."),
    Field::new("dataset", Kind::Section, "null").automl(false)
        .help("Data block."),
    Field::new("dataset.train", Kind::Section, "null").automl(false)
        .help("Training data."),
    Field::new("dataset.train.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("List of training sources."),
    Field::new("dataset.train.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder holding the images."),
    Field::new("dataset.train.datasets[].image_list_file", Kind::Str, "null")
        .help("Optional list of image names to use; null means all images."),
    Field::new("dataset.train.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder of caption files sharing the image stem; null means next to the images."),
    Field::new("dataset.train.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Caption file extension."),
    Field::new("dataset.train.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with caption kinds/attributes for balanced sampling."),
    Field::new("dataset.train.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with attribute metadata aligned to the split."),
    Field::new("dataset.train.batch_size", Kind::Int, "16").min(1.0)
        .help("Per-GPU training batch."),
    Field::new("dataset.train.num_workers", Kind::Int, "8").min(0.0)
        .help("Loader processes."),
    Field::new("dataset.train.type", Kind::Choice(&["wds", "custom"]), "\"custom\"")
        .help("Loader kind: folders or WebDataset tar shards."),
    Field::new("dataset.train.balance_query_types", Kind::Bool, "false")
        .help("Draw batches evenly over caption kinds listed in the pair file."),
    Field::new("dataset.train.unique_caption_per_batch", Kind::Bool, "true")
        .help("With balanced sampling, never repeat a caption inside a batch."),
    Field::new("dataset.train.include_attribute_metadata", Kind::Bool, "false")
        .help("Load attribute tensors; needed for metadata-masked loss."),
    Field::new("dataset.train.wds", Kind::Section, "null").automl(false)
        .help("WebDataset options."),
    Field::new("dataset.train.wds.root_dir", Kind::Str, "null")
        .help("Folder (or S3 URL) searched recursively for .tar shards."),
    Field::new("dataset.train.wds.shard_list_file", Kind::Str, "null")
        .help("Text file, one shard per line; brace ranges allowed."),
    Field::new("dataset.train.wds.samples_per_shard", Kind::Int, "10000").min(1.0)
        .help("Assumed samples per shard; used for length and resume skipping."),
    Field::new("dataset.val", Kind::Section, "null").automl(false)
        .help("Validation/test pairs (also what the evaluate action reads)."),
    Field::new("dataset.val.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("List of validation sources."),
    Field::new("dataset.val.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder holding the images."),
    Field::new("dataset.val.datasets[].image_list_file", Kind::Str, "null")
        .help("Optional list of image names to use; null means all images."),
    Field::new("dataset.val.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder of caption files sharing the image stem; null means next to the images."),
    Field::new("dataset.val.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Caption file extension."),
    Field::new("dataset.val.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with caption kinds/attributes for balanced sampling."),
    Field::new("dataset.val.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with attribute metadata aligned to the split."),
    Field::new("dataset.val.batch_size", Kind::Int, "16").min(1.0)
        .help("Per-GPU validation batch."),
    Field::new("dataset.val.num_workers", Kind::Int, "8").min(0.0)
        .help("Loader processes."),
    Field::new("dataset.val.metadata_match_eval", Kind::Bool, "false")
        .help("Count attribute-compatible images as correct for a text query instead of only the paired one."),
    Field::new("dataset.val.metadata_match_mode", Kind::Choice(&["scalar_attributes", "scalar_plus_accessories"]), "\"scalar_attributes\"")
        .help("Which attributes must agree for a metadata match."),
    Field::new("dataset.val.ground_truth", Kind::Choice(&["paired", "caption_groups"]), "\"paired\"")
        .help("What counts as a hit: only the paired text or image, or every pair that shares the caption."),
    Field::new("dataset.augmentation", Kind::Section, "null").automl(false)
        .help("Train-time image augmentation (RADIO/OpenCLIP only)."),
    Field::new("dataset.augmentation.scale", Kind::List(Item::Float), "[0.4, 1.0]").automl(false)
        .help("Area range of the random resized crop."),
    Field::new("dataset.augmentation.color_jitter", Kind::List(Item::Float), "[0.8, 0.32, 0.32, 0.32, 0.08]").automl(false)
        .help("Probability, then brightness, contrast, saturation and hue strengths."),
    Field::new("dataset.augmentation.grayscale", Kind::Float, "0.2").min(0.0).max(1.0)
        .help("Chance of turning an image grey."),
    Field::new("dataset.pin_memory", Kind::Bool, "true")
        .help("Use page-locked host buffers in loaders."),
    Field::new("dataset.seed", Kind::Int, "42")
        .help("Seed of shuffling and sampling."),
    Field::new("train", Kind::Section, "null").automl(false)
        .help("Training block."),
    Field::new("train.num_gpus", Kind::Int, "1").min(1.0).popular()
        .help("GPUs per node."),
    Field::new("train.gpu_ids", Kind::List(Item::Int), "[0]").automl(false).popular()
        .help("Device indices; length should agree with num_gpus."),
    Field::new("train.num_nodes", Kind::Int, "1").min(1.0).popular()
        .help("Number of machines."),
    Field::new("train.seed", Kind::Int, "1234").min(-1.0)
        .help("Global seed; negative means unseeded."),
    Field::new("train.cudnn", Kind::Section, "null").automl(false)
        .help("cuDNN switches."),
    Field::new("train.cudnn.benchmark", Kind::Bool, "false")
        .help("Let cuDNN autotune kernels."),
    Field::new("train.cudnn.deterministic", Kind::Bool, "true")
        .help("Force deterministic kernels (also disables fast attention kernels in CLIP)."),
    Field::new("train.num_epochs", Kind::Int, "10").min(1.0).popular()
        .help("Epochs to train."),
    Field::new("train.checkpoint_interval", Kind::Int, "1").min(1.0).popular()
        .help("Save a checkpoint every N units."),
    Field::new("train.checkpoint_interval_unit", Kind::Choice(&["epoch", "step"]), "\"epoch\"")
        .help("Unit of the save period."),
    Field::new("train.validation_interval", Kind::Int, "1").min(1.0).popular()
        .help("Validate every N epochs."),
    Field::new("train.resume_training_checkpoint_path", Kind::Str, "null")
        .help("Full training state to continue from."),
    Field::new("train.results_dir", Kind::Str, "null")
        .help("Overrides <results_dir>/train."),
    Field::new("train.checkpointer", Kind::Section, "null").automl(false)
        .help("Optional best-k saver."),
    Field::new("train.checkpointer.enable_topk", Kind::Bool, "false")
        .help("Also keep the k best checkpoints by a metric."),
    Field::new("train.checkpointer.replace_periodic", Kind::Bool, "false")
        .help("Drop the periodic saver and keep only best-k."),
    Field::new("train.checkpointer.monitor", Kind::Str, "null")
        .help("Metric watched by the best-k saver."),
    Field::new("train.checkpointer.mode", Kind::Choice(&["min", "max"]), "null")
        .help("Whether lower or higher is better for that metric."),
    Field::new("train.checkpointer.save_top_k", Kind::Int, "1").min(1.0)
        .help("How many best checkpoints to keep."),
    Field::new("train.checkpointer.filename", Kind::Str, "\"model_best_{epoch:03d}\"")
        .help("File-name pattern of best checkpoints."),
    Field::new("train.checkpointer.dirpath", Kind::Str, "null")
        .help("Folder of best checkpoints; null means the results folder."),
    Field::new("train.checkpointer.auto_insert_metric_name", Kind::Bool, "false")
        .help("Let Lightning put metric names in file names."),
    Field::new("train.optim", Kind::Section, "null").automl(false)
        .help("Optimiser block."),
    Field::new("train.optim.optimizer_type", Kind::Choice(&["adamw", "lamb"]), "\"adamw\"")
        .help("Update rule (LAMB needs the apex package)."),
    Field::new("train.optim.vision_lr", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Peak learning rate of the image tower."),
    Field::new("train.optim.text_lr", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Peak learning rate of the text tower; also used for logit scale and bias."),
    Field::new("train.optim.weight_decay", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Decay of weight matrices; biases and norms are exempt."),
    Field::new("train.optim.betas", Kind::List(Item::Float), "[0.9, 0.95]").automl(false)
        .help("Two Adam momentum coefficients."),
    Field::new("train.optim.eps", Kind::Float, "1e-06").min(0.0)
        .help("Adam denominator constant."),
    Field::new("train.optim.warmup_steps", Kind::Int, "100").min(0.0)
        .help("Steps of linear ramp-up."),
    Field::new("train.optim.scheduler", Kind::Choice(&["cosine", "constant", "linear"]), "\"cosine\"")
        .help("Shape of the rate after warm-up."),
    Field::new("train.optim.logit_lr", Kind::Float, "null").min(0.0)
        .help("Peak learning rate of logit scale and bias; null means that of the text tower."),
    Field::new("train.optim.warmup_ratio", Kind::Float, "null").min(0.0).max(1.0).automl(true)
        .help("Warm-up as a share of all steps; wins over warmup_steps when set."),
    Field::new("train.loss_type", Kind::Choice(&["siglip", "clip"]), "\"siglip\"").automl(true)
        .help("Contrastive objective: pairwise sigmoid or softmax."),
    Field::new("train.siglip_loss_dist_impl", Kind::Choice(&["bidir", "shift", "reduce", "gather", "local"]), "\"gather\"")
        .help("How sigmoid loss swaps negatives between GPUs."),
    Field::new("train.siglip_loss_mask_mode", Kind::Choice(&["none", "attribute_match_ignore", "attribute_plus_accessory_match_ignore", "attribute_match_positive", "attribute_plus_accessory_match_positive"]), "\"none\"")
        .help("Treat attribute-compatible off-diagonal pairs as ignored or as positives."),
    Field::new("train.compatible_positive_weight", Kind::Float, "1.0").min(0.0)
        .help("Weight of those extra positives."),
    Field::new("train.compatible_positive_normalization", Kind::Choice(&["per_pair", "per_query"]), "\"per_query\"")
        .help("Average extra positives per pair or per query."),
    Field::new("train.triplet_loss_weight", Kind::Float, "0.0").min(0.0)
        .help("Weight of the extra hardest-negative triplet term; zero disables."),
    Field::new("train.triplet_margin", Kind::Float, "0.2").min(0.0)
        .help("Margin of that triplet term."),
    Field::new("train.precision", Kind::Choice(&["fp16", "fp32", "bf16"]), "\"fp16\"")
        .help("Numeric mode: mixed half, mixed bfloat16 or full."),
    Field::new("train.grad_clip_norm", Kind::Float, "null")
        .help("Gradient-norm ceiling; null disables."),
    Field::new("train.grad_checkpointing", Kind::Bool, "false")
        .help("Recompute activations to save memory."),
    Field::new("train.distributed_strategy", Kind::Choice(&["ddp", "fsdp"]), "\"ddp\"")
        .help("Multi-GPU strategy; FSDP forces fp16."),
    Field::new("train.pretrained_model_path", Kind::Str, "null")
        .help("Checkpoint to start weights from (strict load); null uses hub weights."),
    Field::new("train.val_check_interval", Kind::Int, "null")
        .help("Validate every N steps; wins over validation_interval."),
    Field::new("train.threads", Kind::Int, "0").min(0.0)
        .help("CPU threads of libtorch; 0 leaves the choice to the slot or to libtorch."),
    Field::new("peft", Kind::Section, "null").automl(false)
        .help("Parameter-efficient tuning block."),
    Field::new("peft.enabled", Kind::Bool, "false")
        .help("Use the per-tower modes below instead of the freeze flags."),
    Field::new("peft.method", Kind::Choice(&["lora"]), "\"lora\"")
        .help("Adapter family; only LoRA."),
    Field::new("peft.train_logit_calibration", Kind::Bool, "true")
        .help("Keep logit scale and bias trainable while adapting."),
    Field::new("peft.vision", Kind::Section, "null").automl(false)
        .help("Adapter settings of the image tower."),
    Field::new("peft.vision.mode", Kind::Choice(&["frozen", "full", "lora"]), "\"frozen\"")
        .help("How the image tower adapts: fixed, fully trained, or LoRA."),
    Field::new("peft.vision.target_modules", Kind::List(Item::Str), "[\"q_proj\", \"k_proj\", \"v_proj\", \"out_proj\"]").automl(false)
        .help("Names of linear layers that receive LoRA; the default fits SigLIP2, RADIO needs qkv and proj."),
    Field::new("peft.vision.num_last_blocks", Kind::Int, "3").min(0.0)
        .help("How many final blocks get LoRA; 0 means every block."),
    Field::new("peft.vision.rank", Kind::Int, "8").min(1.0)
        .help("LoRA rank."),
    Field::new("peft.vision.alpha", Kind::Int, "16").min(1.0)
        .help("LoRA scale numerator (scale is alpha over rank)."),
    Field::new("peft.vision.dropout", Kind::Float, "0.05").min(0.0).max(1.0)
        .help("Dropout in front of LoRA."),
    Field::new("peft.text", Kind::Section, "null").automl(false)
        .help("Adapter settings of the text tower."),
    Field::new("peft.text.mode", Kind::Choice(&["frozen", "full", "lora"]), "\"frozen\"")
        .help("How the text tower adapts: fixed, fully trained, or LoRA."),
    Field::new("peft.text.target_modules", Kind::List(Item::Str), "[\"q_proj\", \"k_proj\", \"v_proj\", \"out_proj\"]").automl(false)
        .help("Names of linear layers that receive LoRA; the default fits SigLIP2, RADIO needs qkv and proj."),
    Field::new("peft.text.num_last_blocks", Kind::Int, "3").min(0.0)
        .help("How many final blocks get LoRA; 0 means every block."),
    Field::new("peft.text.rank", Kind::Int, "8").min(1.0)
        .help("LoRA rank."),
    Field::new("peft.text.alpha", Kind::Int, "16").min(1.0)
        .help("LoRA scale numerator (scale is alpha over rank)."),
    Field::new("peft.text.dropout", Kind::Float, "0.05").min(0.0).max(1.0)
        .help("Dropout in front of LoRA."),
    Field::new("regularization", Kind::Section, "null").automl(false)
        .help("Losses that keep embeddings near the frozen starting model."),
    Field::new("regularization.enabled", Kind::Bool, "false")
        .help("Turn the preservation losses on (keeps a frozen teacher copy in memory)."),
    Field::new("regularization.embedding_mse_weight", Kind::Float, "0.05").min(0.0)
        .help("Weight of squared distance to the teacher embedding."),
    Field::new("regularization.cosine_weight", Kind::Float, "0.05").min(0.0)
        .help("Weight of one minus cosine to the teacher embedding."),
    Field::new("regularization.similarity_weight", Kind::Float, "0.1").min(0.0)
        .help("Weight of the difference between in-batch similarity matrices."),
    Field::new("automl", Kind::Section, "null").automl(false)
        .help("The study: sampler, budget, slots, promotion."),
    Field::new("automl.name", Kind::Str, "null")
        .help("Name of the study for people; null takes the name of the results folder."),
    Field::new("automl.algorithm", Kind::Str, "\"gp\"").popular()
        .help("The sampler: gp (Gaussian process), sobol or random; TAO's names are mapped."),
    Field::new("automl.search_space", Kind::Str, "\"default\"").popular()
        .help("A bundled search space (default, lora, from_scratch, tao) or the path of a YAML file."),
    Field::new("automl.max_trials", Kind::Int, "20").min(1.0).max(100000.0).popular()
        .help("Trials to run, the baseline included."),
    Field::new("automl.max_concurrent", Kind::Int, "0").min(0.0)
        .help("Trials at the same time; 0 means one for every slot."),
    Field::new("automl.max_epochs", Kind::Int, "null").min(1.0)
        .help("Epochs of a full trial; null means train.num_epochs."),
    Field::new("automl.time_budget", Kind::Duration, "null")
        .help("Wall-clock limit such as 90m, 2h or 1d12h; running trials write a checkpoint when it is over."),
    Field::new("automl.metric", Kind::Str, "\"val/t2i_mAP\"")
        .help("The metric that ranks trials and chooses checkpoints."),
    Field::new("automl.direction", Kind::Choice(&["maximize", "minimize"]), "\"maximize\"")
        .help("Whether a larger or a smaller metric is better."),
    Field::new("automl.seed", Kind::Int, "0").min(0.0)
        .help("Seed of the sampler; the training seed is train.seed."),
    Field::new("automl.patience", Kind::Int, "null").min(1.0)
        .help("Stop after this many trials in a row without a new best; null never stops early."),
    Field::new("automl.max_failures", Kind::Int, "5").min(0.0)
        .help("Stop the study after this many failed trials."),
    Field::new("automl.retries", Kind::Int, "1").min(0.0).max(10.0)
        .help("How often a trial is tried again when the machine was at fault."),
    Field::new("automl.promote", Kind::Bool, "true")
        .help("Promote the best trial at the end: checkpoint, ONNX, parity, engine, manifest."),
    Field::new("automl.promote_target_compute", Kind::List(Item::Str), "[]")
        .help("Compute capabilities the engine is built for, such as \"8.6\"; empty means the present GPU, or all that the builder knows."),
    Field::new("automl.retention", Kind::Choice(&["best_last", "best", "all"]), "\"best_last\"")
        .help("Which checkpoints of a finished trial stay on disk."),
    Field::new("automl.launcher", Kind::Choice(&["local"]), "\"local\"")
        .help("How jobs are started: as processes of this machine."),
    Field::new("automl.gpus", Kind::List(Item::Int), "null")
        .help("GPU indices the study may use; null means all that are visible."),
    Field::new("automl.trials_per_gpu", Kind::Int, "1").min(1.0).max(64.0)
        .help("Trials that share one GPU."),
    Field::new("automl.cpu_slots", Kind::Int, "0").min(0.0).max(1024.0)
        .help("Trials at the same time on a machine without a GPU; 0 means one for every physical core, at most 8."),
    Field::new("evaluate", Kind::Section, "null").automl(false)
        .help("Evaluate block."),
    Field::new("evaluate.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("List of evaluation sources."),
    Field::new("evaluate.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder holding the images."),
    Field::new("evaluate.datasets[].image_list_file", Kind::Str, "null")
        .help("Optional list of image names to use; null means all images."),
    Field::new("evaluate.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder of caption files sharing the image stem; null means next to the images."),
    Field::new("evaluate.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Caption file extension."),
    Field::new("evaluate.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with caption kinds/attributes for balanced sampling."),
    Field::new("evaluate.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with attribute metadata aligned to the split."),
    Field::new("evaluate.batch_size", Kind::Int, "16").min(1.0)
        .help("Per-GPU evaluation batch."),
    Field::new("evaluate.num_workers", Kind::Int, "8").min(0.0)
        .help("Loader processes."),
    Field::new("evaluate.checkpoint", Kind::Str, "null")
        .help("Trained checkpoint; a checkpoint folder, a .safetensors or an .onnx file."),
    Field::new("evaluate.num_gpus", Kind::Int, "1").min(1.0)
        .help("GPUs used."),
    Field::new("evaluate.gpu_ids", Kind::List(Item::Int), "[0]").automl(false)
        .help("Device indices."),
    Field::new("evaluate.results_dir", Kind::Str, "null")
        .help("Overrides <results_dir>/evaluate."),
    Field::new("evaluate.trt_engine", Kind::Str, "null")
        .help("Engine file; selects the TensorRT path (deploy image)."),
    Field::new("evaluate.text_file", Kind::Str, "null")
        .help("Prompt file, one text per line."),
    Field::new("evaluate.pas_ground_truth_mode", Kind::Choice(&["paired_caption", "scalar_attributes", "scalar_plus_accessories"]), "\"paired_caption\"")
        .help("What counts as correct in person-attribute-search evaluation."),
    Field::new("evaluate.ground_truth", Kind::Choice(&["paired", "caption_groups"]), "\"paired\"")
        .help("As dataset.val.ground_truth, for the evaluate action."),
    Field::new("inference", Kind::Section, "null").automl(false)
        .help("Inference block."),
    Field::new("inference.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("List of inference sources."),
    Field::new("inference.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder holding the images."),
    Field::new("inference.datasets[].image_list_file", Kind::Str, "null")
        .help("Optional list of image names to use; null means all images."),
    Field::new("inference.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder of caption files sharing the image stem; null means next to the images."),
    Field::new("inference.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Caption file extension."),
    Field::new("inference.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with caption kinds/attributes for balanced sampling."),
    Field::new("inference.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with attribute metadata aligned to the split."),
    Field::new("inference.batch_size", Kind::Int, "16").min(1.0)
        .help("Per-GPU inference batch."),
    Field::new("inference.num_workers", Kind::Int, "8").min(0.0)
        .help("Loader processes."),
    Field::new("inference.checkpoint", Kind::Str, "null")
        .help("Trained checkpoint; a checkpoint folder, a .safetensors or an .onnx file."),
    Field::new("inference.num_gpus", Kind::Int, "1").min(1.0)
        .help("GPUs used."),
    Field::new("inference.gpu_ids", Kind::List(Item::Int), "[0]").automl(false)
        .help("Device indices."),
    Field::new("inference.results_dir", Kind::Str, "null")
        .help("Overrides <results_dir>/inference."),
    Field::new("inference.trt_engine", Kind::Str, "null")
        .help("Engine file; selects the TensorRT path (deploy image)."),
    Field::new("inference.text_file", Kind::Str, "null")
        .help("Prompt file, one text per line."),
    Field::new("export", Kind::Section, "null").automl(false)
        .help("ONNX export block."),
    Field::new("export.checkpoint", Kind::Str, "null")
        .help("Trained checkpoint; null exports hub weights."),
    Field::new("export.onnx_file", Kind::Str, "null")
        .help("Output file; null derives it from the checkpoint stem."),
    Field::new("export.encoder_type", Kind::Choice(&["combined", "separate"]), "\"combined\"")
        .help("One joint graph, or one graph per tower."),
    Field::new("export.opset_version", Kind::Int, "17").min(11.0)
        .help("ONNX operator-set version."),
    Field::new("export.batch_size", Kind::Int, "-1")
        .help("Fixed batch, or -1 for a dynamic batch axis."),
    Field::new("export.input_height", Kind::Int, "256").min(32.0)
        .help("Image height of the traced graph."),
    Field::new("export.input_width", Kind::Int, "256").min(32.0)
        .help("Image width of the traced graph."),
    Field::new("export.gpu_id", Kind::Int, "0")
        .help("Device used for tracing."),
    Field::new("export.on_cpu", Kind::Bool, "false")
        .help("Trace on CPU."),
    Field::new("export.input_channel", Kind::Int, "3").min(1.0)
        .help("Image channels."),
    Field::new("export.verbose", Kind::Bool, "false")
        .help("Chatty exporter."),
    Field::new("export.results_dir", Kind::Str, "null")
        .help("Overrides <results_dir>/export."),
    Field::new("gen_trt_engine", Kind::Section, "null").automl(false)
        .help("TensorRT build block."),
    Field::new("gen_trt_engine.results_dir", Kind::Str, "null")
        .help("Overrides <results_dir>/gen_trt_engine."),
    Field::new("gen_trt_engine.gpu_id", Kind::Int, "0").min(0.0).popular()
        .help("Device used for the build."),
    Field::new("gen_trt_engine.onnx_file", Kind::Str, "null").required()
        .help("Input graph."),
    Field::new("gen_trt_engine.trt_engine", Kind::Str, "null").required()
        .help("Output engine."),
    Field::new("gen_trt_engine.timing_cache", Kind::Str, "null")
        .help("Reusable kernel-timing cache file."),
    Field::new("gen_trt_engine.batch_size", Kind::Int, "-1").min(-1.0).popular()
        .help("Expected batch of the graph; -1 is dynamic."),
    Field::new("gen_trt_engine.verbose", Kind::Bool, "false")
        .help("Chatty builder."),
    Field::new("gen_trt_engine.tensorrt", Kind::Section, "null").automl(false)
        .help("Builder options."),
    Field::new("gen_trt_engine.tensorrt.workspace_size", Kind::Int, "1024").min(0.0)
        .help("Builder scratch memory; in MiB."),
    Field::new("gen_trt_engine.tensorrt.min_batch_size", Kind::Int, "1").min(1.0).popular()
        .help("Smallest batch of the profile."),
    Field::new("gen_trt_engine.tensorrt.opt_batch_size", Kind::Int, "1").min(1.0).popular()
        .help("Batch tuned for."),
    Field::new("gen_trt_engine.tensorrt.max_batch_size", Kind::Int, "16").min(1.0).popular()
        .help("Largest batch of the profile."),
    Field::new("gen_trt_engine.tensorrt.layers_precision", Kind::List(Item::Str), "[]").automl(false)
        .help("Per-layer precision pins as layer:precision strings."),
    Field::new("gen_trt_engine.tensorrt.data_type", Kind::Choice(&["fp32", "fp16"]), "\"fp32\"")
        .help("Engine precision; no INT8 for this network."),
    Field::new("wandb", Kind::Section, "null").automl(false)
        .help("Weights & Biases tracking block."),
    Field::new("wandb.enable", Kind::Bool, "true")
        .help("Switch W&B logging on or off."),
    Field::new("wandb.project", Kind::Str, "\"TAO Toolkit\"")
        .help("W&B project to log under."),
    Field::new("wandb.entity", Kind::Str, "\"\"")
        .help("W&B team or user."),
    Field::new("wandb.group", Kind::Str, "\"\"")
        .help("W&B run group."),
    Field::new("wandb.tags", Kind::List(Item::Str), "[\"training\", \"tao-toolkit\"]").automl(false)
        .help("Labels attached to the run (experiment default is training + tao-toolkit)."),
    Field::new("wandb.reinit", Kind::Bool, "false")
        .help("Allow several runs from one process."),
    Field::new("wandb.sync_tensorboard", Kind::Bool, "false")
        .help("Mirror TensorBoard scalars to W&B."),
    Field::new("wandb.save_code", Kind::Bool, "false")
        .help("Upload the launching script."),
    Field::new("wandb.name", Kind::Str, "\"TAO Toolkit training experiment\"")
        .help("Run display name (experiment default text differs slightly from the class default)."),
    Field::new("wandb.run_id", Kind::Str, "\"\"")
        .help("Id used to continue an existing run."),
];
