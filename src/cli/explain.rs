//! `cliptune --explain CODE`: what an exit code or a kind of failure means and what to do about it, from their two tables.

use super::output;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::{self, ExitCode};
use crate::journal::failure;

/// Runs `--explain`; an empty code asks for the list.
///
/// # Errors
/// When there is no such code.
pub fn run(code: &str) -> Result<ExitCode, Problems> {
    if code.is_empty() {
        output::data(&list());
        return Ok(ExitCode::Ok);
    }
    let text = explain(code);
    if text.is_empty() {
        let near = codes().min_by_key(|known| strsim::damerau_levenshtein(known, code)).unwrap_or_default();
        let help = format!("did you mean {near}? `cliptune --explain` lists all codes");
        return Err(Problems::one(ExitCode::Usage, Problem::new(format!("there is no code {code}")).help(help)));
    }
    output::data(&text);
    Ok(ExitCode::Ok)
}

/// Every code that can be asked for, numbers left out.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    let failures = failure::TABLE.iter().map(|row| row.code);
    exit::TABLE.iter().map(|row| row.name).chain(failures.filter(|code| exit::TABLE.iter().all(|r| r.name != *code)))
}

fn explain(code: &str) -> String {
    let exits = exit::TABLE.iter().filter(|row| row.name == code || (row.code as u8).to_string() == code);
    let mut parts: Vec<String> = exits
        .map(|row| format!("exit code {} ({}): {}\n\n{}", row.code as u8, row.name, row.meaning, row.more))
        .collect();
    parts.extend(failure::TABLE.iter().filter(|row| row.code == code).map(|row| {
        format!(
            "failure {}: {}\n\nWhat to do: {}.\nIn a study: {}.\nA single job that fails so ends with exit code {} ({}).",
            row.code,
            row.meaning,
            row.help,
            row.policy.sentence(),
            row.exit as u8,
            row.exit.row().name,
        )
    }));
    parts.join("\n\n")
}

fn list() -> String {
    let exits = exit::TABLE.iter().map(|row| format!("{:>5}  {:<20} {}", row.code as u8, row.name, row.meaning));
    let failures = failure::TABLE.iter().map(|row| format!("{:>5}  {:<20} {}", row.exit as u8, row.code, row.meaning));
    let part = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        format!("{title}\n{}", lines.collect::<Vec<_>>().join("\n"))
    };
    format!(
        "{}\n\n{}",
        part("exit codes", &mut exits.into_iter()),
        part("failures of trials and jobs, with the exit code of a single job", &mut failures.into_iter())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_knows_every_code_by_name_and_number() {
        for code in codes() {
            assert!(!explain(code).is_empty(), "{code}");
        }
        for row in exit::TABLE {
            assert_eq!(explain(&(row.code as u8).to_string()), explain(row.name).split("\n\nfailure ").next().unwrap());
        }
        assert!(
            explain("unavailable").contains("exit code 8") && explain("unavailable").contains("failure unavailable")
        );
        assert_eq!(explain("nothing"), "");
    }
}
