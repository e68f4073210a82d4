//! A report as one HTML file that needs nothing else: no network, no other file. It reads without its script, which only adds
//! what appears under the pointer and sorts tables.
//!
//! Invariant: the page asks for nothing and runs its own script alone. Its policy says so to the browser, so that words of
//! others could not change that even if one were written into it unescaped.

mod gallery;
mod sections;
mod table;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::content::Content;
use super::draw::ink;
use super::escape::escape;
use super::facts;
use crate::base::units;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page.
pub fn html(content: &Content<'_>) -> String {
    let parts = sections::all(content);
    let links: String = parts.iter().map(|s| format!("<a href=\"#{}\">{}</a>", s.id, escape(s.link))).collect();
    let body: String = grouped(&parts);
    let style = STYLE.replace("/*light*/", &ink::variables(false)).replace("/*dark*/", &ink::variables(true));
    let name = escape(content.name());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"generator\" content=\"cliptune {version}\">\n\
         <title>{name} – cliptune report</title>\n<style>\n{style}{rules}</style>\n</head>\n<body>\n\
         <header>\n<h1>{name}<span class=\"badge\">{phase}</span></h1>\n<p class=\"sub\">{about}</p>\n<p class=\"verdict\">{verdict}</p>\n{tiles}</header>\n\
         <nav><div>{links}<button id=\"theme\" type=\"button\" title=\"light or dark\">◐</button></div></nav>\n\
         <main>\n{body}</main>\n<footer><p>{made}</p></footer>\n<div id=\"tip\" role=\"status\"></div>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes())),
        version = crate::base::version::PACKAGE,
        rules = ink::rules(),
        phase = escape(content.phase),
        about = escape(&about(content)),
        verdict = escape(&facts::verdict(content)),
        tiles = tiles(content),
        made = escape(&made(content)),
    )
}

/// Sections that take half a row stand in pairs.
fn grouped(parts: &[sections::Section]) -> String {
    let mut text = String::new();
    let mut rest = parts;
    while let Some(first) = rest.first() {
        let halves = rest.iter().take_while(|s| s.half).count();
        if halves == 0 {
            text.push_str(&first.html());
            rest = &rest[1..];
        } else {
            let row: String = rest[..halves].iter().map(sections::Section::html).collect();
            text.push_str(&format!("<div class=\"pair\">\n{row}</div>\n"));
            rest = &rest[halves..];
        }
    }
    text
}

fn about(content: &Content<'_>) -> String {
    let Some(meta) = &content.state.meta else { return "nothing has happened yet".to_owned() };
    let scheduler = if meta.scheduler == "none" { String::new() } else { format!(" with {}", meta.scheduler) };
    format!(
        "{} by {}{scheduler}, seed {}, {} of at most {}, begun {}",
        meta.metric,
        meta.sampler,
        meta.seed,
        units::plural(content.state.trials.len(), "trial"),
        units::plural(meta.max_epochs as usize, "epoch"),
        meta.created.strftime("%Y-%m-%d %H:%M UTC"),
    )
}

fn made(content: &Content<'_>) -> String {
    format!(
        "Made by cliptune {} on {} from the journals in {}. The best and the baseline are judged by {} alone.",
        crate::base::version::PACKAGE,
        content.made.strftime("%Y-%m-%d %H:%M UTC"),
        content.dir.path().display(),
        content.state.metric(),
    )
}

fn tiles(content: &Content<'_>) -> String {
    let tile = |f: facts::Fact| {
        format!(
            "<div class=\"tile\"><span>{}</span><b>{}</b><span>{}</span></div>\n",
            escape(&f.name),
            escape(&f.value),
            escape(&f.note)
        )
    };
    format!("<div class=\"tiles\">\n{}</div>\n", facts::summary(content).into_iter().map(tile).collect::<String>())
}
