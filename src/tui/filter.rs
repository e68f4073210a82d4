//! The filter language of the trial table: words, `state:failed`, `lr>1e-4`, `-not`, `a | b`.

use super::rows::{Trial, short};

/// A filter; the empty one lets everything through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Any of these must hold; in each of them, all terms must.
    any: Vec<Vec<Term>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    State(String),
    Number { key: String, comparison: Comparison, limit: f64 },
    Word(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
}

/// Longer operators first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Comparison); 5] = [
    (">=", Comparison::GreaterEqual),
    ("<=", Comparison::LessEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];

impl Filter {
    /// Reads a filter. Every text is one: what is no comparison is a word to look for.
    pub fn parse(text: &str) -> Self {
        let any = text
            .split('|')
            .map(|terms| terms.split_whitespace().map(Term::parse).collect::<Vec<_>>())
            .filter(|terms| !terms.is_empty())
            .collect();
        Self { any }
    }

    /// Whether the trial passes.
    pub fn passes(&self, trial: &Trial) -> bool {
        self.any.is_empty() || self.any.iter().any(|terms| terms.iter().all(|term| term.holds(trial)))
    }
}

impl Term {
    fn parse(text: &str) -> Self {
        let (negated, text) = match text.strip_prefix('-') {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, text),
        };
        Self { negated, test: Test::parse(text) }
    }

    fn holds(&self, trial: &Trial) -> bool {
        self.test.holds(trial) != self.negated
    }
}

impl Test {
    fn parse(text: &str) -> Self {
        if let Some(state) = text.strip_prefix("state:") {
            return Self::State(state.to_lowercase());
        }
        let compared = OPERATORS.iter().find_map(|&(sign, comparison)| {
            let (key, limit) = text.split_once(sign)?;
            Some(Self::Number { key: key.to_owned(), comparison, limit: limit.parse().ok()? })
        });
        compared.unwrap_or_else(|| Self::Word(text.to_lowercase()))
    }

    fn holds(&self, trial: &Trial) -> bool {
        match self {
            Self::State(state) => trial.status.name().starts_with(state),
            Self::Number { key, comparison, limit } => {
                numbers(trial, key).into_iter().any(|value| comparison.holds(value, *limit))
            }
            Self::Word(word) => haystack(trial).contains(word),
        }
    }
}

impl Comparison {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}

/// The numbers of the trial that `key` means; `lr` means every learning rate.
fn numbers(trial: &Trial, key: &str) -> Vec<f64> {
    match key {
        "id" => vec![f64::from(trial.id.0)],
        "value" | "map" | "mAP" => trial.value.into_iter().collect(),
        "epochs" => vec![f64::from(trial.epochs)],
        "loss" => trial.loss.into_iter().collect(),
        "lr" => [trial.rates.0, trial.rates.1].into_iter().flatten().collect(),
        _ => trial
            .params
            .iter()
            .filter(|(name, _)| *name == key || short(name) == key)
            .filter_map(|(_, value)| value.as_f64())
            .collect(),
    }
}

fn haystack(trial: &Trial) -> String {
    let mut text = format!("{} {} {}", trial.id, trial.status.name(), trial.slot);
    for (key, value) in &trial.params {
        text.push_str(&format!(" {key}={value}"));
    }
    if let Some((code, message)) = &trial.failure {
        text.push_str(&format!(" {code} {message}"));
    }
    text.to_lowercase()
}
