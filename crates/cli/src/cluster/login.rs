//! `palisade login`, `palisade whoami`.

use palisade_k8s::put;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::args::{ConnectArgs, LoginArgs, WhoamiArgs};
use super::output::{self, text};
use super::session::{ClusterError, Result, Session, kubeconfig_path};
use super::yaml;
use crate::exit::Exit;

/// The text of a kubeconfig as a value that can be changed and written again.
pub(crate) struct Kubefile {
    path: std::path::PathBuf,
    pub(crate) value: Value,
}

impl Kubefile {
    pub(crate) fn read(args: &ConnectArgs) -> Result<Self> {
        let path = kubeconfig_path(args);
        let bad = |why: String| ClusterError::Kubeconfig { path: path.display().to_string(), why };
        let value = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => {
                let documents =
                    palisade_k8s::manifest::read(&text).map_err(|error| bad(error.to_string()))?;
                documents.first().map(palisade_k8s::manifest::Node::to_json).unwrap_or_default()
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(bad(error.to_string())),
            _ => json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []}),
        };
        if value.is_object() {
            Ok(Self { path, value })
        } else {
            Err(bad("it holds no kubeconfig".to_owned()))
        }
    }

    pub(crate) fn write(&self) -> Result<()> {
        let text = yaml::write(&self.value);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| ClusterError::Usage(error.to_string()))?;
        }
        palisade_https::write_file(&self.path, &text, 0o600)
            .map_err(|error| ClusterError::Usage(super::session::chain(&error)))
    }

    fn named<'v>(&'v self, list: &str, name: &str) -> Option<&'v Value> {
        let items = self.value.get(list).and_then(Value::as_array).into_iter().flatten();
        items.into_iter().find(|item| text(item, "/name") == name)
    }

    /// Puts an entry into a list, in place of an older one of its name.
    fn set(&mut self, list: &str, entry: Value) {
        if !self.value.get(list).is_some_and(Value::is_array) {
            put(&mut self.value, &[list], json!([]));
        }
        let Some(items) = self.value.get_mut(list).and_then(Value::as_array_mut) else { return };
        match items.iter_mut().find(|item| text(item, "/name") == text(&entry, "/name")) {
            Some(item) => *item = entry,
            None => items.push(entry),
        }
    }

    pub(crate) fn current(&self) -> &str {
        text(&self.value, "/current-context")
    }

    /// The current context under a name that says its parts, in a namespace.
    pub(crate) fn switch(&mut self, namespace: &str) {
        let current = self.current().to_owned();
        let Some(mut context) = self.named("contexts", &current).cloned() else { return };
        put(&mut context, &["context", "namespace"], namespace.into());
        self.set("contexts", context);
    }
}

pub(crate) fn login(args: &LoginArgs) -> crate::Outcome {
    let mut file = Kubefile::read(&args.connect)?;
    let current = file.named("contexts", file.current()).cloned().unwrap_or_default();
    let cluster_name = text(&current, "/context/cluster").to_owned();
    let known =
        file.named("clusters", &cluster_name).map(|cluster| text(cluster, "/cluster/server").to_owned());
    let given = args.url.clone().or_else(|| args.connect.server.clone());
    let url =
        given.or(known).ok_or_else(|| ClusterError::Usage("which server? give its address".to_owned()))?;
    let url = if url.contains("://") { url } else { format!("https://{url}") };
    let cluster = cluster_entry(args, &file, &url)?;
    if args.connect.insecure_skip_tls_verify {
        anstream::eprintln!(
            "WARNING: Using insecure TLS client config. Setting this option is not supported!\n"
        );
    }
    let (user, how) = match (&args.connect.token, &args.username, &args.password) {
        (Some(token), _, _) => (json!({"token": token}), "using the token provided"),
        (None, Some(name), None) => match known_user(&file, &cluster, &url, name) {
            Some(user) => (user, "using existing credentials"),
            None => (with_password(&cluster, name, || ask(name))?, ""),
        },
        (None, Some(name), Some(password)) => (with_password(&cluster, name, || Ok(password.clone()))?, ""),
        (None, None, _) => {
            let name = ask_name()?;
            (with_password(&cluster, &name, || ask(&name))?, "")
        }
    };
    let session = connect(&cluster, &user, "default")?;
    let name = who(&session)?;
    let host = url.trim_start_matches("https://").trim_start_matches("http://").replace('.', "-");
    let context_name = format!("default/{host}/{name}");
    let projects = super::project::names(&session)?;
    let namespace = pick(args.connect.namespace.as_deref(), text(&current, "/context/namespace"), &projects);
    file.set("clusters", json!({"name": host, "cluster": cluster}));
    file.set("users", json!({"name": format!("{name}/{host}"), "user": user}));
    file.set(
        "contexts",
        json!({"name": context_name, "context": {
        "cluster": host, "user": format!("{name}/{host}"), "namespace": namespace}}),
    );
    put(&mut file.value, &["current-context"], context_name.into());
    file.write()?;
    say(&url, &name, how, &namespace, &projects, given_url(args))?;
    Ok(Exit::Fine)
}

fn given_url(args: &LoginArgs) -> bool {
    args.url.is_some() || args.connect.server.is_some()
}

/// The namespace that is asked for, else the one that was, else the first there is.
fn pick(asked: Option<&str>, before: &str, projects: &[String]) -> String {
    let has = |name: &&str| projects.iter().any(|project| project == name);
    let best = asked.or_else(|| Some(before).filter(has)).or_else(|| Some("default").filter(has));
    best.or_else(|| projects.first().map(String::as_str)).unwrap_or("default").to_owned()
}

fn say(url: &str, name: &str, how: &str, namespace: &str, projects: &[String], is_new: bool) -> Result<()> {
    let mut said = match (how, is_new) {
        ("", _) => "Login successful.\n\n".to_owned(),
        (how, _) => format!("Logged into {url:?} as {name:?} {how}.\n\n"),
    };
    match projects {
        [] => said.push_str("You don't have any projects. You can try to create a new project, by running\n\n    palisade new-project <projectname>\n\n"),
        [one] => said.push_str(&format!("You have one project on this server: {one:?}\n\n")),
        several => {
            said.push_str("You have access to the following projects and can switch between them with 'palisade project <projectname>':\n\n");
            for project in several {
                let mark = if project == namespace { "  * " } else { "    " };
                said.push_str(&format!("{mark}{project}\n"));
            }
            said.push('\n');
        }
    }
    if !projects.is_empty() {
        said.push_str(&format!("Using project {namespace:?}.\n"));
    }
    output::write(&said)
}

/// The server's entry: what the file has of it, and what the command line says.
fn cluster_entry(args: &LoginArgs, file: &Kubefile, url: &str) -> Result<Value> {
    let clusters = file.value.get("clusters").and_then(Value::as_array).into_iter().flatten();
    let known = clusters.into_iter().find(|cluster| text(cluster, "/cluster/server") == url);
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
    let bytes =
        std::fs::read(path).map_err(|error| ClusterError::Usage(format!("{}: {error}", path.display())))?;
    Ok(STANDARD.encode(bytes))
}

/// A user of the file that this server knows by the name.
fn known_user(file: &Kubefile, cluster: &Value, url: &str, name: &str) -> Option<Value> {
    let contexts = file.value.get("contexts").and_then(Value::as_array)?;
    contexts.iter().find_map(|context| {
        let server = file.named("clusters", text(context, "/context/cluster"))?;
        let user = file.named("users", text(context, "/context/user"))?.get("user")?;
        if text(server, "/cluster/server") != url {
            return None;
        }
        let session = connect(cluster, user, "default").ok()?;
        (who(&session).ok()? == name).then(|| user.clone())
    })
}

fn connect(cluster: &Value, user: &Value, namespace: &str) -> Result<Session> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    });
    let config = serde_json::from_value(config).map_err(|error| ClusterError::Usage(error.to_string()))?;
    Session::of(config, &ConnectArgs::default())
}

fn who(session: &Session) -> Result<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)?;
    Ok(text(&answer, "/status/userInfo/username").to_owned())
}

/// Gets a token for a name and a password, by the server's OAuth. The password is asked for when it is clear that
/// there is a server that takes one.
fn with_password(cluster: &Value, name: &str, password: impl FnOnce() -> Result<String>) -> Result<Value> {
    let session = connect(cluster, &json!({}), "default")?;
    let server = session.get("/.well-known/oauth-authorization-server").map_err(|error| match error {
        error if error.is_not_found() => {
            ClusterError::Usage("this server does not take passwords; log in with --token".to_owned())
        }
        other => other,
    })?;
    let endpoint = text(&server, "/authorization_endpoint");
    let path =
        endpoint.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = format!("/{path}?response_type=token&client_id=openshift-challenging-client");
    let location = session.location(&path, name, &password()?)?;
    let token = location
        .split_once('#')
        .and_then(|(_, fragment)| fragment.split('&').find_map(|part| part.strip_prefix("access_token=")))
        .ok_or_else(|| {
            ClusterError::Usage(
                "Login failed (401 Unauthorized): verify you have provided the correct name and password"
                    .to_owned(),
            )
        })?;
    Ok(json!({"token": token}))
}

fn ask_name() -> Result<String> {
    let mut name = String::new();
    anstream::eprint!("Username: ");
    let _ = std::io::stderr().flush();
    std::io::stdin().lock().read_line(&mut name).map_err(|error| ClusterError::Usage(error.to_string()))?;
    match name.trim() {
        "" => Err(ClusterError::Usage("who? give --username or --token".to_owned())),
        name => Ok(name.to_owned()),
    }
}

/// Reads a password: from the terminal without showing it, else a line of stdin.
pub(crate) fn ask(name: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        anstream::eprint!("Password for {name}: ");
        let _ = std::io::stderr().flush();
    }
    let _hidden = palisade_sys::terminal::hide_input();
    let mut password = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut password)
        .map_err(|error| ClusterError::Usage(error.to_string()))?;
    if std::io::stdin().is_terminal() {
        anstream::eprintln!();
    }
    let password = password.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(ClusterError::Usage("a password is needed: on stdin, or with --password".to_owned()));
    }
    Ok(password.to_owned())
}

pub(crate) fn whoami(args: &WhoamiArgs) -> crate::Outcome {
    let file = Kubefile::read(&args.connect)?;
    if args.show_context {
        output::write(&format!("{}\n", file.current()))?;
        return Ok(Exit::Fine);
    }
    let context = file.named("contexts", file.current());
    if args.show_token {
        let user = context.and_then(|context| file.named("users", text(context, "/context/user")));
        let token = user.map(|user| text(user, "/user/token")).unwrap_or_default();
        if token.is_empty() {
            return Err(
                ClusterError::Usage("no token is currently in use for this session".to_owned()).into()
            );
        }
        output::write(&format!("{token}\n"))?;
        return Ok(Exit::Fine);
    }
    let session = Session::open(&args.connect)?;
    let said = if args.show_server { session.url.clone() } else { who(&session)? };
    output::write(&format!("{said}\n"))?;
    Ok(Exit::Fine)
}
