//! The container of a record: by its audit login id where containers have one of their own, else by the cgroup of the
//! process, which must live for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::container::{Container, Containers};

use super::record::Record;

/// Minimum interval between two listings of the containers, while records come from unknown processes.
const PAUSE: Duration = Duration::from_millis(10);

/// An id that is part of a cgroup's name, and not all of it, is at least so long, as engines' ids are.
const LONG: usize = 12;

/// The containers that records may belong to.
#[derive(Debug)]
pub(super) struct Owners {
    containers: Containers,
    by_login_id: HashMap<u32, Arc<Container>>,
    by_id: HashMap<String, Arc<Container>>,
    listed: Option<Instant>,
}

impl Owners {
    pub(super) fn new(containers: Containers) -> Self {
        Self { containers, by_login_id: HashMap::new(), by_id: HashMap::new(), listed: None }
    }

    /// The container of a record's process.
    pub(super) fn of(&mut self, record: &Record) -> Option<Arc<Container>> {
        // At once, since the process may end in a moment.
        let cgroups = std::fs::read_to_string(format!("/proc/{}/cgroup", record.pid)).unwrap_or_default();
        self.find(record, &cgroups).or_else(|| {
            self.list();
            self.find(record, &cgroups)
        })
    }

    fn find(&self, record: &Record, cgroups: &str) -> Option<Arc<Container>> {
        let by_login_id = record.login_id.and_then(|id| self.by_login_id.get(&id));
        let parts =
            || cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).flat_map(|path| path.split('/'));
        let by_cgroup = || parts().rev().find_map(|part| self.named(part));
        by_login_id.or_else(by_cgroup).cloned()
    }

    /// The container whose id a cgroup's name is, or has in it: `libpod-ID`, `cri-containerd-ID.scope`.
    fn named(&self, part: &str) -> Option<&Arc<Container>> {
        let words = || part.split(['-', '.', ':', '_']).filter(|word| word.len() >= LONG);
        self.by_id.get(part).or_else(|| words().find_map(|word| self.by_id.get(word)))
    }

    fn list(&mut self) {
        if self.listed.is_some_and(|listed| listed.elapsed() < PAUSE) {
            return;
        }
        let all = self.containers.with_ended().into_iter().map(Arc::new);
        self.by_id = all.map(|container| (container.id.clone(), container)).collect();
        let login_ids =
            self.by_id.values().filter_map(|container| Some((container.login_id?, Arc::clone(container))));
        self.by_login_id = login_ids.collect();
        self.listed = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn container(id: &str, login_id: Option<u32>, bundle: &Path) -> Container {
        Container {
            id: id.to_owned(),
            name: None,
            root: None,
            bundle: bundle.to_owned(),
            pid_file: None,
            runtime: "/usr/bin/crun".into(),
            cgroup: None,
            login_id,
            filter: None,
        }
    }

    #[test]
    fn records_are_given_to_their_containers() {
        let folder = tempfile::tempdir().unwrap();
        let containers = Containers::of(&folder.path().join("state")).unwrap();
        let long = "0123456789abcdef0123456789abcdef";
        containers.put(&container(long, Some(7), folder.path())).unwrap();
        containers.put(&container("web", None, folder.path())).unwrap();
        containers.put(&container("gone", Some(8), folder.path())).unwrap();
        containers.remove(None, "gone");
        assert_eq!(containers.list().len(), 2);
        let mut owners = Owners::new(containers);
        owners.list();
        for (login_id, cgroups, id) in [
            (Some(7), "", Some(long)),
            (Some(8), "", Some("gone")),
            (Some(9), "", None),
            (None, "4:memory:/libpod_parent/libpod-0123456789abcdef0123456789abcdef\n", Some(long)),
            (None, "0::/kubepods.slice/cri-containerd-0123456789abcdef0123456789abcdef.scope", Some(long)),
            (None, "0::/default/web", Some("web")),
            (None, "0::/default/web/nested", Some("web")),
            (None, "0::/default/my-web", None),
            (Some(7), "0::/default/web", Some(long)),
            (None, "", None),
            (None, "garbage", None),
        ] {
            let fields = "auid=1 pid=4294967294 arch=c000003e syscall=1 code=0x50001";
            let record = Record { login_id, ..Record::parse(&format!("audit(1.2:3): {fields}")).unwrap() };
            let found = owners.find(&record, cgroups);
            assert_eq!(found.as_ref().map(|found| found.id.as_str()), id, "{login_id:?} {cgroups}");
        }
    }
}
