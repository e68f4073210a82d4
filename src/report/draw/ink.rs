//! What colours mean. The palette is that of Okabe and Ito, which people with any kind of colour vision tell apart.

use crate::state::TrialStatus;

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ink {
    /// Letters.
    Text,
    /// Letters of lesser importance, axes.
    Muted,
    /// Lines of a grid.
    Grid,
    /// The best trial.
    Best,
    /// The baseline.
    Baseline,
    /// One of many trials.
    Other,
    /// One of many trials by its value, from 0 (the worst) to 1.
    Value(f64),
    /// A status.
    Status(TrialStatus),
    /// Letters on the colour of a status.
    OnStatus,
}

/// Steps of [`Ink::Value`].
pub const STEPS: usize = 6;

/// Name in the style sheet, colour on light and on dark ground.
type Row = (&'static str, [u8; 3], [u8; 3]);

const TEXT: Row = ("text", [0x1b, 0x1f, 0x24], [0xe8, 0xea, 0xed]);
const MUTED: Row = ("muted", [0x62, 0x6b, 0x76], [0x9a, 0xa3, 0xad]);
const GRID: Row = ("grid", [0xe3, 0xe6, 0xea], [0x2c, 0x33, 0x3b]);
const BEST: Row = ("best", [0x00, 0x72, 0xb2], [0x56, 0xb4, 0xe9]);
const BASELINE: Row = ("baseline", [0xd5, 0x5e, 0x00], [0xe6, 0x9f, 0x00]);
const OTHER: Row = ("other", [0x8a, 0x94, 0xa0], [0x6b, 0x76, 0x82]);
const ON_STATUS: Row = ("on", [0xff, 0xff, 0xff], [0x10, 0x14, 0x18]);
const VALUES: [Row; STEPS] = [
    ("v0", [0xd9, 0xdd, 0xe2], [0x35, 0x3d, 0x46]),
    ("v1", [0xb4, 0xcf, 0xe2], [0x35, 0x51, 0x65]),
    ("v2", [0x8d, 0xbb, 0xda], [0x37, 0x68, 0x85]),
    ("v3", [0x5f, 0xa3, 0xcd], [0x3d, 0x80, 0xa6]),
    ("v4", [0x2f, 0x8a, 0xbf], [0x47, 0x9a, 0xc8]),
    ("v5", [0x00, 0x72, 0xb2], [0x56, 0xb4, 0xe9]),
];
const COMPLETED: Row = ("completed", [0x00, 0x9e, 0x73], [0x2c, 0xb8, 0x8f]);
const RUNNING: Row = ("running", [0x56, 0xb4, 0xe9], [0x56, 0xb4, 0xe9]);
const WAITING: Row = ("waiting", [0xcc, 0x79, 0xa7], [0xcc, 0x79, 0xa7]);
const PRUNED: Row = ("pruned", [0xe6, 0x9f, 0x00], [0xe6, 0x9f, 0x00]);
const FAILED: Row = ("failed", [0xd5, 0x5e, 0x00], [0xe8, 0x75, 0x1a]);
const CANCELLED: Row = ("cancelled", [0x9a, 0xa3, 0xad], [0x6b, 0x76, 0x82]);

impl Ink {
    fn row(self) -> Row {
        match self {
            Self::Text => TEXT,
            Self::Muted => MUTED,
            Self::Grid => GRID,
            Self::Best => BEST,
            Self::Baseline => BASELINE,
            Self::Other => OTHER,
            Self::OnStatus => ON_STATUS,
            Self::Value(share) => VALUES[((share.clamp(0.0, 1.0) * STEPS as f64) as usize).min(STEPS - 1)],
            Self::Status(status) => match status {
                TrialStatus::Completed => COMPLETED,
                TrialStatus::Launching | TrialStatus::Running => RUNNING,
                TrialStatus::Queued | TrialStatus::Paused => WAITING,
                TrialStatus::Pruned => PRUNED,
                TrialStatus::Failed => FAILED,
                TrialStatus::Cancelled => CANCELLED,
            },
        }
    }

    /// Its name in the style sheet.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Its colour on light ground: red, green, blue.
    pub fn light(self) -> [u8; 3] {
        self.row().1
    }
}

/// The colours as variables of a style sheet (`--best: #0072b2;`).
pub fn variables(dark: bool) -> String {
    let rows = [TEXT, MUTED, GRID, BEST, BASELINE, OTHER, ON_STATUS];
    let statuses = [COMPLETED, RUNNING, WAITING, PRUNED, FAILED, CANCELLED];
    let all = rows.into_iter().chain(VALUES).chain(statuses);
    all.map(|(name, light, on_dark)| {
        let [r, g, b] = if dark { on_dark } else { light };
        format!("--{name}:#{r:02x}{g:02x}{b:02x};")
    })
    .collect()
}

/// The rules that give shapes their colours.
pub fn rules() -> String {
    let rows = [TEXT, MUTED, GRID, BEST, BASELINE, OTHER, ON_STATUS];
    let statuses = [COMPLETED, RUNNING, WAITING, PRUNED, FAILED, CANCELLED];
    let all = rows.into_iter().chain(VALUES).chain(statuses);
    all.map(|(name, ..)| format!(".f-{name}{{fill:var(--{name})}}.l-{name}{{stroke:var(--{name})}}\n")).collect()
}
