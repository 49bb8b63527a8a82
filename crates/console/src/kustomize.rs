//! Folders of kustomize: its own files and patches are no objects of the cluster, and what it builds is in no file.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use palisade_k8s::manifest::{self, Node};

use crate::{input, paint, terminal};

/// The names of the file that describes a folder (kustomize, `RecognizedKustomizationFileNames`), of those with an extension.
const NAMES: [&str; 2] = ["kustomization.yaml", "kustomization.yml"];

/// Lists of paths to files that change objects, and of tables with such a path.
const PATCHES: [&str; 7] = [
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "replacements",
    "configurations",
    "transformers",
    "generators",
];
/// Lists of folders whose objects are taken over.
const FOLDERS: [&str; 3] = ["resources", "bases", "components"];

/// Takes the files of kustomize out of those of a folder; a note says how what it builds is reviewed.
pub(crate) fn take_out(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_own = |file: &&PathBuf| NAMES.iter().any(|name| file.file_name().is_some_and(|own| own == *name));
    let own: Vec<PathBuf> = files.iter().filter(is_own).cloned().collect();
    if own.is_empty() {
        return files;
    }
    let mut named = Named::default();
    own.iter().for_each(|file| named.read(file));
    let patches = files.iter().filter(|file| named.has_patch(file)).count();
    tell(&own, &named, patches);
    let is_left = |file: &PathBuf| !is_own(&file) && !named.has_patch(file);
    files.into_iter().filter(is_left).collect()
}

/// What the files of kustomize name.
#[derive(Default)]
struct Named {
    patches: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Named {
    /// Whether a file is a patch and nothing else: a patch of one folder may be a resource of another.
    fn has_patch(&self, file: &Path) -> bool {
        let file = plain(file);
        self.patches.contains(&file) && !self.folders.contains(&file)
    }

    /// A file that cannot be read names nothing; kustomize says why.
    fn read(&mut self, file: &Path) {
        let text = input::read(file).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let nodes = text.and_then(|text| manifest::read(&text).ok()).unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new(""));
        for node in &nodes {
            let items = |list: &str| node.get(list).map(Node::items).unwrap_or_default().iter();
            let path = |item: &Node| item.as_str().or_else(|| item.get("path")?.as_str()).map(str::to_owned);
            let inside = |path: String| plain(&folder.join(path));
            self.patches.extend(PATCHES.iter().flat_map(|list| items(list)).filter_map(path).map(inside));
            self.folders.extend(FOLDERS.iter().flat_map(|list| items(list)).filter_map(path).map(inside));
        }
    }
}

/// A path without `.` and `..`, where it has names to go back over.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Names the folders that no other takes over, since each is built on its own.
fn tell(own: &[PathBuf], named: &Named, patches: usize) {
    const MOST: usize = 3;
    let folders = own.iter().filter_map(|file| file.parent());
    let tops: Vec<&Path> = folders.filter(|folder| !named.folders.contains(&plain(folder))).collect();
    let shown: Vec<String> = tops.iter().take(MOST).map(|folder| folder.display().to_string()).collect();
    let more = match tops.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let left_out = match patches {
        0 => String::new(),
        1 => ", and 1 patch is left out".to_owned(),
        some => format!(", and {some} patches are left out"),
    };
    terminal::note(format_args!(
        "{} kustomize builds other objects of these files{left_out}; for them: kubectl kustomize DIR | palisade review -f -, where DIR is {}{more}",
        paint::warning("note:"),
        shown.join(", "),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_taken_out() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("base/kustomization.yaml", "resources: [deploy.yaml, both.yaml]\n"),
            ("base/deploy.yaml", "kind: Deployment\n"),
            ("base/both.yaml", "kind: Deployment\n"),
            ("other/kustomization.yaml", "patches: [{path: ../base/both.yaml}]\n"),
            (
                "prod/kustomization.yml",
                "resources: [../base, scc.yaml]\npatchesStrategicMerge: [./merge.yaml, \"kind: Inline\"]\npatchesJson6902: [{path: ops.yaml}]\n\
                 patches: [{path: sub/one.yaml, target: {kind: Pod}}, {patch: 'kind: Inline'}]\n",
            ),
            ("prod/merge.yaml", "kind: Deployment\n"),
            ("prod/ops.yaml", "- op: add\n"),
            ("prod/scc.yaml", "kind: SecurityContextConstraints\n"),
            ("prod/sub/one.yaml", "kind: Pod\n"),
            ("broken/kustomization.yaml", "a: [\n"),
        ];
        let paths: Vec<PathBuf> = files
            .iter()
            .map(|(name, text)| {
                let path = root.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let left: Vec<PathBuf> = take_out(paths);
        let left: Vec<_> = left.iter().map(|path| path.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(left, ["base/deploy.yaml", "base/both.yaml", "prod/scc.yaml"].map(Path::new));
    }

    #[test]
    fn a_path_is_made_plain() {
        for (path, expected) in [
            ("a/./b", "a/b"),
            ("a/b/../c", "a/c"),
            ("../a", "../a"),
            ("./a/../../b", "../b"),
            ("/a/../b", "/b"),
        ] {
            assert_eq!(plain(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
