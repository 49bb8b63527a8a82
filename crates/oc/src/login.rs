//! `login`: finds out the name of the user on the server, and saves server, user and context in the kubeconfig.

mod password;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_client::kubeconfig::File;
use palisade_client::{Options, Session};
use palisade_console::{Exit, input, terminal};
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::args::LoginArgs;
use crate::error::{Error, Outcome, Result};
use crate::output;
use crate::value::text;
use crate::{projects, prompt, whoami};

pub(crate) async fn run(args: &LoginArgs) -> Outcome {
    let path = args.connect.kubeconfig();
    let file = File::read(&path)?;
    let current = file.named("contexts", file.current()).cloned().unwrap_or_default();
    let url = address(args, &file, &current)?;
    if args.connect.insecure_skip_tls_verify {
        terminal::note("WARNING: Using insecure TLS client config. Setting this option is not supported!\n");
    }
    let login = Login { args, file: &file, cluster: cluster_entry(args, &file, &url)?, url };
    let (user, how) = login.user().await?;
    let session = login.connect(&user).await?;
    let name = whoami::username(&session).await?;
    let projects = projects::names(&session).await?;
    let before = text(&current, "/context/namespace");
    let namespace = namespace(args.connect.namespace.as_deref(), before, &projects);
    File::update(&path, |file| login.save(file, &user, &name, &namespace))?;
    output::message(&greeting(&login.url, &name, how, &namespace, &projects))?;
    Ok(Exit::Fine)
}

/// The source of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Token,
    Existing,
    Password,
}

/// A login to one server.
struct Login<'a> {
    args: &'a LoginArgs,
    file: &'a File,
    /// The server's entry in the kubeconfig.
    cluster: Value,
    url: String,
}

impl Login<'_> {
    /// The user's entry in the kubeconfig.
    async fn user(&self) -> Result<(Value, How)> {
        let args = self.args;
        if let Some(token) = &args.connect.token {
            return Ok((json!({"token": token}), How::Token));
        }
        let name = match &args.username {
            Some(name) => name.clone(),
            None => prompt::username()?,
        };
        let is_known = args.username.is_some() && args.password.is_none();
        if is_known && let Some(user) = self.known_user(&name).await {
            return Ok((user, How::Existing));
        }
        let anonymous = self.connect(&json!({})).await?;
        let token = password::token(&anonymous, &name, args.password.as_deref()).await?;
        Ok((json!({"token": token}), How::Password))
    }

    /// A user of the kubeconfig whose name on the server is this.
    async fn known_user(&self, name: &str) -> Option<Value> {
        for context in self.file.entries("contexts") {
            let server = self.file.named("clusters", text(context, "/context/cluster"));
            let user =
                self.file.named("users", text(context, "/context/user")).and_then(|user| user.get("user"));
            let (Some(server), Some(user)) = (server, user) else { continue };
            if text(server, "/cluster/server") != self.url {
                continue;
            }
            if let Ok(session) = self.connect(user).await
                && whoami::username(&session).await.is_ok_and(|known| known == name)
            {
                return Some(user.clone());
            }
        }
        None
    }

    async fn connect(&self, user: &Value) -> Result<Session> {
        let given = self.args.connect.options();
        let options = Options {
            insecure_http: given.insecure_http,
            on_warning: given.on_warning,
            ..Options::default()
        };
        Ok(Session::with_entries(&self.cluster, user, &options).await?)
    }

    /// Adds server, user and context, which becomes the current one. The names are those that oc uses.
    fn save(&self, file: &mut File, user: &Value, name: &str, namespace: &str) {
        let host = self.url.trim_start_matches("https://").trim_start_matches("http://").replace('.', "-");
        let (user_name, context_name) = (format!("{name}/{host}"), format!("default/{host}/{name}"));
        let context = json!({"cluster": host, "user": user_name, "namespace": namespace});
        file.set("clusters", json!({"name": host, "cluster": self.cluster}));
        file.set("users", json!({"name": user_name, "user": user}));
        file.set("contexts", json!({"name": context_name, "context": context}));
        file.set_current(&context_name);
    }
}

/// The server's address: as given, else of the current context.
fn address(args: &LoginArgs, file: &File, current: &Value) -> Result<String> {
    let known = file.named("clusters", text(current, "/context/cluster"));
    let known = known.map(|cluster| text(cluster, "/cluster/server").to_owned());
    let url = args.url.clone().or_else(|| args.connect.server.clone()).or(known).ok_or(Error::NoServer)?;
    Ok(if url.contains("://") { url } else { format!("https://{url}") })
}

/// The server's entry: that of the kubeconfig, with the options of the command line.
fn cluster_entry(args: &LoginArgs, file: &File, url: &str) -> Result<Value> {
    let known = file.entries("clusters").find(|cluster| text(cluster, "/cluster/server") == url);
    let mut cluster =
        known.and_then(|known| known.get("cluster")).cloned().unwrap_or_else(|| json!({"server": url}));
    if args.connect.insecure_skip_tls_verify {
        cluster = json!({"server": url, "insecure-skip-tls-verify": true});
    }
    if let Some(path) = &args.certificate_authority {
        put(&mut cluster, &["certificate-authority-data"], encoded(path)?.into());
    }
    Ok(cluster)
}

fn encoded(path: &Path) -> Result<String> {
    input::read(path).map(|bytes| STANDARD.encode(bytes)).map_err(|error| Error::file(path, error))
}

/// The requested namespace, else that of the last context if it is a project here, else `default`, else the first
/// project.
fn namespace(asked: Option<&str>, before: &str, projects: &[String]) -> String {
    let exists = |name: &&str| projects.iter().any(|project| project == name);
    let best = asked.or_else(|| Some(before).filter(exists)).or_else(|| Some("default").filter(exists));
    best.or_else(|| projects.first().map(String::as_str)).unwrap_or("default").to_owned()
}

fn greeting(url: &str, name: &str, how: How, namespace: &str, projects: &[String]) -> String {
    let head = match how {
        How::Password => "Login successful.\n\n".to_owned(),
        How::Token => format!("Logged into {url:?} as {name:?} using the token provided.\n\n"),
        How::Existing => format!("Logged into {url:?} as {name:?} using existing credentials.\n\n"),
    };
    let using = format!("Using project {namespace:?}.\n");
    head + &match projects {
        [] => "You don't have any projects. You can try to create a new project, by running\n\n    \
               palisade new-project <projectname>\n\n"
            .to_owned(),
        [one] => format!("You have one project on this server: {one:?}\n\n{using}"),
        several => projects::listed(several, namespace) + &using,
    }
}
