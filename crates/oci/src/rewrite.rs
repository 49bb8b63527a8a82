//! The handler's change of a container's `config.json`: the filter, and nothing else.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use palisade_k8s::seccomp::Named;
use palisade_seccomp::builtin;

use crate::annotation;
use crate::document::Object;
use crate::error::Error;
use crate::filter::{Compiled, Source};
use crate::settings::Settings;

/// A `config.json` that has been read.
pub(crate) struct Config {
    top: Object,
    annotations: Object,
    linux: Object,
    /// The profile that it is to run under; none: unconfined.
    pub(crate) source: Option<Source>,
}

/// The largest profile, in bytes.
const MAX_PROFILE: u64 = 16 * 1024 * 1024;

/// Maximum nesting of a config.json: unchanged parts are not parsed, so nothing else would check it.
const MAX_DEPTH: usize = 128;

/// Fields that decide on the filter. runc takes them in any case, crun only as they are.
const FIELDS: [&str; 6] = ["annotations", "linux", "process", "seccomp", "capabilities", "bounding"];

impl Config {
    /// Reads it, takes away what only an engine may say, and finds the profile.
    pub(crate) fn read(text: &[u8], settings: &Settings, kernel: (u32, u32)) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|error| {
            Error::config("", format_args!("not valid UTF-8 at byte {}", error.valid_up_to()))
        })?;
        if depth(text) > MAX_DEPTH {
            return Err(Error::config("", format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        let top: Object = serde_json::from_str(text).map_err(|error| Error::config("", error))?;
        one_spelling(&top, "")?;
        let mut annotations = object(&top, "annotations")?;
        let trusted = settings.trust_annotations;
        annotations.retain(|name| {
            !annotation::FROM_OUTSIDE.contains(&name) && (trusted || !name.starts_with(annotation::PREFIX))
        });
        let linux = object(&top, "linux")?;
        one_spelling(&linux, "linux.")?;
        let caps = bounding(&top)?;
        let asked = Asked::read(&annotations)?;
        let profile = match asked.profile {
            Some(name) => Some(named(&name, settings)?),
            None => linux.get("seccomp").map(|text| ("linux.seccomp".to_owned(), text.get().to_owned())),
        };
        let source = profile.map(|(name, text)| Source {
            name,
            text,
            caps,
            kernel,
            log: settings.log || asked.log,
            recorder: asked.recorder,
        });
        Ok(Self { top, annotations, linux, source })
    }

    /// The text with a filter in it, for crun by its annotation and for others as `linux.seccomp`.
    pub(crate) fn with(mut self, filter: Option<&Compiled>) -> Result<Vec<u8>, Error> {
        let wrong = |error: serde_json::Error| Error::config("", error);
        if let Some(filter) = filter {
            self.annotations.set(annotation::BPF, &filter.program).map_err(wrong)?;
            self.linux.set("seccomp", &filter.flattened).map_err(wrong)?;
            self.top.set("linux", &self.linux).map_err(wrong)?;
        }
        if self.top.get("annotations").is_some() || filter.is_some() {
            self.top.set("annotations", &self.annotations).map_err(wrong)?;
        }
        serde_json::to_vec(&self.top).map_err(wrong)
    }

    /// Tells a recorder at a socket of what the container does. One that would be unconfined is given a filter
    /// that only tells.
    pub(crate) fn record_to(&mut self, socket: Option<std::path::PathBuf>) {
        let Some(socket) = socket else { return };
        let source = self.source.get_or_insert_with(|| Source {
            name: "recorded".to_owned(),
            text: r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_owned(),
            caps: BTreeSet::new(),
            kernel: (0, 0),
            log: false,
            recorder: None,
        });
        source.recorder = Some(socket.to_string_lossy().into_owned());
    }

    /// An annotation of the engine's or of a trusted agent's.
    pub(crate) fn annotation(&self, name: &str) -> Option<String> {
        self.annotations.read(name).ok().flatten()
    }

    /// `linux.cgroupsPath`.
    pub(crate) fn cgroup(&self) -> Option<String> {
        self.linux.read("cgroupsPath").ok().flatten()
    }
}

/// The requests of trusted annotations.
#[derive(Debug, Default)]
struct Asked {
    profile: Option<String>,
    log: bool,
    recorder: Option<String>,
}

impl Asked {
    fn read(annotations: &Object) -> Result<Self, Error> {
        let text = |name: &str| -> Result<Option<String>, Error> {
            let wrong = |error| Error::config(&format!("annotations[{name}]"), error);
            annotations.read(name).map_err(wrong)
        };
        let recorder = text(annotation::RECORD)?;
        if recorder.as_ref().is_some_and(|socket| !Path::new(socket).is_absolute()) {
            let field = format!("annotations[{}]", annotation::RECORD);
            return Err(Error::config(&field, "the absolute path of a socket is expected"));
        }
        let log = match text(annotation::LOG)?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let field = format!("annotations[{}]", annotation::LOG);
                return Err(Error::config(&field, format_args!("true or false is expected, not {other:?}")));
            }
        };
        Ok(Self { profile: text(annotation::PROFILE)?, log, recorder })
    }
}

/// The profile that an annotation names, and its text.
fn named(name: &str, settings: &Settings) -> Result<(String, String), Error> {
    let field = format!("annotations[{}]", annotation::PROFILE);
    let wrong = |problem: &dyn std::fmt::Display| Error::config(&field, problem);
    let text = match Named::parse(name).map_err(|error| wrong(&error))? {
        Named::Unconfined => {
            return Err(wrong(&"a container is unconfined by having no seccomp, not by an annotation"));
        }
        Named::RuntimeDefault => match &settings.default_profile {
            None => builtin::DEFAULT.to_owned(),
            Some(path) => text(path, std::fs::File::open(path))?,
        },
        Named::Localhost(path) => {
            let root = &settings.profile_root;
            let folder = std::fs::File::open(root).map_err(|error| Error::file(root, error))?;
            text(&root.join(&path), palisade_sys::files::open_beneath(&folder, &path))?
        }
    };
    Ok((name.to_owned(), text))
}

fn text(path: &Path, file: std::io::Result<std::fs::File>) -> Result<String, Error> {
    let io = |error| Error::file(path, error);
    let file = file.map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(io(std::io::Error::other("is not a regular file")));
    }
    let mut text = String::new();
    file.take(MAX_PROFILE + 1).read_to_string(&mut text).map_err(io)?;
    match text.len() as u64 > MAX_PROFILE {
        true => Err(io(std::io::Error::other(format!("larger than {MAX_PROFILE} bytes")))),
        false => Ok(text),
    }
}

/// The nesting of objects and lists.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn object(top: &Object, field: &str) -> Result<Object, Error> {
    Ok(top.read(field).map_err(|error| Error::config(field, error))?.unwrap_or_default())
}

/// `process.capabilities.bounding`.
fn bounding(top: &Object) -> Result<BTreeSet<String>, Error> {
    let process = object(top, "process")?;
    one_spelling(&process, "process.")?;
    let wrong = |error| Error::config("process.capabilities", error);
    let capabilities: Object = process.read("capabilities").map_err(wrong)?.unwrap_or_default();
    one_spelling(&capabilities, "process.capabilities.")?;
    let bounding: Option<Vec<String>> = capabilities.read("bounding").map_err(wrong)?;
    Ok(bounding.unwrap_or_default().into_iter().collect())
}

/// Refuses a field that one runtime would read and another not.
fn one_spelling(object: &Object, path: &str) -> Result<(), Error> {
    for name in object.names() {
        let other = FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name) && *field != name);
        if let Some(field) = other {
            return Err(Error::config(&format!("{path}{name}"), format_args!("is spelt {field}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OWN: &str =
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;

    fn rewritten(text: &str, settings: &Settings) -> Result<Value, String> {
        let config = Config::read(text.as_bytes(), settings, (6, 1)).map_err(|error| error.to_string())?;
        let compiled = config.source.as_ref().map(Source::compile).transpose();
        let compiled = compiled.map_err(|error| error.to_string())?;
        let written = config.with(compiled.as_ref()).map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&written).unwrap())
    }

    fn trusting() -> Settings {
        Settings { trust_annotations: true, ..Settings::default() }
    }

    #[test]
    fn an_unconfined_container_stays_as_it_is() {
        let text = r#"{"ociVersion":"1.0.2","process":{"args":["a"]},"linux":{"cgroupsPath":"/x"}}"#;
        assert_eq!(
            rewritten(text, &Settings::default()).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn the_filter_of_the_profile_is_put_in() {
        let text = format!(r#"{{"annotations":{{"a":"b"}},"linux":{{"seccomp":{OWN},"x":1}}}}"#);
        let new = rewritten(&text, &Settings::default()).unwrap();
        assert_eq!(new["annotations"]["a"], "b");
        assert_eq!(new["linux"]["x"], 1);
        let program = new["annotations"][annotation::BPF].as_str().unwrap();
        assert!(program.len() > 40, "{program}");
        assert_eq!(new["linux"]["seccomp"]["syscalls"][0]["names"], json!(["read"]));
    }

    #[test]
    fn nobody_outside_names_a_filter() {
        let evil = "BgAAAAAA/38="; // ret ALLOW
        for key in annotation::FROM_OUTSIDE {
            let text = json!({"annotations": {(key): evil, "keep": "x"}}).to_string();
            for settings in [Settings::default(), trusting()] {
                let new = rewritten(&text, &settings).unwrap();
                assert_eq!(new["annotations"], json!({"keep": "x"}), "{key}");
            }
        }
        let ours = json!({"annotations": {
            (annotation::PROFILE): "localhost/lax.json", (annotation::RECORD): "/tmp/socket", (annotation::LOG): "true",
        }});
        assert_eq!(rewritten(&ours.to_string(), &Settings::default()).unwrap(), json!({"annotations": {}}));
    }

    #[test]
    fn no_second_reading_goes_by() {
        for (text, problem) in [
            (r#"{"annotations":{"run.oci.seccomp_bpf_data\u0000x":"BgAAAAAA/38="}}"#, "zero byte"),
            (r#"{"annotations":{},"annotations":{"run.oci.seccomp_bpf_data":"BgAAAAAA/38="}}"#, "twice"),
            (r#"{"linux":{"seccomp":{},"seccomp":null}}"#, "twice"),
            (r#"{"Annotations":{"run.oci.seccomp_bpf_data":"BgAAAAAA/38="}}"#, "is spelt annotations"),
            (r#"{"linux":{"Seccomp":null}}"#, "linux.Seccomp: is spelt seccomp"),
            (r#"{"linux":[]}"#, "linux: invalid type"),
            (r#"{"annotations":"x"}"#, "annotations: invalid type"),
            (r#"{"linux":{"seccomp":{}}}"#, "defaultAction: is missing"),
            (r#"{"linux":{"seccomp":7}}"#, "a profile is an object"),
            (r#"{"process":{"capabilities":{"bounding":"ALL"}}}"#, "process.capabilities"),
            ("", "EOF"),
            ("null", "an object"),
            ("\u{feff}{}", "expected value"),
        ] {
            let error = rewritten(text, &Settings::default()).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let error = rewritten(&format!(r#"{{"x":{deep}}}"#), &Settings::default()).unwrap_err();
        assert!(error.contains("deeper than 128"), "{error}");
        let flat = format!(r#"{{"x":"{}\\\"{{["}}"#, "[".repeat(1000));
        assert!(rewritten(&flat, &Settings::default()).is_ok());
        let error = Config::read(b"{\"a\":\"\xff\"}", &Settings::default(), (6, 1)).err().unwrap();
        assert!(error.to_string().contains("not valid UTF-8 at byte 6"), "{error}");
    }

    #[test]
    fn profiles_are_named_below_the_root_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/own.json"), OWN).unwrap();
        std::fs::write(folder.path().join("outside.json"), OWN).unwrap();
        std::os::unix::fs::symlink("../outside.json", root.join("link.json")).unwrap();
        std::os::unix::fs::symlink("sub/own.json", root.join("inside.json")).unwrap();
        let settings = Settings { profile_root: root, ..trusting() };
        for (name, problem) in [
            ("localhost/sub/own.json", None),
            ("localhost/inside.json", None),
            ("runtime/default", None),
            ("localhost/link.json", Some("link.json: ")),
            ("localhost/../outside.json", Some("leaves the profile root")),
            ("localhost//etc/passwd", Some("leaves the profile root")),
            ("localhost/sub", Some("is not a regular file")),
            ("localhost/missing.json", Some("missing.json: ")),
            ("localhost/", Some("followed by the path")),
            ("unconfined", Some("not by an annotation")),
            ("default", Some("unknown seccomp profile")),
        ] {
            let text = json!({"annotations": {(annotation::PROFILE): name}, "linux": {}}).to_string();
            match (rewritten(&text, &settings), problem) {
                (Ok(new), None) => assert!(new["linux"]["seccomp"].is_object(), "{name}"),
                (Err(error), Some(problem)) => assert!(error.contains(problem), "{name}: {error}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_wrong_annotation_is_refused() {
        for (name, value) in [
            (annotation::LOG, json!("yes")),
            (annotation::LOG, json!(true)),
            (annotation::RECORD, json!("relative")),
            (annotation::PROFILE, json!(1)),
        ] {
            let text = json!({"annotations": {(name): value}}).to_string();
            let error = rewritten(&text, &trusting()).unwrap_err();
            assert!(error.contains(&format!("annotations[{name}]")), "{error}");
        }
    }
}
