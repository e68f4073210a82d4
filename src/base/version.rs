//! Which code this is.

/// The version of the package.
pub const PACKAGE: &str = env!("CARGO_PKG_VERSION");

/// The version of the package and, when it was built in a git repository, what `git describe` calls the commit.
pub const CODE: &str = match option_env!("CLIPTUNE_GIT") {
    Some(code) => code,
    None => PACKAGE,
};
