//! What to tell somebody who wrote a key that does not exist: the classic mistakes first, then the nearest key.

use super::schema::{self, Field};
use super::schema_table::FIELDS;

/// Short and foreign names that people try, and the key they mean.
const MEANT: &[(&str, &str)] = &[
    ("model_type", "model.type"),
    ("lr", "train.optim.vision_lr and train.optim.text_lr"),
    ("learning_rate", "train.optim.vision_lr and train.optim.text_lr"),
    ("epochs", "train.num_epochs"),
    ("max_steps", "train.num_epochs"),
    ("pretrained", "train.pretrained_model_path"),
    ("train_datasets", "dataset.train.datasets"),
    ("val_datasets", "dataset.val.datasets"),
    ("n_trials", "automl.max_trials"),
    ("automl_max_recommendations", "automl.max_trials"),
    ("automl_algorithm", "automl.algorithm"),
    ("automl_enabled", "automl_policy (auto or off)"),
];

/// Where a key with a familiar name belongs, best first.
const HOMES: &[&str] = &["train", "train.optim", "dataset.train", "model", "automl", "dataset"];

/// The help for the unknown key `path`.
pub(super) fn help(path: &str) -> String {
    let table = schema::table_path(path);
    let (parent, name) = table.rsplit_once('.').unwrap_or(("", &table));
    if matches!(name, "image_size" | "input_size" | "resolution" | "input_height" | "input_width") {
        return "model.image_size is the side of training images; export.input_height and export.input_width are the sides of the exported graph".to_owned();
    }
    let home = HOMES.iter().find(|section| schema::field(&format!("{section}.{name}")).is_some());
    if let (true, Some(section)) = (parent.is_empty(), home) {
        return format!("{name} belongs under {section}.: write {section}.{name}");
    }
    if let Some((_, meant)) = MEANT.iter().find(|(short, _)| *short == name) {
        return format!("write {meant}");
    }
    let distance = |field: &Field| strsim::damerau_levenshtein(field.name(), name);
    let sibling = schema::children(parent).map(|f| (distance(f), f)).min_by_key(|(d, _)| *d);
    if let Some((_, field)) = sibling.filter(|(d, _)| *d <= 1 + name.len() / 4) {
        return format!("did you mean {}?", concrete(path, field.name()));
    }
    if let Some(section) = home {
        return format!("did you mean {section}.{name}?");
    }
    let same_name = FIELDS.iter().find(|f| f.name() == name && !f.path.contains("[]"));
    let nearest = || FIELDS.iter().map(|f| (strsim::damerau_levenshtein(f.path, &table), f)).min_by_key(|(d, _)| *d);
    match same_name.or_else(|| nearest().filter(|(d, _)| *d <= 1 + table.len() / 5).map(|(_, f)| f)) {
        Some(field) => format!("did you mean {}?", field.path),
        None if parent.ends_with("[]") => {
            let names: Vec<&str> = schema::children(parent).map(Field::name).collect();
            format!("an entry has {}", names.join(", "))
        }
        None => "`cliptune spec template train` lists every key".to_owned(),
    }
}

/// `path` with another last part.
fn concrete(path: &str, name: &str) -> String {
    path.rsplit_once('.').map_or_else(|| name.to_owned(), |(parent, _)| format!("{parent}.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_mistakes_are_told_where_the_key_lives() {
        for (path, words) in [
            ("num_epochs", "train.num_epochs"),
            ("num_gpus", "belongs under train."),
            ("vision_lr", "train.optim.vision_lr"),
            ("batch_size", "dataset.train.batch_size"),
            ("model_type", "model.type"),
            ("train.vision_lr", "train.optim.vision_lr"),
            ("train.optim.vison_lr", "train.optim.vision_lr"),
            ("train.optim.lr", "train.optim.text_lr"),
            ("export.image_size", "export.input_height"),
            ("model.input_height", "model.image_size"),
            ("dataset.train.datasets.0.image_dri", "dataset.train.datasets.0.image_dir"),
            ("dataset.train.datasets.0.zzzzzzzz", "an entry has image_dir"),
            ("qqqqqqqqqqqqqqqqq", "spec template"),
        ] {
            assert!(help(path).contains(words), "{path}: {}", help(path));
        }
    }
}
