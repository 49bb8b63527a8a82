//! The command line of `create`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::ConnectArgs;
use super::write::WriteArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CreateArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CreateCommand>,
    /// File or folder of objects, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// The arguments of every way to create an object by name.
#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
    /// Name of the object
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreateCommand {
    /// Create a service account
    #[command(alias = "sa")]
    Serviceaccount(MakeArgs),
    /// Create a namespace
    #[command(alias = "ns")]
    Namespace(MakeArgs),
    /// Create a role
    Role(RoleArgs),
    /// Create a cluster role
    Clusterrole(RoleArgs),
    /// Create a role binding for a role or a cluster role
    Rolebinding(BindingArgs),
    /// Create a cluster role binding for a cluster role
    Clusterrolebinding(BindingArgs),
    /// Request a token of a service account
    Token(TokenArgs),
    /// Create a ConfigMap from files, folders or literal values
    #[command(alias = "cm")]
    Configmap(ConfigArgs),
    /// Create a Secret
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// Verb that the rule allows; may be repeated
    #[arg(long, value_name = "VERB", value_delimiter = ',', required = true)]
    pub(crate) verb: Vec<String>,
    /// Resource that the rule applies to: RESOURCE, RESOURCE.GROUP or RESOURCE/SUBRESOURCE; may be repeated
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    pub(crate) resource: Vec<String>,
    /// Name of an object that the rule is limited to; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) resource_name: Vec<String>,
    /// URL path that the rule applies to, in a cluster role; may be repeated
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(crate) non_resource_url: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BindingArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// Role that the binding refers to
    #[arg(long, value_name = "NAME", conflicts_with = "clusterrole")]
    pub(crate) role: Option<String>,
    /// Cluster role that the binding refers to
    #[arg(long, value_name = "NAME")]
    pub(crate) clusterrole: Option<String>,
    /// User to bind to the role; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) user: Vec<String>,
    /// Group to bind to the role; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) group: Vec<String>,
    /// Service account to bind to the role; may be repeated
    #[arg(long, value_name = "NAMESPACE:NAME", value_delimiter = ',')]
    pub(crate) serviceaccount: Vec<AccountName>,
}

/// A service account of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("must have the form NAMESPACE:NAME"),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Name of the service account
    pub(crate) name: String,
    /// Requested lifetime of the token, as 600s, 10m or 1h; the server may give another
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<Seconds>,
    /// Audience of the token; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// A duration in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "must be a time, as 600s, 10m, 1h or 1h30m";
        let (mut total, mut rest) = (0_u64, text);
        while !rest.is_empty() {
            let (number, unit) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or(BAD)?);
            let factor = match unit.chars().next() {
                Some('s') => 1,
                Some('m') => 60,
                Some('h') => 3600,
                _ => return Err(BAD),
            };
            let seconds =
                number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(BAD)?;
            total = total.checked_add(seconds).ok_or(BAD)?;
            rest = unit.get(1..).unwrap_or_default();
        }
        if text.is_empty() { Err(BAD) } else { Ok(Self(total)) }
    }
}

/// Sources of the entries of a `ConfigMap` or a `Secret`.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// An entry with a literal value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) from_literal: Vec<KeyValue>,
    /// A file as an entry, under its name or KEY, or all files of a folder; may be repeated
    #[arg(long, value_name = "[KEY=]PATH")]
    pub(crate) from_file: Vec<String>,
    /// A file with lines of KEY=VALUE; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) from_env_file: Vec<PathBuf>,
}

/// `KEY=VALUE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("must have the form KEY=VALUE"),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Create a Secret from files, folders or literal values
    Generic(SecretArgs),
    /// Create a Secret of a certificate and its private key
    Tls(TlsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Type of the Secret
    #[arg(long = "type", value_name = "TYPE", default_value = "Opaque")]
    pub(crate) kind: String,
}

#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// File with the certificate, as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// File with the private key, as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, seconds) in
            [("600s", Some(600)), ("10m", Some(600)), ("1h30m", Some(5400)), ("0s", Some(0))]
        {
            assert_eq!(text.parse().ok(), seconds.map(Seconds), "{text}");
        }
        for text in ["", "10", "m", "1d", "-1s", "1.5h", "99999999999999999999s", "9999999999999999999h"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn accounts_and_entries_have_two_parts() {
        assert!("shop:web".parse::<AccountName>().is_ok());
        for text in ["web", ":web", "shop:"] {
            assert!(text.parse::<AccountName>().is_err(), "{text}");
        }
        assert!("a=b=c".parse::<KeyValue>().is_ok_and(|entry| entry.value == "b=c"));
        assert!("a=".parse::<KeyValue>().is_ok());
        assert!("=b".parse::<KeyValue>().is_err() && "a".parse::<KeyValue>().is_err());
    }
}
