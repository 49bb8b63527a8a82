//! Records of the past, from where the machine keeps them.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::error::Error;

use super::record::Record;

const AUDITD: &str = "/var/log/audit/audit.log";
const KERNEL: &str = "/dev/kmsg";

/// Maximum part of auditd's log that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// All that are still there, the oldest first.
pub(super) fn read() -> Result<Vec<Record>, Error> {
    match std::fs::File::open(AUDITD) {
        Ok(file) => of_auditd(BufReader::new(file.take(MAX_BYTES))),
        Err(error) if error.kind() == ErrorKind::NotFound => of_kernel(),
        Err(error) => Err(Error::file(AUDITD, error)),
    }
}

fn of_auditd(mut file: impl BufRead) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line).map_err(|error| Error::file(AUDITD, error))? > 0 {
        if line.starts_with(b"type=SECCOMP ") {
            records.extend(Record::parse(&String::from_utf8_lossy(&line)));
        }
        line.clear();
    }
    Ok(records)
}

/// Each read gives one message; those that were written over meanwhile are an error, after which the next comes.
fn of_kernel() -> Result<Vec<Record>, Error> {
    let path = Path::new(KERNEL);
    let mut file =
        palisade_sys::files::open_without_waiting(path).map_err(|error| Error::file(path, error))?;
    let mut records = Vec::new();
    let mut message = [0; 8192];
    loop {
        match file.read(&mut message) {
            Ok(0) => return Ok(records),
            Ok(length) => {
                let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                if text.contains(" type=1326 ") {
                    records.extend(Record::parse(&text));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(records),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(error) => return Err(Error::file(path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auditd_s_log_is_read() {
        let record =
            "type=SECCOMP msg=audit(1.2:3): auid=1 pid=2 comm=\"x\" arch=c000003e syscall=1 code=0x50001\n";
        let text = format!(
            "type=SYSCALL msg=audit(1.2:3): x\n{record}type=SECCOMP msg=torn\n\u{fffd}{record}{record}"
        );
        assert_eq!(of_auditd(text.as_bytes()).unwrap().len(), 2);
    }
}
