//! Floor 2: what the user asked for. One table of fields drives validation, templates, the JSON schema and the docs.

pub mod changes;
pub mod check;
pub mod checkpoint_name;
pub mod duration;
pub mod interpolate;
pub mod json_schema;
mod nearest;
pub mod overrides;
pub mod parents;
mod paths;
pub mod reference;
pub mod resolve;
pub mod schema;
pub mod schema_table;
pub mod sections;
pub mod support;
pub mod template;
mod value;
mod write;

pub use check::better;
pub use resolve::{KEY_VARIABLE, Origin, Resolved, load};
pub use sections::Spec;
pub use write::Comments;
