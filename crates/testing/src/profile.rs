//! Seccomp profiles to compare and to measure: the shipped ones, and those of a folder at hand.

use std::path::Path;

use palisade_seccomp::builtin;

/// The variable that names a folder of further profiles in JSON: the defaults of moby or of containers/common, say.
pub const FOLDER: &str = "PALISADE_PROFILES";

/// Every profile, by its name.
///
/// # Panics
///
/// If the folder or a file in it cannot be read.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    let shipped = builtin::ALL.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let folder = std::env::var_os(FOLDER);
    shipped.chain(folder.iter().flat_map(|folder| of_folder(Path::new(folder)))).collect()
}

fn of_folder(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).expect("the folder of profiles can be read");
    let paths = files.map(|file| file.expect("the folder of profiles can be read").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("the profile can be read");
    let name =
        |path: &std::path::PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), read(path))).collect()
}
