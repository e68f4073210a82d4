//! The examples that stand first in every `--help` and in every manual page: one table, of which a test parses every line.

/// Examples of a command: its name (`store check`), then lines and what they are for.
type Examples = (&'static str, &'static [(&'static str, &'static str)]);

const TABLE: &[Examples] = &[
    (
        "",
        &[
            ("cliptune train -e templates/train.yaml --dry-run", "what would be tuned, and how"),
            ("cliptune train -e spec.yaml --results-dir out", "a study: tune, rank, promote"),
            ("cliptune train -e spec.yaml --automl off", "one training"),
            ("cliptune tui out", "watch and steer it"),
            ("cliptune --explain out_of_memory", "what a code means and what to do"),
        ],
    ),
    (
        "train",
        &[
            ("cliptune train -e spec.yaml --dry-run", "the plan and the first suggestions; writes nothing"),
            ("cliptune train -e spec.yaml --results-dir out", "a study"),
            ("cliptune train -e spec.yaml --results-dir out --resume", "go on after an interruption"),
            ("cliptune train -e spec.yaml --automl off", "one training"),
            ("cliptune train -e spec.yaml train.optim.vision_lr=1e-5", "a value given, not searched"),
            ("cliptune train -e spec.yaml 'automl.space.train.optim.text_lr=log(1e-7,1e-4)'", "another range"),
        ],
    ),
    (
        "evaluate",
        &[
            ("cliptune evaluate --parent out", "the best checkpoint of a study on its validation set"),
            ("cliptune evaluate -e evaluate.yaml evaluate.checkpoint=best.onnx", "an exported graph"),
            ("cliptune evaluate --parent out --json", "metrics for other programs"),
        ],
    ),
    (
        "inference",
        &[
            ("cliptune inference --parent out inference.text_file=prompts.txt", "embeddings of prompts"),
            ("cliptune inference -e inference.yaml", "embeddings of image folders"),
        ],
    ),
    (
        "query",
        &[
            ("cliptune query 'red' --in photos --parent out", "the best images of a folder for a text"),
            (
                "cliptune query --image cat.png --in image_embeddings.h5 --checkpoint model",
                "for an image, in embeddings",
            ),
        ],
    ),
    (
        "export",
        &[
            ("cliptune export --parent out", "the best checkpoint as an ONNX graph"),
            ("cliptune export --parent out export.encoder_type=separate", "a graph for each tower"),
            ("cliptune export tensorboard out -o runs", "a study for TensorBoard; other tools below"),
        ],
    ),
    (
        "export tensorboard",
        &[
            ("cliptune export tensorboard out -o runs", "then: tensorboard --logdir runs"),
            ("cliptune export tensorboard out -o runs --follow", "while the study runs"),
        ],
    ),
    (
        "export optuna-journal",
        &[("cliptune export optuna-journal out -o optuna.log", "then: optuna-dashboard optuna.log")],
    ),
    ("export mlflow", &[("cliptune export mlflow out -o mlflow", "requests, and a script that sends them")]),
    ("export wandb", &[("cliptune export wandb out -o wandb", "runs, and a script that logs them")]),
    (
        "export tao-status",
        &[("cliptune export tao-status out -o status", "lines of status.json, a file for each trial")],
    ),
    (
        "gen_trt_engine",
        &[
            ("cliptune gen_trt_engine --parent out --dry-run", "the range of shapes of each engine"),
            ("cliptune gen_trt_engine --parent out gen_trt_engine.tensorrt.data_type=fp16", "a 16-bit engine"),
        ],
    ),
    (
        "sweep",
        &[
            ("cliptune sweep -e a.yaml -e b.yaml --seeds 0,1,2 --results-dir out", "six studies, one report"),
            ("cliptune sweep -e a.yaml --results-dir out --report-only", "what is there already"),
        ],
    ),
    ("reproduce", &[("cliptune reproduce out 11", "trial 11 once more, compared bit by bit")]),
    (
        "status",
        &[("cliptune status out", "how the study stands"), ("cliptune status out --json", "the same for scripts")],
    ),
    (
        "trials",
        &[
            ("cliptune trials out", "the leaderboard"),
            ("cliptune trials out --format csv > trials.csv", "with full keys and numbers"),
            ("cliptune trials out --pareto", "of several objectives"),
        ],
    ),
    (
        "show",
        &[
            ("cliptune show out 11", "parameters, curve, checkpoint"),
            ("cliptune show out 11 --format csv", "its curve"),
        ],
    ),
    (
        "logs",
        &[
            ("cliptune logs out 11 --follow", "its console as it grows"),
            ("cliptune logs out 11 --json", "its events, one JSON object a line"),
        ],
    ),
    (
        "compare",
        &[
            ("cliptune compare out_a out_b", "studies side by side"),
            ("cliptune compare out_a out_b --format md", "for a report"),
        ],
    ),
    ("importance", &[("cliptune importance out", "the share of each parameter in the metric's variance")]),
    (
        "report",
        &[
            ("cliptune report out", "out.html, one file that needs no other"),
            ("cliptune report out --format md > report.md", "tables"),
            ("cliptune report out --format png -o plots", "a PNG for every plot"),
        ],
    ),
    (
        "stop",
        &[
            ("cliptune stop out", "the study, with checkpoints"),
            ("cliptune stop out 11", "one trial for good"),
            ("cliptune stop out 11 --kill", "the same, without waiting for a checkpoint"),
        ],
    ),
    (
        "pause",
        &[("cliptune pause out", "start no new trials"), ("cliptune pause out 11", "one trial, with a checkpoint")],
    ),
    ("resume", &[("cliptune resume out", "start trials again"), ("cliptune resume out 11", "one trial")]),
    (
        "add",
        &[
            ("cliptune add out --trials 5", "of the sampler's choice"),
            ("cliptune add out train.optim.vision_lr=3e-5", "one at a point of yours"),
        ],
    ),
    ("priority", &[("cliptune priority out 11 2", "before waiting trials of lower priority")]),
    ("retry", &[("cliptune retry out 11", "a failed trial once more")]),
    (
        "promote",
        &[
            ("cliptune promote out --dry-run", "what would be made of which checkpoint"),
            ("cliptune promote out", "the best trial"),
            ("cliptune promote out 11", "another one"),
            ("cliptune promote out --rollback", "the promotion before the current one"),
            ("cliptune promote out --layout triton", "a model repository for Triton"),
        ],
    ),
    (
        "store",
        &[
            ("cliptune store check out --deep", "everything against its checksum"),
            ("cliptune store rebuild out", "what is derived, made anew"),
        ],
    ),
    ("store check", &[("cliptune store check out --deep", "journals, checkpoints and promoted files")]),
    ("store jobs", &[("cliptune store jobs out", "what each job started from and how it ended")]),
    ("store rebuild", &[("cliptune store rebuild out --cut-damaged", "keep what is before the damage")]),
    (
        "tui",
        &[
            ("cliptune tui out", "one study"),
            ("cliptune tui sweep_out", "every study below the folder"),
            ("cliptune tui out_a out_b --read-only", "look, change nothing"),
        ],
    ),
    ("search", &[("cliptune search --sampler tpe --scheduler asha", "JSON lines on stdin and stdout")]),
    (
        "space",
        &[
            ("cliptune space show spec.yaml", "what would be searched"),
            ("cliptune space check spec.yaml automl.search_space=my_space.yaml", "whether a file is right"),
        ],
    ),
    (
        "spec",
        &[
            ("cliptune spec template train > spec.yaml", "every key with default, range and meaning"),
            ("cliptune spec check spec.yaml", "every mistake at once"),
            ("cliptune spec show spec.yaml --origin", "where each value comes from"),
            ("cliptune spec reference > spec.md", "every key as a page"),
        ],
    ),
    ("schema", &[("cliptune schema train > train.schema.json", "for editors and other programs")]),
    (
        "data",
        &[
            ("cliptune data check spec.yaml", "every missing caption and broken image at once"),
            ("cliptune data inspect spec.yaml --format md", "sizes, captions, formats"),
        ],
    ),
    (
        "model",
        &[
            ("cliptune model list", "every type, with the memory to train it"),
            ("cliptune model show siglip2-so400m-patch16-256 --batch 64", "one in full"),
        ],
    ),
    (
        "weights",
        &[
            ("cliptune weights check model.safetensors --model ViT-B-16", "whether they fit"),
            (
                "cliptune weights convert hf:openai/clip-vit-base-patch16 --model ViT-B-16 --out folder",
                "to another layout",
            ),
        ],
    ),
    (
        "bench",
        &[
            ("cliptune bench train --config open_clip.json --batch 128", "images a second in training"),
            ("cliptune bench eval --pairs 10000", "metrics of random pairs"),
        ],
    ),
    (
        "doctor",
        &[("cliptune doctor", "what is missing and how to get it"), ("cliptune doctor --json", "the same for scripts")],
    ),
    (
        "completions",
        &[
            ("cliptune completions bash > ~/.local/share/bash-completion/completions/cliptune", "bash"),
            ("cliptune completions zsh > ~/.zfunc/_cliptune", "zsh, with ~/.zfunc in fpath"),
            ("cliptune completions fish > ~/.config/fish/completions/cliptune.fish", "fish"),
            ("cliptune completions powershell >> $PROFILE", "PowerShell"),
        ],
    ),
    ("man", &[("cliptune man ~/.local/share/man/man1", "a page for each command")]),
];

/// The command tree with examples first in every long help.
pub(super) fn with_examples(command: clap::Command) -> clap::Command {
    TABLE.iter().fold(command, |command, (path, lines)| {
        let text = examples(lines);
        let path: Vec<&str> = path.split_whitespace().collect();
        at(command, &path, &text)
    })
}

fn at(command: clap::Command, path: &[&str], text: &str) -> clap::Command {
    match path {
        [] => command.before_long_help(text.to_owned()),
        [first, rest @ ..] => command.mut_subcommand(first, |below| at(below, rest, text)),
    }
}

/// The lines with what they are for, in two columns where they are short enough.
fn examples(lines: &[(&str, &str)]) -> String {
    const WIDEST: usize = 64;
    let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|w| *w <= WIDEST).max().unwrap_or(0);
    let shown = lines.iter().map(|(line, what)| format!("  {line:<width$}  {what}"));
    format!("Examples:\n{}", shown.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let line = line.split(" >").next().unwrap_or(line);
        line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    #[test]
    fn every_example_is_a_command_line() {
        for (path, lines) in TABLE {
            for (line, _) in *lines {
                let parsed = crate::cli::command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
                assert!(line.starts_with(format!("cliptune {path}").trim_end()), "{line} is no example of {path}");
            }
        }
    }

    #[test]
    fn every_command_has_examples() {
        fn missing(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let path = format!("{path} {}", below.get_name());
                if below.get_before_long_help().is_none() {
                    found.push(path.clone());
                }
                missing(below, &path, found);
            }
        }
        let mut found = Vec::new();
        missing(&crate::cli::command(), "", &mut found);
        assert!(found.is_empty(), "no examples: {found:?}");
    }
}
