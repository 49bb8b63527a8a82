//! Compiled filters by what they are made from: a folder for its owner alone, a file by digest.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::filter::{Compiled, Source, hex};

/// The largest file, in bytes: a filter has at most 32 KiB, a profile as much as a config.json.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The cache's folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache(PathBuf);

/// A cached filter with what it was made from, so that a denial can be explained by the profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cached {
    pub(crate) source: Source,
    pub(crate) compiled: Compiled,
}

/// Makes a folder, and those above it, for its owner alone. One that is there already must be so.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    let io = |error| Error::file(path, error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let about = std::fs::symlink_metadata(path).map_err(io)?;
    let own = std::fs::metadata("/proc/self").map_err(io)?.uid();
    if !about.is_dir() || about.uid() != own || about.mode() & 0o077 != 0 {
        let problem = "is not a folder of this user alone (mode 0700), so its files are not trusted";
        return Err(io(std::io::Error::other(problem)));
    }
    Ok(())
}

/// Writes a file whole or not at all, also when the machine stops meanwhile.
pub(crate) fn write_whole(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    put_in_place(path, mode, bytes, File::sync_all)?;
    // Without it the name may be lost, and the file is made again.
    let _ = path.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all()));
    Ok(())
}

/// Writes a file whole or not at all where others look at it. What it is about does not outlive the machine's stop,
/// so no command waits for the disk.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    put_in_place(path, mode, bytes, |_| Ok(()))
}

fn put_in_place(
    path: &Path,
    mode: u32,
    bytes: &[u8],
    finish: fn(&File) -> std::io::Result<()>,
) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // A leftover of an earlier process of the same pid would block create_new, which does not follow links.
    let _ = std::fs::remove_file(&new);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        finish(&file)?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&new);
        Error::file(path, error)
    })
}

impl Cache {
    pub(crate) fn new(state: &Path) -> Result<Self, Error> {
        let folder = state.join("filters");
        private_folder(state)?;
        private_folder(&folder)?;
        Ok(Self(folder))
    }

    /// The filter of a source, with its key: from the cache, or compiled and put there. A file that is not what
    /// it says is made again.
    pub(crate) fn compiled(&self, source: Source) -> Result<(String, Compiled), Error> {
        let key = key(&source)?;
        if let Some(found) = self.get(&key).filter(|found| found.source == source) {
            return Ok((key, found.compiled));
        }
        let compiled = source.compile()?;
        self.put(&key, &Cached { source, compiled: compiled.clone() })?;
        Ok((key, compiled))
    }

    /// The entry of a key, if it is there and whole.
    pub(crate) fn get(&self, key: &str) -> Option<Cached> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(palisade_sys::files::NO_FOLLOW)
            .open(self.0.join(key))
            .ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let (digest, body) = bytes.split_at_checked(64)?;
        let is_whole = hex(&Sha256::digest(body)).as_bytes() == digest;
        is_whole.then(|| serde_json::from_slice(body).ok()).flatten()
    }

    fn put(&self, key: &str, cached: &Cached) -> Result<(), Error> {
        self.make_room();
        let path = self.0.join(key);
        let body = serde_json::to_vec(cached).map_err(|error| Error::file(&path, error.into()))?;
        let mut bytes = hex(&Sha256::digest(&body)).into_bytes();
        bytes.extend(body);
        write_whole(&path, 0o600, &bytes)
    }
}

/// Maximum number of stored filters.
const MAX_FILTERS: usize = 1024;

impl Cache {
    /// Removes the older half once there are too many.
    fn make_room(&self) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<_> =
            paths.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).collect();
        if files.len() >= MAX_FILTERS {
            files.sort();
            for (_, path) in files.iter().take(MAX_FILTERS / 2) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// The digest of what a filter is made from, this build of Palisade included: another may compile better.
fn key(source: &Source) -> Result<String, Error> {
    let exe = Path::new("/proc/self/exe");
    let about = std::fs::metadata(exe).map_err(|error| Error::file(exe, error))?;
    let build = (about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec());
    let text = serde_json::to_vec(&(source, build)).map_err(|error| Error::file(exe, error.into()))?;
    Ok(hex(&Sha256::digest(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::source;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const PROFILE: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#;

    #[test]
    fn a_damaged_file_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let cache = Cache::new(&state).unwrap();
        let (key, first) = cache.compiled(source(PROFILE)).unwrap();
        let path = state.join("filters").join(&key);
        let good = std::fs::read(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        for damage in 0..4 {
            let mut bytes = good.clone();
            match damage {
                0 => bytes.truncate(good.len() / 2),
                1 => bytes.clear(),
                2 => *bytes.last_mut().unwrap() ^= 1,
                _ => bytes[100] ^= 1,
            }
            std::fs::write(&path, &bytes).unwrap();
            assert!(cache.get(&key).is_none(), "{damage}");
            assert_eq!(cache.compiled(source(PROFILE)).unwrap(), (key.clone(), first.clone()));
            assert_eq!(std::fs::read(&path).unwrap(), good);
        }
        // A link to a whole file is none.
        let elsewhere = folder.path().join("elsewhere");
        std::fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(cache.get(&key).is_none());
    }

    #[test]
    fn a_folder_that_others_may_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::new(&state).unwrap_err().to_string();
        assert!(error.contains("mode 0700"), "{error}");
        symlink("/tmp", folder.path().join("link")).unwrap();
        assert!(Cache::new(&folder.path().join("link")).is_err());
    }
}
