//! The leaderboard as comma-separated values, for spreadsheets.

use std::collections::BTreeSet;

use super::study::StudyState;

/// One line a trial, best first, with a column for every parameter that any trial has.
pub fn csv(state: &StudyState) -> String {
    let keys: BTreeSet<&String> = state.trials.values().flat_map(|t| t.params.keys()).collect();
    let mut text = String::from("rank,trial,state,value,best_epoch,epochs,budget,seconds");
    for key in &keys {
        text.push(',');
        text.push_str(&quoted(key));
    }
    text.push('\n');
    let now = state.last_event.unwrap_or_default();
    for (i, id) in state.leaderboard().iter().enumerate() {
        let Some(t) = state.trials.get(id) else { continue };
        let optional = |n: Option<String>| n.unwrap_or_default();
        text.push_str(&format!(
            "{},{},{},{},{},{},{},{:.1}",
            i + 1,
            t.id.0,
            t.state.name(),
            optional(t.value.map(|v| v.to_string())),
            optional(t.best_epoch.map(|e| e.to_string())),
            t.epochs,
            t.budget,
            t.seconds(now),
        ));
        for key in &keys {
            text.push(',');
            if let Some(value) = t.params.get(*key) {
                let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text.push_str(&quoted(&plain));
            }
        }
        text.push('\n');
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_with_a_comma_or_a_quote_is_quoted() {
        assert_eq!([quoted("a,b"), quoted("c"), quoted("d\"e")], ["\"a,b\"", "c", "\"d\"\"e\""]);
    }
}
