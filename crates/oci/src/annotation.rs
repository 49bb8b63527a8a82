//! Annotations of a container that the handler reads, and those that it removes.

/// The prefix of all annotations of Palisade. They count only where the handler's settings
/// [trust](crate::settings::Settings::trust_annotations) them; elsewhere they are removed.
pub const PREFIX: &str = "io.palisade/";

/// The profile, in its original form: `runtime/default`, or `localhost/PATH` below the handler's profile root.
/// Without it the profile is what `linux.seccomp` says.
pub const PROFILE: &str = "io.palisade/seccomp-profile";

/// `true`: what the filter denies is logged, as with the flag `SECCOMP_FILTER_FLAG_LOG`.
pub const LOG: &str = "io.palisade/seccomp-log";

/// The socket of a recorder: every syscall that the profile lets through is told to it.
pub const RECORD: &str = "io.palisade/seccomp-record";

/// crun's: a filter as base64 of `struct sock_filter[]`, instead of `linux.seccomp`.
pub(crate) const BPF: &str = "run.oci.seccomp_bpf_data";

/// Annotations of crun's by which a container could choose its own filter, or who answers for it.
pub(crate) const FROM_OUTSIDE: [&str; 3] = [BPF, "run.oci.seccomp.receiver", "run.oci.seccomp.plugins"];
