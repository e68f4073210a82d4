//! THE table: every field of every action, once. Validation, templates, the JSON schema and the documentation read it.
//!
//! TAO's fields keep their names, defaults and ranges. cliptune's own: `automl.*`, `automl_policy`, `*.ground_truth`,
//! `*.caption_choice`, `dataset.val2.*`, `dataset.{cache_gb,train.wds.shuffle_buffer}`, `train.{threads,ema_decay}`,
//! `train.{accumulate_grad_batches,micro_batch_size,on_collapse,on_loss_spike,patch_dropout}`, `train.optim.{logit_lr,warmup_ratio,layer_decay}`, `model.locked_*`,
//! `export.{data_type,parity_samples,overwrite}`, `evaluate.{per_query,worst_queries,classification}`, `inference.output_format`.

use super::schema::{Field, Item, Kind};

/// Every field, in the order of a spec file. Fields of list entries have `[]` in their path.
pub const FIELDS: &[Field] = &[
    Field::new("model_name", Kind::Str, "\"clip\"")
        .help("Name of the network in the spec; always clip."),
    Field::new("encryption_key", Kind::Str, "null")
        .help("Passphrase that checkpoints are encrypted and opened with; better as ${env:NAME} than in clear. Never written into results."),
    Field::new("results_dir", Kind::Str, "\"\"")
        .help("Folder of all output; each action writes into a subfolder of its name, a study into the folder itself."),
    Field::new("automl_policy", Kind::Choice(&["auto", "off"]), "\"auto\"")
        .help("Whether train runs a study (auto) or trains once (off); --automl on the command line wins."),
    Field::new("model", Kind::Section, "null").automl(false)
        .help("Which model, and what of it is trained."),
    Field::new("model.type", Kind::Str, "\"siglip2-so400m-patch16-256\"")
        .help("Name of a model, or path of a model config (open_clip, Hugging Face) or of a checkpoint folder."),
    Field::new("model.adaptor_name", Kind::Str, "null")
        .help("Text adaptor of RADIO models: siglip or clip; c-radio types need it."),
    Field::new("model.freeze_vision_encoder", Kind::Bool, "false").automl(true)
        .help("Keep the image tower as it is."),
    Field::new("model.freeze_text_encoder", Kind::Bool, "false").automl(true)
        .help("Keep the text tower as it is."),
    Field::new("model.locked_vision_blocks", Kind::Int, "0").min(0.0)
        .help("Blocks of the image tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing."),
    Field::new("model.locked_text_blocks", Kind::Int, "0").min(0.0)
        .help("Blocks of the text tower, counted from the input, that stay as they are, with what is below them; 0 locks nothing."),
    Field::new("model.image_size", Kind::Int, "256").open()
        .help("Side of training images in pixels; left out or null, the model's own. Not the side of an exported graph."),
    Field::new("model.init_logit_scale", Kind::Float, "null")
        .help("Log of the similarity multiplier at the start; null keeps that of the model."),
    Field::new("model.init_logit_bias", Kind::Float, "null")
        .help("Offset of the sigmoid loss at the start; null keeps that of the model."),
    Field::new("model.tokenizer_path", Kind::Str, "null").automl(false)
        .help("A tokenizer's file, or a folder with one; null takes that beside the weights."),
    Field::new("model.canonicalize_text", Kind::Bool, "false")
        .help("Lower-case captions and strip their punctuation before tokenising."),
    Field::new("dataset", Kind::Section, "null").automl(false)
        .help("Images with captions."),
    Field::new("dataset.train", Kind::Section, "null").automl(false)
        .help("Pairs to train on."),
    Field::new("dataset.train.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("Sources of training pairs; all of them are used together."),
    Field::new("dataset.train.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder, or .tar.gz archive, of images."),
    Field::new("dataset.train.datasets[].image_list_file", Kind::Str, "null")
        .help("Text file naming the images to use, one a line; null means all."),
    Field::new("dataset.train.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder or archive of captions, named like the images; null means beside the images."),
    Field::new("dataset.train.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Ending of caption files."),
    Field::new("dataset.train.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with the kinds of captions and the attributes of training pairs, a row an image (docs/training.md)."),
    Field::new("dataset.train.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with the attributes of validation pairs, in the same form; null takes X_pairs.json beside X_list.txt."),
    Field::new("dataset.train.batch_size", Kind::Int, "16").min(1.0)
        .help("Pairs in a training batch, on each GPU."),
    Field::new("dataset.train.num_workers", Kind::Int, "8").min(0.0)
        .help("Threads that decode and resize images."),
    Field::new("dataset.train.type", Kind::Choice(&["wds", "custom"]), "\"custom\"")
        .help("Folders and archives (custom), or WebDataset shards (wds)."),
    Field::new("dataset.train.caption_choice", Kind::Choice(&["first", "random", "all"]), "\"first\"")
        .help("Which of several lines of a caption file: the first, another one in every epoch, or all, each a pair."),
    Field::new("dataset.train.balance_query_types", Kind::Bool, "false")
        .help("Draw batches evenly over the kinds of captions in the pair file."),
    Field::new("dataset.train.unique_caption_per_batch", Kind::Bool, "true")
        .help("With balanced batches, have no caption twice in a batch."),
    Field::new("dataset.train.include_attribute_metadata", Kind::Bool, "false")
        .help("Read attributes of pairs, for losses that mask by them."),
    Field::new("dataset.train.wds", Kind::Section, "null").automl(false)
        .help("WebDataset shards."),
    Field::new("dataset.train.wds.root_dir", Kind::Str, "null")
        .help("Folder searched for .tar shards, with its subfolders."),
    Field::new("dataset.train.wds.shard_list_file", Kind::Str, "null")
        .help("Text file with one shard a line; brace ranges are allowed."),
    Field::new("dataset.train.wds.samples_per_shard", Kind::Int, "10000").min(1.0)
        .help("Most samples that an epoch takes from a shard; of larger shards, another part in every epoch."),
    Field::new("dataset.train.wds.shuffle_buffer", Kind::Int, "5000").min(0.0)
        .help("Samples that wait in a buffer, of which a random one is next; shards come in random order as well."),
    Field::new("dataset.val", Kind::Section, "null").automl(false)
        .help("Pairs to measure on, after epochs and by evaluate."),
    Field::new("dataset.val.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("Sources of validation pairs; without any, nothing can be ranked."),
    Field::new("dataset.val.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder, or .tar.gz archive, of images."),
    Field::new("dataset.val.datasets[].image_list_file", Kind::Str, "null")
        .help("Text file naming the images to use, one a line; null means all."),
    Field::new("dataset.val.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder or archive of captions, named like the images; null means beside the images."),
    Field::new("dataset.val.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Ending of caption files."),
    Field::new("dataset.val.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with the kinds of captions and the attributes of training pairs, a row an image (docs/training.md)."),
    Field::new("dataset.val.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with the attributes of validation pairs, in the same form; null takes X_pairs.json beside X_list.txt."),
    Field::new("dataset.val.batch_size", Kind::Int, "16").min(1.0)
        .help("Pairs embedded at once while measuring."),
    Field::new("dataset.val.num_workers", Kind::Int, "8").min(0.0)
        .help("Threads that decode and resize images."),
    Field::new("dataset.val.caption_choice", Kind::Choice(&["first", "all"]), "\"first\"")
        .help("Which of several lines of a caption file: the first, or all, each a query with the same image as its hit."),
    Field::new("dataset.val.metadata_match_eval", Kind::Bool, "false")
        .help("Count images with fitting attributes as hits of a text, not only the paired one."),
    Field::new("dataset.val.metadata_match_mode", Kind::Choice(&["scalar_attributes", "scalar_plus_accessories"]), "\"scalar_attributes\"")
        .help("Which attributes must agree for such a hit."),
    Field::new("dataset.val.ground_truth", Kind::Choice(&["paired", "caption_groups"]), "\"paired\"")
        .help("What counts as a hit: only the paired text or image, or every pair that shares the caption."),
    Field::new("dataset.val2", Kind::Section, "null").automl(false)
        .help("A second validation set, measured with the first as val2/…: what training forgets."),
    Field::new("dataset.val2.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("Its sources; without any there is none."),
    Field::new("dataset.val2.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder, or .tar.gz archive, of images."),
    Field::new("dataset.val2.datasets[].image_list_file", Kind::Str, "null")
        .help("Text file naming the images to use, one a line; null means all."),
    Field::new("dataset.val2.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder or archive of captions, named like the images; null means beside the images."),
    Field::new("dataset.val2.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Ending of caption files."),
    Field::new("dataset.val2.caption_choice", Kind::Choice(&["first", "all"]), "\"first\"")
        .help("As dataset.val.caption_choice."),
    Field::new("dataset.val2.ground_truth", Kind::Choice(&["paired", "caption_groups"]), "\"paired\"")
        .help("As dataset.val.ground_truth."),
    Field::new("dataset.augmentation", Kind::Section, "null").automl(false)
        .help("Random changes to training images; scale [1.0, 1.0], an empty color_jitter and grayscale 0 switch them off."),
    Field::new("dataset.augmentation.scale", Kind::List(Item::Float), "[0.4, 1.0]").automl(false)
        .help("Share of the image's area that a random crop keeps: least, most."),
    Field::new("dataset.augmentation.color_jitter", Kind::List(Item::Float), "[0.8, 0.32, 0.32, 0.32, 0.08]").automl(false)
        .help("Probability, then strengths of brightness, contrast, saturation and hue; [] is off."),
    Field::new("dataset.augmentation.grayscale", Kind::Float, "0.2").min(0.0).max(1.0)
        .help("Chance that an image turns grey."),
    Field::new("dataset.pin_memory", Kind::Bool, "true")
        .help("Keep batches in page-locked memory, which a GPU reads faster."),
    Field::new("dataset.seed", Kind::Int, "42")
        .help("Seed of the order of pairs and of augmentation."),
    Field::new("dataset.cache_gb", Kind::Float, "64.0").min(0.0)
        .help("Most gigabytes of images of a split that the study's cache keeps on disk; above, they are decoded in every epoch."),
    Field::new("train", Kind::Section, "null").automl(false)
        .help("How the model is trained."),
    Field::new("train.num_gpus", Kind::Int, "1").min(1.0).popular()
        .help("GPUs of one training."),
    Field::new("train.gpu_ids", Kind::List(Item::Int), "[0]").automl(false).popular()
        .help("Which GPUs; as many as num_gpus says."),
    Field::new("train.num_nodes", Kind::Int, "1").min(1.0).popular()
        .help("Machines of one training."),
    Field::new("train.seed", Kind::Int, "1234").min(-1.0)
        .help("Seed of everything random in training."),
    Field::new("train.cudnn", Kind::Section, "null").automl(false)
        .help("Switches of cuDNN."),
    Field::new("train.cudnn.benchmark", Kind::Bool, "false")
        .help("Let cuDNN try its kernels and keep the fastest."),
    Field::new("train.cudnn.deterministic", Kind::Bool, "true")
        .help("Use only kernels whose results repeat bit by bit."),
    Field::new("train.num_epochs", Kind::Int, "10").min(1.0).popular()
        .help("Passes over the training pairs."),
    Field::new("train.checkpoint_interval", Kind::Int, "1").min(1.0).popular()
        .help("Write a checkpoint every so many epochs or steps; what stays is the best, the newest and what checkpointer keeps."),
    Field::new("train.checkpoint_interval_unit", Kind::Choice(&["epoch", "step"]), "\"epoch\"")
        .help("Unit of checkpoint_interval."),
    Field::new("train.validation_interval", Kind::Int, "1").min(1.0).popular()
        .help("Measure on the validation pairs every so many epochs."),
    Field::new("train.resume_training_checkpoint_path", Kind::Str, "null")
        .help("Checkpoint folder to continue from, with its optimiser state."),
    Field::new("train.results_dir", Kind::Str, "null")
        .help("Folder of the training; null means <results_dir>/train."),
    Field::new("train.checkpointer", Kind::Section, "null").automl(false)
        .help("Keeping the k best checkpoints."),
    Field::new("train.checkpointer.enable_topk", Kind::Bool, "false")
        .help("Keep the k best checkpoints by a metric, beside the best of the study's metric and the newest."),
    Field::new("train.checkpointer.replace_periodic", Kind::Bool, "false")
        .help("Write only those and the newest of the end, none at intervals."),
    Field::new("train.checkpointer.monitor", Kind::Str, "null")
        .help("The metric they are chosen by; null means automl.metric."),
    Field::new("train.checkpointer.mode", Kind::Choice(&["min", "max"]), "null")
        .help("Whether less or more of that metric is better; null knows it of every metric there is."),
    Field::new("train.checkpointer.save_top_k", Kind::Int, "1").min(1.0)
        .help("How many of the best are kept."),
    Field::new("train.checkpointer.filename", Kind::Str, "\"model_best_{epoch:03d}\"")
        .help("Pattern of their names, which are links: {epoch}, {step} and {METRIC}, with Python's formats."),
    Field::new("train.checkpointer.dirpath", Kind::Str, "null")
        .help("Folder of these names, with one for each trial of a study; null means the folder of the checkpoints."),
    Field::new("train.checkpointer.auto_insert_metric_name", Kind::Bool, "false")
        .help("Put the metric's name into theirs."),
    Field::new("train.optim", Kind::Section, "null").automl(false)
        .help("Optimiser and learning rates."),
    Field::new("train.optim.optimizer_type", Kind::Choice(&["adamw", "lamb", "lion"]), "\"adamw\"")
        .help("Update rule."),
    Field::new("train.optim.vision_lr", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Highest learning rate of the image tower; fine-tuning wants 1e-6 to 1e-4, training from scratch about 1e-3."),
    Field::new("train.optim.text_lr", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Highest learning rate of the text tower, and of scale and bias unless logit_lr is set."),
    Field::new("train.optim.weight_decay", Kind::Float, "0.0001").min(0.0).automl(true)
        .help("Decay of weight matrices; biases and norms have none."),
    Field::new("train.optim.betas", Kind::List(Item::Float), "[0.9, 0.95]").automl(false)
        .help("Momentum coefficients of the optimiser."),
    Field::new("train.optim.eps", Kind::Float, "1e-06").min(0.0)
        .help("Constant in the denominator of AdamW and LAMB."),
    Field::new("train.optim.warmup_steps", Kind::Int, "100").min(0.0)
        .help("Steps over which the rates rise to their highest."),
    Field::new("train.optim.scheduler", Kind::Choice(&["cosine", "constant", "linear"]), "\"cosine\"")
        .help("What the rates do after that."),
    Field::new("train.optim.logit_lr", Kind::Float, "null").min(0.0)
        .help("Peak learning rate of logit scale and bias; null means that of the text tower."),
    Field::new("train.optim.warmup_ratio", Kind::Float, "null").min(0.0).max(1.0).automl(true)
        .help("Warm-up as a share of all steps; wins over warmup_steps when set."),
    Field::new("train.optim.layer_decay", Kind::Float, "null").min(0.0).max(1.0)
        .help("Rate of a layer as a share of that of the layer above, from the head down; null trains all at one rate."),
    Field::new("train.ema_decay", Kind::Float, "null").min(0.0).max(1.0)
        .help("Decay a step of an average of the weights, which is then what is measured and kept; null keeps none."),
    Field::new("train.accumulate_grad_batches", Kind::Int, "1").min(1.0)
        .help("Batches whose gradients are averaged in one step; pairs are contrasted within their batch only."),
    Field::new("train.micro_batch_size", Kind::Int, "null").min(1.0)
        .help("Pairs whose activations are held at a time; gradients stay those of the whole batch. null holds the batch."),
    Field::new("train.loss_type", Kind::Choice(&["siglip", "clip"]), "\"siglip\"").automl(true)
        .help("Contrastive loss: sigmoid over pairs (siglip) or softmax over the batch (clip)."),
    Field::new("train.siglip_loss_dist_impl", Kind::Choice(&["bidir", "shift", "reduce", "gather", "local"]), "\"gather\"")
        .help("How the sigmoid loss exchanges negatives between GPUs; without effect on one."),
    Field::new("train.siglip_loss_mask_mode", Kind::Choice(&["none", "attribute_match_ignore", "attribute_plus_accessory_match_ignore", "attribute_match_positive", "attribute_plus_accessory_match_positive"]), "\"none\"")
        .help("Ignore pairs with fitting attributes off the diagonal, or count them as positives."),
    Field::new("train.compatible_positive_weight", Kind::Float, "1.0").min(0.0)
        .help("Weight of such extra positives."),
    Field::new("train.compatible_positive_normalization", Kind::Choice(&["per_pair", "per_query"]), "\"per_query\"")
        .help("Average extra positives by pair or by query."),
    Field::new("train.triplet_loss_weight", Kind::Float, "0.0").min(0.0)
        .help("Weight of a triplet term on the hardest negative; 0 is none."),
    Field::new("train.triplet_margin", Kind::Float, "0.2").min(0.0)
        .help("Margin of the triplet term."),
    Field::new("train.precision", Kind::Choice(&["fp16", "fp32", "bf16"]), "\"fp16\"")
        .help("Numbers to compute with: half (fp16) or bfloat16 (bf16) mixed with full precision, or full (fp32)."),
    Field::new("train.grad_clip_norm", Kind::Float, "null")
        .help("Largest norm of the gradient; null does not clip."),
    Field::new("train.grad_checkpointing", Kind::Bool, "false")
        .help("Compute activations twice instead of keeping them, to save memory."),
    Field::new("train.distributed_strategy", Kind::Choice(&["ddp", "fsdp"]), "\"ddp\"")
        .help("How several GPUs share one training."),
    Field::new("train.pretrained_model_path", Kind::Str, "null")
        .help("Weights training starts from: a folder, a file (.safetensors, .bin, .pth, .ckpt, .npz) or hf:owner/name[@revision]; null means those of the model type, or random ones where it has none."),
    Field::new("train.val_check_interval", Kind::Int, "null")
        .help("Measure every so many steps, wherever in an epoch, instead of by validation_interval; the end is always measured."),
    Field::new("train.on_collapse", Kind::Choice(&["warn", "stop"]), "\"warn\"")
        .help("When validation embeddings have become alike: tell it, or end the training as a failure (an infeasible point of a study)."),
    Field::new("train.on_loss_spike", Kind::Choice(&["warn", "stop"]), "\"warn\"")
        .help("When the loss of a step is far above what was usual: as on_collapse."),
    Field::new("train.patch_dropout", Kind::Float, "0.0").min(0.0).max(0.95)
        .help("Share of an image's patches that a training step leaves out, others in every step: faster, and a regulariser; 0 leaves out none."),
    Field::new("train.threads", Kind::Int, "0").min(0.0)
        .help("CPU threads of libtorch; 0 leaves the choice to the slot or to libtorch."),
    Field::new("peft", Kind::Section, "null").automl(false)
        .help("Training adapters instead of whole towers."),
    Field::new("peft.enabled", Kind::Bool, "false")
        .help("Train as the modes below say; the freeze flags then mean nothing."),
    Field::new("peft.method", Kind::Choice(&["lora"]), "\"lora\"")
        .help("Kind of adapter."),
    Field::new("peft.train_logit_calibration", Kind::Bool, "true")
        .help("Train scale and bias along with the adapters."),
    Field::new("peft.vision", Kind::Section, "null").automl(false)
        .help("Adapters of the image tower."),
    Field::new("peft.vision.mode", Kind::Choice(&["frozen", "full", "lora"]), "\"frozen\"")
        .help("Whether the image tower stays as it is, is trained in full, or gets LoRA adapters."),
    Field::new("peft.vision.target_modules", Kind::List(Item::Str), "[\"q_proj\", \"k_proj\", \"v_proj\", \"out_proj\"]").automl(false)
        .help("Linear layers that get adapters, by name."),
    Field::new("peft.vision.num_last_blocks", Kind::Int, "3").min(0.0)
        .help("How many of the last blocks get adapters; 0 means all."),
    Field::new("peft.vision.rank", Kind::Int, "8").min(1.0)
        .help("Rank of the adapters."),
    Field::new("peft.vision.alpha", Kind::Int, "16").min(1.0)
        .help("Scale of the adapters, divided by the rank."),
    Field::new("peft.vision.dropout", Kind::Float, "0.05").min(0.0).max(1.0)
        .help("Dropout in front of the adapters."),
    Field::new("peft.text", Kind::Section, "null").automl(false)
        .help("Adapters of the text tower."),
    Field::new("peft.text.mode", Kind::Choice(&["frozen", "full", "lora"]), "\"frozen\"")
        .help("Whether the text tower stays as it is, is trained in full, or gets LoRA adapters."),
    Field::new("peft.text.target_modules", Kind::List(Item::Str), "[\"q_proj\", \"k_proj\", \"v_proj\", \"out_proj\"]").automl(false)
        .help("Linear layers that get adapters, by name."),
    Field::new("peft.text.num_last_blocks", Kind::Int, "3").min(0.0)
        .help("How many of the last blocks get adapters; 0 means all."),
    Field::new("peft.text.rank", Kind::Int, "8").min(1.0)
        .help("Rank of the adapters."),
    Field::new("peft.text.alpha", Kind::Int, "16").min(1.0)
        .help("Scale of the adapters, divided by the rank."),
    Field::new("peft.text.dropout", Kind::Float, "0.05").min(0.0).max(1.0)
        .help("Dropout in front of the adapters."),
    Field::new("regularization", Kind::Section, "null").automl(false)
        .help("Losses that keep embeddings near those of the starting model."),
    Field::new("regularization.enabled", Kind::Bool, "false")
        .help("Switch them on; a copy of the starting model stays in memory."),
    Field::new("regularization.embedding_mse_weight", Kind::Float, "0.05").min(0.0)
        .help("Weight of the squared distance to its embedding."),
    Field::new("regularization.cosine_weight", Kind::Float, "0.05").min(0.0)
        .help("Weight of one minus the cosine to its embedding."),
    Field::new("regularization.similarity_weight", Kind::Float, "0.1").min(0.0)
        .help("Weight of the difference between the similarities within a batch."),
    Field::new("automl", Kind::Section, "null").automl(false)
        .help("The study: sampler, budget, slots, promotion."),
    Field::new("automl.name", Kind::Str, "null")
        .help("Name of the study for people; null takes the name of the results folder."),
    Field::new("automl.algorithm", Kind::Str, "\"gp\"").popular()
        .help("The sampler: gp, tpe, bohb, dehb, pbt, sobol, random, grid or list; TAO's names are understood (`cliptune search --help` lists all)."),
    Field::new("automl.scheduler", Kind::Str, "\"auto\"").popular()
        .help("How epochs are divided among trials: none, asha, hyperband, successive_halving, median or curve; auto takes asha from 40 trials on, or what goes with the algorithm."),
    Field::new("automl.min_epochs", Kind::Int, "1").min(1.0)
        .help("Epochs that every trial gets before a scheduler compares it."),
    Field::new("automl.reduction_factor", Kind::Int, "3").min(2.0).max(100.0)
        .help("How many times as many epochs the next rung has, and one in how many trials reaches it."),
    Field::new("automl.search_space", Kind::Str, "\"default\"").popular()
        .help("A bundled search space (default, wide, lora, from_scratch, tao), `schema` (the fields the schema marks), or the path of a YAML file or of a JSON schema."),
    Field::new("automl.space", Kind::List(Item::Str), "[]")
        .help("Changes of the search space, each KEY=log(1e-7,1e-4) or KEY=off; on the command line automl.space.KEY=log(1e-7,1e-4)."),
    Field::new("automl.warm_start", Kind::List(Item::Str), "[]")
        .help("Folders of earlier studies with the same metric: their best points are tried first, and the search believes more in places like them, the less the more it has seen itself."),
    Field::new("automl.max_trials", Kind::Int, "20").min(1.0).max(100000.0).popular()
        .help("Trials to run, the baseline included."),
    Field::new("automl.max_concurrent", Kind::Int, "0").min(0.0)
        .help("Trials at the same time; 0 means one for every slot."),
    Field::new("automl.max_epochs", Kind::Int, "null").min(1.0)
        .help("Epochs of a full trial; null means train.num_epochs."),
    Field::new("automl.time_budget", Kind::Duration, "null")
        .help("Wall-clock limit such as 90m, 2h, 1d12h or seconds; running trials write a checkpoint when it is over."),
    Field::new("automl.gpu_hours", Kind::Float, "null").min(0.0)
        .help("Hours that trials may occupy GPUs (slots, on a machine without one); running trials write a checkpoint then."),
    Field::new("automl.epoch_budget", Kind::Int, "null").min(1.0)
        .help("Epochs that all trials may train together; never exceeded."),
    Field::new("automl.min_gain", Kind::Float, "null").min(0.0)
        .help("Stop when the sampler expects less improvement than this of its last three points, in units of the metric; null never does."),
    Field::new("automl.confirm_top", Kind::Int, "0").min(0.0).max(100.0)
        .help("Points that are trained again before the winner is named, because the best of many noisy values is too good to be true; 0 means none."),
    Field::new("automl.confirm_seeds", Kind::Int, "2").min(1.0).max(20.0)
        .help("How often each of these points is trained again, with another train.seed every time."),
    Field::new("automl.objectives", Kind::List(Item::Str), "[]")
        .help("Metrics to weigh against each other, such as [\"val/t2i_mAP\", \"model/latency_ms:minimize\"]; empty means automl.metric alone."),
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
    Field::new("automl.promote_candidates", Kind::List(Item::Str), "[\"interpolation\", \"soup\", \"raw\"]")
        .help("What is measured beside the best checkpoint before it is promoted: interpolation with the start weights, soup of the best trials' checkpoints, raw weights where averages were kept. It is confirmed on evaluate.datasets, if there are any."),
    Field::new("automl.promote_alphas", Kind::List(Item::Float), "[0.25, 0.5, 0.75]")
        .help("Shares of the trained weights in interpolations with the start weights."),
    Field::new("automl.promote_soup", Kind::Int, "5").min(2.0).max(100.0)
        .help("Trials whose best checkpoints may be averaged."),
    Field::new("automl.promote_target_compute", Kind::List(Item::Str), "[]")
        .help("Compute capabilities the engine is built for, such as \"8.6\"; empty means the present GPU, or all that the builder knows."),
    Field::new("automl.retention", Kind::Section, "null")
        .help("Which checkpoints stay on disk, and how much disk the study may use."),
    Field::new("automl.retention.keep", Kind::Choice(&["best_last", "best", "all"]), "\"best_last\"")
        .help("Which checkpoints of a finished trial stay on disk; what is promoted or continued always does."),
    Field::new("automl.retention.disk_budget_gb", Kind::Float, "null").min(0.0)
        .help("GB that all checkpoints may take: above it those of the worst trials are deleted, never those of the three best; null sets no limit."),
    Field::new("automl.retention.min_free_gb", Kind::Float, "1.0").min(0.0)
        .help("GB that stay free on the disk: below them no new trial is started until there is room again; 0 does not look."),
    Field::new("automl.launcher", Kind::Section, "null").automl(false)
        .help("Where workers run."),
    Field::new("automl.launcher.type", Kind::Choice(&["local", "slurm", "srun", "kubernetes"]), "\"local\"")
        .help("Processes of this machine, SLURM jobs, steps of the present SLURM allocation, or Kubernetes Jobs."),
    Field::new("automl.launcher.worker", Kind::List(Item::Str), "[]")
        .help("Command that runs a job, without its folder; empty means this program. Needed where it lies elsewhere on the workers' machines."),
    Field::new("automl.launcher.cpus", Kind::Int, "4").min(1.0).max(1024.0)
        .help("CPU cores of a trial (SLURM, Kubernetes)."),
    Field::new("automl.launcher.memory", Kind::Str, "null")
        .help("Memory of a trial, in the batch system's notation (64G, 64Gi); null leaves it to the batch system."),
    Field::new("automl.launcher.gpus", Kind::Int, "null").min(0.0).max(64.0)
        .help("GPUs of a trial (SLURM, Kubernetes): null asks for as many as train.num_gpus says, 0 for none."),
    Field::new("automl.launcher.poll", Kind::Duration, "\"5s\"")
        .help("How often the batch system is asked for the states of its jobs."),
    Field::new("automl.launcher.partition", Kind::Str, "null")
        .help("SLURM partition."),
    Field::new("automl.launcher.account", Kind::Str, "null")
        .help("SLURM account."),
    Field::new("automl.launcher.qos", Kind::Str, "null")
        .help("SLURM quality of service."),
    Field::new("automl.launcher.gres", Kind::Str, "null")
        .help("SLURM generic resources such as gpu:a100:1; null asks for gpu:N."),
    Field::new("automl.launcher.time", Kind::Duration, "null")
        .help("SLURM time limit of a job; a trial that needs more goes on in another job."),
    Field::new("automl.launcher.signal_before", Kind::Duration, "\"2m\"")
        .help("How long before the end of the time limit a worker is told to write a checkpoint and end."),
    Field::new("automl.launcher.requeue", Kind::Bool, "true")
        .help("Let SLURM itself start a job again whose node failed or that had to make room for another."),
    Field::new("automl.launcher.extra_args", Kind::List(Item::Str), "[]")
        .help("Further arguments of sbatch or srun."),
    Field::new("automl.launcher.setup", Kind::List(Item::Str), "[]")
        .help("Shell lines before the worker, such as module load."),
    Field::new("automl.launcher.namespace", Kind::Str, "null")
        .help("Kubernetes namespace; null means that of the present context."),
    Field::new("automl.launcher.image", Kind::Str, "null")
        .help("Kubernetes: image of the worker."),
    Field::new("automl.launcher.volume_claim", Kind::Str, "null")
        .help("Kubernetes: persistent volume claim that holds the results folder."),
    Field::new("automl.launcher.mount_path", Kind::Str, "null")
        .help("Kubernetes: where the volume is mounted; the results folder lies below."),
    Field::new("automl.launcher.manifest", Kind::Str, "null")
        .help("Kubernetes: YAML of a Job that manifests start from (node selectors, tolerations, secrets)."),
    Field::new("automl.gpus", Kind::List(Item::Int), "null")
        .help("GPU indices the study may use; null means all that are visible."),
    Field::new("automl.trials_per_gpu", Kind::Int, "1").min(1.0).max(64.0)
        .help("Trials that share one GPU."),
    Field::new("automl.cpu_slots", Kind::Int, "0").min(0.0).max(1024.0)
        .help("Trials at the same time on a machine without a GPU; 0 means one for every physical core, at most 8."),
    Field::new("automl.pin_threads", Kind::Bool, "true")
        .help("Bind each CPU slot to cores of its own, where there are enough for all."),
    Field::new("automl.avoid_busy_gpus", Kind::Bool, "true")
        .help("Start nothing on a GPU that a process of someone else uses."),
    Field::new("automl.lost_after", Kind::Duration, "\"10m\"")
        .help("How long a worker may go without a heartbeat before it is killed and its trial tried again."),
    Field::new("evaluate", Kind::Section, "null").automl(false)
        .help("What is measured."),
    Field::new("evaluate.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("Sources of pairs; empty means dataset.val.datasets."),
    Field::new("evaluate.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder, or .tar.gz archive, of images."),
    Field::new("evaluate.datasets[].image_list_file", Kind::Str, "null")
        .help("Text file naming the images to use, one a line; null means all."),
    Field::new("evaluate.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder or archive of captions, named like the images; null means beside the images."),
    Field::new("evaluate.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Ending of caption files."),
    Field::new("evaluate.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with the kinds of captions and the attributes of training pairs, a row an image (docs/training.md)."),
    Field::new("evaluate.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with the attributes of validation pairs, in the same form; null takes X_pairs.json beside X_list.txt."),
    Field::new("evaluate.batch_size", Kind::Int, "16").min(1.0)
        .help("Pairs embedded at once."),
    Field::new("evaluate.num_workers", Kind::Int, "8").min(0.0)
        .help("Threads that decode and resize images."),
    Field::new("evaluate.checkpoint", Kind::Str, "null")
        .help("What to measure: a checkpoint folder, a weights file, hf:owner/name or an .onnx file."),
    Field::new("evaluate.num_gpus", Kind::Int, "1").min(1.0)
        .help("GPUs that measure."),
    Field::new("evaluate.gpu_ids", Kind::List(Item::Int), "[0]").automl(false)
        .help("Which GPUs."),
    Field::new("evaluate.results_dir", Kind::Str, "null")
        .help("Folder of the results; null means <results_dir>/evaluate."),
    Field::new("evaluate.trt_engine", Kind::Str, "null")
        .help("TensorRT engine to measure instead of a checkpoint."),
    Field::new("evaluate.text_file", Kind::Str, "null")
        .help("Texts without a hit, one a line: the best images for each are listed."),
    Field::new("evaluate.pas_ground_truth_mode", Kind::Choice(&["paired_caption", "scalar_attributes", "scalar_plus_accessories"]), "\"paired_caption\"")
        .help("What counts as a hit when attributes are searched for."),
    Field::new("evaluate.ground_truth", Kind::Choice(&["paired", "caption_groups"]), "\"paired\"")
        .help("As dataset.val.ground_truth, for the evaluate action."),
    Field::new("evaluate.per_query", Kind::Choice(&["csv", "parquet"]), "null")
        .help("Format of a file with the rank and score of every query; null writes none."),
    Field::new("evaluate.worst_queries", Kind::Int, "20").min(0.0)
        .help("How many of the worst and of the best queries are listed in each direction, with what was found."),
    Field::new("evaluate.classification", Kind::Section, "null").automl(false)
        .help("Naming the classes of images; measured when image_dir is set."),
    Field::new("evaluate.classification.image_dir", Kind::Str, "null")
        .help("Folder, or archive, with a folder of images for each class, or with the images that labels_file names."),
    Field::new("evaluate.classification.labels_file", Kind::Str, "null")
        .help("Lines of an image, a comma or tab, and its class, instead of folders."),
    Field::new("evaluate.classification.train_image_dir", Kind::Str, "null")
        .help("Labelled images that knn and linear_probe learn from."),
    Field::new("evaluate.classification.train_labels_file", Kind::Str, "null")
        .help("Classes of those images, as in labels_file."),
    Field::new("evaluate.classification.class_names", Kind::List(Item::Str), "[]").automl(false)
        .help("Names of the classes, in the order of their sorted labels; [] takes the labels."),
    Field::new("evaluate.classification.class_names_file", Kind::Str, "null")
        .help("The same, one a line; or lines of a label, a tab and its name."),
    Field::new("evaluate.classification.templates", Kind::Str, "\"photo\"")
        .help("Prompts of a class: plain, photo, photos or drawings, or a file with one template a line, {} for the name."),
    Field::new("evaluate.classification.methods", Kind::List(Item::Str), "[\"zero_shot\"]").automl(false)
        .help("How classes are found: zero_shot (by their names), knn and linear_probe (from labelled images)."),
    Field::new("evaluate.classification.knn_k", Kind::Int, "20").min(1.0)
        .help("Neighbours that vote."),
    Field::new("evaluate.classification.probe_c", Kind::Float, "null").min(0.0)
        .help("Inverse strength of the probe's penalty, as in scikit-learn; null chooses it on a fifth of the training images."),
    Field::new("inference", Kind::Section, "null").automl(false)
        .help("What is embedded."),
    Field::new("inference.datasets", Kind::List(Item::Entry), "[]").automl(false)
        .help("Sources of images; of several, each has a file of its own."),
    Field::new("inference.datasets[].image_dir", Kind::Str, "null").required()
        .help("Folder, or .tar.gz archive, of images."),
    Field::new("inference.datasets[].image_list_file", Kind::Str, "null")
        .help("Text file naming the images to use, one a line; null means all."),
    Field::new("inference.datasets[].caption_dir", Kind::Str, "null")
        .help("Folder or archive of captions, named like the images; null means beside the images."),
    Field::new("inference.datasets[].caption_file_suffix", Kind::Str, "\".txt\"")
        .help("Ending of caption files."),
    Field::new("inference.datasets[].train_pairs_file", Kind::Str, "null")
        .help("JSON with the kinds of captions and the attributes of training pairs, a row an image (docs/training.md)."),
    Field::new("inference.datasets[].attribute_pairs_file", Kind::Str, "null")
        .help("JSON with the attributes of validation pairs, in the same form; null takes X_pairs.json beside X_list.txt."),
    Field::new("inference.batch_size", Kind::Int, "16").min(1.0)
        .help("Images or texts embedded at once."),
    Field::new("inference.num_workers", Kind::Int, "8").min(0.0)
        .help("Threads that decode and resize images."),
    Field::new("inference.checkpoint", Kind::Str, "null")
        .help("What embeds: a checkpoint folder, a weights file, hf:owner/name or an .onnx file."),
    Field::new("inference.num_gpus", Kind::Int, "1").min(1.0)
        .help("GPUs that embed."),
    Field::new("inference.gpu_ids", Kind::List(Item::Int), "[0]").automl(false)
        .help("Which GPUs."),
    Field::new("inference.results_dir", Kind::Str, "null")
        .help("Folder of the embeddings; null means <results_dir>/inference."),
    Field::new("inference.trt_engine", Kind::Str, "null")
        .help("TensorRT engine that embeds instead of a checkpoint."),
    Field::new("inference.text_file", Kind::Str, "null")
        .help("Texts to embed, one a line."),
    Field::new("inference.output_format", Kind::Choice(&["h5", "safetensors", "npy", "parquet"]), "\"h5\"")
        .help("Format of the files: HDF5 in TAO's layout, safetensors, NumPy's or Parquet."),
    Field::new("export", Kind::Section, "null").automl(false)
        .help("The ONNX graph."),
    Field::new("export.checkpoint", Kind::Str, "null")
        .help("What to export: a checkpoint folder, a weights file or hf:owner/name."),
    Field::new("export.onnx_file", Kind::Str, "null")
        .help("The graph to write; null names it after the checkpoint, in the folder of the job."),
    Field::new("export.encoder_type", Kind::Choice(&["combined", "separate"]), "\"combined\"")
        .help("One graph of both towers (combined), or one of each (separate: _vision.onnx and _text.onnx)."),
    Field::new("export.opset_version", Kind::Int, "17").min(11.0)
        .help("ONNX operator set, 17 to 21."),
    Field::new("export.batch_size", Kind::Int, "-1")
        .help("Fixed batch of the graph; -1 lets it vary."),
    Field::new("export.input_height", Kind::Int, "256").min(32.0)
        .help("Height of the graph's images; the default stands for that of the model."),
    Field::new("export.input_width", Kind::Int, "256").min(32.0)
        .help("Width of the graph's images; the default stands for that of the model."),
    Field::new("export.gpu_id", Kind::Int, "0")
        .help("0: graphs are written and compared on the CPU."),
    Field::new("export.on_cpu", Kind::Bool, "false")
        .help("The same, whatever it says."),
    Field::new("export.input_channel", Kind::Int, "3").min(1.0)
        .help("Channels of an image."),
    Field::new("export.verbose", Kind::Bool, "false")
        .help("Say how long each part took."),
    Field::new("export.data_type", Kind::Choice(&["fp32", "fp16", "bf16"]), "\"fp32\"")
        .help("Kind of number that matrices are stored in; computation stays in 32 bits."),
    Field::new("export.parity_samples", Kind::Int, "64").min(1.0).max(4096.0)
        .help("Pairs that graph and model are compared on, at most."),
    Field::new("export.overwrite", Kind::Bool, "false")
        .help("Replace graphs that are there already."),
    Field::new("export.results_dir", Kind::Str, "null")
        .help("Folder of the graphs; null means <results_dir>/export."),
    Field::new("gen_trt_engine", Kind::Section, "null").automl(false)
        .help("The TensorRT engine."),
    Field::new("gen_trt_engine.results_dir", Kind::Str, "null")
        .help("Folder of the engine; null means <results_dir>/gen_trt_engine."),
    Field::new("gen_trt_engine.gpu_id", Kind::Int, "0").min(0.0).popular()
        .help("GPU the engine is built for, as a place among the visible ones; a promotion takes the first GPU of its study."),
    Field::new("gen_trt_engine.onnx_file", Kind::Str, "null").required()
        .help("The graph; of a separate pair the name without _vision or _text."),
    Field::new("gen_trt_engine.trt_engine", Kind::Str, "null").required()
        .help("The engine to write."),
    Field::new("gen_trt_engine.timing_cache", Kind::Str, "null")
        .help("null: no builder here reads timings of an earlier build."),
    Field::new("gen_trt_engine.batch_size", Kind::Int, "-1").min(-1.0).popular()
        .help("Batch the graph must have; -1 for one that varies."),
    Field::new("gen_trt_engine.verbose", Kind::Bool, "false")
        .help("Show all that the builder says."),
    Field::new("gen_trt_engine.tensorrt", Kind::Section, "null").automl(false)
        .help("The builder."),
    Field::new("gen_trt_engine.tensorrt.workspace_size", Kind::Int, "1024").min(0.0)
        .help("Memory of the builder in MiB."),
    Field::new("gen_trt_engine.tensorrt.min_batch_size", Kind::Int, "1").min(1.0).popular()
        .help("Smallest batch the engine takes."),
    Field::new("gen_trt_engine.tensorrt.opt_batch_size", Kind::Int, "1").min(1.0).popular()
        .help("Batch the engine is tuned for."),
    Field::new("gen_trt_engine.tensorrt.max_batch_size", Kind::Int, "16").min(1.0).popular()
        .help("Largest batch the engine takes."),
    Field::new("gen_trt_engine.tensorrt.layers_precision", Kind::List(Item::Str), "[]").automl(false)
        .help("Precision of single layers, as LAYER:fp32 or LAYER:fp16; LAYER is the name of a node of the graph, in which * stands for anything."),
    Field::new("gen_trt_engine.tensorrt.data_type", Kind::Choice(&["fp32", "fp16"]), "\"fp32\"")
        .help("Precision of the engine."),
    Field::new("wandb", Kind::Section, "null").automl(false)
        .help("Weights & Biases."),
    Field::new("wandb.enable", Kind::Bool, "true")
        .help("Switch it on or off."),
    Field::new("wandb.project", Kind::Str, "\"TAO Toolkit\"")
        .help("Project of the run."),
    Field::new("wandb.entity", Kind::Str, "\"\"")
        .help("Team or user."),
    Field::new("wandb.group", Kind::Str, "\"\"")
        .help("Group of the run."),
    Field::new("wandb.tags", Kind::List(Item::Str), "[\"training\", \"tao-toolkit\"]").automl(false)
        .help("Labels of the run."),
    Field::new("wandb.reinit", Kind::Bool, "false")
        .help("Allow several runs in one process."),
    Field::new("wandb.sync_tensorboard", Kind::Bool, "false")
        .help("Mirror TensorBoard scalars."),
    Field::new("wandb.save_code", Kind::Bool, "false")
        .help("Upload the program."),
    Field::new("wandb.name", Kind::Str, "\"TAO Toolkit training experiment\"")
        .help("Name of the run."),
    Field::new("wandb.run_id", Kind::Str, "\"\"")
        .help("Id of a run to continue."),
];
