//! The command line of `palisade seccomp`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use palisade_k8s::KernelVersion;
use palisade_seccomp::Arch;

#[derive(Debug, Subcommand)]
pub(crate) enum SeccompCommand {
    Check(CheckArgs),
    Resolve(ResolveArgs),
    Compile(CompileArgs),
    Explain(ExplainArgs),
    Simulate(SimulateArgs),
    Disassemble(DisassembleArgs),
    Diff(DiffArgs),
    /// Write the intersection of two profiles: it allows what both allow
    Intersect(JoinArgs),
    /// Write the union of two profiles: it allows what either allows
    Union(JoinArgs),
    Lint(LintArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    Run(RunArgs),
    Record(crate::record::RecordArgs),
    Minimize(MinimizeArgs),
    #[cfg(feature = "serve")]
    Path(PathArgs),
}

/// The machine and the container that a profile is resolved for.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ContextArgs {
    /// The machine's architecture; those that it can also run come from the profile. Default: this machine's
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
    /// Capabilities of the container, with or without CAP_; `all`, or `none`; may be repeated. Default: the default
    /// capabilities of containers
    #[arg(long = "cap", value_name = "CAP,…", value_delimiter = ',')]
    pub(crate) caps: Vec<String>,
    /// The machine's kernel. Default: the newest known one
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub(crate) kernel: Option<KernelVersion>,
    /// The result of syscalls newer than the profile's own kernel
    #[arg(long, value_enum, default_value_t = UnknownArg::Enosys)]
    pub(crate) unknown: UnknownArg,
    /// Treat every warning as an error, and deny syscalls with checked arguments by way of socketcall and ipc
    #[arg(long)]
    pub(crate) strict: bool,
}

/// A syscall's arguments, the machine, and the output format.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct SyscallArgs {
    /// Its arguments, decimal or 0x…; those left out are 0
    #[arg(value_parser = number)]
    pub(crate) args: Vec<u64>,
    /// The ABI that makes the syscall. Default: the machine's own
    #[arg(long)]
    pub(crate) abi: Option<Arch>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnknownArg {
    /// ENOSYS, so that programs fall back to older syscalls; runc from 1.0.0-rc93 on does so only above the highest number named
    Enosys,
    /// The profile's default, as in crun and with libseccomp alone
    Default,
}

/// Check this kernel for seccomp and its features
///
/// Answers `grep CONFIG_SECCOMP= /boot/config-$(uname -r)`, and more: filters, actions, flags, the cache of constant
/// answers, logging.
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// The output format
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextJsonOrHtml {
    Text,
    Json,
    /// HTML: one file, without scripts
    Html,
}

/// Write a profile in OCI's form for one machine and container, with its conditions resolved
///
/// containerd ignores includes, excludes and archMap in a profile from a node's file; a resolved one means the same
/// everywhere.
#[derive(Debug, ClapArgs)]
pub(crate) struct ResolveArgs {
    /// Profile: a file, - for stdin, or a shipped one: runtime/default, workshop, example-explorer-profile
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Compile a profile to a BPF program
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The program is an array of 8-byte instructions, little-endian, as `struct sock_filter` and as crun's annotation
run.oci.seccomp_bpf_data has it (in base64). One that is too long for the kernel becomes several, OUT.1.bpf and
so on: loaded one after the other they decide the same.

Examples:
  palisade seccomp compile profile.json -o profile.bpf --stats
  palisade seccomp compile runtime/default --cap SYS_ADMIN --kernel 5.14 --verify -o default.bpf")]
pub(crate) struct CompileArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// The file to write the program to; without it no program is written. With --stats, `-o json` prints statistics as
    /// JSON
    #[arg(short = 'o', long = "output", value_name = "OUT.bpf")]
    pub(crate) out: Option<PathBuf>,
    /// Frequencies of syscalls, as lines `name count`, to put frequent ones first
    #[arg(long, value_name = "FILE")]
    pub(crate) hot: Option<PathBuf>,
    /// Allow unassigned syscall numbers if that makes the program smaller: the kernel itself returns ENOSYS for them,
    /// until a later one assigns them
    #[arg(long)]
    pub(crate) open_holes: bool,
    /// Prove, path by path, that the program decides as the profile does
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print instructions, executed instructions and cacheable syscalls: text, or with `=json` JSON
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    pub(crate) stats: Option<TextOrJson>,
}

/// Explain a profile's decisions
///
/// With a syscall: its rules in the order of their evaluation, and which conditions hold. Without: the allowed
/// syscalls, area by area.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade seccomp explain runtime/default
  palisade seccomp explain runtime/default clone 0x10000000
  palisade seccomp explain profile.json personality 0xffffffff --abi x86")]
pub(crate) struct ExplainArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// A syscall, by name or number
    pub(crate) syscall: Option<String>,
    #[command(flatten)]
    pub(crate) rest: SyscallArgs,
    /// HTML: one file, without scripts; for the areas, not for one syscall
    #[arg(long, conflicts_with_all = ["syscall", "output"])]
    pub(crate) html: bool,
}

/// Run a program or a profile on one syscall, and show the path that it takes
#[derive(Debug, ClapArgs)]
pub(crate) struct SimulateArgs {
    /// Program (.bpf) or profile
    pub(crate) file: PathBuf,
    /// A syscall, by name or number
    pub(crate) syscall: String,
    #[command(flatten)]
    pub(crate) rest: SyscallArgs,
}

/// Print a program's instructions with their meaning
#[derive(Debug, ClapArgs)]
pub(crate) struct DisassembleArgs {
    /// Program (.bpf) or profile
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Compare two profiles or programs exactly, with an example syscall for each difference
///
/// Exits with 0 only if they decide the same; with --subset, if A allows nothing that B does not.
#[derive(Debug, ClapArgs)]
pub(crate) struct DiffArgs {
    /// Program (.bpf) or profile
    pub(crate) a: PathBuf,
    /// Program (.bpf) or profile
    pub(crate) b: PathBuf,
    /// Check only whether A is a subset of B
    #[arg(long)]
    pub(crate) subset: bool,
    /// The largest number of differences to print
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = TextJsonOrHtml::Text)]
    pub(crate) output: TextJsonOrHtml,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JoinArgs {
    /// Profile
    pub(crate) a: PathBuf,
    /// Profile
    pub(crate) b: PathBuf,
    /// Write a program instead of a profile
    #[arg(short = 'o', long = "output", value_name = "OUT.bpf")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Check profiles for effects that their authors may not have intended
///
/// Checks how containerd, runc and crun interpret them, which syscalls a program and its runtime need, and which
/// syscalls are denied by one name and allowed by another. Checks every profile of a file.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Profiles are read from JSON files, which must be JSON; from objects of the security-profiles-operator, ConfigMaps and
Secrets in YAML or JSON; from MachineConfigs, Ignition and Butane; from OCI's config.json and what `docker inspect` prints; from what compose files and Podman
quadlets name; from systemd units. FILE#NAME names one of several in a file: an object's name, or CONFIGMAP/KEY.

Examples:
  palisade seccomp lint profile.json
  palisade seccomp lint profiles.yaml#nginx --arch aarch64
  docker inspect web | palisade seccomp lint -")]
pub(crate) struct LintArgs {
    /// Profiles: files, or shipped ones
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Convert a profile of any format to Docker's
///
/// Reads Docker's, OCI's and containers/common's JSON, SeccompProfile objects of the security-profiles-operator,
/// ConfigMaps and Secrets, config.json, `docker inspect`, Podman quadlets, and systemd units.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// Treat every warning as an error
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Convert a profile to another format
#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// The format to write
    #[arg(long = "to", value_enum, default_value_t = Form::Oci)]
    pub(crate) form: Form,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For every runtime: flattened, without conditions
    Oci,
    /// With archMap, includes and excludes
    Docker,
    /// SystemCallFilter= lines
    Systemd,
}

/// Run a command under a profile
///
/// As containers do: no_new_privs, then the filter, then the command. Capabilities for the profile's conditions are
/// given with --cap; the command keeps its own.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade seccomp run workshop -- sh
  palisade seccomp run example-explorer-profile --watch -- ./server
  palisade seccomp run profile.json --watch --permissive -- ./server")]
pub(crate) struct RunArgs {
    /// Profile: a file, or a shipped one
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Supervise the command: print each syscall that the profile denies at its first use, and all of them at the end,
    /// with the entries that would allow them. Denied syscalls fail; none kills the command
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --watch, run denied syscalls as if they were allowed, so that the command runs to its end
    #[arg(long, requires = "watch")]
    pub(crate) permissive: bool,
    /// Command and arguments
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Merge recordings into the least profile that allows the recorded syscalls
///
/// A recording is strace's output, audit records, the output of `seccomp record`, `seccomp run --watch` and `denials -o
/// json`, lines of JSON with a field `syscall`, or a profile, as recorders of other projects write it. Constant
/// arguments that select an operation are kept while they are few: families of sockets, options of prctl, flags of
/// clone; never addresses. Each entry has a comment: the recordings that show it, and how often.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  strace -f -X raw -o run1.strace ./server --once
  palisade seccomp minimize run*.strace --runtime crun --siblings -o profile.json
  palisade seccomp minimize run*.strace --holdout           what each run does that the others do not show
  palisade denials -o json | palisade seccomp minimize --base profile.json - -o wider.json

Without `-X raw` strace prints names of constants, and the profile keeps no arguments.")]
pub(crate) struct MinimizeArgs {
    /// Recordings: files, or - for stdin
    #[arg(required = true, value_name = "RECORDING")]
    pub(crate) recordings: Vec<PathBuf>,
    /// Profile to extend by the recordings; the difference is printed. Default: an empty one
    #[arg(long, value_name = "PROFILE")]
    pub(crate) base: Option<PathBuf>,
    /// Also the older and newer forms of each syscall, of which libcs choose: openat2 beside openat
    #[arg(long)]
    pub(crate) siblings: bool,
    /// Also what this runtime needs to start a container under the profile; may be repeated
    #[arg(long, value_enum, value_name = "RUNTIME")]
    pub(crate) runtime: Vec<RuntimeArg>,
    /// Keep no arguments
    #[arg(long)]
    pub(crate) no_arguments: bool,
    /// Leave out each recording in turn, and report which of its syscalls a profile of the others would deny; no
    /// profile is written
    #[arg(long, conflicts_with = "out")]
    pub(crate) holdout: bool,
    /// File of the profile. Default: stdout
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// ABI of records that lack it. Default: this machine's
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
}

/// Print the localhostProfile values of pods for the SeccompProfile objects of a file
///
/// The path is that of the profile's digest, under which `palisade node-profiles` stores its file on every node. Bases
/// are looked up in the same files.
#[cfg(feature = "serve")]
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade seccomp path profile.yaml
  kubectl get seccompprofiles.palisade.openshift.io -o yaml | palisade seccomp path -")]
pub(crate) struct PathArgs {
    /// Files of YAML or JSON; - is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeArg {
    Runc,
    Crun,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse().ok().map(i64::cast_unsigned)),
    };
    parsed.ok_or_else(|| "an argument is a number of 64 bits, decimal or 0x…".to_owned())
}
