//! The handler's settings: a JSON file beside the link by which it is started.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The file's name, and the handler's.
pub const FILE: &str = "palisade-oci.json";

/// The name by which the `palisade` binary is the handler.
pub const HANDLER: &str = "palisade-oci";

/// The largest file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The handler's settings. All fields may be missing.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// let text = r#"{"runtime": "/usr/bin/crun", "trustAnnotations": true}"#;
/// let settings: palisade_oci::settings::Settings = serde_json::from_str(text)?;
/// assert_eq!(settings.state.to_str(), Some("/run/palisade/oci"));
/// # }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The runtime that does the work: an absolute path. Default: crun, else runc, in the usual folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<PathBuf>,
    /// The folder that `localhost/…` profiles are in. Default: the kubelet's.
    pub profile_root: PathBuf,
    /// The profile that `runtime/default` is: a file. Default: the shipped one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<PathBuf>,
    /// The folder of the cache and of what is known of containers, on a file system that a restart of the
    /// machine empties.
    pub state: PathBuf,
    /// Whether `io.palisade/` annotations count: only where the engine's own configuration makes sure that no
    /// container's author can set them.
    pub trust_annotations: bool,
    /// Whether every filter logs what it denies.
    pub log: bool,
    /// Whether each container gets an audit login id of its own, so that every record of a denied syscall is
    /// its container's for sure. Sites that audit by login id leave it off.
    pub login_ids: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: None,
            profile_root: PathBuf::from("/var/lib/kubelet/seccomp"),
            default_profile: None,
            state: PathBuf::from("/run/palisade/oci"),
            trust_annotations: false,
            log: false,
            login_ids: false,
        }
    }
}

impl Settings {
    /// The settings beside a handler's link, or the defaults if there is no such file. A file that others may
    /// write is refused.
    pub fn beside(handler: &Path) -> Result<Self, Error> {
        match handler.parent().filter(|folder| folder.is_absolute()) {
            Some(folder) => Self::load(&folder.join(FILE)),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file of settings; one that does not exist is the defaults.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::file(path, error)),
        };
        let about = file.metadata().map_err(|error| Error::file(path, error))?;
        if about.mode() & 0o022 != 0 {
            return Err(Error::Settings(
                path.to_owned(),
                "others than its owner may write it; run chmod go-w on it".to_owned(),
            ));
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| Error::file(path, error))?;
        let settings: Self = serde_json::from_str(&text)
            .map_err(|error| Error::Settings(path.to_owned(), error.to_string()))?;
        settings.checked().map_err(|message| Error::Settings(path.to_owned(), message))
    }

    fn checked(self) -> Result<Self, String> {
        let paths = [
            ("runtime", self.runtime.as_ref()),
            ("profileRoot", Some(&self.profile_root)),
            ("defaultProfile", self.default_profile.as_ref()),
            ("state", Some(&self.state)),
        ];
        for (field, path) in paths {
            if path.is_some_and(|path| !path.is_absolute()) {
                return Err(format!("{field} is not an absolute path"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn settings_are_read_strictly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        for (text, mode, problem) in [
            (r#"{"log": true}"#, 0o600, None),
            (r#"{"log": true}"#, 0o622, Some("may write it")),
            (r#"{"logs": true}"#, 0o600, Some("unknown field `logs`")),
            (r#"{"log": true, "log": false}"#, 0o600, Some("duplicate field `log`")),
            (r#"{"state": "run"}"#, 0o600, Some("state is not an absolute path")),
            ("{", 0o600, Some("EOF")),
            ("", 0o600, Some("EOF")),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = Settings::beside(&folder.path().join(HANDLER));
            match (read, problem) {
                (Ok(settings), None) => assert!(settings.log),
                (Err(error), Some(problem)) => assert!(error.to_string().contains(problem), "{error}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
