//! Installation of the handler for an engine: a link with settings beside it, the engine's own
//! configuration, and for Kubernetes a RuntimeClass.

use std::path::{Path, PathBuf};

use crate::cache::write_whole;
use crate::error::Error;
use crate::settings::{FILE, HANDLER, Settings};

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// containerd, by its CRI plugin.
    Containerd,
    /// CRI-O.
    Crio,
    /// podman.
    Podman,
}

/// The runtime's name in an engine's configuration, and the RuntimeClass's.
pub const NAME: &str = "palisade";

/// A file that the engine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its path.
    pub path: PathBuf,
    /// Its content; a block of a larger file where that is the engine's own.
    pub text: String,
}

/// All that an engine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The link by which the engine starts the handler.
    pub link: PathBuf,
    /// The handler's settings, beside the link.
    pub settings: Part,
    /// The engine's configuration.
    pub engine: Part,
    /// Whether that is a block in a file that has others too.
    pub shares_file: bool,
    /// The RuntimeClass, for an engine of Kubernetes.
    pub runtime_class: Option<String>,
}

/// The folder of handlers, below the root.
const FOLDER: &str = "usr/local/lib/palisade";
/// The program's name there, where it is copied from an image.
const PROGRAM: &str = "palisade";

/// The runtime that containerd has by itself, but only as long as its configuration defines none.
const OWN: &str = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n";

/// containerd's configuration begins so; a file of another version would be read otherwise.
const CONTAINERD_VERSION: &str = "version = 2";

impl Installation {
    /// For an engine. All paths are those of the machine that it runs on.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        let root = Path::new("/");
        let folder = root.join(FOLDER).join(engine.name());
        let link = folder.join(HANDLER);
        let runtime = link.display();
        let (path, text, trusts) = match engine {
            // Only container annotations, which the kubelet makes itself, reach the handler: a pod's own do not.
            Engine::Containerd => (
                "etc/containerd/config.toml",
                format!(
                    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{NAME}]\n  \
                     runtime_type = \"io.containerd.runc.v2\"\n  container_annotations = [\"io.palisade/*\"]\n  \
                     [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{NAME}.options]\n    \
                     BinaryName = \"{runtime}\"\n"
                ),
                true,
            ),
            Engine::Crio => (
                "etc/crio/crio.conf.d/50-palisade.conf",
                format!(
                    "[crio.runtime.runtimes.{NAME}]\n  runtime_path = \"{runtime}\"\n  runtime_type = \"oci\"\n  \
                     runtime_root = \"/run/palisade/crio\"\n"
                ),
                false,
            ),
            Engine::Podman => (
                "etc/containers/containers.conf.d/50-palisade.conf",
                format!("[engine.runtimes]\n  {NAME} = [\"{runtime}\"]\n"),
                false,
            ),
        };
        let settings = Settings { trust_annotations: trusts, ..Settings::default() };
        let json = serde_json::to_string_pretty(&settings).unwrap_or_default();
        Self {
            settings: Part { path: folder.join(FILE), text: format!("{json}\n") },
            engine: Part { path: root.join(path), text },
            shares_file: engine == Engine::Containerd,
            runtime_class: (engine != Engine::Podman).then(runtime_class),
            link,
        }
    }

    /// Writes the link, the settings and the engine's configuration into the file system at `root`, and gives what the
    /// link leads to there: `program` itself on this machine, and a copy of it in an image. Settings that are there stay.
    /// Done twice it changes nothing.
    ///
    /// # Errors
    /// A file cannot be read or written, or the engine's own file cannot take the block.
    pub fn write(&self, root: &Path, program: &Path) -> Result<PathBuf, Error> {
        let target = match root == Path::new("/") {
            true => {
                self.write_handler(root, program)?;
                program.to_owned()
            }
            false => self.place(root, program)?,
        };
        let file = below(root, &self.engine.path);
        folder_for(&file)?;
        let before = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::file(&file, error)),
        };
        let text = if self.shares_file { self.merged(&file, &before)? } else { self.engine.text.clone() };
        if text != before {
            write_whole(&file, 0o644, text.as_bytes())?;
        }
        Ok(target)
    }

    /// Copies `program` into the file system of a node, which is at `root`, writes the link and the settings there, and
    /// gives the path of the copy on the node. The engine's configuration is not written: it counts when the engine starts
    /// anew, and that is its administrator's to do. Settings that are there stay. A program takes an older one's place in
    /// one step, so that the engine always finds one.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn place(&self, root: &Path, program: &Path) -> Result<PathBuf, Error> {
        let copy = Path::new("/").join(FOLDER).join(PROGRAM);
        let target = below(root, &copy);
        folder_for(&target)?;
        copy_whole(program, &target)?;
        self.write_handler(root, &copy)?;
        Ok(copy)
    }

    /// The link and the settings, with their paths below `root`.
    fn write_handler(&self, root: &Path, program: &Path) -> Result<(), Error> {
        let (link, settings) = (below(root, &self.link), below(root, &self.settings.path));
        folder_for(&settings)?;
        if !settings.exists() {
            write_whole(&settings, 0o644, self.settings.text.as_bytes())?;
        }
        let new = link.with_file_name(format!(".{HANDLER}.{}", std::process::id()));
        let io = |error| Error::file(&link, error);
        // A leftover of an earlier process of the same id.
        let _ = std::fs::remove_file(&new);
        std::os::unix::fs::symlink(program, &new).map_err(io)?;
        std::fs::rename(&new, &link).map_err(io)
    }

    /// The engine's `file` with our block at its end, in the place of an earlier one.
    fn merged(&self, file: &Path, before: &str) -> Result<String, Error> {
        const BEGIN: &str = "# palisade oci install: begin\n";
        const END: &str = "# palisade oci install: end\n";
        let wrong = |message: &str| Error::Settings(file.to_owned(), message.to_owned());
        let rest = match (before.split_once(BEGIN), before.contains(END)) {
            (Some((head, tail)), true) => {
                let (_, tail) = tail
                    .split_once(END)
                    .ok_or_else(|| wrong("the marks of an earlier installation are in the wrong order"))?;
                format!("{head}{tail}")
            }
            (None, false) => before.to_owned(),
            _ => return Err(wrong("one of the two marks of an earlier installation is missing")),
        };
        let is_empty = rest.trim().is_empty();
        if !is_empty && !rest.lines().any(|line| line.trim() == CONTAINERD_VERSION) {
            return Err(wrong(
                "the file is not of `version = 2`, so the block cannot be added; write it by hand",
            ));
        }
        if rest.contains(&format!("containerd.runtimes.{NAME}")) {
            return Err(wrong(
                "the file has a runtime palisade already, without the marks of an installation",
            ));
        }
        let head = if is_empty { format!("{CONTAINERD_VERSION}\n") } else { rest };
        let gap = if head.ends_with('\n') { "" } else { "\n" };
        let own = if has_runtime(&head) { "" } else { OWN };
        Ok(format!("{head}{gap}{BEGIN}{own}{}{END}", self.engine.text))
    }
}

/// Whether a configuration of containerd defines a runtime.
fn has_runtime(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with('[') && line.contains(".runtimes."))
}

impl Engine {
    /// Its name, as its folder has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Podman => "podman",
        }
    }
}

fn runtime_class() -> String {
    format!("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: {NAME}\nhandler: {NAME}\n")
}

/// Copies a program, whole or not at all.
fn copy_whole(program: &Path, target: &Path) -> Result<(), Error> {
    let new = target.with_file_name(format!(".{PROGRAM}.{}", std::process::id()));
    // A leftover of an earlier process of the same id; a copy follows no link then.
    let _ = std::fs::remove_file(&new);
    let copied = (|| {
        std::fs::copy(program, &new)?;
        std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, target)
    })();
    copied.map_err(|error| {
        let _ = std::fs::remove_file(&new);
        Error::file(target, error)
    })
}

/// An absolute path below a root.
#[must_use]
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn folder_for(file: &Path) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gets_the_paths_of_the_node_and_is_written_once_and_again() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = other.path().join("palisade");
        for (engine, text) in [
            (Engine::Containerd, "one"),
            (Engine::Containerd, "two"),
            (Engine::Crio, "two"),
            (Engine::Podman, "two"),
        ] {
            std::fs::write(&program, text).unwrap();
            let installation = Installation::new(engine);
            let target = installation.write(root.path(), &program).unwrap();
            let copy = root.path().join(FOLDER).join(PROGRAM);
            assert_eq!(below(root.path(), &target), copy);
            assert_eq!(std::fs::read_to_string(&copy).unwrap(), text);
            let link = below(root.path(), &installation.link);
            assert_eq!(std::fs::read_link(&link).unwrap(), target);
            let file = below(root.path(), &installation.engine.path);
            let first = std::fs::read_to_string(&file).unwrap();
            assert!(first.contains(&format!("\"/{FOLDER}/{}/{HANDLER}\"", engine.name())), "{first}");
            assert!(!first.contains(root.path().to_str().unwrap()), "{first}");
            installation.write(root.path(), &program).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
            let settings = Settings::beside(&link).unwrap();
            assert_eq!(settings.trust_annotations, engine == Engine::Containerd);
            assert_eq!(installation.runtime_class.is_some(), engine != Engine::Podman);
        }
    }

    #[test]
    fn the_handler_is_placed_on_a_node_and_its_engine_is_left() {
        let (root, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = image.path().join("palisade");
        std::fs::write(&program, "").unwrap();
        let installation = Installation::new(Engine::Crio);
        let copy = below(root.path(), &installation.place(root.path(), &program).unwrap());
        let mode = std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions());
        assert_eq!(mode & 0o111, 0o111);
        assert!(below(root.path(), &installation.link).is_symlink());
        assert!(below(root.path(), &installation.settings.path).exists());
        assert!(!root.path().join("etc").exists());
    }

    #[test]
    fn what_else_the_file_says_stays() {
        let installation = Installation::new(Engine::Containerd);
        let file = Path::new("config.toml");
        let own = "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    x = 1";
        let merged = installation.merged(file, own).unwrap();
        assert!(
            merged.starts_with(own)
                && merged.contains("BinaryName = \"/usr/local/lib/palisade/containerd/palisade-oci\"")
        );
        assert_eq!(installation.merged(file, &merged).unwrap(), merged);
        let others = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.crun]\n";
        for (text, has_own) in [
            (String::new(), true),
            (own.to_owned(), true),
            (format!("{own}\n# {others}"), true),
            (format!("{own}\n{others}"), false),
            (format!("{own}\n{OWN}"), false),
        ] {
            let added = installation.merged(file, &text).unwrap().contains(&format!("begin\n{OWN}"));
            assert_eq!(added, has_own, "{text}");
        }
        for (text, problem) in [
            ("version = 3\n", "not of `version = 2`"),
            ("root = \"/x\"\n", "not of `version = 2`"),
            ("version = 2\n# palisade oci install: begin\n", "is missing"),
            ("version = 2\n# palisade oci install: end\n# palisade oci install: begin\n", "wrong order"),
            (
                "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.palisade]\n",
                "already",
            ),
        ] {
            let error = installation.merged(file, text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
