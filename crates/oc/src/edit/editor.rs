//! The user's editor on a text that no other user may read.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use palisade_console::{input, private_file};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// The editor, and the signals that would otherwise end this process before it removes its files.
pub(super) struct Editor {
    command: String,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Editor {
    /// The editor that `$KUBE_EDITOR` or `$EDITOR` names, else vi.
    pub(super) fn new() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let command = variable("KUBE_EDITOR").or_else(|| variable("EDITOR"));
        let listen = |kind| signal(kind).map_err(Error::EditorFile);
        Ok(Self {
            command: command.unwrap_or_else(|| "vi".to_owned()),
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Lets the user edit a text. The file is in a folder of its own, mode 0700, since editors leave copies beside the
    /// file; all of it is removed, however the edit ends.
    pub(super) async fn edit(&mut self, text: &str) -> Result<String> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("palisade-edit-").permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(private_place());
        let folder = folder.map_err(Error::EditorFile)?;
        let path = folder.path().join("object.yaml");
        private_file::replace(&path, text.as_bytes()).map_err(Error::EditorFile)?;
        if !self.run(&path).await?.success() {
            return Err(Error::EditorFailed(self.command.clone()));
        }
        let bytes = input::read(&path).map_err(|error| Error::file(&path, error))?;
        String::from_utf8(bytes).map_err(|_| Error::NotUtf8 { path, line: 1 })
    }

    async fn run(&mut self, path: &Path) -> Result<ExitStatus> {
        let missing = |error| Error::EditorMissing(self.command.clone(), error);
        // Run by a shell, since the variables hold commands with arguments and quotes.
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{} \"$1\"", self.command))
            .arg("sh")
            .arg(path)
            .kill_on_drop(true)
            .spawn()
            .map_err(missing)?;
        loop {
            tokio::select! {
                status = child.wait() => return status.map_err(Error::EditorFile),
                // Ctrl-C goes to the editor as well, which handles it.
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => return Err(Error::Interrupted),
                _ = self.hang_up.recv() => return Err(Error::Interrupted),
            }
        }
    }

    /// Runs a function, unless a signal ends it.
    pub(super) async fn or_interrupted<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            _ = self.interrupt.recv() => Err(Error::Interrupted),
            _ = self.terminate.recv() => Err(Error::Interrupted),
            _ = self.hang_up.recv() => Err(Error::Interrupted),
        }
    }
}

/// The user's runtime folder, which is in memory, if there is one; else the folder of temporary files.
fn private_place() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| {
        let is_private = |metadata: std::fs::Metadata| metadata.is_dir() && metadata.mode() & 0o077 == 0;
        path.is_absolute() && std::fs::metadata(path).is_ok_and(is_private)
    });
    runtime.unwrap_or_else(std::env::temp_dir)
}
