//! The desired content of the folder, and the files that may be removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::catalog::{Catalog, Chain};
use crate::digest::Digest;
use crate::folder::{Folder, FolderError};
use crate::machine::{Machine, ResolveError};
use crate::report::{Entry, MOST, Report};

/// The folder of a node, and what is known of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    folder: Folder,
    machine: Machine,
    /// The profiles on this machine, resolved once, since that is expensive.
    texts: BTreeMap<Digest, Result<String, ResolveError>>,
    /// Files that no object means.
    unneeded: BTreeMap<Digest, Unneeded>,
}

/// The last use of a file that no object means, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Unneeded {
    /// The time from which on it is kept for a while.
    since: Instant,
    /// Whether a pod used it then: it may have ended at any time since.
    used: bool,
}

impl Keeper {
    pub(crate) fn new(folder: Folder, machine: Machine) -> Self {
        Self { folder, machine, texts: BTreeMap::new(), unneeded: BTreeMap::new() }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Writes what is missing, and says what is there. While the catalog is not `complete`, files that no object means are
    /// only not known yet.
    pub(crate) fn keep(&mut self, catalog: &Catalog, complete: bool) -> Result<Report, FolderError> {
        let mut report = Report::default();
        let mut meant = BTreeSet::new();
        if let Ok(own) = crate::own() {
            self.file(&own, "palisade-node-profiles", &mut report);
            meant.insert(own.digest());
        }
        for (at, name) in catalog.names().enumerate() {
            // Beyond the limit nothing is written, and a file that is there stays for as long as a pod uses it.
            if at >= MOST {
                report.beyond += 1;
                continue;
            }
            match catalog.chain(name) {
                Ok(chain) => {
                    self.file(&chain, &name.to_string(), &mut report);
                    meant.insert(chain.digest());
                }
                Err(error) => drop(report.broken.insert(name.to_string(), error.to_string())),
            }
        }
        self.texts.retain(|digest, _| meant.contains(digest));
        let files = self.folder.digests()?;
        let now = Unneeded { since: Instant::now(), used: false };
        self.unneeded.retain(|digest, _| complete && files.contains(digest) && !meant.contains(digest));
        for digest in files.difference(&meant) {
            if complete {
                self.unneeded.entry(*digest).or_insert(now);
            }
            if report.profiles.len() < MOST * 2 {
                report.profiles.entry(*digest).or_default();
            }
        }
        Ok(report)
    }

    /// One profile, in the folder and in the report.
    fn file(&mut self, chain: &Chain, name: &str, report: &mut Report) {
        let digest = chain.digest();
        let machine = self.machine;
        let text = self.texts.entry(digest).or_insert_with(|| machine.resolve(chain));
        let error = match text {
            Ok(text) => self.folder.put(digest, text).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error {
            tracing::warn!("{name}: {error}");
        }
        let entry = report.profiles.entry(digest).or_insert_with(|| Entry { error, ..Entry::default() });
        entry.names.insert(name.to_owned());
    }

    /// The files that no object has meant for as long as `grace`, and no pod has been seen to use.
    pub(crate) fn old(&self, grace: Duration) -> BTreeSet<Digest> {
        let old = self.unneeded.iter().filter(|(_, unneeded)| unneeded.since.elapsed() >= grace);
        old.map(|(digest, _)| *digest).collect()
    }

    /// The files among these `old` ones that may be removed, by those that pods use now. The time of the others begins
    /// anew: that of a used one, and once that of one that was used at the last look, since it is not known when its pod
    /// ended.
    pub(crate) fn unused(&mut self, old: &BTreeSet<Digest>, used: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut unused = BTreeSet::new();
        for digest in old {
            let Some(unneeded) = self.unneeded.get_mut(digest) else { continue };
            let is_used = used.contains(digest);
            if is_used || unneeded.used {
                *unneeded = Unneeded { since: Instant::now(), used: is_used };
            } else {
                unused.insert(*digest);
            }
        }
        unused
    }

    /// Removes files.
    pub(crate) fn remove(&mut self, digests: &BTreeSet<Digest>) -> Result<(), FolderError> {
        for digest in digests {
            self.folder.remove(*digest)?;
            self.unneeded.remove(digest);
            tracing::info!("{} is removed: nothing means it and no pod uses it", digest.file());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Name;
    use crate::source::Origin;
    use serde_json::{Value, json};

    fn spec(syscall: &str) -> Value {
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": [syscall], "action": "SCMP_ACT_ALLOW"}]})
    }

    /// The folder of a kubelet, its keeper, and no objects.
    fn new() -> (tempfile::TempDir, Keeper, Catalog) {
        let kubelet = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(Folder::open(kubelet.path()).unwrap(), Machine::here());
        (kubelet, keeper, Catalog::default())
    }

    fn files(folder: &std::path::Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    /// An API server refuses such names; a file would not be named by them all the same.
    #[test]
    fn no_name_is_part_of_a_path() {
        let (kubelet, mut keeper, mut catalog) = new();
        for name in ["../../../evil", "/etc/evil", "..", "", "a\0b", "a/b", "é".repeat(4000).as_str()] {
            catalog.put(Name::new(Origin::Operator, name, name), spec("read"));
        }
        let report = keeper.keep(&catalog, true).unwrap();
        // All of them are one profile, beside the agent's own.
        assert_eq!(report.profiles.len(), 2);
        assert_eq!(files(&kubelet.path().join("seccomp/palisade")), 2);
        assert_eq!((files(&kubelet.path().join("seccomp")), files(kubelet.path())), (1, 1));
    }

    #[test]
    fn a_file_is_old_only_when_all_objects_are_known() {
        let (_kubelet, mut keeper, mut catalog) = new();
        let name = Name::new(Origin::Palisade, "", "web");
        catalog.put(name.clone(), spec("read"));
        let digest = catalog.chain(&name).unwrap().digest();
        keeper.keep(&catalog, true).unwrap();
        let old = |keeper: &mut Keeper, catalog: &Catalog, complete| {
            keeper.keep(catalog, complete).unwrap();
            keeper.old(Duration::ZERO)
        };
        assert!(old(&mut keeper, &catalog, true).is_empty());
        assert!(old(&mut keeper, &Catalog::default(), false).is_empty(), "objects may still come");
        assert_eq!(old(&mut keeper, &Catalog::default(), true), [digest].into());
        assert!(keeper.old(Duration::from_secs(600)).is_empty());
        assert!(old(&mut keeper, &catalog, true).is_empty(), "it is meant again");
    }

    /// A pod may have ended just before the look that no longer finds it: the file stays for a whole `grace` after that.
    #[test]
    fn the_time_of_a_file_begins_anew_when_a_pod_uses_it() {
        let (_kubelet, mut keeper, mut catalog) = new();
        let name = Name::new(Origin::Palisade, "", "web");
        catalog.put(name.clone(), spec("read"));
        let digest = catalog.chain(&name).unwrap().digest();
        let (web, none) = (BTreeSet::from([digest]), BTreeSet::new());
        keeper.keep(&catalog, true).unwrap();
        keeper.keep(&Catalog::default(), true).unwrap();
        for (used, expected) in [(&web, &none), (&web, &none), (&none, &none), (&none, &web)] {
            let before = Instant::now();
            assert_eq!(keeper.old(Duration::ZERO), web);
            assert_eq!(keeper.unused(&web, used), *expected);
            assert_eq!(keeper.unneeded[&digest].since >= before, expected.is_empty());
            keeper.keep(&Catalog::default(), true).unwrap();
        }
        keeper.remove(&web).unwrap();
        assert!(keeper.unused(&web, &none).is_empty());
    }

    /// The work and the files of a node are bounded, whatever objects there are.
    #[test]
    fn what_is_beyond_the_limit_is_told_and_not_written() {
        let (kubelet, mut keeper, mut catalog) = new();
        for n in 0..MOST + 3 {
            catalog.put(Name::new(Origin::Palisade, "", &format!("p{n:04}")), json!({"defaultAction": n}));
        }
        let report = keeper.keep(&catalog, true).unwrap();
        assert_eq!((report.beyond, report.profiles.len()), (3, MOST + 1));
        assert_eq!(files(&kubelet.path().join("seccomp/palisade")), 1);
        assert!(keeper.old(Duration::ZERO).is_empty());
    }

    /// Objects that come first push others beyond the limit: files do not become ever more.
    #[test]
    fn the_file_of_a_profile_beyond_the_limit_is_told_and_may_go() {
        let (_kubelet, mut keeper, mut catalog) = new();
        let last = Name::new(Origin::Palisade, "", "z");
        catalog.put(last.clone(), spec("read"));
        let digest = catalog.chain(&last).unwrap().digest();
        keeper.keep(&catalog, true).unwrap();
        for n in 0..MOST {
            catalog.put(Name::new(Origin::Palisade, "", &format!("p{n:04}")), json!({"defaultAction": n}));
        }
        let report = keeper.keep(&catalog, true).unwrap();
        assert_eq!((report.beyond, &report.profiles[&digest]), (1, &Entry::default()));
        assert_eq!(keeper.old(Duration::ZERO), [digest].into());
    }
}
