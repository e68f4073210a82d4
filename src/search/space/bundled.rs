//! The spaces that come with the binary: the files of `search_spaces/`.

use super::Space;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Names and files of the bundled spaces.
pub const FILES: [(&str, &str); 5] = [
    ("default", include_str!("../../../search_spaces/default.yaml")),
    ("wide", include_str!("../../../search_spaces/wide.yaml")),
    ("lora", include_str!("../../../search_spaces/lora.yaml")),
    ("from_scratch", include_str!("../../../search_spaces/from_scratch.yaml")),
    ("tao", include_str!("../../../search_spaces/tao.yaml")),
];

impl Space {
    /// The bundled space of this name.
    ///
    /// # Errors
    /// When there is none; the help lists the names.
    pub fn bundled(name: &str) -> Result<Self, Problems> {
        match FILES.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Self::parse_yaml(text, name),
            None => {
                let names = FILES.map(|(n, _)| n).join(", ");
                let help = format!("bundled are {names}; anything else is taken as the path of a space file");
                Err(Problems::one(
                    ExitCode::NotFound,
                    Problem::new(format!("there is no search space {name}")).help(help),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_every_space_is_sound_and_survives_writing() {
        for (name, _) in FILES {
            let space = Space::bundled(name).unwrap_or_else(|p| panic!("{name}:\n{p}"));
            space.validate(&space.default_point()).unwrap();
            let again = Space::parse_yaml(&space.to_yaml(), name).unwrap();
            assert_eq!(again.params(), space.params());
            assert_eq!(again.constraints(), space.constraints());
            assert_eq!(again.initial(), space.initial());
        }
    }
}
