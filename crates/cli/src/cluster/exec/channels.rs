//! What runs over the connection of an exec: Kubernetes' channels, one message each for a piece of a stream.

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::super::output::text;
use super::super::session::{ClusterError, Result, chain};

/// The first byte of a message: which stream it is of.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// How the command ended: a `Status`.
const ERROR: u8 = 3;
/// How large the terminal is.
const RESIZE: u8 = 4;
/// Of version 5: the stream of the next byte is over.
const CLOSE: u8 = 255;

/// Version 5 of the channels, which can say that stdin is over; and 4, which cannot.
pub(super) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// What goes to the command.
#[derive(Debug)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    End,
    Size { columns: u16, rows: u16 },
}

impl Input {
    /// As a message; none where the protocol has no words for it.
    fn message(self, can_close: bool) -> Option<Message> {
        let channel = |channel: u8, bytes: &[u8]| {
            let mut message = BytesMut::with_capacity(bytes.len() + 1);
            message.put_u8(channel);
            message.put_slice(bytes);
            Message::Binary(message.freeze())
        };
        match self {
            Self::Bytes(bytes) => Some(channel(STDIN, &bytes)),
            Self::End => can_close.then(|| channel(CLOSE, &[STDIN])),
            Self::Size { columns, rows } => {
                let size = serde_json::json!({"Width": columns, "Height": rows});
                Some(channel(RESIZE, size.to_string().as_bytes()))
            }
        }
    }
}

/// Where the command's output goes.
pub(super) trait Sink {
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

/// Carries both ways until the command has ended; gives its exit code.
pub(super) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    mut input: mpsc::Receiver<Input>,
    sink: &mut impl Sink,
    can_close: bool,
) -> Result<u8> {
    let mut has_input = true;
    loop {
        tokio::select! {
            next = input.recv(), if has_input => {
                has_input = next.is_some();
                if let Some(message) = next.and_then(|input| input.message(can_close)) {
                    socket.send(message).await.map_err(|error| ClusterError::Unreachable(chain(&error)))?;
                }
            }
            message = socket.next() => {
                let message = message.transpose().map_err(|error| ClusterError::Unreachable(chain(&error)))?;
                let Some(bytes) = payload(message)? else { continue };
                if let Some(code) = receive(&bytes, sink)? {
                    // What is said of the end is the end; nobody has to hear the farewell.
                    let _ = socket.close(None).await;
                    return Ok(code);
                }
            }
        }
    }
}

fn payload(message: Option<Message>) -> Result<Option<Bytes>> {
    match message {
        Some(Message::Binary(bytes)) => Ok(Some(bytes)),
        Some(Message::Text(text)) => Ok(Some(text.into())),
        None | Some(Message::Close(_)) => Err(ClusterError::Unreachable(
            "the connection ended before the server said how the command did".to_owned(),
        )),
        Some(_) => Ok(None),
    }
}

/// Handles one message; gives the exit code if it is the last.
fn receive(bytes: &[u8], sink: &mut impl Sink) -> Result<Option<u8>> {
    let Some((channel, bytes)) = bytes.split_first() else { return Ok(None) };
    let written = match *channel {
        STDOUT => sink.out(bytes),
        STDERR => sink.err(bytes),
        ERROR => return status(bytes).map(Some),
        _ => Ok(()),
    };
    written.map_err(|error| ClusterError::Usage(format!("the output cannot be written: {error}")))?;
    Ok(None)
}

/// The exit code in a `Status`, or why there is none.
fn status(bytes: &[u8]) -> Result<u8> {
    let status: Value = serde_json::from_slice(bytes).map_err(|_| ClusterError::Answer("exec".to_owned()))?;
    if text(&status, "/status") == "Success" {
        return Ok(0);
    }
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let code = causes.into_iter().flatten().find(|cause| text(cause, "/reason") == "ExitCode");
    match code.and_then(|cause| text(cause, "/message").parse().ok()) {
        Some(code) => Ok(code),
        None => Err(ClusterError::Usage(text(&status, "/message").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    #[derive(Default)]
    struct Kept {
        out: Vec<u8>,
        err: Vec<u8>,
    }

    impl Sink for Kept {
        fn out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            self.out.extend_from_slice(bytes);
            Ok(())
        }

        fn err(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            self.err.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// The other end of the channels: reads stdin to its end, then says some things and how it ended.
    async fn converse(said: &'static [&'static [u8]]) -> (Result<u8>, Kept, Vec<Vec<u8>>) {
        let (near, far) = tokio::io::duplex(4096);
        let near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let mut far = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        let (sender, receiver) = mpsc::channel(8);
        for input in [Input::Size { columns: 80, rows: 25 }, Input::Bytes(b"typed".to_vec()), Input::End] {
            sender.send(input).await.unwrap();
        }
        let other = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(Ok(Message::Binary(bytes))) = far.next().await {
                heard.push(bytes.to_vec());
                if bytes.as_ref() == [CLOSE, STDIN] {
                    break;
                }
            }
            for message in said {
                far.send(Message::Binary(Bytes::from_static(message))).await.unwrap();
            }
            heard
        });
        let mut kept = Kept::default();
        let code = carry(near, receiver, &mut kept, true).await;
        (code, kept, other.await.unwrap())
    }

    #[tokio::test]
    async fn streams_and_the_exit_code_are_told_apart() {
        const FAILED: &[u8] =
            b"\x03{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"x\",\
            \"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"7\"}]}}";
        let (code, kept, heard) = converse(&[b"\x01one ", b"\x02bad", b"\x01two", b"", FAILED]).await;
        assert_eq!((code.unwrap(), kept.out, kept.err), (7, b"one two".to_vec(), b"bad".to_vec()));
        assert_eq!(
            heard,
            [b"\x04{\"Width\":80,\"Height\":25}".to_vec(), b"\x00typed".to_vec(), vec![CLOSE, STDIN]]
        );
        let (code, ..) = converse(&[b"\x03{\"status\":\"Success\"}"]).await;
        assert_eq!(code.unwrap(), 0);
        let (code, ..) = converse(&[b"\x03{\"status\":\"Failure\",\"message\":\"no such container\"}"]).await;
        assert_eq!(code.unwrap_err().to_string(), "no such container");
        // A connection that breaks off is no success.
        let (code, ..) = converse(&[b"\x01half"]).await;
        assert!(matches!(code, Err(ClusterError::Unreachable(_))), "{code:?}");
    }
}
