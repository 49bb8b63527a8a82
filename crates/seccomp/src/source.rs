//! Profiles in the files that users have: a file of its own, objects of the security-profiles-operator, ConfigMaps and
//! Secrets, OCI's `config.json`, the output of `docker inspect`, a Podman quadlet, a systemd unit, inspektor-gadget's
//! advice.

mod base;
mod embedded;
mod granted;
mod kind;

use std::collections::BTreeSet;

use palisade_k8s::manifest::{self, Node, Position};

use crate::finding::{Finding, Findings};
use crate::profile::{self, Profile};
use crate::systemd;

const START: Position = Position { line: 1, column: 1 };

/// The syntax of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// One JSON value, as runtimes parse it.
    Json,
    /// YAML documents.
    Yaml,
    /// A systemd unit, or lines of one.
    Unit,
    /// A Podman quadlet.
    Quadlet,
    /// JSON values, each after a line `// name`, as inspektor-gadget prints them.
    Advice,
    /// A format of another program, by its name, which is not read.
    Foreign(&'static str),
}

impl Syntax {
    /// The syntax by the extension of a file's name, or else by its text.
    #[must_use]
    pub fn of(extension: Option<&str>, text: &str) -> Self {
        match extension {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            Some("service" | "socket" | "mount" | "swap") => Self::Unit,
            Some("container" | "kube" | "pod") => Self::Quadlet,
            // Its SystemCallFilter= adds to a list of nspawn's own.
            Some("nspawn") => Self::Foreign("a file of systemd-nspawn"),
            _ => Self::of_text(text),
        }
    }

    fn of_text(text: &str) -> Self {
        let starts = |words: &[&str]| {
            text.lines().any(|line| words.iter().any(|word| line.trim_start().starts_with(word)))
        };
        let lists = ["allowlist", "denylist", "whitelist", "blacklist"];
        if matches!(text.trim_start().as_bytes(), [b'1' | b'2', b'\n' | b'\r', ..]) && starts(&lists) {
            return Self::Foreign("LXC's form");
        }
        match text.trim_start().as_bytes() {
            [b'/', b'/', ..] => Self::Advice,
            [b'{' | b'[', ..] if !starts(&["[Service]", "[Unit]", "[Container]"]) => Self::Json,
            _ if text.starts_with('\u{feff}') => Self::Json,
            _ if starts(&["[Container]"]) => Self::Quadlet,
            _ if starts(&["SystemCall", "[Service]", "[Unit]", "Restrict", "Protect"]) => Self::Unit,
            _ => Self::Yaml,
        }
    }
}

/// A profile in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The name by which it is selected among several: the object's, or the key in a ConfigMap; empty in a file of one.
    pub name: String,
    /// The namespace of its object; empty without one.
    pub namespace: String,
    /// Its position.
    pub at: Position,
    /// The content.
    pub content: Content,
    /// The capabilities of the container, where the file describes it.
    pub caps: Option<BTreeSet<String>>,
    /// Findings.
    pub findings: Vec<Finding>,
}

/// The content at a profile's position.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A profile.
    Profile(Box<Profile>),
    /// The path of a file with the profile.
    File(String),
    /// No profile; the findings have the reason.
    Nothing,
}

impl Source {
    fn new(name: impl Into<String>, at: Position, read: (Option<Profile>, Vec<Finding>)) -> Self {
        let content = read.0.map_or(Content::Nothing, |profile| Content::Profile(Box::new(profile)));
        Self { name: name.into(), namespace: String::new(), at, content, caps: None, findings: read.1 }
    }

    fn file(name: &str, at: Position, path: &str) -> Self {
        let content = Content::File(path.to_owned());
        let (name, namespace, findings) = (name.to_owned(), String::new(), Vec::new());
        Self { name, namespace, at, content, caps: None, findings }
    }

    fn nothing(name: impl Into<String>, at: Position, field: &str, message: impl Into<String>) -> Self {
        let mut findings = Findings::default();
        findings.error(at, field, message);
        let content = Content::Nothing;
        let (name, namespace) = (name.into(), String::new());
        Self { name, namespace, at, content, caps: None, findings: findings.list }
    }

    fn with_caps(mut self, caps: BTreeSet<String>) -> Self {
        self.caps = Some(caps);
        self
    }

    /// The profile, if there is one.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        match &self.content {
            Content::Profile(profile) => Some(profile),
            Content::File(_) | Content::Nothing => None,
        }
    }
}

/// Every profile of a file. There is always at least one source: a file without a profile has one of
/// [`Content::Nothing`] with a finding.
#[must_use]
pub fn read(text: &str, syntax: Syntax) -> Vec<Source> {
    let mut found = match syntax {
        Syntax::Unit => vec![Source::new("", START, systemd::read(text))],
        Syntax::Quadlet => kind::quadlet(text),
        Syntax::Advice => embedded::advice(text),
        Syntax::Foreign(what) => {
            let message = format!("this is {what}, which is not read here");
            vec![Source::nothing("", START, "", message)]
        }
        Syntax::Json => match profile::json_value(text) {
            Ok(node) => or_named(kind::of_document(&node), &[node]),
            Err(error) => vec![Source::nothing("", error.position, "", error.message)],
        },
        Syntax::Yaml => match manifest::read(text) {
            Ok(documents) => {
                let text = embedded::Text(text);
                let found = documents.iter().flat_map(|node| kind::of_document_in(node, &text)).collect();
                or_named(found, &documents)
            }
            Err(error) => vec![Source::nothing("", error.position, "", error.message)],
        },
    };
    if found.is_empty() {
        return vec![Source::nothing("", START, "", "holds no seccomp profile")];
    }
    base::join(&mut found);
    found
}

/// The profiles found, or the names of profiles in the workloads of documents without any.
fn or_named(found: Vec<Source>, documents: &[Node]) -> Vec<Source> {
    if found.is_empty() { kind::named(documents).into_iter().collect() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_is_that_of_the_name_or_else_of_the_text() {
        let cases = [
            (Some("json"), "a: 1", Syntax::Json),
            (Some("yaml"), "{}", Syntax::Yaml),
            (Some("service"), "", Syntax::Unit),
            (Some("container"), "", Syntax::Quadlet),
            (None, "  {\"defaultAction\": 1}", Syntax::Json),
            (None, "[1]", Syntax::Json),
            (None, "[Service]\nSystemCallFilter=read", Syntax::Unit),
            (None, "SystemCallFilter=read", Syntax::Unit),
            (None, "[Unit]\nA=b\n[Container]\nImage=a", Syntax::Quadlet),
            (None, "// pod/a\n{}", Syntax::Advice),
            (Some("txt"), "kind: SeccompProfile", Syntax::Yaml),
            (Some("nspawn"), "[Exec]", Syntax::Foreign("a file of systemd-nspawn")),
            (Some("seccomp"), "2\ndenylist\n[all]\nkexec_load errno 1\n", Syntax::Foreign("LXC's form")),
            (None, "2\n", Syntax::Yaml),
        ];
        for (extension, text, syntax) in cases {
            assert_eq!(Syntax::of(extension, text), syntax, "{extension:?} {text:?}");
        }
    }

    /// The name and default action of each profile, or the first finding of a source without one.
    fn summary(text: &str, syntax: Syntax) -> Vec<String> {
        let line = |source: &Source| match &source.content {
            Content::Profile(profile) => format!("{} {}", source.name, profile.default_action),
            Content::File(path) => format!("{} file {path}", source.name),
            Content::Nothing => {
                let finding = &source.findings[0];
                format!("{} {}: {}", source.name, finding.at, finding.message)
            }
        };
        read(text, syntax).iter().map(line).collect()
    }

    /// The syscalls that each profile allows, and its findings.
    fn bases(objects: &[(&str, &str, &str)]) -> Vec<(String, Option<String>)> {
        let object = |(name, base, syscall): &(&str, &str, &str)| {
            format!(
                "kind: SeccompProfile\nmetadata: {{name: {name}}}\nspec: {{defaultAction: SCMP_ACT_ERRNO, baseProfileName: '{base}', syscalls: [{{names: [{syscall}], action: SCMP_ACT_ALLOW}}]}}\n"
            )
        };
        let text: Vec<_> = objects.iter().map(object).collect();
        let sources = read(&text.join("---\n"), Syntax::Yaml);
        let names = |source: &Source| {
            let entries = source.profile().into_iter().flat_map(|profile| &profile.entries);
            entries
                .flat_map(|entry| &entry.names)
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let said = |source: &Source| source.findings.first().map(|finding| finding.message.clone());
        sources.iter().map(|source| (names(source), said(source))).collect()
    }

    #[test]
    fn a_base_in_the_same_file_is_joined() {
        let joined = bases(&[("app", "web", "read"), ("web", "least", "write"), ("least", "", "close")]);
        let expected = ["read write close", "write close", "close"];
        assert_eq!(joined.iter().map(|(names, _)| names.as_str()).collect::<Vec<_>>(), expected);
        assert!(joined.iter().all(|(_, said)| said.is_none()), "{joined:?}");
        for (objects, names, said) in [
            (&[("app", "runc-v1.4.2", "read")][..], "read", "runc-v1.4.2 is not in this file"),
            (&[("app", "web", "read"), ("web", "gone", "write")], "read write", "gone is not in this file"),
            (&[("app", "app", "read")], "read", "app is its own base"),
            (&[("app", "web", "read"), ("web", "app", "write")], "read write", "app is its own base"),
        ] {
            let got = bases(objects);
            let (all, message) = &got[0];
            assert!(all == names && message.as_ref().is_some_and(|text| text.starts_with(said)), "{got:?}");
        }
    }

    #[test]
    fn profiles_are_found_where_people_have_them() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;
        let quoted = profile.replace('"', "\\\"");
        let object = |name: &str, action: &str| {
            format!(
                "apiVersion: security-profiles-operator.x-k8s.io/v1\nkind: SeccompProfile\nmetadata: {{name: {name}}}\nspec: {{defaultAction: {action}}}\n"
            )
        };
        let cases: Vec<(String, Syntax, &[&str])> = vec![
            (profile.to_owned(), Syntax::Json, &[" ERRNO(EPERM)"]),
            (
                format!("{}---\n{}", object("a", "SCMP_ACT_ERRNO"), object("b", "SCMP_ACT_LOG")),
                Syntax::Yaml,
                &["a ERRNO(EPERM)", "b LOG"],
            ),
            (
                "kind: List\nitems:\n- kind: SeccompProfile\n  metadata: {generateName: t-}\n  spec: {defaultAction: SCMP_ACT_LOG}\n- kind: Pod\n"
                    .to_owned(),
                Syntax::Yaml,
                &["t- LOG"],
            ),
            (
                format!(
                    "kind: ConfigMap\nmetadata: {{name: m}}\ndata:\n  a.json: |\n    {profile}\n  notes: hello\n  b.json: |\n    {{\"defaultAction\":\"SCMP_ACT_LOG\",}}\n"
                ),
                Syntax::Yaml,
                &[
                    "m/a.json ERRNO(EPERM)",
                    "m/b.json 8:37: a comma stands before the end of a list or object, which JSON does not have and runtimes refuse",
                ],
            ),
            (
                format!(
                    "kind: Secret\nmetadata: {{name: s}}\ndata:\n  p.json: eyJkZWZhdWx0QWN0aW9uIjoiU0NNUF9BQ1RfTE9HIn0=\n  password: aGVsbG8=\nstringData:\n  q.json: '{profile}'\n"
                ),
                Syntax::Yaml,
                &["s/p.json LOG", "s/q.json ERRNO(EPERM)"],
            ),
            (
                format!(r#"{{"ociVersion":"1.0","process":{{}},"linux":{{"seccomp":{profile}}}}}"#),
                Syntax::Json,
                &[" ERRNO(EPERM)"],
            ),
            (
                r#"{"ociVersion":"1.0","linux":{}}"#.to_owned(),
                Syntax::Json,
                &[" 1:29: linux.seccomp is missing, so the container runs without a filter"],
            ),
            (
                format!(
                    r#"[{{"Id":"f00","Name":"/web","HostConfig":{{"SecurityOpt":["no-new-privileges","seccomp={quoted}"]}}}}, {{"Id":"b4","Name":"/db","HostConfig":{{"SecurityOpt":["seccomp=unconfined"]}}}}, {{"Id":"c","Name":"/x","HostConfig":{{"SecurityOpt":null}}}}]"#
                ),
                Syntax::Json,
                &["web ERRNO(EPERM)", "db 1:", "x 1:"],
            ),
            (
                format!(
                    "kind: MachineConfig\nspec:\n  config:\n    storage:\n      files:\n      - path: /var/lib/kubelet/seccomp/a.json\n        contents: {{source: 'data:text/plain;charset=utf-8;base64,eyJkZWZhdWx0QWN0aW9uIjoiU0NNUF9BQ1RfTE9HIn0='}}\n      - path: /b.json\n        contents: {{source: 'data:,{}'}}\n      - path: /etc/motd\n        contents: {{source: 'data:,hello'}}\n",
                    profile.replace('"', "%22")
                ),
                Syntax::Yaml,
                &["/var/lib/kubelet/seccomp/a.json LOG", "/b.json ERRNO(EPERM)"],
            ),
            (
                format!(
                    "variant: openshift\nstorage:\n  files:\n  - path: /a.json\n    contents:\n      inline: |\n        {profile}\n"
                ),
                Syntax::Yaml,
                &["/a.json ERRNO(EPERM)"],
            ),
            (
                "[Container]\nImage=a\nSeccompProfile=/etc/p.json\n".to_owned(),
                Syntax::Quadlet,
                &[" file /etc/p.json"],
            ),
            (
                "[Container]\nPodmanArgs=--rm --security-opt seccomp=p.json\n".to_owned(),
                Syntax::Quadlet,
                &[" file p.json"],
            ),
            (
                "[Container]\nImage=a\n".to_owned(),
                Syntax::Quadlet,
                &[" 1:1: names no profile, so that Podman uses its own default"],
            ),
            (
                format!("// ns/pod/a\n{profile}\n// ns/pod/b\n{{\"defaultAction\":\n\"SCMP_ACT_LOG\"}}\n"),
                Syntax::Advice,
                &["ns/pod/a ERRNO(EPERM)", "ns/pod/b LOG"],
            ),
            (
                "kind: Pod\nmetadata: {name: a}\n".to_owned(),
                Syntax::Yaml,
                &[" 1:1: holds no seccomp profile"],
            ),
            (String::new(), Syntax::Yaml, &[" 1:1: holds no seccomp profile"]),
        ];
        check(cases);
    }

    #[test]
    fn what_names_profiles_is_read() {
        check(vec![
            (
                "kind: Pod\nspec:\n  securityContext:\n    seccompProfile: {type: Localhost, localhostProfile: p/a.json}\n".to_owned(),
                Syntax::Yaml,
                &[" 4:21: holds no seccomp profile, but names p/a.json, a file below /var/lib/kubelet/seccomp of the node"],
            ),
            (
                r#"{"kind":"Pod","spec":{"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}}}}"#.to_owned(),
                Syntax::Json,
                &[" 1:59: holds no seccomp profile, but names RuntimeDefault, the runtime's own default (runtime/default here)"],
            ),
            (
                "services:\n  web:\n    image: nginx\n    security_opt:\n    - seccomp:./p.json\n  db:\n    security_opt: [no-new-privileges, 'seccomp=unconfined']\n  c:\n    image: x\n".to_owned(),
                Syntax::Yaml,
                &["web file ./p.json", "db 7:39: the container runs unconfined"],
            ),
            (
                "services:\n  web: {image: nginx}\n".to_owned(),
                Syntax::Yaml,
                &[" 1:1: no service's security_opt names a profile, so that Docker uses its own default"],
            ),
        ]);
    }

    /// Texts, and the beginning of the result of each source of them.
    fn check(cases: Vec<(String, Syntax, &[&str])>) {
        for (text, syntax, expected) in cases {
            let got = summary(&text, syntax);
            assert_eq!(got.len(), expected.len(), "{text}: {got:?}");
            for (got, expected) in got.iter().zip(expected) {
                assert!(got.starts_with(expected), "{text}: {got:?} {expected:?}");
            }
        }
    }
}
