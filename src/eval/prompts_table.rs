//! The bundled sets of prompt templates for zero-shot classification; the class's name goes where `{}` stands.

/// Each set with its name.
pub const SETS: &[(&str, &[&str])] = &[
    ("plain", &["{}"]),
    ("photo", &["a photo of a {}."]),
    (
        "photos",
        &[
            "a photo of a {}.",
            "a snapshot showing a {}.",
            "a close view of a {}.",
            "a {} seen from far away.",
            "a bright picture of a {}.",
            "a dim picture of a {}.",
            "a grainy, low-quality picture of a {}.",
            "a sharp, well-lit picture of a {}.",
            "a picture of a small {}.",
            "a picture of a large {}.",
            "a picture with a {} in the middle.",
            "part of a {} at the edge of a picture.",
            "a black and white photo of a {}.",
            "several of them: {}.",
            "this is a {}.",
        ],
    ),
    (
        "drawings",
        &[
            "a drawing of a {}.",
            "a simple drawing showing a {}.",
            "an icon of a {}.",
            "a cartoon of a {}.",
            "a sketch of a {}.",
            "a colourful picture of a {}.",
            "a sticker with a {} on it.",
            "a {} on a plain background.",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_one_place_for_the_name() {
        for (set, templates) in SETS {
            assert!(!templates.is_empty(), "{set}");
            assert!(templates.iter().all(|t| t.matches("{}").count() == 1), "{set}");
        }
    }
}
