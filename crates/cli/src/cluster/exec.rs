//! `palisade exec`: a command in a container, with its streams here.

mod channels;

use std::io::{IsTerminal, Read, Write};

use tokio::sync::mpsc;

use super::args::ExecArgs;
use super::kind::encode;
use super::session::Session;
use channels::{Input, PROTOCOLS, Sink};

/// The command's own exit code is the answer, as with kubectl.
pub(crate) fn run(args: &ExecArgs) -> crate::Outcome {
    let session = Session::open(&args.connect)?;
    let is_terminal = args.tty && std::io::stdin().is_terminal();
    if args.tty && !is_terminal {
        let said = "stdin is no terminal, so the command gets none";
        anstream::eprintln!("{}: {said}", crate::paint::warning("warning"));
    }
    let path = path(args, &session.namespace, is_terminal);
    let code = session.upgrade(&path, &PROTOCOLS, |socket, protocol| async move {
        let raw = is_terminal.then(palisade_sys::terminal::raw_input);
        let code =
            channels::carry(socket, input(args.stdin, is_terminal), &mut Own, protocol == PROTOCOLS[0]).await;
        drop(raw);
        code
    })?;
    // Not through the end of `main`: a thread may still wait for somebody to type.
    std::process::exit(i32::from(code));
}

fn path(args: &ExecArgs, namespace: &str, tty: bool) -> String {
    let pod = args.pod.trim_start_matches("pods/").trim_start_matches("pod/");
    let mut query: Vec<String> =
        args.command.iter().map(|word| format!("command={}", encode(&word.to_string_lossy()))).collect();
    query.extend(args.container.iter().map(|container| format!("container={}", encode(container))));
    // A terminal has one output.
    query.push(format!("stdin={}&stdout=true&stderr={}&tty={tty}", args.stdin, !tty));
    format!("/api/v1/namespaces/{}/pods/{}/exec?{}", encode(namespace), encode(pod), query.join("&"))
}

/// What is typed or piped in, from a thread of its own since reading waits; and the terminal's size.
fn input(wants_stdin: bool, is_terminal: bool) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    if is_terminal {
        let sender = sender.clone();
        tokio::spawn(sizes(sender));
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
            let _ = sender.blocking_send(Input::End);
        });
    }
    receiver
}

/// Tells the terminal's size, now and whenever it changes.
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

/// This process's own streams.
struct Own;

impl Sink for Own {
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        std::io::stderr().lock().write_all(bytes)
    }
}
