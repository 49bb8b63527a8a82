//! Containers' logs, in the engines' format: `TIME STREAM TAG TEXT` on each line, with the tag `P` for a part of a
//! line.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};
use tokio::sync::mpsc::Sender;

use crate::cri::Cri;
use crate::cri::message::{ContainerId, ContainerStatusRequest};
use crate::plan;
use crate::query::Query;

/// Polling interval of a followed log, and of the sizes of all.
const LOOK: Duration = Duration::from_millis(200);
/// Size in bytes at which a log is moved to `.1`.
pub(crate) const ROTATE: u64 = 10 * 1024 * 1024;

/// The selection of a log's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    follow: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
    timestamps: bool,
    limit: Option<usize>,
}

impl Wanted {
    pub(crate) fn parse(query: &Query) -> Result<Self, String> {
        let number = |name: &str| -> Result<Option<i64>, String> {
            query
                .get(name)
                .map(|text| text.parse().map_err(|_| format!("{name}: {text:?} is not a number")))
                .transpose()
        };
        // Longer ago than there is time: from the beginning.
        let ago = number("sinceSeconds")?.map(|seconds| {
            Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
        });
        let at = query
            .get("sinceTime")
            .map(|text| text.parse().map_err(|_| format!("sinceTime: {text:?} is not a time")));
        let flag = |name: &str| query.get(name).is_some_and(|value| value == "true");
        let size = |value: Option<i64>| value.and_then(|value| usize::try_from(value).ok());
        Ok(Self {
            follow: flag("follow"),
            tail: size(number("tailLines")?),
            since: at.transpose()?.or(ago),
            timestamps: flag("timestamps"),
            limit: size(number("limitBytes")?),
        })
    }

    /// The part of a line to show; `None` if it is too old or malformed.
    fn shown(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if let Some(since) = self.since {
            let at: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
            if at < since {
                return None;
            }
        }
        let mut shown = Vec::with_capacity(line.len());
        if self.timestamps {
            shown.extend(time);
            shown.push(b' ');
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        shown.extend(text);
        if !tag.starts_with(b"P") {
            shown.push(b'\n');
        }
        Some(shown)
    }
}

/// A container's log, by its path below the folder of all logs.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    path: PathBuf,
}

impl Log {
    /// The log at a path; `None` outside of the folder of all logs.
    pub(crate) fn new(folder: &Path, path: &str) -> Option<Self> {
        let path = Path::new(path).strip_prefix(folder).ok()?.to_owned();
        Some(Self { folder: folder.to_owned(), path })
    }

    /// Opens it. Links are not followed: a container that can write to the folder of the logs, by a hostPath, could
    /// make one lead to any file.
    fn open(&self) -> std::io::Result<std::fs::File> {
        use rustix::fs::OFlags;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = std::fs::File::from(crate::within::open_without_links(&self.folder, &self.path, flags)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }
}

/// Sends the requested part of a log, until its end or, if it is followed, the container's.
pub(crate) async fn send(log: &Log, id: &str, cri: &Cri, wanted: Wanted, to: Sender<Bytes>) {
    let mut left = wanted.limit.unwrap_or(usize::MAX);
    let Ok(mut opened) = log.open() else { return };
    let mut offset = match wanted.tail {
        Some(lines) => tail(&mut opened, lines).unwrap_or(0),
        None => 0,
    };
    let mut file = tokio::fs::File::from_std(opened);
    loop {
        let ended = wanted.follow && !runs(cri, id).await;
        if file.seek(std::io::SeekFrom::Start(offset)).await.is_err() {
            return;
        }
        let mut reader = BufReader::with_capacity(64 * 1024, &mut file);
        let mut line = Vec::new();
        let mut batch = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(1024 * 1024).read_until(b'\n', &mut line).await {
                // A line without its end is still being written.
                Ok(_) if line.last() != Some(&b'\n') => break,
                Ok(count) => offset += count as u64,
                Err(_) => return,
            }
            if let Some(mut shown) = wanted.shown(&line) {
                shown.truncate(left);
                left -= shown.len();
                batch.extend(shown);
            }
            if batch.len() > 32 * 1024 && to.send(Bytes::from(std::mem::take(&mut batch))).await.is_err() {
                return;
            }
            if left == 0 {
                break;
            }
        }
        if !batch.is_empty() && to.send(Bytes::from(batch)).await.is_err() {
            return;
        }
        if left == 0 || !wanted.follow || ended || to.is_closed() {
            return;
        }
        tokio::time::sleep(LOOK).await;
        if let Some(next) = rotated(log, &file, offset).await {
            (file, offset) = (next, 0);
        }
    }
}

/// The new file at a log's path, once all of the old one is read.
async fn rotated(log: &Log, file: &tokio::fs::File, offset: u64) -> Option<tokio::fs::File> {
    use std::os::unix::fs::MetadataExt;
    let next = log.open().ok()?;
    let (old, new) = (file.metadata().await.ok()?, next.metadata().ok()?);
    (old.ino() != new.ino() && offset >= old.len()).then(|| tokio::fs::File::from_std(next))
}

async fn runs(cri: &Cri, id: &str) -> bool {
    let question = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let status = cri.container_status(question).await;
    status.is_ok_and(|answer| answer.status.is_some_and(|found| plan::runs(&found)))
}

/// The offset of a file's last lines, read from its end.
fn tail(file: &mut std::fs::File, lines: usize) -> std::io::Result<u64> {
    use std::io::{Read, Seek, SeekFrom};
    const BLOCK: u64 = 64 * 1024;
    let mut end = file.metadata()?.len();
    if lines == 0 {
        return Ok(end);
    }
    let mut starts: VecDeque<u64> = VecDeque::new();
    let last = end;
    while end > 0 && starts.len() <= lines {
        let begin = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.take(end - begin).read_to_end(&mut block)?;
        let ends = block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        let ends = ends.map(|(at, _)| begin + at as u64 + 1).filter(|start| *start < last);
        starts.extend(ends);
        end = begin;
    }
    Ok(starts.get(lines - 1).copied().unwrap_or(0))
}

/// The last lines of a log, in order; at most `most` bytes.
pub(crate) fn last_lines(log: &Log, lines: usize, most: usize) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = log.open().ok()?;
    let length = file.metadata().ok()?.len();
    // A line also has a time and a stream's name.
    let from = tail(&mut file, lines).ok()?.max(length.saturating_sub(64 * 1024));
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(64 * 1024).read_to_end(&mut bytes).ok()?;
    let wanted = Wanted::default();
    let said: Vec<u8> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| wanted.shown(line))
        .flatten()
        .collect();
    let from = said.len().saturating_sub(most);
    Some(String::from_utf8_lossy(said.get(from..)?).into_owned())
}

/// The path of a rotated log.
pub(crate) fn moved(path: &Path) -> std::path::PathBuf {
    path.with_extension("log.1")
}

/// The logs of running containers, with the containers' IDs, by the UIDs of pods.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<BTreeMap<String, Vec<(String, PathBuf)>>>);

impl Logs {
    /// Sets those of a pod.
    pub(crate) fn set(&self, uid: &str, logs: Vec<(String, PathBuf)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match logs.is_empty() {
            true => drop(all.remove(uid)),
            false => drop(all.insert(uid.to_owned(), logs)),
        }
    }

    /// Those that have grown too long.
    fn long(&self) -> Vec<(String, PathBuf)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.len() > ROTATE);
        all.values().flatten().filter(|(_, path)| is_long(path)).cloned().collect()
    }

    /// Rotates logs that have grown too long, and makes the engine open new ones, for ever. A container writes megabytes
    /// a second.
    pub(crate) async fn keep_short(&self, cri: &Cri) {
        loop {
            tokio::time::sleep(LOOK).await;
            for (container_id, path) in self.long() {
                if tokio::fs::rename(&path, moved(&path)).await.is_ok() {
                    let _ = cri.reopen_log(ContainerId { container_id }).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"2026-01-01T00:00:00.5Z stdout F one\n2026-01-01T00:00:01Z stdout P tw\n2026-01-01T00:00:01Z stderr F o\n2026-01-01T00:00:02Z stdout F \n";

    fn shown(wanted: &Wanted) -> String {
        let lines = LINES.split_inclusive(|byte| *byte == b'\n');
        String::from_utf8(lines.filter_map(|line| wanted.shown(line)).flatten().collect()).unwrap()
    }

    #[test]
    fn lines_are_shown_as_they_were_said() {
        assert_eq!(shown(&Wanted::default()), "one\ntwo\n\n");
        let since = Some("2026-01-01T00:00:02Z".parse().unwrap());
        assert_eq!(
            shown(&Wanted { since, timestamps: true, ..Default::default() }),
            "2026-01-01T00:00:02Z \n"
        );
        assert_eq!(Wanted::default().shown(b"nonsense\n"), None);
    }

    #[test]
    fn logs_of_running_containers_that_are_too_long_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        let file = |name: &str, length: u64| {
            let path = folder.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(length).unwrap();
            (name.to_owned(), path)
        };
        let long = file("long", ROTATE + 1);
        logs.set("a", vec![file("short", ROTATE), long.clone()]);
        logs.set("b", vec![("gone".to_owned(), folder.path().join("gone"))]);
        assert_eq!(logs.long(), [long]);
        logs.set("a", Vec::new());
        assert_eq!(logs.long(), []);
    }

    #[test]
    fn any_number_of_seconds_is_a_time() {
        for seconds in ["1", "9223372036854775807", "-9223372036854775808"] {
            let wanted = Wanted::parse(&Query::parse(&format!("sinceSeconds={seconds}"))).unwrap();
            assert!(wanted.since.is_some(), "{seconds}");
        }
        assert!(Wanted::parse(&Query::parse("sinceSeconds=9223372036854775808")).is_err());
    }

    #[test]
    fn no_link_leads_to_another_log() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        for pod in ["own", "other"] {
            std::fs::create_dir_all(logs.join(pod)).unwrap();
            std::fs::write(logs.join(pod).join("0.log"), "2026-01-01T00:00:00Z stdout F secret\n").unwrap();
        }
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, logs.join(name)).unwrap();
        link("../other/0.log", "own/1.log");
        link("other", "linked");
        link("/etc/passwd", "own/2.log");
        let of = |path: &str| {
            let log = Log::new(&logs, logs.join(path).to_str().unwrap()).unwrap();
            last_lines(&log, 80, 2048)
        };
        assert_eq!(of("own/0.log").as_deref(), Some("secret\n"));
        for path in ["own/1.log", "linked/0.log", "own/2.log", "own", "none"] {
            assert_eq!(of(path), None, "{path}");
        }
        assert!(Log::new(&logs, "/etc/passwd").is_none());
    }

    #[test]
    fn the_tail_is_found_from_the_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(file.path(), &text).unwrap();
        for (lines, expected) in
            [(1, "line 19999\n"), (2, "line 19998\nline 19999\n"), (0, ""), (50_000, text.as_str())]
        {
            let at = usize::try_from(tail(file.as_file_mut(), lines).unwrap()).unwrap();
            assert_eq!(text.get(at..), Some(expected), "{lines}");
        }
    }
}
