//! Reading of a profile: every field is checked, and unknown ones are findings.

use palisade_k8s::KernelVersion;
use palisade_k8s::capability;
use palisade_k8s::manifest::{self, Node, NodeValue, Position, ReadError};

use super::meant::{SLIPS, constant, old_form, other_field};
use super::{ArchMap, Entry, FLAGS, Gate, Lines, Origin, Profile, json};
use crate::action::Action;
use crate::arch::{Arch, ArchSet, OTHER_SCMP};
use crate::errno;
use crate::finding::{Finding, Findings, Severity, suggestion};
use crate::rule::{Condition, Operator};

/// Parses one profile from JSON or YAML, with its findings. With an error there is no profile.
pub fn read(text: &str) -> (Option<Profile>, Vec<Finding>) {
    one_document(manifest::read(text))
}

/// Parses one profile from JSON as runtimes do, which accept no comment, no trailing comma and no byte order mark.
pub fn read_json(text: &str) -> (Option<Profile>, Vec<Finding>) {
    one_document(json::read(text).map(|node| vec![node]))
}

fn one_document(documents: Result<Vec<Node>, ReadError>) -> (Option<Profile>, Vec<Finding>) {
    let mut findings = Findings::default();
    match documents.map(<[Node; 1]>::try_from) {
        Ok(Ok([node])) => return of_node(&node, ""),
        Ok(Err(documents)) => {
            let at = documents.get(1).map_or(START, |node| node.at);
            findings.error(at, "", format!("one profile is expected, not {} documents", documents.len()));
        }
        Err(error) => findings.error(error.position, "", error.message),
    }
    (None, findings.list)
}

/// Parses a profile that is a part of a document, at `path` there.
pub(crate) fn of_node(node: &Node, path: &str) -> (Option<Profile>, Vec<Finding>) {
    let mut findings = Findings::default();
    let read = match &node.value {
        NodeValue::Map(_) => Some(profile(node, path, &mut findings)),
        NodeValue::List(items) if items.first().is_some_and(|item| item.get("action").is_some()) => {
            findings.error(node.at, path, "a profile is an object; this is the list of its syscalls alone: write it as {\"defaultAction\": …, \"syscalls\": […]}");
            None
        }
        _ => {
            findings.error(node.at, path, "a profile is an object");
            None
        }
    };
    let has_error = findings.list.iter().any(|finding| finding.severity == Severity::Error);
    (read.filter(|_| !has_error), findings.list)
}

const START: Position = Position { line: 1, column: 1 };

/// Fields of a profile, for the detection of unknown ones.
const FIELDS: &[&str] = &[
    "defaultAction",
    "defaultErrnoRet",
    "defaultErrno",
    "archMap",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
];
const OPERATOR_FIELDS: &[&str] = &["baseProfileName", "disabled", "state"];
const ENTRY_FIELDS: &[&str] =
    &["names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"];
const GATE_FIELDS: &[&str] = &["caps", "arches", "minKernel"];
const ARG_FIELDS: &[&str] = &["index", "value", "valueTwo", "op"];
const MAP_FIELDS: &[&str] = &["architecture", "subArchitectures"];

fn profile(node: &Node, path: &str, findings: &mut Findings) -> Profile {
    let is_operator = node.get("kind").and_then(Node::as_str) == Some("SeccompProfile");
    let body = if is_operator { node.get("spec").unwrap_or(node) } else { node };
    let path = match (is_operator, path) {
        (false, path) => path.to_owned(),
        (true, "") => "spec".to_owned(),
        (true, path) => format!("{path}.spec"),
    };
    if !is_operator && is_rule_alone(node) {
        findings.error(node.at, path, "this is one entry of syscalls, not a profile: without defaultAction a runtime takes it for no seccomp at all; write it as {\"defaultAction\": …, \"syscalls\": [{…}]}");
        return Profile::empty(Action::KillProcess);
    }
    let reader = Reader::new(body, path, findings);
    let reader = match is_operator {
        true => reader.knows(&[FIELDS, OPERATOR_FIELDS].concat()),
        false => reader.knows(FIELDS),
    };
    reader.profile()
}

/// Whether an object is an entry of `syscalls` without a profile around it.
fn is_rule_alone(node: &Node) -> bool {
    let has = |field: &str| node.entries().iter().any(|entry| entry.key.eq_ignore_ascii_case(field));
    has("action") && (has("names") || has("name")) && !has("defaultAction") && !has("syscalls")
}

/// Parses the fields of one object. Names are case-insensitive, as in Go.
struct Reader<'a> {
    node: &'a Node,
    path: String,
    findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    fn new(node: &'a Node, path: impl Into<String>, findings: &'a mut Findings) -> Self {
        Self { node, path: path.into(), findings }
    }

    fn path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Warns of unknown fields.
    fn knows(self, fields: &[&str]) -> Self {
        if !matches!(self.node.value, NodeValue::Map(_)) {
            self.findings.error(self.node.at, self.path.clone(), "an object is expected");
        }
        for entry in self.node.entries() {
            if !fields.iter().any(|field| field.eq_ignore_ascii_case(&entry.key)) {
                let meant = SLIPS
                    .iter()
                    .find(|(other, field)| other.eq_ignore_ascii_case(&entry.key) && fields.contains(field));
                let meant = meant.map(|(_, field)| format!("; did you mean {field}?"));
                let meant = meant.unwrap_or_else(|| suggestion(&entry.key, fields.iter().copied()));
                let message = format!("unknown field, which runtimes ignore{meant}");
                self.findings.warn(entry.at, self.path(&entry.key), message);
            }
        }
        self
    }

    /// A field that is present and not null.
    fn get(&self, field: &str) -> Option<&'a Node> {
        let entry = self.node.entries().iter().rev().find(|entry| entry.key.eq_ignore_ascii_case(field))?;
        (entry.value.value != NodeValue::Null).then_some(&entry.value)
    }

    fn error(&mut self, node: &Node, field: &str, message: impl Into<String>) {
        let path = self.path(field);
        self.findings.error(node.at, path, message);
    }

    fn text(&mut self, field: &str) -> Option<&'a str> {
        let node = self.get(field)?;
        if node.as_str().is_none() {
            let meant = other_field(field, node).map(|other| format!("; did you mean {other}?"));
            self.error(node, field, format!("a text is expected{}", meant.unwrap_or_default()));
        }
        node.as_str()
    }

    fn number(&mut self, field: &str) -> Option<u64> {
        let node = self.get(field)?;
        let number = match &node.value {
            NodeValue::Number(number) => number.as_u64(),
            _ => None,
        };
        if number.is_none() {
            self.error(node, field, "a whole number from 0 to 18446744073709551615 is expected");
        }
        number
    }

    fn list(&mut self, field: &str) -> &'a [Node] {
        let Some(node) = self.get(field) else { return &[] };
        if !matches!(node.value, NodeValue::List(_)) {
            self.error(node, field, "a list is expected");
        }
        node.items()
    }

    fn texts(&mut self, field: &str) -> Vec<(String, Position)> {
        let mut texts = Vec::new();
        for (at, node) in self.list(field).iter().enumerate() {
            match node.as_str() {
                Some(text) => texts.push((text.to_owned(), node.at)),
                None => self.error(node, &format!("{field}[{at}]"), "a text is expected"),
            }
        }
        texts
    }

    fn profile(mut self) -> Profile {
        let default_action = self.default_action();
        let architectures = self.architectures();
        let arch_map = self.arch_map();
        if let Some(node) = self.get("archMap").filter(|_| !architectures.is_empty() && !arch_map.is_empty())
        {
            self.error(node, "archMap", "use either architectures or archMap");
        }
        let flags = self.flags();
        let listener_path = self.text("listenerPath").map(str::to_owned);
        let listener_metadata = self.text("listenerMetadata").map(str::to_owned);
        let entries = self.entries();
        let notifies = entries.iter().any(|entry| entry.action == Action::Notify);
        if listener_path.is_some() && !notifies {
            self.warn("listenerPath", "no entry notifies, so the listener is never called");
        }
        if listener_metadata.is_some() && listener_path.is_none() {
            self.warn("listenerMetadata", "is ignored without listenerPath");
        }
        let base = self.text("baseProfileName").filter(|name| !name.is_empty());
        let base_at = self.get("baseProfileName").map_or(self.node.at, |node| node.at);
        let base = base.map(|name| (name.to_owned(), base_at));
        if self.get("disabled").is_some_and(|node| node.value == NodeValue::Bool(true)) {
            self.warn("disabled", "is true, so the security-profiles-operator does not install the profile");
        }
        if self.text("state") == Some("Disabled") {
            self.warn("state", "is Disabled, so the security-profiles-operator does not install the profile");
        }
        let origin = Origin::Container;
        Profile {
            default_action,
            architectures,
            arch_map,
            flags,
            listener_path,
            listener_metadata,
            entries,
            origin,
            base,
            lines: Lines::default(),
            caps: None,
        }
    }

    fn warn(&mut self, field: &str, message: impl Into<String>) {
        let at = self.get(field).map_or(self.node.at, |node| node.at);
        let path = self.path(field);
        self.findings.warn(at, path, message);
    }

    fn default_action(&mut self) -> Action {
        let Some(action) = self.action("defaultAction", "defaultErrnoRet", "defaultErrno") else {
            if self.get("defaultAction").is_none() {
                let message = "is missing; a runtime takes that for no seccomp at all";
                let (path, at) = (self.path("defaultAction"), self.node.at);
                self.findings.error(at, path, message);
            }
            return Action::KillProcess;
        };
        if action == Action::Notify {
            self.warn(
                "defaultAction",
                "runtimes refuse to notify by default: they would wait for themselves",
            );
        }
        action
    }

    /// An action with its data.
    fn action(&mut self, field: &str, number_field: &str, name_field: &str) -> Option<Action> {
        let name = self.text(field)?;
        let names = || Action::NAMES.iter().map(|(name, _)| *name);
        let Some((_, action)) = Action::NAMES.iter().find(|(other, _)| *other == name) else {
            let message = format!("unknown action {name:?}{}", constant(name, "SCMP_ACT_", names()));
            if let Some(node) = self.get(field) {
                self.error(node, field, message);
            }
            return None;
        };
        let data = self.errno(number_field, name_field);
        if let (Some(_), false) = (data, action.takes_errno()) {
            let which = if self.get(name_field).is_some() { name_field } else { number_field };
            if let Some(node) = self.get(which) {
                self.error(node, which, format!("{name} returns no error"));
            }
        }
        Some(action.with_data(if action.takes_errno() { data.unwrap_or(errno::EPERM) } else { 0 }))
    }

    /// By name, which takes precedence over the number, or by number.
    fn errno(&mut self, number_field: &str, name_field: &str) -> Option<u16> {
        if let Some(name) = self.text(name_field).filter(|name| !name.is_empty()) {
            let known =
                errno::number(name).or_else(|| name.parse().ok().filter(|&number| number <= errno::MAX));
            if known.is_none() {
                let message = format!("unknown error {name:?}{}", suggestion(name, errno::names()));
                if let Some(node) = self.get(name_field) {
                    self.error(node, name_field, message);
                }
            }
            return known;
        }
        let number = self.number(number_field)?;
        let small = u16::try_from(number).ok().filter(|&number| number <= errno::MAX);
        if let (None, Some(node)) = (small, self.get(number_field)) {
            let message = format!(
                "{number} is out of range: the kernel takes errors from 0 to {}, and runtimes cut larger ones to something else",
                errno::MAX
            );
            self.error(node, number_field, message);
        }
        small
    }

    fn architectures(&mut self) -> Vec<String> {
        let names = self.texts("architectures");
        names.into_iter().map(|(name, at)| self.architecture(name, at, "architectures")).collect()
    }

    fn architecture(&mut self, name: String, at: Position, field: &str) -> String {
        let known = || Arch::ALL.iter().map(|arch| arch.scmp()).chain(OTHER_SCMP);
        if !known().any(|other| other == name) {
            let hint = match Arch::meant(&name) {
                Some(arch) => format!("; did you mean {}?", arch.scmp()),
                None => suggestion(&name, known()),
            };
            let message = format!("unknown architecture {name:?}{hint}");
            let path = self.path(field);
            self.findings.warn(at, path, message);
        }
        name
    }

    fn arch_map(&mut self) -> Vec<ArchMap> {
        let mut maps = Vec::new();
        for (at, node) in self.list("archMap").iter().enumerate() {
            let mut inner =
                Reader::new(node, self.path(&format!("archMap[{at}]")), self.findings).knows(MAP_FIELDS);
            let architecture = inner.text("architecture").unwrap_or_default().to_owned();
            let architecture = inner.architecture(architecture, node.at, "architecture");
            let subs = inner.texts("subArchitectures");
            let sub_architectures =
                subs.into_iter().map(|(name, at)| inner.architecture(name, at, "subArchitectures")).collect();
            maps.push(ArchMap { architecture, sub_architectures });
        }
        maps
    }

    fn flags(&mut self) -> Option<Vec<String>> {
        self.get("flags")?;
        let flags = self.texts("flags");
        for (flag, at) in &flags {
            if !FLAGS.contains(&flag.as_str()) {
                let message = format!("unknown flag {flag:?}{}", suggestion(flag, FLAGS.into_iter()));
                let path = self.path("flags");
                self.findings.warn(*at, path, message);
            }
        }
        Some(flags.into_iter().map(|(flag, _)| flag).collect())
    }

    fn entries(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let list = self.list("syscalls");
        if let Some((at, field, message)) = old_form(list) {
            let path = self.path(&field);
            self.findings.warn(at, path, message);
        }
        for (at, node) in list.iter().enumerate() {
            let path = self.path(&format!("syscalls[{at}]"));
            entries.extend(Reader::new(node, path, self.findings).knows(ENTRY_FIELDS).entry());
        }
        entries
    }

    fn entry(mut self) -> Option<Entry> {
        let names = self.names();
        if self.get("action").is_none() {
            let (path, at) = (self.path("action"), self.node.at);
            self.findings.error(at, path, "is missing");
        }
        let action = self.action("action", "errnoRet", "errno");
        let args = self.args();
        let includes = self.gate("includes");
        let excludes = self.gate("excludes");
        let comment = self.text("comment").unwrap_or_default().to_owned();
        let abis = ArchSet::ALL;
        Some(Entry { names, action: action?, args, includes, excludes, comment, abis, at: self.node.at })
    }

    fn names(&mut self) -> Vec<(String, Position)> {
        let mut names = self.texts("names");
        if let Some(name) = self.text("name").filter(|name| !name.is_empty()) {
            let at = self.get("name").map_or(self.node.at, |node| node.at);
            if !names.is_empty() {
                let path = self.path("name");
                self.findings.error(at, path, "use either name or names");
            }
            names.push((name.to_owned(), at));
        }
        if names.is_empty() {
            let path = self.path("names");
            self.findings.warn(self.node.at, path, "names no syscall, so the entry has no effect");
        }
        names
    }

    fn args(&mut self) -> Vec<Condition> {
        let mut args = Vec::new();
        for (at, node) in self.list("args").iter().enumerate() {
            let path = self.path(&format!("args[{at}]"));
            args.extend(Reader::new(node, path, self.findings).knows(ARG_FIELDS).arg());
        }
        args
    }

    fn arg(mut self) -> Option<Condition> {
        let index = self.number("index").unwrap_or_default();
        let value = self.number("value").unwrap_or_default();
        let second = self.number("valueTwo").unwrap_or_default();
        let Some(name) = self.text("op") else {
            let (path, at) = (self.path("op"), self.node.at);
            self.findings.error(at, path, "is missing");
            return None;
        };
        let Some(operator) = operator(name, value) else {
            let message =
                format!("unknown operator {name:?}{}", constant(name, "SCMP_CMP_", OPERATORS.into_iter()));
            if let Some(node) = self.get("op") {
                self.error(node, "op", message);
            }
            return None;
        };
        let compared = match operator {
            Operator::MaskedEqual { mask } => {
                if mask == 0 && second != 0 {
                    self.warn("value", "is the mask, and 0 hides every bit, so that this always holds; valueTwo is what the rest must be: are the two exchanged?");
                } else if second & !mask != 0 {
                    self.warn("valueTwo", "has bits outside of the mask in value, which do not count");
                }
                second
            }
            _ => value,
        };
        let condition = u8::try_from(index).ok().and_then(|index| Condition::new(index, operator, compared));
        if let (None, Some(node)) = (condition, self.get("index")) {
            self.error(node, "index", "a syscall has the arguments 0 to 5");
        }
        condition
    }

    fn gate(&mut self, field: &str) -> Gate {
        let Some(node) = self.get(field) else { return Gate::default() };
        let mut inner = Reader::new(node, self.path(field), self.findings).knows(GATE_FIELDS);
        let caps = inner.texts("caps");
        for (cap, at) in &caps {
            if !capability::PREFIXED.contains(&cap.as_str()) {
                let message = match capability::parse_prefixed(cap) {
                    Some(full) => format!("unknown capability {cap:?}; did you mean {full}?"),
                    None => {
                        format!(
                            "unknown capability {cap:?}{}",
                            suggestion(cap, capability::PREFIXED.into_iter())
                        )
                    }
                };
                let path = inner.path("caps");
                inner.findings.warn(*at, path, message);
            }
        }
        let arches = inner.texts("arches");
        for (arch, at) in &arches {
            let known = || DOCKER_ARCHES.into_iter();
            if !known().any(|other| other == arch) {
                let message = match Arch::parse(arch) {
                    Some(known) => {
                        format!(
                            "unknown architecture {arch:?} in Docker's names; did you mean {}?",
                            known.docker()
                        )
                    }
                    None => format!(
                        "unknown architecture {arch:?} in Docker's names{}",
                        suggestion(arch, known())
                    ),
                };
                let path = inner.path("arches");
                inner.findings.warn(*at, path, message);
            }
        }
        let min_kernel = inner.min_kernel();
        let plain = |texts: Vec<(String, Position)>| texts.into_iter().map(|(text, _)| text).collect();
        Gate { caps: plain(caps), arches: plain(arches), min_kernel }
    }

    /// `X.Y` only. Docker takes an empty text as 0.0.
    fn min_kernel(&mut self) -> Option<KernelVersion> {
        let text = self.text("minKernel")?;
        if text.is_empty() {
            self.warn("minKernel", "is empty, which Docker takes for 0.0: every kernel");
            return Some(KernelVersion::new(0, 0));
        }
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let version = text.split_once('.').filter(|(a, b)| digits(a) && digits(b)).and_then(|(a, b)| {
            Some(KernelVersion::new(a.parse::<u8>().ok()?.into(), b.parse::<u8>().ok()?.into()))
        });
        if let (None, Some(node)) = (version, self.get("minKernel")) {
            self.error(node, "minKernel", "a kernel is written as two numbers up to 255, as \"4.8\"");
        }
        version
    }
}

/// Docker's names of architectures.
const DOCKER_ARCHES: [&str; 19] = [
    "amd64",
    "x86",
    "x32",
    "arm64",
    "arm",
    "mips",
    "mips64",
    "mips64n32",
    "mipsel",
    "mipsel64",
    "mipsel64n32",
    "mips3l64n32",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390",
    "s390x",
    "loongarch64",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

fn operator(name: &str, value: u64) -> Option<Operator> {
    Some(match name {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        // The mask comes first: value is the mask, valueTwo the masked value.
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual { mask: value },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    /// A profile, and the field and a part of the message of each finding.
    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let entry =
            |fields: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{{fields}}}]}}"#);
        let allow = r#""names":["read"],"action":"SCMP_ACT_ALLOW""#;
        let cases: Vec<(String, bool, &str, &str)> = vec![
            ("{}".into(), false, "defaultAction", "is missing"),
            (r#"{"defaultAction":"SCMP_ACT_ALOW"}"#.into(), false, "defaultAction", "did you mean SCMP_ACT_ALLOW?"),
            (r#"{"defaultAction":"ALLOW"}"#.into(), false, "defaultAction", "did you mean SCMP_ACT_ALLOW?"),
            (r#"{"DefaultAction":"SCMP_ACT_ALLOW"}"#.into(), true, "", ""),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","syscals":[]}"#.into(), true, "syscals", "did you mean syscalls?"),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#.into(), false, "defaultErrnoRet", "returns no error"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#.into(), false, "defaultErrnoRet", "out of range"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS"}"#.into(), true, "", ""),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSY"}"#.into(), false, "defaultErrno", "unknown error"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":38}"#.into(), false, "defaultErrno", "did you mean defaultErrnoRet?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X8"]}"#.into(), true, "architectures", "unknown architecture"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_ARM64"]}"#.into(), true, "architectures", "did you mean SCMP_ARCH_AARCH64?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_AMD64"]}"#.into(), true, "architectures", "did you mean SCMP_ARCH_X86_64?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X64"]}"#.into(), true, "architectures", "did you mean SCMP_ARCH_X86_64?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["amd64"]}"#.into(), true, "architectures", "did you mean SCMP_ARCH_X86_64?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["x86_64"]}"#.into(), true, "architectures", "did you mean SCMP_ARCH_X86_64?"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#.into(), false, "archMap", "either"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_LOGG"]}"#.into(), true, "flags", "unknown flag"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/s"}"#.into(), true, "listenerPath", "no entry notifies"),
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#.into(), true, "defaultAction", "refuse to notify"),
            (r#"{"defaultAction":7}"#.into(), false, "defaultAction", "a text is expected"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":{}}"#.into(), false, "syscalls", "a list is expected"),
            (entry(allow), true, "", ""),
            (entry(r#""names":["read"]"#), false, "syscalls[0].action", "is missing"),
            (entry(r#""action":"SCMP_ACT_ALLOW""#), true, "syscalls[0].names", "names no syscall"),
            (entry(&format!(r#""name":"write",{allow}"#)), false, "syscalls[0].name", "either name or names"),
            (entry(&format!(r#"{allow},"args":[{{"index":6,"op":"SCMP_CMP_EQ"}}]"#)), false, "syscalls[0].args[0].index", "arguments 0 to 5"),
            (entry(&format!(r#"{allow},"args":[{{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}}]"#)), false, "syscalls[0].args[0].value", "whole number"),
            (entry(&format!(r#"{allow},"args":[{{"index":0}}]"#)), false, "syscalls[0].args[0].op", "is missing"),
            (entry(&format!(r#"{allow},"args":[{{"index":0,"op":"EQ"}}]"#)), false, "syscalls[0].args[0].op", "did you mean SCMP_CMP_EQ?"),
            (entry(&format!(r#"{allow},"args":[{{"index":0,"operator":"SCMP_CMP_EQ"}}]"#)), false, "syscalls[0].args[0].operator", "did you mean op?"),
            (entry(r#""name":["read","write"],"action":"SCMP_ACT_ALLOW""#), false, "syscalls[0].name", "did you mean names?"),
            (entry(&format!(r#"{allow},"args":[{{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}}]"#)), true, "syscalls[0].args[0].valueTwo", "outside of the mask"),
            (entry(&format!(r#"{allow},"includes":{{"caps":["SYS_ADMIN"]}}"#)), true, "syscalls[0].includes.caps", "did you mean CAP_SYS_ADMIN?"),
            (entry(&format!(r#"{allow},"includes":{{"arches":["x86_64"]}}"#)), true, "syscalls[0].includes.arches", "did you mean amd64?"),
            (entry(&format!(r#"{allow},"includes":{{"minKernel":"4.8.1"}}"#)), false, "syscalls[0].includes.minKernel", "two numbers"),
            (entry(&format!(r#"{allow},"includes":{{"minKernel":"4.256"}}"#)), false, "syscalls[0].includes.minKernel", "two numbers"),
            ("[]".into(), false, "", "a profile is an object"),
            (r#"{"names":["a"],"action":"SCMP_ACT_ALLOW"}"#.into(), false, "", "one entry of syscalls"),
        ];
        for (text, is_read, field, message) in cases {
            let (profile, findings) = read_json(&text);
            assert_eq!(profile.is_some(), is_read, "{text}: {findings:?}");
            assert_eq!(findings.is_empty(), message.is_empty(), "{text}: {findings:?}");
            let told = findings.iter().any(|f| f.field == field && f.message.contains(message));
            assert!(message.is_empty() || told, "{text}: {findings:?}");
        }
    }

    #[test]
    fn masks_come_first() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":240,"valueTwo":16,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let profile = read_json(text).0.unwrap();
        let condition = profile.entries[0].args[0];
        assert_eq!((condition.holds(0x1f), condition.holds(0x2f)), (true, false));
    }
}
