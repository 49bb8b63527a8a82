//! `exec`: a command in a container, connected to this process's streams.

use std::io::{IsTerminal, Read, Write};

use palisade_client::encode;
use palisade_client::exec::{Input, PROTOCOLS, Sink, carry};
use palisade_console::terminal;
use tokio::sync::mpsc;

use crate::args::ExecArgs;
use crate::error::Outcome;
use crate::logs::pod_name;

/// The command's own exit code ends this process, as with kubectl.
pub(crate) async fn run(args: &ExecArgs) -> Outcome {
    let session = args.connect.open().await?;
    let is_terminal = args.tty && std::io::stdin().is_terminal();
    if args.tty && !is_terminal {
        terminal::warn("stdin is not a terminal, so none is allocated for the command");
    }
    let (socket, protocol) = session
        .upgrade(&path(args, pod_name(&args.pod)?, &session.namespace, is_terminal), &PROTOCOLS)
        .await?;
    let raw = is_terminal.then(palisade_sys::terminal::raw_input);
    let can_close = protocol == PROTOCOLS[0];
    let code = carry(socket, input(args.stdin, is_terminal), &mut OwnStreams, can_close).await;
    drop(raw);
    // Not by returning from `main`: a thread may still be reading stdin.
    std::process::exit(i32::from(code?));
}

fn path(args: &ExecArgs, pod: &str, namespace: &str, tty: bool) -> String {
    let words = args.command.iter().map(|word| format!("command={}", encode(&word.to_string_lossy())));
    let mut query: Vec<String> = words.collect();
    query.extend(args.container.iter().map(|container| format!("container={}", encode(container))));
    // A terminal has one output stream.
    query.push(format!("stdin={}&stdout=true&stderr={}&tty={tty}", args.stdin, !tty));
    let (namespace, pod) = (encode(namespace), encode(pod));
    format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec?{}", query.join("&"))
}

/// Stdin, read in a thread of its own since reading blocks, and the terminal's size.
fn input(wants_stdin: bool, is_terminal: bool) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    if is_terminal {
        tokio::spawn(sizes(sender.clone()));
    }
    if wants_stdin {
        std::thread::spawn(move || {
            let mut bytes = vec![0; 8192];
            while let Ok(count @ 1..) = std::io::stdin().read(&mut bytes) {
                let piece = bytes.get(..count).unwrap_or_default().to_vec();
                if sender.blocking_send(Input::Bytes(piece)).is_err() {
                    return;
                }
            }
            let _closed = sender.blocking_send(Input::End);
        });
    }
    receiver
}

/// Sends the terminal's size, now and whenever it changes.
async fn sizes(sender: mpsc::Sender<Input>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Some((columns, rows)) = palisade_sys::terminal::size()
            && sender.send(Input::Size { columns, rows }).await.is_err()
        {
            return;
        }
        if changed.recv().await.is_none() {
            return;
        }
    }
}

/// This process's stdout and stderr.
struct OwnStreams;

impl Sink for OwnStreams {
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        std::io::stderr().lock().write_all(bytes)
    }
}
