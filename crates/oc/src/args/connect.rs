//! The flags of the connection, which every verb has.

use std::path::PathBuf;

use clap::Args;
use palisade_client::{OnWarning, Options, Session};
use palisade_console::terminal;

use crate::error::Result;

/// The server, the user and the namespace.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Path to the kubeconfig. Default: $KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use. Default: its current context
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace of the request. Default: the namespace of the context
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Address and port of the API server
    #[arg(short = 's', long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Bearer token for authentication to the API server
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Do not verify the certificate of the server; the connection can then be intercepted
    #[arg(long)]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Send credentials over unencrypted http:// to another machine; anyone on the way can then read them
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Username to impersonate for the request
    #[arg(long = "as", value_name = "USER")]
    pub(crate) as_user: Option<String>,
    /// Group to impersonate for the request; may be repeated
    #[arg(long = "as-group", value_name = "GROUP")]
    pub(crate) as_groups: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectOnly {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl ConnectArgs {
    /// The options of a session. Warnings of the server go to standard error.
    pub(crate) fn options(&self) -> Options {
        Options {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            server: self.server.clone(),
            token: self.token.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            insecure_http: self.insecure_http,
            impersonate: self.as_user.clone(),
            impersonate_groups: self.as_groups.clone(),
            on_warning: OnWarning::new(|text| terminal::warn(text)),
        }
    }

    /// Opens the session.
    pub(crate) async fn open(&self) -> Result<Session> {
        Ok(Session::open(&self.options()).await?)
    }

    /// The kubeconfig file to change.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        palisade_client::kubeconfig::path(self.kubeconfig.as_deref())
    }
}
