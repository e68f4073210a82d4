//! The schema of an action as JSON, in the shape of TAO's schema files: nested `properties`, the nested `default`, and the
//! lists of fields that AutoML searches, must not search, and that are worth showing first. Valid JSON: there is no Infinity.

use serde_json::{Map, Value, json};

use super::schema::{self, Field, Item, Kind};
use super::schema_table::FIELDS;
use crate::base::action::Action;

/// The schema of `action`.
pub fn json_schema(action: Action) -> Value {
    let shown: Vec<&Field> = schema::children("").filter(|f| belongs(f.path, action)).collect();
    let mut properties = Map::new();
    let mut default = Map::new();
    for field in &shown {
        properties.insert(field.name().to_owned(), property(field));
        default.insert(
            field.name().to_owned(),
            if field.kind == Kind::Section { schema::documented_defaults(field.path) } else { field.default_value() },
        );
    }
    let listed = |wanted: fn(&Field) -> bool| -> Vec<&str> {
        FIELDS
            .iter()
            .filter(|f| belongs(f.path, action) && !f.path.contains("[]") && wanted(f))
            .map(|f| f.path)
            .collect()
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("cliptune {}", action.name()),
        "type": "object",
        "properties": properties,
        "default": default,
        "automl_default_parameters": listed(|f| f.automl == Some(true)),
        "automl_disabled_parameters": listed(|f| f.automl == Some(false)),
        "popular": listed(|f| f.popular),
    })
}

/// Blocks named like another action are left out; `train` rides along everywhere, the study only with `train`.
fn belongs(path: &str, action: Action) -> bool {
    let top = path.split('.').next().unwrap_or(path);
    match Action::from_name(top) {
        Some(block) => block == action || (block == Action::Train && action != Action::GenTrtEngine),
        None => !matches!(top, "automl" | "automl_policy") || action == Action::Train,
    }
}

fn property(field: &Field) -> Value {
    let mut out = Map::new();
    let (kind, value_type) = match field.kind {
        Kind::Section => ("object", "collection"),
        Kind::Str | Kind::Duration => ("string", "string"),
        Kind::Choice(_) => ("string", "categorical"),
        Kind::Int => ("integer", "int"),
        Kind::Float => ("number", "float"),
        Kind::Bool => ("boolean", "bool"),
        Kind::List(_) => ("array", "list"),
    };
    let nullable = field.nullable() && !field.required;
    out.insert("type".into(), if nullable { json!([kind, "null"]) } else { json!(kind) });
    out.insert("value_type".into(), json!(value_type));
    out.insert("description".into(), json!(field.help));
    if let Kind::Choice(options) = field.kind {
        let values = options.iter().map(|o| json!(o)).chain(nullable.then_some(Value::Null));
        out.insert("enum".into(), values.collect());
    }
    if let Some(min) = field.min {
        out.insert("minimum".into(), json!(min));
    }
    if let Some(max) = field.max {
        out.insert("maximum".into(), json!(max));
    }
    if let Some(on) = field.automl {
        out.insert("automl_enabled".into(), json!(if on { "TRUE" } else { "FALSE" }));
    }
    match field.kind {
        Kind::Section => {
            let below: Map<String, Value> =
                schema::children(field.path).map(|f| (f.name().to_owned(), property(f))).collect();
            out.insert("default".into(), schema::documented_defaults(field.path));
            out.insert("properties".into(), Value::Object(below));
        }
        Kind::List(Item::Entry) => {
            let section = format!("{}[]", field.path);
            let below: Map<String, Value> =
                schema::children(&section).map(|f| (f.name().to_owned(), property(f))).collect();
            let required: Vec<&str> = schema::children(&section).filter(|f| f.required).map(Field::name).collect();
            out.insert("items".into(), json!({"type": "object", "properties": below, "required": required}));
            out.insert("default".into(), field.default_value());
        }
        Kind::List(item) => {
            let kind = match item {
                Item::Int => "integer",
                Item::Float => "number",
                Item::Str | Item::Entry => "string",
            };
            out.insert("items".into(), json!({"type": kind}));
            out.insert("default".into(), field.default_value());
        }
        _ => {
            out.insert("default".into(), field.default_value());
        }
    }
    Value::Object(out)
}
