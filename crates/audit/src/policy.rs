//! The audit policy, which says how much of which requests is logged: a `Policy` of `audit.k8s.io/v1`, as a kube-apiserver reads its
//! `--audit-policy-file` (`k8s.io/apiserver/pkg/audit/policy`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Request;

/// The logged part of a request (audit level).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// The stage at which a line is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A flaw of an audit policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// It is not a policy.
    #[error("{}: not a Policy of audit.k8s.io/v1: {why}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem, with its line.
        why: String,
    },
    /// It breaks a rule.
    #[error("{}: {field}: {why}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// The problem.
        why: &'static str,
    },
}

/// The log level and stages of the requests that a policy's rule selects.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

/// A policy: the first rule that is for a request counts.
#[derive(Debug, Default)]
pub struct Policy(Option<Written>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    api_version: String,
    kind: String,
    #[expect(dead_code, reason = "it may be there, and says nothing")]
    metadata: Option<Value>,
    #[serde(default)]
    rules: Vec<WrittenRule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenRule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Policy {
    /// Reads a policy's file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a policy, or breaks a rule of policies.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path).map_err(|error| PolicyError::Io(path.to_owned(), error))?;
        let written: Written = parse(&text)
            .map_err(|error| PolicyError::Malformed { path: path.to_owned(), why: error.to_string() })?;
        match written.broken() {
            Some((field, why)) => Err(PolicyError::Invalid { path: path.to_owned(), field, why }),
            None => Ok(Self(Some(written))),
        }
    }

    /// The rule for a request. Without a policy every request is logged with its metadata, once it is answered.
    pub(crate) fn rule(&self, request: &Request<'_>) -> Rule {
        let Some(policy) = &self.0 else {
            let omit_stages = vec![Stage::RequestReceived];
            return Rule { level: Level::Metadata, omit_stages, omit_managed_fields: false };
        };
        match policy.rules.iter().find(|rule| rule.matches(request)) {
            Some(rule) => Rule {
                level: rule.level,
                omit_stages: policy.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(policy.omit_managed_fields),
            },
            None => Rule { level: Level::None, omit_stages: Vec::new(), omit_managed_fields: false },
        }
    }
}

/// Parses a policy. Comments mean nothing, and the parser bounds how many of those in a row it passes on.
fn parse(text: &str) -> Result<Written, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { emit_comments: false })
}

impl Written {
    /// A rule of policies that this one breaks, and where.
    fn broken(&self) -> Option<(String, &'static str)> {
        if (self.api_version.as_str(), self.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            return Some(("kind".to_owned(), "must be Policy of audit.k8s.io/v1"));
        }
        if self.rules.is_empty() {
            return Some(("rules".to_owned(), "must not be empty: nothing would be logged"));
        }
        let mut rules = self.rules.iter().enumerate();
        rules.find_map(|(at, rule)| rule.broken().map(|(field, why)| (format!("rules[{at}].{field}"), why)))
    }
}

impl WrittenRule {
    fn broken(&self) -> Option<(String, &'static str)> {
        let is_of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if is_of_resources && !self.non_resource_urls.is_empty() {
            return Some(("nonResourceURLs".to_owned(), "cannot be beside resources or namespaces"));
        }
        for (at, url) in self.non_resource_urls.iter().enumerate() {
            let field = || format!("nonResourceURLs[{at}]");
            let inner = url.strip_suffix('*').unwrap_or(url);
            if url != "*" && !url.starts_with('/') {
                return Some((field(), "must begin with '/'"));
            }
            if inner.contains('*') {
                return Some((field(), "'*' must be the last character"));
            }
        }
        self.resources.iter().enumerate().find_map(|(at, resources)| {
            let why = match resources {
                GroupResources { group, .. } if group.contains('/') => "group: has no version",
                GroupResources { resources, resource_names, .. }
                    if resources.is_empty() && !resource_names.is_empty() =>
                {
                    "resourceNames: needs resources"
                }
                _ => return None,
            };
            Some((format!("resources[{at}]"), why))
        })
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        let own = request.requester.map(super::Requester::own);
        let name = own.map_or("", |own| own.name.as_str());
        let groups = own.map_or(&[][..], |own| own.groups.as_slice());
        let is_theirs = (self.users.is_empty() || self.users.iter().any(|user| user == name))
            && (self.user_groups.is_empty() || self.user_groups.iter().any(|group| groups.contains(group)))
            && (self.verbs.is_empty() || self.verbs.iter().any(|verb| verb == request.verb || verb == "*"));
        if !is_theirs {
            return false;
        }
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            return self.matches_resource(request);
        }
        self.non_resource_urls.is_empty() || self.matches_path(request)
    }

    fn matches_resource(&self, request: &Request<'_>) -> bool {
        let Some(target) = request.target else { return false };
        if !self.namespaces.is_empty() && !self.namespaces.contains(&target.namespace) {
            return false;
        }
        let (plural, sub) = (target.resource.plural(), target.subresource_name());
        let is_of = |wanted: &String| match wanted.split_once('/') {
            _ if wanted == "*" => true,
            None => sub.is_empty() && wanted == plural,
            Some((resource, wanted)) => {
                (resource == "*" || resource == plural) && (wanted == "*" || !sub.is_empty() && wanted == sub)
            }
        };
        self.resources.is_empty()
            || self.resources.iter().any(|of| {
                let is_named = of.resource_names.is_empty() || of.resource_names.contains(&target.name);
                of.group == target.resource.group()
                    && (of.resources.is_empty() || is_named && of.resources.iter().any(is_of))
            })
    }

    fn matches_path(&self, request: &Request<'_>) -> bool {
        request.target.is_none()
            && self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => request.path == url,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_api::identity::{Identity, Requester};
    use palisade_api::request::Path as RequestPath;

    #[test]
    fn the_first_rule_that_is_for_a_request_counts() {
        // A rule beside its level, a path, a verb, and whether it is for that request of ann's, who is in dev.
        let cases = [
            ("", "/api/v1/pods", "list", true),
            ("users: [ann]", "/version", "get", true),
            ("users: [bob]", "/version", "get", false),
            ("userGroups: [dev]", "/version", "get", true),
            ("userGroups: [ops]", "/version", "get", false),
            ("verbs: [list]", "/api/v1/pods", "list", true),
            ("verbs: [get]", "/api/v1/pods", "list", false),
            ("resources: [{group: ''}]", "/api/v1/namespaces/a/pods/b/log", "get", true),
            ("resources: [{group: ''}]", "/version", "get", false),
            ("resources: [{group: '', resources: [pods]}]", "/api/v1/namespaces/a/pods/b", "get", true),
            ("resources: [{group: '', resources: [pods]}]", "/api/v1/namespaces/a/pods/b/log", "get", false),
            (
                "resources: [{group: '', resources: [pods/log]}]",
                "/api/v1/namespaces/a/pods/b/log",
                "get",
                true,
            ),
            (
                "resources: [{group: '', resources: ['pods/*']}]",
                "/api/v1/namespaces/a/pods/b/log",
                "get",
                true,
            ),
            (
                "resources: [{group: '', resources: ['*/log']}]",
                "/api/v1/namespaces/a/pods/b/log",
                "get",
                true,
            ),
            (
                "resources: [{group: '', resources: ['*/exec']}]",
                "/api/v1/namespaces/a/pods/b/log",
                "get",
                false,
            ),
            ("resources: [{group: '', resources: ['*']}]", "/api/v1/namespaces/a/pods/b/log", "get", true),
            ("resources: [{group: apps, resources: ['*']}]", "/api/v1/namespaces/a/pods/b", "get", false),
            (
                "resources: [{group: '', resources: [pods], resourceNames: [b]}]",
                "/api/v1/namespaces/a/pods/b",
                "get",
                true,
            ),
            (
                "resources: [{group: '', resources: [pods], resourceNames: [c]}]",
                "/api/v1/namespaces/a/pods/b",
                "get",
                false,
            ),
            ("namespaces: [a]", "/api/v1/namespaces/a/pods/b", "get", true),
            ("namespaces: [b]", "/api/v1/namespaces/a/pods/b", "get", false),
            ("namespaces: ['']", "/api/v1/nodes", "list", true),
            ("nonResourceURLs: ['/health*']", "/healthz", "get", true),
            ("nonResourceURLs: [/health]", "/healthz", "get", false),
            ("nonResourceURLs: ['*']", "/version", "get", true),
            ("nonResourceURLs: ['*']", "/api/v1/pods", "list", false),
        ];
        let identity = Identity::user("ann", vec!["dev".to_owned()]);
        let requester = Requester { identity, impersonator: None };
        for (rule, path, verb, matches) in cases {
            let comma = if rule.is_empty() { "" } else { ", " };
            let text = format!(
                "{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{{level: Request{comma}{rule}}}]}}"
            );
            let written = parse(&text).unwrap();
            assert_eq!(written.broken(), None, "{rule}");
            let target = match RequestPath::parse(path, &palisade_api::registry::Registry::default())
                .unwrap_or_else(|error| panic!("{path}: {}", error.message))
            {
                RequestPath::Resource(target) => Some(target),
                RequestPath::Other => None,
            };
            let request = Request {
                id: "1",
                requester: Some(&requester),
                verb,
                uri: path,
                path,
                source: "",
                agent: "",
                target: target.as_ref(),
                received: "",
            };
            let level = Policy(Some(written)).rule(&request).level;
            let wanted = if matches { Level::Request } else { Level::None };
            assert_eq!(level, wanted, "{rule} {path}");
        }
    }
}
