//! The path and the query of a request.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{ApiError, ApiResult};
use crate::kind::{Resource, Subresource};
use crate::limits::PAGE;
use crate::registry::Registry;

/// Segments of the longest path: group, version, namespace, resource, name and subresource. All of a longer one are not read.
const SEGMENTS: usize = 8;

/// The query of a request, decoded; the last of duplicate parameters counts.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part of a URL after the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// A parameter; the last one of duplicates.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter: anything but `0` and `false` is true, as in Kubernetes.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A number.
    ///
    /// # Errors
    ///
    /// It is not a number, or negative.
    pub fn number(&self, name: &str) -> ApiResult<Option<u64>> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| ApiError::bad_request(format!("{name}: {text:?} is not a number")))
    }

    /// The maximum number of objects in a page; absent, zero and negative values mean no bound. A larger value than the
    /// server's limit becomes that limit, with a continue token.
    pub fn limit(&self) -> ApiResult<Option<usize>> {
        let is_negative =
            self.get("limit").is_some_and(|text| text.parse().is_ok_and(|number: i64| number < 0));
        let limit = if is_negative { None } else { self.number("limit")? };
        Ok(limit
            .filter(|limit| *limit > 0)
            .map(|limit| usize::try_from(limit).map_or(PAGE, |limit| limit.min(PAGE))))
    }

    /// Whether it is a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.all("dryRun").next().is_some()
    }

    /// Rewrites an old watch path with its query to the present form: `/api/v1/watch/pods` to
    /// `/api/v1/pods?watch=true`.
    pub fn of_old_watch(&mut self, path: &str, registry: &Registry) -> Option<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.take(SEGMENTS + 2).collect();
        let (base, rest) = match parts.as_slice() {
            ["api", version, "watch", rest @ ..] => (format!("/api/{version}"), rest),
            ["apis", group, version, "watch", rest @ ..] => (format!("/apis/{group}/{version}"), rest),
            _ => return None,
        };
        let mut path = format!("{base}/{}", rest.join("/"));
        let target = Path::parse(&path, registry).ok()?;
        if let Path::Resource(target) = target
            && !target.name.is_empty()
        {
            path.truncate(path.rfind('/')?);
            self.0.push(("fieldSelector".to_owned(), format!("metadata.name={}", target.name)));
        }
        self.0.push(("watch".to_owned(), "true".to_owned()));
        Some(path)
    }
}

/// The characters that are encoded in a query: all but the unreserved ones of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a value in a query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `%41` as `A`; bytes that are not UTF-8 become U+FFFD, which no valid name has.
pub fn decode(text: &str, plus: bool) -> String {
    let spaced = if plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// A request for a resource.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resource.
    pub resource: Resource,
    /// Empty for all namespaces, and for cluster-scoped resources.
    pub namespace: String,
    /// Empty for all objects.
    pub name: String,
    /// `None` for the object itself.
    pub subresource: Option<&'static Subresource>,
}

/// The meaning of a path.
#[derive(Clone, Debug)]
pub enum Path {
    /// A resource, one of its objects, or a subresource.
    Resource(Target),
    /// Discovery, health and others, by segments.
    Other,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// The resource or subresource does not exist.
    pub fn parse(path: &str, registry: &Registry) -> ApiResult<Self> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.take(SEGMENTS + 1).map(|part| decode(part, false)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", "v1", rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Ok(Self::Other),
        };
        let (namespace, rest) = match rest {
            [] => return Ok(Self::Other),
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Err(ApiError::no_such_path()),
        };
        let resource = registry.find(group, version, plural).ok_or_else(ApiError::no_such_path)?;
        if !resource.namespaced && !namespace.is_empty() {
            return Err(ApiError::no_such_path());
        }
        let subresource = match subresource {
            "" => None,
            name => Some(resource.subresource(name).ok_or_else(ApiError::no_such_path)?),
        };
        Ok(Self::Resource(Target {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource,
        }))
    }
}

impl Target {
    /// The namespace for authorization: the object's own name for a namespace itself.
    pub fn scope(&self) -> &str {
        let is_own = self.resource.is_own_scope && !self.name.is_empty();
        if is_own { &self.name } else { &self.namespace }
    }

    /// The resource with its subresource, as in RBAC rules.
    pub fn rule_name(&self) -> String {
        match self.subresource {
            None => self.resource.plural().to_owned(),
            Some(part) => format!("{}/{}", self.resource.plural(), part.name),
        }
    }

    /// The name of the subresource; empty for the object itself.
    pub fn subresource_name(&self) -> &'static str {
        self.subresource.map_or("", |part| part.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        let cases = [
            ("/api/v1/namespaces", Some(("namespaces", "", "", ""))),
            ("/api/v1/namespaces/a", Some(("namespaces", "", "a", ""))),
            ("/api/v1/namespaces/a/finalize", Some(("namespaces", "", "a", "finalize"))),
            ("/api/v1/namespaces/a/pods", Some(("pods", "a", "", ""))),
            ("/api/v1/namespaces/a/pods/b/status", Some(("pods", "a", "b", "status"))),
            ("/api/v1/pods", Some(("pods", "", "", ""))),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa",
                Some(("clusterroles", "", "system:a", "")),
            ),
            ("/api/v1", None),
            ("/healthz", None),
        ];
        for (path, wanted) in cases {
            let found = match Path::parse(path, &Registry::default()).unwrap() {
                Path::Resource(t) => Some(t),
                Path::Other => None,
            };
            let found = found
                .as_ref()
                .map(|t| (t.resource.plural(), t.namespace.as_str(), t.name.as_str(), t.subresource_name()));
            assert_eq!(found, wanted, "{path}");
        }
        let long = format!("/api/v1/namespaces/a/pods/b/status{}", "/c".repeat(7000));
        for path in
            ["/api/v1/nothing", "/api/v1/pods/a/b/c/d", "/api/v1/pods/a/nothing", "/apis/x/v1/pods", &long]
        {
            assert_eq!(Path::parse(path, &Registry::default()).unwrap_err().reason.code(), 404, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("fieldSelector=a%3Db%2Cc&x=1+2&watch&bad=%zz%4");
        assert_eq!(query.get("fieldSelector"), Some("a=b,c"));
        assert_eq!(query.get("x"), Some("1 2"));
        assert!(query.is_true("watch"));
        assert_eq!(query.get("bad"), Some("%zz%4"));
        let query = Query::parse("a=maybe&b=0&c=False&d=&limit=-1");
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| query.is_true(name)),
            [true, false, false, true, false]
        );
        assert_eq!(query.limit().unwrap(), None);
        assert_eq!(Query::parse("limit=99999999").limit().unwrap(), Some(PAGE));
    }

    #[test]
    fn old_watches_are_watches() {
        let cases = [
            ("/api/v1/watch/pods", Some(("/api/v1/pods", None))),
            ("/api/v1/watch/namespaces/a/pods", Some(("/api/v1/namespaces/a/pods", None))),
            (
                "/api/v1/watch/namespaces/a/pods/b",
                Some(("/api/v1/namespaces/a/pods", Some("metadata.name=b"))),
            ),
            ("/api/v1/watch/namespaces/a", Some(("/api/v1/namespaces", Some("metadata.name=a")))),
            (
                "/apis/rbac.authorization.k8s.io/v1/watch/roles",
                Some(("/apis/rbac.authorization.k8s.io/v1/roles", None)),
            ),
            ("/api/v1/pods", None),
        ];
        for (path, wanted) in cases {
            let mut query = Query::default();
            let found = query.of_old_watch(path, &Registry::default());
            assert_eq!(found.as_deref(), wanted.map(|(path, _)| path), "{path}");
            assert_eq!(query.get("fieldSelector"), wanted.and_then(|(_, name)| name), "{path}");
            assert_eq!(query.is_true("watch"), wanted.is_some(), "{path}");
        }
    }
    #[test]
    fn values_are_encoded_and_decoded() {
        for (text, encoded) in [("a-1._~", "a-1._~"), ("a b/é&=+%", "a%20b%2F%C3%A9%26%3D%2B%25"), ("", "")]
        {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded, true), text);
        }
    }
}
