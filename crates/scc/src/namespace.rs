//! The IDs and the SELinux level that a namespace's annotations allocate to it.

use palisade_k8s::scc::{IdRange, annotation};

/// The reason why a namespace's annotation cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A required annotation is missing, so that no pod can be admitted.
    #[error("the namespace has no annotation {0}; its ranges are not allocated yet")]
    Missing(&'static str),
    /// The annotation has no value.
    #[error("the namespace's annotation {0} is empty")]
    Empty(&'static str),
    /// The annotation is not a block of IDs.
    #[error("the namespace's annotation {key} is {value:?}, neither start/size nor start-end")]
    Malformed {
        /// The annotation.
        key: &'static str,
        /// Its value.
        value: String,
    },
}

/// The ranges of a namespace; an invalid annotation only matters to an SCC that needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceRanges {
    uids: Result<IdRange, RangeError>,
    fs_group: Result<[IdRange; 1], RangeError>,
    supplemental_groups: Result<Vec<IdRange>, RangeError>,
    level: Result<String, RangeError>,
}

impl NamespaceRanges {
    /// Parses a namespace's annotations, which `get` returns.
    ///
    /// # Errors
    ///
    /// The annotation for user IDs or for the SELinux level is missing: the reference then admits
    /// no pod at all, whether an SCC needs them or not (reference/scc.md 2.6).
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, RangeError> {
        let uids = get(annotation::UID_RANGE).ok_or(RangeError::Missing(annotation::UID_RANGE))?;
        let level = get(annotation::MCS).ok_or(RangeError::Missing(annotation::MCS))?;
        // Only an absent annotation falls back to the user IDs, an empty one does not (2.7).
        let (key, groups) = match get(annotation::SUPPLEMENTAL_GROUPS) {
            Some(groups) => (annotation::SUPPLEMENTAL_GROUPS, groups),
            None => (annotation::UID_RANGE, uids),
        };
        let groups = blocks(key, groups);
        let first = groups.as_ref().map_err(Clone::clone).and_then(|blocks| {
            let start = blocks.first().ok_or(RangeError::Empty(key))?.min;
            Ok([IdRange { min: start, max: start }])
        });
        Ok(Self {
            uids: block(annotation::UID_RANGE, uids),
            fs_group: first,
            supplemental_groups: groups,
            level: match level {
                "" => Err(RangeError::Empty(annotation::MCS)),
                level => Ok(level.to_owned()),
            },
        })
    }

    /// The user IDs, for `MustRunAsRange` without bounds.
    ///
    /// # Errors
    ///
    /// The annotation is empty or malformed.
    pub fn uids(&self) -> Result<IdRange, &RangeError> {
        self.uids.as_ref().copied()
    }

    /// The one group, first of the first block, for an `fsGroup` of `MustRunAs` without ranges.
    ///
    /// # Errors
    ///
    /// The annotation is empty or malformed.
    pub fn fs_group(&self) -> Result<&[IdRange], &RangeError> {
        self.fs_group.as_ref().map(<[IdRange; 1]>::as_slice)
    }

    /// All blocks of groups, for `supplementalGroups` of `MustRunAs` without ranges.
    ///
    /// # Errors
    ///
    /// The annotation is empty or malformed.
    pub fn supplemental_groups(&self) -> Result<&[IdRange], &RangeError> {
        self.supplemental_groups.as_ref().map(Vec::as_slice)
    }

    /// The SELinux level, for `MustRunAs` without one.
    ///
    /// # Errors
    ///
    /// The annotation is empty.
    pub fn level(&self) -> Result<&str, &RangeError> {
        self.level.as_ref().map(String::as_str)
    }
}

fn blocks(key: &'static str, value: &str) -> Result<Vec<IdRange>, RangeError> {
    if value.is_empty() {
        return Err(RangeError::Empty(key));
    }
    value.split(',').map(|part| block(key, part)).collect()
}

/// `start/size` or `start-end`, of 32-bit numbers, as Go's `Sscanf` parses them: blanks before a number are skipped
/// except newlines, a sign is refused, and text after a block is ignored.
fn block(key: &'static str, value: &str) -> Result<IdRange, RangeError> {
    if value.is_empty() {
        return Err(RangeError::Empty(key));
    }
    let malformed = || RangeError::Malformed { key, value: value.to_owned() };
    let separator = if value.contains('/') { '/' } else { '-' };
    let (first, second) = value.split_once(separator).ok_or_else(malformed)?;
    let (start, rest) = number(first).ok_or_else(malformed)?;
    let (second, _) = number(second).ok_or_else(malformed)?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    let last = if separator == '/' { start.wrapping_add(second).wrapping_sub(1) } else { second };
    Ok(IdRange { min: i64::from(start), max: i64::from(last) })
}

/// The parts of a range annotation that are not read: the text after the first block of user IDs, or after each block of groups.
#[must_use]
pub fn ignored(key: &str, value: &str) -> Vec<String> {
    let parts: Vec<&str> =
        if key == annotation::UID_RANGE { vec![value] } else { value.split(',').collect() };
    let rest = |part: &&str| {
        let (_, second) = part.split_once(if part.contains('/') { '/' } else { '-' })?;
        number(second).map(|(_, rest)| rest.to_owned()).filter(|rest| !rest.is_empty())
    };
    parts.iter().filter_map(rest).collect()
}

/// The number that a text starts with, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)]) -> Result<NamespaceRanges, RangeError> {
        NamespaceRanges::read(|key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn both_annotations_are_needed() {
        assert_eq!(read(&[(annotation::MCS, "s0")]), Err(RangeError::Missing(annotation::UID_RANGE)));
        assert_eq!(read(&[(annotation::UID_RANGE, "1/2")]), Err(RangeError::Missing(annotation::MCS)));
    }

    #[test]
    fn groups_fall_back_to_uids_only_where_absent() {
        let range = |min, max| IdRange { min, max };
        let base = [(annotation::UID_RANGE, "1000/10"), (annotation::MCS, "s0:c1,c0")];
        let plain = read(&base).unwrap();
        assert_eq!(plain.uids(), Ok(range(1000, 1009)));
        assert_eq!(plain.supplemental_groups().unwrap(), [range(1000, 1009)]);
        assert_eq!(plain.fs_group().unwrap(), [range(1000, 1000)]);

        let listed = read(&[base[0], base[1], (annotation::SUPPLEMENTAL_GROUPS, "5/3,100-109")]).unwrap();
        assert_eq!(listed.supplemental_groups().unwrap(), [range(5, 7), range(100, 109)]);
        assert_eq!(listed.fs_group().unwrap(), [range(5, 5)]);

        let empty = read(&[base[0], base[1], (annotation::SUPPLEMENTAL_GROUPS, "")]).unwrap();
        assert_eq!(empty.fs_group(), Err(&RangeError::Empty(annotation::SUPPLEMENTAL_GROUPS)));
    }

    #[test]
    fn what_follows_a_block_is_told() {
        for (key, value, expected) in [
            (annotation::UID_RANGE, "1000000000/10000", &[][..]),
            // openshift/origin#7014.
            (annotation::UID_RANGE, "1000000000/10000,99-99", &[",99-99"]),
            (annotation::UID_RANGE, "5-9 ", &[" "]),
            (annotation::UID_RANGE, "x", &[]),
            (annotation::SUPPLEMENTAL_GROUPS, "1000/10,99-99", &[]),
            (annotation::SUPPLEMENTAL_GROUPS, "1000/10x,99-99;", &["x", ";"]),
        ] {
            assert_eq!(ignored(key, value), expected, "{key} {value}");
        }
    }

    #[test]
    fn malformed_blocks_only_spoil_themselves() {
        for text in [
            "x",
            "1",
            "/",
            "1/",
            "-1/5",
            "+1/5",
            "1/+5",
            "4294967296/1",
            "1:2",
            "\n1/5",
            "1/\n5",
            "1/\r\n5",
            "1 /5",
        ] {
            let ranges = read(&[(annotation::UID_RANGE, text), (annotation::MCS, "s0")]).unwrap();
            assert!(matches!(ranges.uids(), Err(RangeError::Malformed { .. })), "{text}");
            assert_eq!(ranges.level(), Ok("s0"));
        }
        for text in [" 1/ 5", "1/5 and more", "1-5/", "\t\r1/\u{a0}5"] {
            let ranges = read(&[(annotation::UID_RANGE, text), (annotation::MCS, "s0")]).unwrap();
            assert_eq!(ranges.uids().is_ok(), text != "1-5/", "{text}");
        }
    }
}
