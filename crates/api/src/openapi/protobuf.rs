//! OpenAPI version 2 in protobuf, which kubectl before 1.27 requests. Field numbers: gnostic's `OpenAPIv2.proto`.

use serde_json::Value;

use crate::kind::text;
use crate::protobuf::push_bytes;

/// Writes a document: its title and its definitions. Older clients read nothing else.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    push_bytes(&mut out, 1, text(document, "/swagger").as_bytes());
    let mut info = Vec::new();
    push_bytes(&mut info, 1, text(document, "/info/title").as_bytes());
    push_bytes(&mut info, 2, text(document, "/info/version").as_bytes());
    push_bytes(&mut out, 2, &info);
    push_bytes(&mut out, 8, b"");
    push_bytes(&mut out, 9, &named_schemas(document.get("definitions")));
    out
}

/// Schemas by their names: of definitions and of properties alike.
fn named_schemas(map: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in map.and_then(Value::as_object).into_iter().flatten() {
        let mut named = Vec::new();
        push_bytes(&mut named, 1, name.as_bytes());
        push_bytes(&mut named, 2, &schema(value));
        push_bytes(&mut out, 1, &named);
    }
    out
}

fn inside(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_bytes(&mut out, number, bytes);
    out
}

fn schema(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let plain = value.as_str().unwrap_or_default().as_bytes();
        match name.as_str() {
            "$ref" => push_bytes(&mut out, 1, plain),
            "format" => push_bytes(&mut out, 2, plain),
            "description" => push_bytes(&mut out, 4, plain),
            "type" => push_bytes(&mut out, 22, &inside(1, plain)),
            "items" => push_bytes(&mut out, 23, &inside(1, &schema(value))),
            "additionalProperties" => push_bytes(&mut out, 21, &inside(1, &schema(value))),
            "properties" => push_bytes(&mut out, 25, &named_schemas(Some(value))),
            "required" => {
                let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                names.for_each(|name| push_bytes(&mut out, 19, name.as_bytes()));
            }
            extension if extension.starts_with("x-") => {
                let mut named = Vec::new();
                push_bytes(&mut named, 1, extension.as_bytes());
                // JSON is YAML.
                push_bytes(&mut named, 2, &inside(2, value.to_string().as_bytes()));
                push_bytes(&mut out, 31, &named);
            }
            _ => {}
        }
    }
    out
}
