//! Files that change atomically: `..data` links to a folder with one state of all files, and every name leads through
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// The files of a volume, by their path in it.
pub(super) type Files = BTreeMap<String, Content>;

const DATA: &str = "..data";

/// Replaces the content of a folder by these files.
pub(super) fn write(folder: &Path, files: &Files, group: Option<i64>) -> std::io::Result<()> {
    let group = group.and_then(|group| u32::try_from(group).ok());
    let current = fs::read_link(folder.join(DATA)).ok();
    if current.as_ref().is_some_and(|current| is_same(&folder.join(current), files, group)) {
        return Ok(());
    }
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let moment = format!("..{}", stamp.as_nanos());
    let new = folder.join(&moment);
    fs::create_dir(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    for (path, content) in files {
        place(&new, path, content, group)?;
    }
    let link = folder.join("..data_tmp");
    let _ = fs::remove_file(&link);
    symlink(&moment, &link)?;
    fs::rename(&link, folder.join(DATA))?;
    let firsts: BTreeSet<OsString> = files.keys().filter_map(|path| first(path)).collect();
    for name in &firsts {
        let at = folder.join(name);
        if fs::symlink_metadata(&at).is_err() {
            symlink(Path::new(DATA).join(name), at)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let is_kept = name == DATA || name.as_encoded_bytes() == moment.as_bytes() || firsts.contains(&name);
        if !is_kept {
            let path = folder.join(&name);
            // A link is the name of a removed file, a folder an earlier state.
            let is_folder = fs::symlink_metadata(&path)?.is_dir();
            if is_folder { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
    }
    Ok(())
}

fn first(path: &str) -> Option<OsString> {
    Path::new(path).components().next().map(|part| part.as_os_str().to_owned())
}

fn place(folder: &Path, path: &str, content: &Content, group: Option<u32>) -> std::io::Result<()> {
    let is_inner = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inner || path.is_empty() || path.starts_with("..") {
        let why = format!("{path:?} is not a path in a volume");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    let at = folder.join(path);
    let parent = at.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    fs::write(&at, &content.bytes)?;
    if group.is_some() {
        chown(&at, None, group)?;
    }
    fs::set_permissions(&at, fs::Permissions::from_mode(mode(content, group)))
}

/// The mode of a file: one that belongs to a group is readable for it.
fn mode(content: &Content, group: Option<u32>) -> u32 {
    if group.is_some() { content.mode | 0o440 } else { content.mode }
}

fn is_same(folder: &Path, files: &Files, group: Option<u32>) -> bool {
    let mut count = 0;
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(folder) else { return false };
        for entry in entries.flatten() {
            if entry.path().is_dir() { todo.push(entry.path()) } else { count += 1 }
        }
    }
    count == files.len()
        && files.iter().all(|(path, content)| {
            let at = folder.join(path);
            let has_mode = fs::metadata(&at)
                .is_ok_and(|metadata| metadata.permissions().mode() & 0o7777 == mode(content, group));
            has_mode && fs::read(&at).is_ok_and(|bytes| bytes == content.bytes)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter()
            .map(|(path, text)| {
                ((*path).to_owned(), Content { bytes: text.as_bytes().to_vec(), mode: 0o644 })
            })
            .collect()
    }

    #[test]
    fn content_changes_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).ok();
        write(path, &files(&[("a", "1"), ("b/c", "2")]), None).unwrap();
        let before = fs::read_link(path.join(DATA)).unwrap();
        assert_eq!((read("a").as_deref(), read("b/c").as_deref()), (Some("1"), Some("2")));
        write(path, &files(&[("a", "1"), ("b/c", "2")]), None).unwrap();
        assert_eq!(fs::read_link(path.join(DATA)).unwrap(), before, "unchanged");
        write(path, &files(&[("a", "3"), ("d", "4")]), None).unwrap();
        assert_eq!((read("a").as_deref(), read("b/c"), read("d").as_deref()), (Some("3"), None, Some("4")));
        assert!(!path.join(before).exists());
        assert_eq!(fs::read_dir(path).unwrap().count(), 4, "..data, its folder, a, d");
    }

    #[test]
    fn paths_stay_in() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "a/../../b", "..x", ""] {
            assert!(write(folder.path(), &files(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}
