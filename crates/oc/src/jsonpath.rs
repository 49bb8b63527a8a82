//! `-o jsonpath=TEMPLATE`: the JSONPath of kubectl.
//!
//! It is not RFC 9535: a template mixes text with `{…}`, has `range` and `end`, and treats a missing field as empty but
//! an index out of bounds as an error. The rules here are those of `k8s.io/client-go/util/jsonpath` (`parser.go`,
//! `jsonpath.go`); a test compares the two. [`parse`] parses a template to a list of [`Part`]s, [`eval`] evaluates it.

mod eval;
mod parse;

use std::str::FromStr;

use serde_json::Value;

/// An error in a template, or in the data for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonPathError {
    #[error("jsonpath: unclosed action: a {{ has no }}")]
    Unclosed,
    #[error("jsonpath: {{range}} and {{end}} do not match")]
    Range,
    #[error("jsonpath: unterminated array: a [ has no ]")]
    Array,
    #[error("jsonpath: unterminated filter")]
    Filter,
    #[error("jsonpath: unterminated quoted string")]
    Quote,
    #[error("jsonpath: invalid array index {0}")]
    Index(String),
    #[error("jsonpath: unrecognized identifier {0}")]
    Identifier(String),
    #[error("jsonpath: unrecognized character {0:?}")]
    Character(char),
    #[error("jsonpath: invalid number {0}")]
    Number(String),
    #[error("jsonpath: invalid multiple recursive descent")]
    Recursion,
    #[error("jsonpath: nested too deeply")]
    Depth,
    #[error("jsonpath: array index out of bounds: index {index}, length {length}")]
    OutOfBounds { index: i64, length: usize },
    #[error("jsonpath: starting index {0} is greater than ending index {1}")]
    Backwards(i64, i64),
    #[error("jsonpath: step must be > 0")]
    Step,
    #[error("jsonpath: {0} is not an array")]
    NotAnArray(&'static str),
    #[error("jsonpath: can only compare one element at a time")]
    Several,
    #[error("jsonpath: incompatible types for comparison")]
    Incomparable,
}

type Result<T> = std::result::Result<T, JsonPathError>;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Text outside of braces.
    Text(String),
    /// `{…}`: the result of its steps.
    Action(Vec<Step>),
    /// `{range …}…{end}`: the parts for each result of the steps.
    Range(Vec<Step>, Vec<Part>),
}

/// A step from values to values.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`
    Field(String),
    /// `.*`
    Wildcard,
    /// `..`: a value and all its descendants.
    Recursive,
    /// `[0]`, `[-1]`, `[1:3]`, `[*]`
    Slice(Slice),
    /// `[0,2]`, `['a','b']`: the results of each, in turn.
    Union(Vec<Vec<Step>>),
    /// `[?(@.a == 'b')]`
    Filter(Filter),
    /// A literal, which is its own result whatever the values are.
    Literal(Value),
}

/// Bounds and step of a part of an array; negative bounds count from its end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
    /// Whether it is one index, so that an end of 0 means the array's end: `[-1]`.
    is_index: bool,
}

/// A condition on the elements of an array.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Vec<Step>,
    /// None: whether `left` has a result.
    comparison: Option<(Comparison, Vec<Step>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl FromStr for Template {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self> {
        parse::template(text).map(Self)
    }
}

impl Template {
    /// Evaluates the template on a value.
    pub(crate) fn fill(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        eval::write(&self.0, value, &mut out)?;
        Ok(out)
    }
}

/// A path alone, as in `--sort-by` and `custom-columns`: with or without braces and the first dot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path(Vec<Step>);

impl FromStr for Path {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let dotted =
            if bare.starts_with(['.', '[', '$', '@']) { bare.to_owned() } else { format!(".{bare}") };
        parse::action(&dotted).map(Self)
    }
}

impl Path {
    /// The results of the path.
    pub(crate) fn find<'v>(&'v self, value: &'v Value) -> Result<Vec<&'v Value>> {
        eval::walk(&self.0, vec![value])
    }
}

/// A value as text: a string as it is, other values as JSON with the keys in order.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| crate::value::sorted(value).to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"x.io/y": "1"}}, "n": 1, "on": true, "tags": ["p", "q"]},
            {"metadata": {"name": "b"}, "n": 2, "on": false},
            {"metadata": {"name": "c"}, "n": 30, "f": 1.5},
        ]})
    }

    #[test]
    fn templates_are_filled_in_as_kubectl_does() {
        for (template, filled) in [
            ("plain", "plain"),
            ("{.items[*].metadata.name}", "a b c"),
            ("{.items[0].metadata.labels.x\\.io/y}", "1"),
            ("{.items[0].metadata.labels['x\\.io/y']}", "1"),
            ("{.items[-1].n}", "30"),
            (
                "{.items[0:2].n}|{.items[1:].n}|{.items[:-1].n}|{.items[::2].n}|{.items[-2:].n}",
                "1 2|2 30|1 2|1 30|2 30",
            ),
            ("{.items[0,2].n}", "1 30"),
            ("{.items[0]['metadata.name', 'n']}", "a 1"),
            ("{.items[0]['metadata']['name']}", "a"),
            ("{range .items[*]}{.metadata.name}={.n}{\"\\n\"}{end}", "a=1\nb=2\nc=30\n"),
            ("{range .items[*]}[{range .tags[*]}<{@}>{end}]{end}.", "[<p><q>][][]."),
            ("{range .nothing[*]}x{end}after", "after"),
            ("{.items[?(@.n==2)].metadata.name}", "b"),
            ("{.items[?(@.n!=2)].metadata.name}", "a c"),
            ("{.items[?(@.n>=2)].metadata.name}", "b c"),
            ("{.items[?(@.n<2)].metadata.name}", "a"),
            ("{.items[?(@.metadata.name=='b')].n}{.items[?(@.metadata.name == \"c\")].n}", "230"),
            ("{.items[?(@.metadata.name>'a')].n}", "2 30"),
            ("{.items[?(@.on==true)].n}", "1"),
            ("{.items[?(@.f)].n}", "30"),
            ("{.items[?(@.f==1.5)].n}", "30"),
            ("{.items[?(@.metadata.labels.x\\.io/y=='1')].n}", "1"),
            ("{.items[?(@.metadata.name==')')].n}", ""),
            ("{..name}", "a b c"),
            ("{.items..name}", "a b c"),
            ("{.items[1].*}", "{\"name\":\"b\"} 2 false"),
            ("x{.nothing}y{.nothing.more[0]}z", "xyz"),
            ("{$.items[1].metadata}", "{\"name\":\"b\"}"),
            ("{.items[1:1].n}", ""),
            ("{'single'} {\"dou\\tble\"} {true} {-3} {1.5}", "single dou\tble true -3 1.5"),
            ("{ .kind }", "List"),
            ("{.kind}{.items[0].n}", "List1"),
            (
                "{.items[1].metadata}{range .items[1].metadata}{}{@}{end}",
                "{\"name\":\"b\"}{\"name\":\"b\"}{\"name\":\"b\"}",
            ),
        ] {
            let parsed: Template = template.parse().unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(parsed.fill(&sample()).unwrap(), filled, "{template}");
        }
    }

    #[test]
    fn wrong_templates_are_refused() {
        use JsonPathError as E;
        for (template, error) in [
            ("{.items", E::Unclosed),
            ("{range .items[*]}", E::Range),
            ("{end}", E::Range),
            ("{.items[x]}", E::Index("x".to_owned())),
            ("{.items[1", E::Array),
            ("{.items[?(@.a==1]}", E::Filter),
            ("{\"open}", E::Quote),
            ("{items}", E::Identifier("items".to_owned())),
            ("{.a....b}", E::Recursion),
            ("{.a%b}{#}", E::Character('#')),
            ("{.items[99999999999999999999]}", E::Number("99999999999999999999".to_owned())),
        ] {
            assert_eq!(template.parse::<Template>(), Err(error), "{template}");
        }
        let deep = format!("{}{}", "{range .a}".repeat(500), "{end}".repeat(500));
        assert_eq!(deep.parse::<Template>(), Err(E::Depth));
        let deep = format!("{{{}", "[?(@".repeat(500));
        assert!(deep.parse::<Template>().is_err());
    }

    #[test]
    fn what_does_not_fit_the_value_is_refused() {
        use JsonPathError as E;
        for (template, error) in [
            ("{.items[3].n}", E::OutOfBounds { index: 3, length: 3 }),
            ("{.items[-4].n}", E::OutOfBounds { index: -1, length: 3 }),
            ("{.items[0:4].n}", E::OutOfBounds { index: 3, length: 3 }),
            ("{.items[2:1].n}", E::Backwards(2, 1)),
            ("{.items[::0].n}", E::Step),
            ("{.kind[0]}", E::NotAnArray("a string")),
            ("{.items[0].metadata[?(@.a)]}", E::NotAnArray("an object")),
            ("{.items[?(@.n=='1')].n}", E::Incomparable),
            ("{.items[?(@.tags[*]=='p')].n}", E::Several),
        ] {
            let parsed: Template = template.parse().unwrap();
            assert_eq!(parsed.fill(&sample()), Err(error), "{template}");
        }
    }

    #[test]
    fn paths_need_no_braces() {
        for text in ["{.items[0].n}", ".items[0].n", "items[0].n", " {items[0].n} "] {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.find(&sample()).unwrap(), [&json!(1)], "{text}");
        }
    }
}
