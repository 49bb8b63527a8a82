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
    /// Write the profile that lets through what both of two let through
    Intersect(JoinArgs),
    /// Write the profile that lets through what either of two lets through
    Union(JoinArgs),
    Lint(LintArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    Run(RunArgs),
    Record(crate::record::RecordArgs),
}

/// For which machine and container.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ContextArgs {
    /// The machine's architecture; what runs beside it comes from the profile. Default: this machine's
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
    /// Capabilities that the container has, with or without CAP_; `all`, or `none`; may be repeated.
    /// Default: what containers get by default
    #[arg(long = "cap", value_name = "CAP,…", value_delimiter = ',')]
    pub(crate) caps: Vec<String>,
    /// The machine's kernel. Default: the newest that is known
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub(crate) kernel: Option<KernelVersion>,
    /// What numbers get that the profile's own kernel did not have
    #[arg(long, value_enum, default_value_t = UnknownArg::Enosys)]
    pub(crate) unknown: UnknownArg,
    /// Take every warning for an error, and let no call with checked arguments pass through socketcall or ipc
    #[arg(long)]
    pub(crate) strict: bool,
}

/// A call's arguments, for which machine, and how to print the answer.
#[derive(Debug, ClapArgs)]
pub(crate) struct CallArgs {
    /// Its arguments, decimal or 0x…; those left out are 0
    #[arg(value_parser = number)]
    pub(crate) args: Vec<u64>,
    /// The ABI that makes the call. Default: the machine's own
    #[arg(long)]
    pub(crate) abi: Option<Arch>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnknownArg {
    /// ENOSYS, so that programs fall back to older calls
    Enosys,
    /// The profile's default
    Default,
}

/// Tell what seccomp this kernel has, and what is missing
///
/// What `grep CONFIG_SECCOMP= /boot/config-$(uname -r)` asks, and more: filters, actions, flags, the cache
/// of constant answers, logging.
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    Text,
    Json,
}

/// Write a profile as OCI has it, for one machine and container: nothing in it is conditional any more
///
/// containerd ignores includes, excludes and archMap in a profile of a node's file; a resolved one means the
/// same everywhere.
#[derive(Debug, ClapArgs)]
pub(crate) struct ResolveArgs {
    /// Profile: a file, - for stdin, or a shipped one: runtime/default, workshop, example-explorer-profile
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Compile a profile to the kernel's program
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
    /// Where the program goes; without it nothing is written. With --stats, `-o json` prints those as JSON
    #[arg(short = 'o', long = "output", value_name = "OUT.bpf")]
    pub(crate) out: Option<PathBuf>,
    /// How often calls occur, as lines `name count`, to put frequent calls first
    #[arg(long, value_name = "FILE")]
    pub(crate) hot: Option<PathBuf>,
    /// Let numbers through that no call has where that makes the program smaller: the kernel itself answers
    /// ENOSYS to them, until a later one has a call there
    #[arg(long)]
    pub(crate) open_holes: bool,
    /// Prove, path by path, that the program decides as the profile does
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print instructions, executed instructions and cacheable calls: text, or with `=json` JSON
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "text", require_equals = true)]
    pub(crate) stats: Option<TextOrJson>,
}

/// Explain what a profile decides, and why
///
/// With a call: the rules for it in the order in which they are tried, and which conditions hold. Without:
/// what is let through, area by area.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade seccomp explain runtime/default
  palisade seccomp explain runtime/default clone 0x10000000
  palisade seccomp explain profile.json personality 0xffffffff --abi x86")]
pub(crate) struct ExplainArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// A call, by name or number
    pub(crate) call: Option<String>,
    #[command(flatten)]
    pub(crate) rest: CallArgs,
}

/// Run a program or a profile on one call, and show the path that it takes
#[derive(Debug, ClapArgs)]
pub(crate) struct SimulateArgs {
    /// Program (.bpf) or profile
    pub(crate) file: PathBuf,
    /// A call, by name or number
    pub(crate) call: String,
    #[command(flatten)]
    pub(crate) rest: CallArgs,
}

/// Print a program's instructions with what they mean
#[derive(Debug, ClapArgs)]
pub(crate) struct DisassembleArgs {
    /// Program (.bpf) or profile
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Compare two profiles or programs exactly, with an example call for each difference
///
/// Exits with 0 only if they decide the same; with --subset, if A lets through nothing that B does not.
#[derive(Debug, ClapArgs)]
pub(crate) struct DiffArgs {
    /// Program (.bpf) or profile
    pub(crate) a: PathBuf,
    /// Program (.bpf) or profile
    pub(crate) b: PathBuf,
    /// Ask only whether A is at most B
    #[arg(long)]
    pub(crate) subset: bool,
    /// How many differences to print at most
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
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

/// Tell what profiles mean that their authors may not have meant
///
/// What containerd, runc and crun make of them, what the program and the runtime need, what is denied by one name and
/// let through by another. Looks at every profile of a file.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Profiles are read from JSON files, which must be JSON; from objects of the security-profiles-operator, ConfigMaps and
Secrets in YAML or JSON; from OCI's config.json and what `docker inspect` prints; from Podman quadlets and systemd
units. FILE#NAME names one of several in a file: an object's name, or CONFIGMAP/KEY.

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

/// Read a profile of any kind and write it in Docker's form
///
/// Knows Docker's, OCI's and containers/common's JSON, SeccompProfile objects of the security-profiles-operator,
/// ConfigMaps and Secrets, config.json, `docker inspect`, Podman quadlets, and systemd units.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// Take every warning for an error
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Write a profile in another form
#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// Profile: a file, - for stdin, or a shipped one
    pub(crate) file: PathBuf,
    /// In which form
    #[arg(long = "to", value_enum, default_value_t = Form::Oci)]
    pub(crate) form: Form,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For every runtime: flattened, nothing conditional
    Oci,
    /// With archMap, includes and excludes
    Docker,
    /// SystemCallFilter= lines
    Systemd,
}

/// Run a command under a profile
///
/// As containers do: no_new_privs, then the filter, then the command. Capabilities for the profile's
/// conditions are given with --cap; the command keeps those it has.
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
    /// Supervise the command: print each syscall that the profile denies when it is first made, and all of them at the
    /// end, with the entries that would let them through. Denied syscalls fail; none kills the command
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --watch, make denied syscalls as if they were allowed, so that the command runs to its end
    #[arg(long, requires = "watch")]
    pub(crate) permissive: bool,
    /// Command and arguments
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse().ok().map(i64::cast_unsigned)),
    };
    parsed.ok_or_else(|| "an argument is a number of 64 bits, decimal or 0x…".to_owned())
}
