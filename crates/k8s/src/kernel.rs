//! Versions of the Linux kernel.

/// A kernel's version, as far as system calls and sysctls depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The number before the first dot.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl KernelVersion {
    /// Newer than any rule requires: the default where no version is given.
    pub const LATEST: Self = Self::new(u32::MAX, 0);

    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kernel version is two numbers, as 5.14")]
pub struct KernelVersionError;

impl std::str::FromStr for KernelVersion {
    type Err = KernelVersionError;

    /// `5.14`; what follows the second number, as in `5.14.0-70.el9`, is ignored.
    fn from_str(text: &str) -> Result<Self, KernelVersionError> {
        let mut parts = text.split(['.', '-', '+']);
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(KernelVersionError);
        Ok(Self::new(number()?, number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_s_suffix_does_not_count() {
        for (text, version) in [
            ("5.14", Some((5, 14))),
            ("5.14.0-70.el9", Some((5, 14))),
            ("6.1-rc2", Some((6, 1))),
            ("6", None),
            ("6.", None),
            ("", None),
            ("-1.2", None),
            ("4294967296.0", None),
        ] {
            assert_eq!(
                text.parse().ok(),
                version.map(|(major, minor)| KernelVersion::new(major, minor)),
                "{text}"
            );
        }
    }
}
