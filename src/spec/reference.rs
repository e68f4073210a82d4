//! The reference of the spec as a page of Markdown, from the table: a section each, and its keys with type, default, range
//! and meaning.

use super::schema::{self, Field, Item, Kind};
use super::value;

/// The page.
pub fn markdown() -> String {
    let mut out = String::from(
        "# The spec\n\n\
         Every key of a spec file, generated from the table that checks specs (`cliptune spec reference`). Keys may be left out;\n\
         `cliptune spec template ACTION` prints the ones that an action reads, and `cliptune spec show SPEC.yaml --origin` says where\n\
         each value came from: the default below, the file, a `--parent`, the variable `CLIPTUNE_RESULTS_DIR` (for `results_dir` only)\n\
         or the command line, later ones winning. On the command line: `a.b=1`, `+a.new=1` where a section is open, `~a.b` for the\n\
         default, `${results_dir}` and `${env:NAME}` inside texts.\n\n\
         *Searched* keys are in the search space that the schema marks; *fixed* ones are never searched (docs/search_spaces.md).\n",
    );
    table("", &mut out);
    for field in schema::children("").filter(|f| f.kind == Kind::Section) {
        section(field, &mut out);
    }
    out
}

fn section(field: &Field, out: &mut String) {
    out.push_str(&format!("\n## {}\n\n{}\n", field.path, field.help));
    table(field.path, out);
    for below in schema::children(field.path) {
        match below.kind {
            Kind::Section => section(below, out),
            Kind::List(Item::Entry) => {
                out.push_str(&format!("\n## {}[]\n\nAn entry of {}.\n", below.path, below.path));
                table(&format!("{}[]", below.path), out);
            }
            _ => {}
        }
    }
}

/// The keys directly below a section that are not sections themselves.
fn table(section: &str, out: &mut String) {
    let mut rows = schema::children(section).filter(|f| f.kind != Kind::Section).peekable();
    if rows.peek().is_none() {
        return;
    }
    out.push_str("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for field in rows {
        let default = if field.required { "required".to_owned() } else { format!("`{}`", field.default) };
        let cells = [format!("`{}`", field.path), kind(field), default, meaning(field)];
        out.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
}

fn kind(field: &Field) -> String {
    match (field.kind, field.min, field.max) {
        (Kind::Choice(options), ..) => options.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", "),
        (_, None, None) => field.expected(),
        _ => format!("{}, {}", field.expected(), value::range(field)),
    }
}

fn meaning(field: &Field) -> String {
    match field.automl {
        Some(true) => format!("{} *Searched.*", field.help),
        Some(false) if !matches!(field.kind, Kind::List(_)) => format!("{} *Fixed.*", field.help),
        _ => field.help.to_owned(),
    }
}
