//! The configuration of a session: server, user and namespace.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use secrecy::ExposeSecret;

use crate::error::{Error, Result};
use crate::kubeconfig;

/// The name of the entries that stand for the options.
const NAME: &str = "palisade-command-line";
/// The folder of a pod's token.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The handler of `Warning` headers.
#[derive(Clone)]
pub struct OnWarning(Arc<dyn Fn(&str) + Send + Sync>);

impl OnWarning {
    /// Calls a function with the text of each warning.
    pub fn new(handle: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handle))
    }

    pub(crate) fn call(&self, text: &str) {
        (self.0)(text);
    }
}

impl Default for OnWarning {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for OnWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWarning")
    }
}

/// Options that override the kubeconfig.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The kubeconfig. Default: the files of `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context. Default: the current one.
    pub context: Option<String>,
    /// The namespace. Default: the context's, else `default`.
    pub namespace: Option<String>,
    /// The server's address. Default: the context's.
    pub server: Option<String>,
    /// A bearer token, instead of the context's user.
    pub token: Option<String>,
    /// Whether the server's certificate is not verified.
    pub insecure_skip_tls_verify: bool,
    /// Whether credentials may be sent over `http://` to another machine.
    pub insecure_http: bool,
    /// The user to impersonate.
    pub impersonate: Option<String>,
    /// The groups to impersonate.
    pub impersonate_groups: Vec<String>,
    /// The handler of warnings.
    pub on_warning: OnWarning,
}

/// The connection that the options and the kubeconfig describe, for other clients of the `kube` crate.
///
/// # Errors
/// [`Error::Kubeconfig`], [`Error::Config`] and [`Error::InClear`].
pub async fn config(options: &Options) -> Result<Config> {
    connection(kubeconfig(options)?, options).await
}

/// The connection that a kubeconfig and the options make up.
pub(crate) async fn connection(mut kubeconfig: Kubeconfig, options: &Options) -> Result<Config> {
    override_entries(&mut kubeconfig, options);
    let context = (options.server.is_none() && options.token.is_none()).then(|| options.context.clone());
    let context = context.flatten();
    kubeconfig::refuse_special(&kubeconfig, context.as_deref())?;
    let choice = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &choice).await;
    let mut config = config.map_err(|error| Error::Config(Box::new(error)))?;
    if options.impersonate.is_some() {
        config.auth_info.impersonate.clone_from(&options.impersonate);
    }
    if !options.impersonate_groups.is_empty() {
        config.auth_info.impersonate_groups = Some(options.impersonate_groups.clone());
    }
    config.accept_invalid_certs |= options.insecure_skip_tls_verify;
    // The session tries again itself, only where the server says when; kube's own policy goes on for minutes.
    config.default_retry = false;
    check_token(&config.auth_info)?;
    if !options.insecure_http && has_credentials(&config.auth_info) {
        refuse_in_clear(&config)?;
    }
    Ok(config)
}

/// # Errors
/// [`Error::InClear`] if the connection is not encrypted and leaves this machine.
pub(crate) fn refuse_in_clear(config: &Config) -> Result<()> {
    let url = &config.cluster_url;
    let is_encrypted = url.scheme_str() == Some("https");
    if is_encrypted || url.host().is_some_and(is_loopback) {
        return Ok(());
    }
    Err(Error::InClear { url: url.to_string().trim_end_matches('/').to_owned() })
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// kube panics at a token that cannot stand in a header.
fn check_token(user: &AuthInfo) -> Result<()> {
    let Some(token) = &user.token else { return Ok(()) };
    match http::HeaderValue::from_str(token.expose_secret()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Config("the user's token has characters that no token has".into())),
    }
}

/// Whether a request would carry a token or a password.
fn has_credentials(user: &AuthInfo) -> bool {
    user.token.is_some()
        || user.token_file.is_some()
        || user.password.is_some()
        || user.exec.is_some()
        || user.auth_provider.is_some()
}

/// Adds a context that has what the options say in place of what the kubeconfig says, and makes it the current one.
fn override_entries(kubeconfig: &mut Kubeconfig, options: &Options) {
    if options.server.is_none() && options.token.is_none() {
        return;
    }
    let name = options.context.as_ref().or(kubeconfig.current_context.as_ref());
    let found = kubeconfig.contexts.iter().find(|context| Some(&context.name) == name);
    let mut context: Context = found.and_then(|named| named.context.clone()).unwrap_or_default();
    if let Some(server) = &options.server {
        let known = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let mut cluster: Cluster = known.and_then(|named| named.cluster.clone()).unwrap_or_default();
        cluster.server = Some(server.clone());
        NAME.clone_into(&mut context.cluster);
        kubeconfig.clusters.push(NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        });
    }
    let known = kubeconfig.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref());
    let user = match &options.token {
        Some(token) => AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() },
        None => known.and_then(|named| named.auth_info.clone()).unwrap_or_default(),
    };
    context.user = Some(NAME.to_owned());
    kubeconfig.auth_infos.push(NamedAuthInfo {
        name: NAME.to_owned(),
        auth_info: Some(user),
        ..NamedAuthInfo::default()
    });
    kubeconfig.contexts.push(NamedContext {
        name: NAME.to_owned(),
        context: Some(context),
        ..NamedContext::default()
    });
    kubeconfig.current_context = Some(NAME.to_owned());
}

/// The kubeconfig that the options name. Where there is none: an empty one if the options name a server, else that of the
/// pod in which this runs.
pub(crate) fn kubeconfig(options: &Options) -> Result<Kubeconfig> {
    let given = options.kubeconfig.as_deref();
    match kubeconfig::read(given)? {
        Some(kubeconfig) => Ok(kubeconfig),
        None if options.server.is_some() => Ok(Kubeconfig::default()),
        None => {
            let own = kubeconfig::in_cluster(ACCOUNT.as_ref(), |name| std::env::var(name).ok());
            own.filter(|_| given.is_none()).ok_or_else(|| kubeconfig::missing(given))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig with one context, of a server and a user.
    fn file(server: &str, user: &str) -> Kubeconfig {
        let text = format!(
            "{{current-context: c, contexts: [{{name: c, context: {{cluster: s, user: u, namespace: shop}}}}], \
             clusters: [{{name: s, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {user}}}]}}"
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    async fn is_in_clear(server: &str, user: &str, options: Options) -> bool {
        match connection(file(server, user), &options).await {
            Err(Error::InClear { .. }) => true,
            Err(other) => panic!("{other}"),
            Ok(_) => false,
        }
    }

    #[tokio::test]
    async fn credentials_stay_off_unencrypted_connections() {
        let plain = "http://example.org:8080";
        let token = "{token: secret}";
        for (server, user, is_refused) in [
            (plain, token, true),
            (plain, "{tokenFile: /etc/hostname}", true),
            (plain, "{username: ann, password: secret}", true),
            (plain, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false}}", true),
            (plain, "{}", false),
            ("http://localhost:1", token, false),
            ("http://127.9.8.7:1", token, false),
            ("http://[::1]:1", token, false),
            ("http://127.0.0.1.example.org", token, true),
            ("http://localhost.example.org", token, true),
            ("http://0.0.0.0:1", token, true),
            ("https://example.org", token, false),
        ] {
            assert_eq!(is_in_clear(server, user, Options::default()).await, is_refused, "{server} {user}");
        }
        let allowed = Options { insecure_http: true, ..Options::default() };
        assert!(!is_in_clear(plain, token, allowed).await);
    }

    #[tokio::test]
    async fn options_are_checked_too() {
        let server = Options { server: Some("http://example.org".to_owned()), ..Options::default() };
        assert!(is_in_clear("https://safe", "{token: secret}", server.clone()).await);
        assert!(!is_in_clear("https://safe", "{}", server.clone()).await);
        let both = Options { token: Some("mine".to_owned()), ..server };
        assert!(is_in_clear("https://safe", "{}", both).await);
    }

    #[tokio::test]
    async fn a_token_of_two_lines_is_refused() {
        let options = Options { token: Some("a\nX: 1".to_owned()), ..Options::default() };
        let refused = connection(file("https://safe", "{}"), &options).await.unwrap_err();
        assert!(matches!(refused, Error::Config(_)), "{refused:?}");
    }

    #[tokio::test]
    async fn options_override_entries() {
        let options = Options {
            server: Some("https://other:1".to_owned()),
            impersonate: Some("ann".to_owned()),
            ..Options::default()
        };
        let config = connection(file("https://safe", "{token: secret}"), &options).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://other:1/");
        assert_eq!((config.default_namespace.as_str(), config.auth_info.token.is_some()), ("shop", true));
        assert_eq!(config.auth_info.impersonate.as_deref(), Some("ann"));
    }
}
