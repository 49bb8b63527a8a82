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
    /// Files that no object means, and since when.
    unneeded: BTreeMap<Digest, Instant>,
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
            match catalog.chain(name) {
                // Beyond the limit nothing is written, and what is there is not taken away.
                Ok(chain) if at >= MOST => {
                    report.beyond += 1;
                    meant.insert(chain.digest());
                }
                Err(_) if at >= MOST => report.beyond += 1,
                Ok(chain) => {
                    self.file(&chain, &name.to_string(), &mut report);
                    meant.insert(chain.digest());
                }
                Err(error) => drop(report.broken.insert(name.to_string(), error.to_string())),
            }
        }
        self.texts.retain(|digest, _| meant.contains(digest));
        let files = self.folder.digests()?;
        let now = Instant::now();
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

    /// The files that no object has meant for as long as `grace`.
    pub(crate) fn old(&self, grace: Duration) -> BTreeSet<Digest> {
        let old = self.unneeded.iter().filter(|(_, since)| since.elapsed() >= grace);
        old.map(|(digest, _)| *digest).collect()
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

    fn files(folder: &std::path::Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    /// An API server refuses such names; a file would not be named by them all the same.
    #[test]
    fn no_name_is_part_of_a_path() {
        let kubelet = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Folder::open(kubelet.path()).unwrap(), Machine::here());
        let mut catalog = Catalog::default();
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
        let kubelet = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Folder::open(kubelet.path()).unwrap(), Machine::here());
        let mut catalog = Catalog::default();
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

    /// The work and the files of a node are bounded, whatever objects there are.
    #[test]
    fn what_is_beyond_the_limit_is_told_and_not_written() {
        let kubelet = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(Folder::open(kubelet.path()).unwrap(), Machine::here());
        let mut catalog = Catalog::default();
        for n in 0..MOST + 3 {
            catalog.put(Name::new(Origin::Palisade, "", &format!("p{n:04}")), json!({"defaultAction": n}));
        }
        let report = keeper.keep(&catalog, true).unwrap();
        assert_eq!((report.beyond, report.profiles.len()), (3, MOST + 1));
        assert_eq!(files(&kubelet.path().join("seccomp/palisade")), 1);
    }
}
