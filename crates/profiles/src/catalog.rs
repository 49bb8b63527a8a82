//! The profiles of a cluster, and what each is made of: itself and its bases.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use palisade_seccomp::minimize::{Needs, Runtime, minimize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::source::Origin;

/// The most bases of a profile (security-profiles-operator internal/pkg/daemon/seccompprofile/seccompprofile.go,
/// `resolveSyscallsForProfile`).
const MOST_BASES: usize = 15;
/// The largest profile, in bytes of JSON; an API server stores little more.
const LARGEST: usize = 1 << 20;

/// A profile's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    origin: Origin,
    /// Empty, but for older releases of the security-profiles-operator.
    namespace: String,
    name: String,
}

impl Name {
    /// The name of an object; `namespace` is empty for one of the cluster.
    #[must_use]
    pub fn new(origin: Origin, namespace: &str, name: &str) -> Self {
        Self { origin, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The source of the object.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "seccompprofiles.{}/", self.origin.group())?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// The reason why an object is not a valid profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It has no `spec` that is an object.
    #[error("{0}")]
    Unreadable(String),
    /// It is larger than is read.
    #[error("it has more than {LARGEST} bytes")]
    Large,
    /// A base is not there.
    #[error("the base profile {0:?} does not exist")]
    NoBase(String),
    /// A base is in a registry.
    #[error("the base profile {0:?} is in a registry, which is not read: make it a SeccompProfile")]
    Registry(String),
    /// Bases lead to each other, or to more than there may be.
    #[error("it has more than {MOST_BASES} base profiles, or they lead in a circle")]
    Deep,
}

/// A profile and its bases, itself first: each as it was written, but for what does not decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain(Vec<Value>);

impl Chain {
    /// A profile without bases.
    #[must_use]
    pub fn of(spec: Value) -> Self {
        Self(vec![spec])
    }

    /// A profile that runc and crun can start a container under.
    pub(crate) fn with_runtimes(spec: Value) -> Self {
        let runtimes = [Runtime::Runc, Runtime::Crun].map(|runtime| Value::from(runtime.to_string()));
        Self(std::iter::once(spec).chain(runtimes).collect())
    }

    /// The hash of what was written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    pub(crate) fn specs(&self) -> &[Value] {
        &self.0
    }
}

/// The profiles of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    specs: BTreeMap<Name, Value>,
}

impl Catalog {
    /// Puts the `spec` of an object in, in place of an older one.
    pub fn put(&mut self, name: Name, spec: Value) {
        self.specs.insert(name, spec);
    }

    /// Takes an object out.
    pub fn remove(&mut self, name: &Name) {
        self.specs.remove(name);
    }

    /// Takes out all of one origin whose names do not pass.
    pub fn retain(&mut self, origin: Origin, mut passes: impl FnMut(&Name) -> bool) {
        self.specs.retain(|name, _| name.origin != origin || passes(name));
    }

    /// The names of the profiles that are meant to be installed, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.specs.iter().filter(|(_, spec)| !is_disabled(spec)).map(|(name, _)| name)
    }

    /// A profile and its bases. A base is an object of the same kind and namespace; where there is none, `runc` and `crun`,
    /// with or without a version after `-`, are what every version of these runtimes needs.
    ///
    /// # Errors
    ///
    /// See [`ProfileError`].
    pub fn chain(&self, name: &Name) -> Result<Chain, ProfileError> {
        let missing = || ProfileError::NoBase(name.name.clone());
        let mut spec = self.specs.get(name).ok_or_else(missing)?;
        let mut chain = Vec::new();
        let mut size = 0;
        loop {
            let own = spec
                .as_object()
                .ok_or_else(|| ProfileError::Unreadable("spec must be an object".to_owned()))?;
            size += spec.to_string().len();
            if size > LARGEST {
                return Err(ProfileError::Large);
            }
            chain.push(deciding(own));
            let base = match own.get("baseProfileName").unwrap_or(&Value::Null) {
                Value::String(base) if !base.is_empty() => base,
                Value::String(_) | Value::Null => return Ok(Chain(chain)),
                _ => {
                    return Err(ProfileError::Unreadable(
                        "spec.baseProfileName: a text is expected".to_owned(),
                    ));
                }
            };
            if chain.len() > MOST_BASES {
                return Err(ProfileError::Deep);
            }
            let key = Name { name: base.clone(), ..name.clone() };
            match self.specs.get(&key) {
                Some(next) => spec = next,
                None if base.starts_with("oci://") => return Err(ProfileError::Registry(base.clone())),
                None => {
                    let runtime = runtime_of(base).ok_or_else(|| ProfileError::NoBase(base.clone()))?;
                    chain.push(runtime.to_string().into());
                    return Ok(Chain(chain));
                }
            }
        }
    }
}

/// The runtime that the name of a base means where no object has it.
pub(crate) fn runtime_of(base: &str) -> Option<Runtime> {
    let word = base.split_once('-').map_or(base, |(word, _)| word);
    [Runtime::Runc, Runtime::Crun].into_iter().find(|runtime| runtime.to_string() == word)
}

/// The syscalls that a runtime needs, as a profile.
pub(crate) fn of_runtime(runtime: Runtime) -> Value {
    minimize(&[], &Needs { runtimes: vec![runtime], ..Needs::default() })
}

/// A `spec` without what says where and whether, and not what.
fn deciding(spec: &Map<String, Value>) -> Value {
    let fields =
        spec.iter().filter(|(key, _)| !["baseProfileName", "state", "disabled"].contains(&key.as_str()));
    fields.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// Whether the operator's `state`, or the field before it, disables the profile.
fn is_disabled(spec: &Value) -> bool {
    spec.get("state").is_some_and(|state| state == "Disabled")
        || spec.get("disabled") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name(text: &str) -> Name {
        Name::new(Origin::Operator, "", text)
    }

    fn spec(base: &str, syscall: &str) -> Value {
        json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": base,
            "syscalls": [{"names": [syscall], "action": "SCMP_ACT_ALLOW"}]})
    }

    #[test]
    fn bases_are_objects_or_runtimes() {
        let mut catalog = Catalog::default();
        catalog.put(name("a"), spec("b", "read"));
        catalog.put(name("b"), spec("", "write"));
        catalog.put(name("runc-v9"), spec("", "getpid"));
        catalog.put(name("own-runc"), spec("runc-v9", "read"));
        catalog.put(name("crun"), spec("runc-v1.4.2", "read"));
        catalog.put(name("circle"), spec("circle", "read"));
        catalog.put(name("lost"), spec("../../etc/passwd", "read"));
        catalog.put(name("remote"), spec("oci://example/x", "read"));
        catalog.put(name("list"), json!([]));
        catalog.put(name("number"), json!({"defaultAction": "SCMP_ACT_LOG", "baseProfileName": 3}));
        catalog.put(Name::new(Origin::Palisade, "", "elsewhere"), spec("b", "read"));
        let count = |at: &str| catalog.chain(&name(at)).map(|chain| chain.specs().len());
        assert_eq!((count("a"), count("b"), count("own-runc"), count("crun")), (Ok(2), Ok(1), Ok(2), Ok(2)));
        assert_eq!(count("circle"), Err(ProfileError::Deep));
        assert_eq!(count("lost"), Err(ProfileError::NoBase("../../etc/passwd".to_owned())));
        assert_eq!(count("remote"), Err(ProfileError::Registry("oci://example/x".to_owned())));
        assert!(matches!(count("list"), Err(ProfileError::Unreadable(_))));
        assert!(matches!(count("number"), Err(ProfileError::Unreadable(_))));
        let elsewhere = catalog.chain(&Name::new(Origin::Palisade, "", "elsewhere"));
        assert_eq!(elsewhere, Err(ProfileError::NoBase("b".to_owned())), "bases are of the same kind");

        // The digest is of the content: the base's name does not count, its content does.
        let before = catalog.chain(&name("a")).unwrap().digest();
        catalog.put(name("c"), spec("", "write"));
        catalog.put(name("a"), spec("c", "read"));
        assert_eq!(catalog.chain(&name("a")).unwrap().digest(), before);
        catalog.put(name("c"), spec("", "writev"));
        assert_ne!(catalog.chain(&name("a")).unwrap().digest(), before);
    }

    #[test]
    fn what_is_disabled_is_a_base_and_nothing_else() {
        let mut catalog = Catalog::default();
        let mut off = spec("", "read");
        off["state"] = "Disabled".into();
        catalog.put(name("off"), off);
        catalog.put(name("on"), spec("off", "write"));
        assert_eq!(catalog.names().collect::<Vec<_>>(), [&name("on")]);
        assert!(catalog.chain(&name("on")).is_ok());
    }
}
