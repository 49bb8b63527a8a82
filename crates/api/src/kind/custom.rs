//! Custom resources: the resources that a CustomResourceDefinition defines, one for each version.

use jiff::Timestamp;
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use super::subresource::{SCALE, STATUS_ALONE, Subresource};
use super::{BASE, Row, text};
use crate::jsonpath::Path;
use crate::structural::Structural;
use crate::time;

/// A version of a custom resource.
#[derive(Debug)]
pub struct Custom {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) storage: String,
    pub(super) selectable: Vec<String>,
    pub(super) schema: Structural,
    pub(super) is_ending: bool,
    /// `spec.conversion.webhook` of the definition, if that is the strategy.
    pub(super) conversion: Option<Value>,
    is_namespaced: bool,
    has_status: bool,
    scale: Option<Scale>,
    columns: Vec<Column>,
    /// The most memory of defaults that one place of an object gets, in bytes.
    pub(super) defaults: usize,
    deprecation: Option<String>,
}

/// The fields with an object's numbers of replicas, such as `spec.replicas`.
#[derive(Debug)]
struct Scale {
    spec: Vec<String>,
    status: Vec<String>,
    selector: Vec<String>,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    path: Path,
    /// Whether its path may look at many values.
    searches: bool,
}

static NAMESPACED: Row = Row { counts_generations: true, needs_version: true, ..BASE };
static CLUSTER: Row = Row { namespaced: false, ..NAMESPACED };

/// Subresources by whether there is a status, and a scale.
static PARTS: [[&[Subresource]; 2]; 2] = [[&[], &[SCALE]], [&[STATUS_ALONE], &[STATUS_ALONE, SCALE]]];

fn owned(object: &Value, pointer: &str) -> String {
    text(object, pointer).to_owned()
}

fn strings(object: &Value, pointer: &str) -> Vec<String> {
    let list = object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn names(path: &str) -> Vec<String> {
    let path = Path::parse(path).ok();
    let names = path.as_ref().and_then(Path::names);
    names.unwrap_or_default().into_iter().map(str::to_owned).collect()
}

fn at<'v>(object: &'v Value, names: &[String]) -> Option<&'v Value> {
    let found = names.iter().try_fold(object, |value, name| value.get(name));
    found.filter(|_| !names.is_empty())
}

impl Custom {
    /// The resource that a version of a definition defines.
    pub(crate) fn new(definition: &Value, version: &Value) -> Self {
        let (group, plural) = (owned(definition, "/spec/group"), owned(definition, "/spec/names/plural"));
        let name = owned(version, "/name");
        let kind = owned(definition, "/spec/names/kind");
        let is_deprecated = version.get("deprecated") == Some(&Value::Bool(true));
        let warning = version.get("deprecationWarning").and_then(Value::as_str).map(str::to_owned);
        let scale = version.pointer("/subresources/scale").map(|scale| Scale {
            spec: names(text(scale, "/specReplicasPath")),
            status: names(text(scale, "/statusReplicasPath")),
            selector: names(text(scale, "/labelSelectorPath")),
        });
        let list = |field: &str| version.get(field).and_then(Value::as_array).into_iter().flatten();
        let schema = version.pointer("/schema/openAPIV3Schema").map(Structural::read).unwrap_or_default();
        Self {
            storage: format!("{group}/{plural}"),
            singular: owned(definition, "/spec/names/singular"),
            list_kind: owned(definition, "/spec/names/listKind"),
            short_names: strings(definition, "/spec/names/shortNames"),
            categories: strings(definition, "/spec/names/categories"),
            selectable: list("selectableFields")
                .map(|field| text(field, "/jsonPath").trim_start_matches('.').to_owned())
                .collect(),
            defaults: schema.heaviest_defaults(),
            schema,
            is_ending: definition.pointer("/metadata/deletionTimestamp").is_some(),
            conversion: (text(definition, "/spec/conversion/strategy") == "Webhook")
                .then(|| definition.pointer("/spec/conversion/webhook").cloned())
                .flatten(),
            is_namespaced: text(definition, "/spec/scope") == "Namespaced",
            has_status: version.pointer("/subresources/status").is_some(),
            columns: list("additionalPrinterColumns").filter_map(Column::new).collect(),
            deprecation: is_deprecated
                .then(|| warning.unwrap_or_else(|| format!("{group}/{name} {kind} is deprecated"))),
            version: name,
            group,
            plural,
            kind,
            scale,
        }
    }

    pub(super) fn row(&self) -> &'static Row {
        if self.is_namespaced { &NAMESPACED } else { &CLUSTER }
    }

    pub(super) fn subresources(&self) -> &'static [Subresource] {
        let [none, status] = PARTS;
        let [plain, scaled] = if self.has_status { status } else { none };
        if self.scale.is_some() { scaled } else { plain }
    }

    /// Columns of a table after the name; the age if the definition names none.
    pub(super) fn columns(&self) -> Vec<Value> {
        if self.columns.is_empty() {
            return vec![json!({"name": "Age", "type": "date", "format": "", "priority": 0,
                "description": "CreationTimestamp is a timestamp representing the server time when this object was created."})];
        }
        let columns = self.columns.iter().map(|column| {
            json!({"name": column.name, "type": column.kind, "format": column.format,
                   "description": column.description, "priority": column.priority})
        });
        columns.collect()
    }

    /// Whether a row may take much time.
    pub(super) fn searches(&self) -> bool {
        self.columns.iter().any(|column| column.searches)
    }

    pub(super) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        if self.columns.is_empty() {
            return vec![super::age(object, now)];
        }
        let (most, mut looks) = (ROW / self.columns.len(), LOOKS.0);
        let cell = |column: &Column| {
            looks = looks.max(LOOKS.1);
            column.cell(object, now, most, &mut looks)
        };
        self.columns.iter().map(cell).collect()
    }

    /// Completes an object: the status of a new one is not its author's to set.
    pub(super) fn prepare(&self, object: &mut Value, old: Option<&Value>) {
        if self.has_status
            && old.is_none()
            && let Some(map) = object.as_object_mut()
        {
            map.shift_remove("status");
        }
        self.schema.fill(object);
    }

    pub(super) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = self.schema.judge(object, old);
        if let Some(replicas) = self.replicas(object).filter(|replicas| *replicas < 0) {
            let path = self.scale.iter().flat_map(|scale| &scale.spec);
            let path = path.fold(FieldPath::root(), |path, name| path.name(name));
            errors.push(FieldError::invalid(path, replicas, "must be greater than or equal to 0"));
        }
        errors
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.deprecation.iter().cloned().collect()
    }

    /// Whether a change is one of the desired state: of all but metadata, and but the status if that is a subresource.
    pub(super) fn differs(&self, new: &Value, old: &Value) -> bool {
        let is_apart = |name: &str| self.has_status && name == "status";
        let is_wanted =
            |name: &&String| !matches!(name.as_str(), "metadata" | "apiVersion" | "kind") && !is_apart(name);
        let of = |object: &Value| object.as_object().cloned().unwrap_or_default();
        let (new, old) = (of(new), of(old));
        new.keys().chain(old.keys()).filter(is_wanted).any(|name| new.get(name) != old.get(name))
    }

    fn replicas(&self, object: &Value) -> Option<i64> {
        at(object, &self.scale.as_ref()?.spec)?.as_i64()
    }

    /// The scale of an object, without its metadata.
    pub(super) fn scale(&self, object: &Value) -> Value {
        let Some(scale) = &self.scale else { return Value::Null };
        let count = |names: &[String]| at(object, names).and_then(Value::as_i64).unwrap_or_default();
        let selector = at(object, &scale.selector).and_then(Value::as_str).unwrap_or_default();
        super::scale::scale(json!({}), count(&scale.spec), count(&scale.status), selector)
    }

    /// Sets the number of replicas of an object.
    pub(super) fn set_replicas(&self, object: &mut Value, replicas: i64) {
        let names: Vec<&str> =
            self.scale.iter().flat_map(|scale| scale.spec.iter().map(String::as_str)).collect();
        put(object, &names, replicas.into());
    }
}

/// The size limit of a row's cells, in bytes: without one, each of many columns could repeat a whole large object.
const ROW: usize = 16 * 1024;

/// The number of values that the cells of a row are searched for in, and for each cell in any case: without a limit, each of many
/// columns could search the whole of a large object for what it does not have.
const LOOKS: (usize, usize) = (16 * 1024, 64);

fn cut(text: &str, most: usize) -> String {
    match text.get(..text.floor_char_boundary(most)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// The start of a value's JSON; no more than `most` bytes are written.
fn json_up_to(value: &Value, most: usize) -> String {
    struct Start(Vec<u8>, usize);
    impl std::io::Write for Start {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend(bytes.iter().take((self.1 + 1).saturating_sub(self.0.len())));
            if self.0.len() > self.1 { Err(std::io::ErrorKind::WriteZero.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut start = Start(Vec::new(), most);
    // The writer fails beyond that.
    let _whole = serde_json::to_writer(&mut start, value);
    cut(&String::from_utf8_lossy(&start.0), most)
}

impl Column {
    fn new(column: &Value) -> Option<Self> {
        Some(Self {
            name: owned(column, "/name"),
            kind: owned(column, "/type"),
            format: owned(column, "/format"),
            description: owned(column, "/description"),
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            path: Path::parse(text(column, "/jsonPath")).ok()?,
            searches: {
                let path = text(column, "/jsonPath");
                path.contains(['*', '?', ':', ',']) || path.contains("..")
            },
        })
    }

    /// A cell, as `k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor` makes it. Of several
    /// results the first counts, as there; a string is cut at `most` bytes, and what is not found in `looks` values is missing,
    /// unlike there.
    fn cell(&self, object: &Value, now: Timestamp, most: usize, looks: &mut usize) -> Value {
        let Some(first) = self.path.first(object, looks) else { return Value::Null };
        match self.kind.as_str() {
            "integer" => first.as_i64().or_else(|| first.as_f64().map(|number| number as i64)).into(),
            "number" => first.as_f64().into(),
            "boolean" => first.as_bool().into(),
            "date" => match first.as_str() {
                Some(text) if time::parse(text).is_some() => time::age(text, now).into(),
                _ => "<invalid>".into(),
            },
            _ => match first {
                Value::String(text) => cut(text, most).into(),
                other => json_up_to(other, most).into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_first_result_and_bounded() {
        let object = json!({"spec": {"names": ["a", "b"], "text": "\u{e9}".repeat(9), "map": {"k": [1, 2, 3, 4, 5, 6]}}});
        let column =
            |path: &str| Column::new(&json!({"name": "x", "type": "string", "jsonPath": path})).unwrap();
        for (path, most, expected) in [
            (".spec.names[*]", 100, json!("a")),
            (".spec.names[5]", 100, Value::Null),
            (".spec.map", 100, json!("{\"k\":[1,2,3,4,5,6]}")),
            (".spec.map", 9, json!("{\"k\":[1,2…")),
            (".spec.text", 5, json!("\u{e9}\u{e9}…")),
        ] {
            let cell = column(path).cell(&object, Timestamp::UNIX_EPOCH, most, &mut 100);
            assert_eq!(cell, expected, "{path} {most}");
        }
    }

    #[test]
    fn a_row_is_searched_for_a_bounded_number_of_values() {
        let column = |path: &str| json!({"name": "x", "type": "string", "jsonPath": path});
        let columns: Vec<Value> =
            (0..99).map(|_| column(".spec[*].zz")).chain([column(".metadata.name")]).collect();
        let custom = Custom::new(&json!({}), &json!({"additionalPrinterColumns": columns}));
        let object = |before: usize| {
            let mut spec = vec![json!({}); before];
            spec.push(json!({"zz": "z"}));
            json!({"metadata": {"name": "n"}, "spec": spec})
        };
        for (before, expected) in [(100, json!("z")), (LOOKS.0, Value::Null)] {
            let cells = custom.cells(&object(before), Timestamp::UNIX_EPOCH);
            assert_eq!((&cells[0], &cells[99]), (&expected, &json!("n")), "{before}");
        }
    }
}
