//! Colours and symbols by role, and what is left of them on lesser terminals.
//!
//! Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart, at the nearest entries of the
//! 256-colour palette. Every colour goes with a symbol, so a screen without colour says the same.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use crate::state::TrialStatus;

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None, or the user wants none.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// 256 and more.
    Many,
}

/// The looks of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours.
    pub colours: Colours,
    /// Only ASCII symbols.
    pub ascii: bool,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// Titles.
    Title,
    /// What matters less.
    Muted,
    /// What a key does, what can be acted on.
    Accent,
    /// Done, alive.
    Good,
    /// In progress.
    Active,
    /// Worth a look.
    Warn,
    /// Failed.
    Bad,
}

const OKABE_ITO: [u8; 7] = [74, 214, 36, 175, 227, 25, 166];

impl Theme {
    /// The theme for the environment `get` reads (`NO_COLOR`, `TERM`, `COLORTERM`, `LC_ALL`, `LC_CTYPE`, `LANG`).
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let dumb = term.is_empty() || term == "dumb";
        let colours = if dumb || set("NO_COLOR").is_some() {
            Colours::None
        } else if set("COLORTERM").is_some() || term.contains("256color") || term.contains("direct") {
            Colours::Many
        } else {
            Colours::Sixteen
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).unwrap_or_default();
        let utf8 = ["utf-8", "utf8"].iter().any(|name| locale.to_lowercase().contains(name));
        // The kernel's console has a font of 256 or 512 glyphs without braille.
        Self { colours, ascii: dumb || !utf8 || term == "linux" }
    }

    /// The style of a role.
    pub fn style(self, role: Role) -> Style {
        let style = Style::new();
        let style = match role {
            Role::Title | Role::Bad => style.add_modifier(Modifier::BOLD),
            Role::Muted => style.add_modifier(Modifier::DIM),
            _ => style,
        };
        let (many, sixteen) = match role {
            Role::Text | Role::Title => return style,
            Role::Muted => (Color::Indexed(245), Color::DarkGray),
            Role::Accent => (Color::Indexed(74), Color::Cyan),
            Role::Good => (Color::Indexed(36), Color::Green),
            Role::Active => (Color::Indexed(214), Color::Yellow),
            Role::Warn => (Color::Indexed(227), Color::LightYellow),
            Role::Bad => (Color::Indexed(166), Color::Red),
        };
        match self.colours {
            Colours::None => style,
            Colours::Sixteen => style.fg(sixteen).remove_modifier(Modifier::DIM),
            Colours::Many => style.fg(many).remove_modifier(Modifier::DIM),
        }
    }

    /// The selected row: reversed, which every terminal has.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The style of the `index`th curve.
    pub fn series(self, index: usize) -> Style {
        const SIXTEEN: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];
        match self.colours {
            Colours::None => Style::new(),
            Colours::Sixteen => Style::new().fg(SIXTEEN[index % SIXTEEN.len()]),
            Colours::Many => Style::new().fg(Color::Indexed(OKABE_ITO[index % OKABE_ITO.len()])),
        }
    }

    /// The marker of the `index`th curve, in ASCII plots and legends.
    pub fn marker(self, index: usize) -> char {
        const PLAIN: [char; 8] = ['*', 'o', '+', 'x', '#', '@', '%', '&'];
        const RICH: [char; 8] = ['●', '■', '▲', '◆', '○', '□', '△', '◇'];
        if self.ascii { PLAIN[index % 8] } else { RICH[index % 8] }
    }

    /// The symbol and the role of a status.
    pub fn status(self, status: TrialStatus) -> (char, Role) {
        let (rich, plain, role) = match status {
            TrialStatus::Running => ('●', '*', Role::Active),
            TrialStatus::Queued => ('◌', '.', Role::Muted),
            TrialStatus::Launching => ('◔', ',', Role::Active),
            TrialStatus::Paused => ('‖', '=', Role::Warn),
            TrialStatus::Completed => ('✔', '+', Role::Good),
            TrialStatus::Pruned => ('✂', '-', Role::Muted),
            TrialStatus::Failed => ('✖', 'x', Role::Bad),
            TrialStatus::Cancelled => ('■', 'o', Role::Muted),
        };
        (if self.ascii { plain } else { rich }, role)
    }

    /// `rich`, or `plain` where only ASCII is safe.
    pub fn pick<T>(self, rich: T, plain: T) -> T {
        if self.ascii { plain } else { rich }
    }

    /// The lines around a panel.
    pub fn border(self) -> border::Set<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        self.pick(border::PLAIN, ASCII)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Theme {
        Theme::detect(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn detect_falls_back_step_by_step() {
        let theme = |colours, ascii| Theme { colours, ascii };
        let utf8 = ("LANG", "C.UTF-8");
        assert_eq!(detect(&[("TERM", "xterm-256color"), utf8]), theme(Colours::Many, false));
        assert_eq!(detect(&[("TERM", "xterm"), utf8]), theme(Colours::Sixteen, false));
        assert_eq!(detect(&[("TERM", "xterm-256color"), utf8, ("NO_COLOR", "1")]), theme(Colours::None, false));
        assert_eq!(detect(&[("TERM", "xterm-256color"), utf8, ("NO_COLOR", "")]), theme(Colours::Many, false));
        assert_eq!(detect(&[("TERM", "xterm-256color"), utf8, ("LC_ALL", "C")]), theme(Colours::Many, true));
        assert_eq!(detect(&[("TERM", "dumb"), utf8]), theme(Colours::None, true));
        assert_eq!(detect(&[]), theme(Colours::None, true));
    }

    #[test]
    fn ascii_theme_has_no_symbol_beyond_ascii() {
        let theme = Theme { colours: Colours::None, ascii: true };
        for status in TrialStatus::ALL {
            assert!(theme.status(status).0.is_ascii());
        }
        assert!((0..9).all(|i| theme.marker(i).is_ascii()));
    }
}
