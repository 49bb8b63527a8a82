//! Facts about each container, kept between the runtime's commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, private_folder, replace};
use crate::error::Error;
use crate::filter::hex;

/// A container that the handler has created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The engine's id of it.
    pub id: String,
    /// The name that the engine's annotations give it, for people: `NAMESPACE/POD/CONTAINER` or a plain one.
    pub name: Option<String>,
    /// The runtime's `--root`.
    pub root: Option<PathBuf>,
    /// Its bundle.
    pub bundle: PathBuf,
    /// The file that its first pid is written to.
    pub pid_file: Option<PathBuf>,
    /// The runtime that holds it.
    pub runtime: PathBuf,
    /// Its cgroup, as the engine asked for it.
    pub cgroup: Option<String>,
    /// The audit login id of its processes, where it has one of its own.
    pub login_id: Option<u32>,
    /// Its filter; none: it is unconfined.
    pub filter: Option<Applied>,
}

/// A filter that a container was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The profile's name.
    pub profile: String,
    /// The key of the filter in the cache.
    pub key: String,
    /// The SHA-256 of the program.
    pub digest: String,
    /// Number of its instructions.
    pub instructions: usize,
    /// Whether the kernel logs what it denies.
    pub log: bool,
    /// Whether the mitigation of speculative store bypass stays off.
    pub spec_allow: bool,
    /// Number of filters of the engine itself, which the container inherits.
    pub inherited: u32,
}

impl Container {
    /// The pid of its first process: from the file that the engine asked for, else from the runtime.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let text = self.pid_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let pid = text.and_then(|text| text.trim().parse().ok());
        pid.or_else(|| state_pid(&self.runtime, self.root.as_deref(), &self.id))
    }
}

/// The suffix of the file of a deleted container.
const ENDED: &str = "ended";

/// Time after its creation for which a deleted container is remembered.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(600);

/// The first process of a container, as its runtime says: `state` gives JSON by the OCI runtime specification.
pub(crate) fn state_pid(runtime: &Path, root: Option<&Path>, id: &str) -> Option<u32> {
    let mut command = Command::new(runtime);
    if let Some(root) = root {
        command.arg("--root").arg(root);
    }
    let output = command.args(["state", id]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    state.get("pid")?.as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

/// All containers of a handler.
#[derive(Clone, Debug)]
pub struct Containers {
    folder: PathBuf,
    cache: Cache,
}

impl Containers {
    /// The containers of a handler with this [state](crate::settings::Settings::state) folder.
    pub fn of(state: &Path) -> Result<Self, Error> {
        let cache = Cache::new(state)?;
        let folder = state.join("containers");
        private_folder(&folder)?;
        Ok(Self { folder, cache })
    }

    /// The socket at which a recorder waits for a container of this id, which may not exist yet.
    pub fn recorder_socket(&self, id: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.with_file_name("record");
        private_folder(&folder)?;
        // A socket's path is short.
        let name: String = hex(&Sha256::digest(id)).chars().take(32).collect();
        Ok(folder.join(name))
    }

    /// The same socket, if a recorder waits.
    pub(crate) fn recorder(&self, id: &str) -> Option<PathBuf> {
        let socket = self.recorder_socket(id).ok()?;
        std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(socket)
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Named by digest: two runtimes may use the same ID, and an ID may not be a valid file name.
    fn path(&self, root: Option<&Path>, id: &str) -> PathBuf {
        let mut digest = Sha256::new();
        digest.update(root.map(|root| root.as_os_str().as_encoded_bytes()).unwrap_or_default());
        digest.update([0]);
        digest.update(id);
        self.folder.join(hex(&digest.finalize()))
    }

    pub(crate) fn put(&self, container: &Container) -> Result<(), Error> {
        let path = self.path(container.root.as_deref(), &container.id);
        let text = serde_json::to_vec(container).map_err(|error| Error::file(&path, error.into()))?;
        replace(&path, 0o600, &text)
    }

    pub(crate) fn get(&self, root: Option<&Path>, id: &str) -> Option<Container> {
        let found = read(&self.path(root, id))?;
        (found.id == id && found.root.as_deref() == root).then_some(found)
    }

    /// Removes a container. Its record is kept for some minutes, for late denials.
    pub(crate) fn remove(&self, root: Option<&Path>, id: &str) {
        let path = self.path(root, id);
        let _ = std::fs::rename(&path, path.with_extension(ENDED));
        self.forget(REMEMBERED, |path| path.extension().is_some());
    }

    /// Removes the records of containers that were deleted some minutes ago, and of those whose bundle is gone without
    /// the runtime, as after a crash.
    pub fn prune(&self) {
        self.prune_after(REMEMBERED);
    }

    fn prune_after(&self, time: std::time::Duration) {
        let is_gone = |path: &Path| read(path).is_none_or(|container| !container.bundle.is_dir());
        self.forget(time, |path| path.extension().is_some() || is_gone(path));
    }

    /// Removes files that are older than a time.
    fn forget(&self, time: std::time::Duration, is_meant: impl Fn(&Path) -> bool) {
        let is_old = |path: &Path| {
            let modified = path.metadata().and_then(|about| about.modified());
            modified.ok().and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > time)
        };
        for path in self.files().filter(|path| is_old(path) && is_meant(path)) {
            let _ = std::fs::remove_file(path);
        }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path())
    }

    /// All, those that were deleted in the last minutes before the others.
    pub(crate) fn with_ended(&self) -> Vec<Container> {
        let (ended, live): (Vec<_>, Vec<_>) = self.files().partition(|path| path.extension().is_some());
        ended.iter().chain(&live).filter_map(|path| read(path)).collect()
    }

    /// The containers whose bundle still exists, by id. A file that cannot be read is left out.
    #[must_use]
    pub fn list(&self) -> Vec<Container> {
        let containers =
            self.files().filter(|path| path.extension().is_none()).filter_map(|path| read(&path));
        let mut containers: Vec<_> = containers.filter(|container| container.bundle.is_dir()).collect();
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        containers
    }

    /// The one that is meant by its id, the beginning of it, or its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Container> {
        let all = self.list();
        let exact =
            all.iter().find(|container| container.id == name || container.name.as_deref() == Some(name));
        let begins = || {
            let mut found = all.iter().filter(|container| !name.is_empty() && container.id.starts_with(name));
            found.next().filter(|_| found.next().is_none())
        };
        exact.or_else(begins).cloned()
    }

    /// The one that [`find`](Self::find) gives, or else all of a pod: `NAMESPACE/POD`, or `POD` in any namespace.
    #[must_use]
    pub fn find_all(&self, name: &str) -> Vec<Container> {
        if let Some(one) = self.find(name) {
            return vec![one];
        }
        let is_of_pod = |container: &Container| {
            let pod = container.name.as_deref().and_then(|full| full.rsplit_once('/')).map(|(pod, _)| pod);
            pod.is_some_and(|pod| pod == name || pod.split_once('/').is_some_and(|(_, short)| short == name))
        };
        self.list().into_iter().filter(is_of_pod).collect()
    }
}

fn read(path: &Path) -> Option<Container> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, root: Option<&str>, bundle: &Path) -> Container {
        Container {
            id: id.to_owned(),
            name: Some(format!("shop/web/{id}")),
            root: root.map(PathBuf::from),
            bundle: bundle.to_owned(),
            pid_file: None,
            runtime: PathBuf::from("/usr/bin/crun"),
            cgroup: None,
            login_id: None,
            filter: None,
        }
    }

    #[test]
    fn containers_are_kept_apart_by_root() {
        let folder = tempfile::tempdir().unwrap();
        let containers = Containers::of(&folder.path().join("state")).unwrap();
        let bundle = folder.path();
        for (id, root) in
            [("../../etc/passwd", None), ("abc1", None), ("abc1", Some("/r")), ("abd", Some("/r"))]
        {
            containers.put(&container(id, root, bundle)).unwrap();
            assert_eq!(containers.get(root.map(Path::new), id), Some(container(id, root, bundle)));
        }
        assert_eq!(containers.list().len(), 4);
        assert_eq!(containers.find("abd").unwrap().id, "abd");
        assert_eq!(containers.find("shop/web/abd").unwrap().id, "abd");
        assert_eq!(containers.find("../").unwrap().id, "../../etc/passwd");
        assert_eq!(containers.find("ab"), None, "two begin so");
        assert_eq!(containers.find(""), None);
        for (name, count) in [("abd", 1), ("shop/web", 3), ("web", 3), ("shop", 0), ("", 0)] {
            assert_eq!(containers.find_all(name).len(), count, "{name}");
        }
        containers.remove(None, "abc1");
        assert_eq!(containers.get(None, "abc1"), None);
        assert_eq!(containers.find("abc").unwrap().root, Some("/r".into()));
        std::fs::write(containers.path(None, "x"), "{").unwrap();
        assert_eq!(containers.list().len(), 3);
    }

    #[test]
    fn records_are_removed_some_time_after_their_containers() {
        let folder = tempfile::tempdir().unwrap();
        let containers = Containers::of(&folder.path().join("state")).unwrap();
        for (id, bundle) in
            [("runs", folder.path()), ("deleted", folder.path()), ("lost", Path::new("/none"))]
        {
            containers.put(&container(id, None, bundle)).unwrap();
        }
        containers.remove(None, "deleted");
        containers.prune();
        assert_eq!(containers.files().count(), 3, "late denials are attributed");
        containers.prune_after(std::time::Duration::ZERO);
        let left: Vec<_> = containers.files().collect();
        assert_eq!(left, [containers.path(None, "runs")]);
    }
}
