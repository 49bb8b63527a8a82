//! An audit record of type SECCOMP, field by field.

use std::time::Duration;

use palisade_seccomp::Action;

/// The fields of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) time: Duration,
    pub(super) login_id: Option<u32>,
    pub(super) pid: u32,
    pub(super) command: String,
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) action: Action,
}

impl Record {
    /// Reads `audit(SECONDS.MILLISECONDS:SERIAL): field=value …`, wherever in a line it begins. Values that a
    /// process chooses have no spaces: the kernel writes such in hexadecimal.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (_, record) = line.split_once("audit(")?;
        let (stamp, fields) = record.split_once("): ")?;
        let field = |name: &str| {
            let mut pairs = fields.split_ascii_whitespace().filter_map(|word| word.split_once('='));
            pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
        };
        let hex = |name: &str| {
            let value = field(name)?;
            u32::from_str_radix(value.strip_prefix("0x").unwrap_or(value), 16).ok()
        };
        let login_id = field("auid")?.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        let number = field("syscall")?;
        let number = number.parse::<i64>().ok().and_then(|number| {
            i32::try_from(number).ok().map(i32::cast_unsigned).or_else(|| u32::try_from(number).ok())
        });
        Some(Self {
            time: time(stamp)?,
            login_id,
            pid: field("pid")?.parse().ok()?,
            command: text(field("comm").unwrap_or_default()),
            arch: hex("arch")?,
            number: number?,
            action: Action::of_code(hex("code")?),
        })
    }
}

fn time(stamp: &str) -> Option<Duration> {
    let (seconds, rest) = stamp.split_once('.')?;
    let (milliseconds, _) = rest.split_once(':')?;
    Some(Duration::new(seconds.parse().ok()?, 0) + Duration::from_millis(milliseconds.parse().ok()?))
}

/// `"text"`, or the bytes in hexadecimal.
fn text(value: &str) -> String {
    if let Some(text) = value.strip_prefix('"') {
        return text.trim_end_matches('"').to_owned();
    }
    let bytes = value
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    match bytes.collect::<Option<Vec<u8>>>() {
        Some(bytes) => String::from_utf8_lossy(&bytes).escape_debug().to_string(),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "auid=4294967295 uid=0 gid=0 ses=4294967295 pid=15385 comm=\"crun\" exe=\"/\" sig=0 \
                          arch=c000003e syscall=119 compat=0 ip=0x7f542eaac914 code=0x50001";

    #[test]
    fn records_are_read_wherever_they_stand() {
        let stamp = "audit(1795651716.125:2): ";
        for before in ["", "type=SECCOMP msg=", "6,1,2,-;audit: type=1326 "] {
            let record = Record::parse(&format!("{before}{stamp}{FIELDS}")).unwrap();
            assert_eq!(record.time, Duration::from_millis(1_795_651_716_125));
            assert_eq!((record.login_id, record.pid, record.command.as_str()), (None, 15385, "crun"));
            assert_eq!((record.arch, record.number, record.action), (0xc000_003e, 119, Action::Errno(1)));
        }
    }

    #[test]
    fn a_process_forges_no_fields() {
        // `x" syscall=1` as the kernel writes such a name.
        let fields = FIELDS.replace("\"crun\"", "78222073797363616C6C3D31");
        let record = Record::parse(&format!("audit(1.2:3): {fields}")).unwrap();
        assert_eq!((record.number, record.command.as_str()), (119, "x\\\" syscall=1"));
        let fields = FIELDS.replace("\"crun\"", "1B5B324A");
        assert_eq!(Record::parse(&format!("audit(1.2:3): {fields}")).unwrap().command, "\\u{1b}[2J");
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        for line in [
            "",
            "audit(",
            "audit(1:2): x",
            "audit(1.2:3): auid=1",
            "audit(1.2:3): auid=1 syscall=x pid=1 arch=1 code=1",
        ] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
        let x32 = FIELDS.replace("syscall=119", "syscall=1073741943");
        assert_eq!(Record::parse(&format!("audit(1.2:3): {x32}")).unwrap().number, 0x4000_0077);
        let minus = FIELDS.replace("syscall=119", "syscall=-1");
        assert_eq!(Record::parse(&format!("audit(1.2:3): {minus}")).unwrap().number, u32::MAX);
    }
}
