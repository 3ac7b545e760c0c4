//! What calls are called, and what may stand in their paths by example: the same everywhere, so it is said once.

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use super::door::operations;

/// Gives each call a name of its own, where several handlers have the same, and each part of a path an example.
pub(super) fn add(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(&method, path));
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter
                    && parameter.parameter_in == ParameterIn::Path
                {
                    let example = example(&parameter.name);
                    *parameter = ParameterBuilder::from(parameter.clone()).example(example).build();
                }
            }
        }
    }
}

/// The method and the words of the path.
fn name(method: &Method, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = [method.as_str()].into_iter().chain(words).collect();
    words.join("_").to_ascii_lowercase()
}

fn example(name: &str) -> Option<Value> {
    Some(match name {
        "connector" => json!("orders"),
        "task" => json!(0),
        "plugin" => json!("datagen"),
        "version" => json!("0.1.0"),
        "logger" => json!("sandbar::task"),
        _ => return None,
    })
}
