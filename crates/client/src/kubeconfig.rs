//! Kubeconfig files: where they are, reading them merged, and changing one as kubectl does.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kube::config::Kubeconfig;
use palisade_console::{input, private_file};
use palisade_k8s::manifest::{self, Node};
use palisade_k8s::{put, yaml};
use serde_json::{Value, json};

use crate::error::{Error, KubeconfigError, Result};

/// Maximum time to wait for another process that changes the file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval between checks whether it has finished.
const PAUSE: Duration = Duration::from_millis(10);

fn bad(path: &Path, cause: impl Into<KubeconfigError>) -> Error {
    Error::Kubeconfig { path: path.to_owned(), cause: cause.into() }
}

/// The file that changes go to: the given one, else the first of `$KUBECONFIG`, else `~/.kube/config`.
#[must_use]
pub fn path(given: Option<&Path>) -> PathBuf {
    files(given).into_iter().next().unwrap_or_default()
}

/// The files that are read, the more important first.
fn files(given: Option<&Path>) -> Vec<PathBuf> {
    if let Some(given) = given {
        return vec![given.to_owned()];
    }
    let variable = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> =
        std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() {
        vec![std::env::home_dir().unwrap_or_default().join(".kube/config")]
    } else {
        listed
    }
}

/// Reads the kubeconfig, merged from all its files; none where none of them exists.
///
/// # Errors
/// [`Error::Kubeconfig`].
pub fn read(given: Option<&Path>) -> Result<Option<Kubeconfig>> {
    let mut merged: Option<Kubeconfig> = None;
    for path in files(given) {
        match input::open(&path) {
            Ok(file) => drop(file),
            Err(input::InputError::Io(error)) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(bad(&path, error)),
        }
        let wrong = |error| bad(&path, KubeconfigError::Fields(Box::new(error)));
        let next = Kubeconfig::read_from(&path).map_err(wrong)?;
        merged = Some(match merged {
            Some(earlier) => earlier.merge(next).map_err(wrong)?,
            None => next,
        });
    }
    Ok(merged)
}

/// Refuses a context that names a pipe or a device in place of a file: reading one may never end.
pub(crate) fn refuse_special(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<()> {
    let context = context.or(kubeconfig.current_context.as_deref());
    let context = kubeconfig.contexts.iter().find(|named| Some(named.name.as_str()) == context);
    let Some(context) = context.and_then(|named| named.context.as_ref()) else { return Ok(()) };
    let clusters = kubeconfig.clusters.iter().filter(|named| named.name == context.cluster);
    let clusters = clusters.filter_map(|named| named.cluster.as_ref());
    let users = kubeconfig.auth_infos.iter().filter(|named| Some(&named.name) == context.user.as_ref());
    let users = users.filter_map(|named| named.auth_info.as_ref());
    let named = clusters.map(|cluster| &cluster.certificate_authority);
    let named =
        named.chain(users.flat_map(|user| [&user.token_file, &user.client_certificate, &user.client_key]));
    for path in named.flatten().map(Path::new) {
        // What is missing is told by whoever reads it.
        if let Err(error @ input::InputError::Special(_)) = input::open(path) {
            return Err(bad(path, error));
        }
    }
    Ok(())
}

/// The kubeconfig of a pod: the API server in its environment, and its service account, whose token is in `folder`; `None`
/// outside of pods.
pub(crate) fn in_cluster(folder: &Path, variable: impl Fn(&str) -> Option<String>) -> Option<Kubeconfig> {
    const NAME: &str = "in-cluster";
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let [token, authority, namespace] = ["token", "ca.crt", "namespace"].map(|name| folder.join(name));
    if !token.exists() {
        return None;
    }
    let namespace = std::fs::read_to_string(namespace).ok().map(|text| text.trim().to_owned());
    let made = json!({"current-context": NAME,
        "clusters": [{"name": NAME, "cluster":
            {"server": format!("https://{host}:{port}"), "certificate-authority": authority}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": namespace}}],
        "users": [{"name": NAME, "user": {"tokenFile": token}}]});
    serde_json::from_value(made).ok()
}

pub(crate) fn missing(given: Option<&Path>) -> Error {
    bad(&path(given), KubeconfigError::Missing)
}

/// One kubeconfig file as it is written, with all its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    value: Value,
}

impl File {
    /// Reads a file; an empty kubeconfig where there is none.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn read(path: &Path) -> Result<Self> {
        match Self::parse(path) {
            Err(KubeconfigError::Input(input::InputError::Io(error)))
                if error.kind() == ErrorKind::NotFound =>
            {
                Ok(Self::empty())
            }
            found => found.map_err(|cause| bad(path, cause)),
        }
    }

    fn empty() -> Self {
        let value =
            json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []});
        Self { value }
    }

    fn parse(path: &Path) -> std::result::Result<Self, KubeconfigError> {
        let text = String::from_utf8(input::read(path)?)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))?;
        let documents = manifest::read(&text)?;
        match documents.first().map(Node::to_json) {
            None => Ok(Self::empty()),
            Some(value) if value.is_object() => Ok(Self { value }),
            Some(_) => Err(KubeconfigError::NotAnObject),
        }
    }

    /// Changes a file while no other process does: reads it under a lock, and writes it if it has changed. It waits up to
    /// ten seconds for the lock, which is the one of kubectl (`client-go/tools/clientcmd/loader.go`).
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| bad(path, error))?;
        }
        let _lock = Lock::take(path).map_err(|cause| bad(path, cause))?;
        let before = Self::read(path)?;
        let mut after = before.clone();
        let result = change(&mut after);
        if after != before || !path.exists() {
            private_file::replace(path, yaml::write(&after.value).as_bytes())
                .map_err(|error| bad(path, error))?;
        }
        Ok(result)
    }

    /// The name of the current context; empty if there is none.
    #[must_use]
    pub fn current(&self) -> &str {
        text(&self.value, "/current-context")
    }

    /// An entry of `clusters`, `contexts` or `users`, by its name.
    #[must_use]
    pub fn named(&self, list: &str, name: &str) -> Option<&Value> {
        self.entries(list).find(|entry| text(entry, "/name") == name)
    }

    /// The entries of `clusters`, `contexts` or `users`.
    pub fn entries<'f>(&'f self, list: &str) -> impl Iterator<Item = &'f Value> + use<'f> {
        self.value.get(list).and_then(Value::as_array).into_iter().flatten()
    }

    /// Puts an entry into a list, in place of an older one of its name.
    pub fn set(&mut self, list: &str, entry: Value) {
        if !self.value.get(list).is_some_and(Value::is_array) {
            put(&mut self.value, &[list], json!([]));
        }
        let Some(entries) = self.value.get_mut(list).and_then(Value::as_array_mut) else { return };
        match entries.iter_mut().find(|old| text(old, "/name") == text(&entry, "/name")) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
    }

    /// Makes a context the current one.
    pub fn set_current(&mut self, name: &str) {
        put(&mut self.value, &["current-context"], name.into());
    }

    /// Sets the namespace of the current context.
    pub fn set_namespace(&mut self, namespace: &str) {
        let current = self.current().to_owned();
        let Some(mut context) = self.named("contexts", &current).cloned() else { return };
        put(&mut context, &["context", "namespace"], namespace.into());
        self.set("contexts", context);
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The lock of a kubeconfig: a file beside it that only one process can create.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> std::result::Result<Self, KubeconfigError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let start = Instant::now();
        loop {
            match std::fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                Err(_) if start.elapsed() > PATIENCE => return Err(KubeconfigError::Locked(lock)),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_in_place_of_a_file_is_refused() {
        let rows = [
            ("", "{tokenFile: /dev/zero}", true),
            ("", "{client-key: /dev/zero}", true),
            ("certificate-authority: /dev/zero", "{}", true),
            ("", "{tokenFile: /nowhere}", false),
        ];
        for (cluster, user, is_refused) in rows {
            let text = format!(
                "{{current-context: c, contexts: [{{name: c, context: {{cluster: s, user: u}}}}], \
                 clusters: [{{name: s, cluster: {{{cluster}}}}}], \
                 users: [{{name: u, user: {user}}}, {{name: other, user: {{tokenFile: /dev/zero}}}}]}}"
            );
            let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
            assert_eq!(refuse_special(&kubeconfig, None).is_err(), is_refused, "{text}");
            assert!(refuse_special(&kubeconfig, Some("none")).is_ok());
        }
    }

    #[test]
    fn changes_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config");
        std::thread::scope(|scope| {
            for at in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    File::update(path, |file| file.set("users", json!({"name": format!("u{at}")}))).unwrap();
                });
            }
        });
        assert_eq!(File::read(&path).unwrap().entries("users").count(), 16);
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn fields_that_are_not_known_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "current-context: c\nmine: {a: 1}\ncontexts: [{name: c, context: {x: z}}]\n")
            .unwrap();
        File::update(&path, |file| file.set_namespace("shop")).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            written,
            "contexts:\n- context:\n    namespace: shop\n    x: z\n  name: c\ncurrent-context: c\nmine:\n  a: 1\n"
        );
    }

    #[test]
    fn a_pod_has_the_kubeconfig_of_its_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let made = |host: Option<&str>| {
            in_cluster(folder.path(), |name| match name {
                "KUBERNETES_SERVICE_HOST" => host.map(str::to_owned),
                _ => Some("443".to_owned()),
            })
        };
        assert!(made(Some("10.96.0.1")).is_none(), "no token");
        std::fs::write(folder.path().join("token"), "t").unwrap();
        std::fs::write(folder.path().join("namespace"), "shop").unwrap();
        assert!(made(None).is_none(), "no server");
        for (host, url) in [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")] {
            let found = serde_json::to_value(made(Some(host)).unwrap()).unwrap();
            assert_eq!(text(&found, "/clusters/0/cluster/server"), url);
            assert_eq!(text(&found, "/contexts/0/context/namespace"), "shop");
            let place = |name: &str| folder.path().join(name).display().to_string();
            assert_eq!(text(&found, "/users/0/user/tokenFile"), place("token"));
            assert_eq!(text(&found, "/clusters/0/cluster/certificate-authority"), place("ca.crt"));
        }
    }

    #[test]
    fn invalid_kubeconfigs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for text in ["[1]", "a: [", "\"text\""] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(File::read(&path), Err(Error::Kubeconfig { .. })), "{text}");
        }
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(File::read(&path).unwrap(), File::empty());
    }
}
