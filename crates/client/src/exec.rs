//! The channel protocol of `exec` and `attach` over WebSocket: each message is a piece of one stream, named by its first
//! byte (`k8s.io/apimachinery/pkg/util/remotecommand/constants.go`).

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::error::{Error, Result, Status};

/// The first byte of a message: which stream it is of.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// How the command ended: a `Status`.
const ERROR: u8 = 3;
/// The size of the terminal.
const RESIZE: u8 = 4;
/// Of version 5: the stream of the next byte is over.
const CLOSE: u8 = 255;

/// The subprotocols, the preferred one first. Version 5 can close stdin, version 4 cannot.
pub const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// Input for the command.
#[derive(Debug)]
pub enum Input {
    /// A piece of stdin.
    Bytes(Vec<u8>),
    /// The end of stdin.
    End,
    /// A new size of the terminal.
    Size {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

impl Input {
    /// The message; none where the protocol has no such message.
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

/// Bytes that wait for a server which does not read: its pings are answered by pongs, of which it gets the newest once it reads.
const UNREAD: usize = 1 << 20;

/// The WebSocket of a connection that was upgraded.
pub(crate) async fn socket<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default().max_write_buffer_size(UNREAD);
    WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await
}

/// Receives the command's output.
pub trait Sink {
    /// Writes a piece of stdout.
    ///
    /// # Errors
    /// Those of the writer; they end the connection.
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Writes a piece of stderr.
    ///
    /// # Errors
    /// Those of the writer; they end the connection.
    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

/// The end of a connection without an exit code of the command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The connection broke, or the server does not keep to the protocol.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The command could not be run.
    #[error("{0}")]
    NotRun(String),
    /// Its output cannot be written.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
}

/// Carries both ways until the command has ended; gives its exit code. `can_close` says whether the protocol can close
/// stdin.
///
/// # Errors
/// See [`ExecError`].
pub async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    mut input: mpsc::Receiver<Input>,
    sink: &mut impl Sink,
    can_close: bool,
) -> std::result::Result<u8, ExecError> {
    let mut has_input = true;
    loop {
        tokio::select! {
            next = input.recv(), if has_input => {
                has_input = next.is_some();
                if let Some(message) = next.and_then(|input| input.message(can_close)) {
                    socket.send(message).await.map_err(Error::broken)?;
                }
            }
            message = socket.next() => {
                let message = message.transpose().map_err(Error::broken)?;
                let Some(bytes) = payload(message)? else { continue };
                if let Some(code) = receive(&bytes, sink)? {
                    // The command has ended; whether the server reads the close frame does not matter.
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
        None | Some(Message::Close(_)) => Err(Error::Incomplete),
        Some(_) => Ok(None),
    }
}

/// Handles one message; gives the exit code if it is the last.
fn receive(bytes: &[u8], sink: &mut impl Sink) -> std::result::Result<Option<u8>, ExecError> {
    let Some((channel, bytes)) = bytes.split_first() else { return Ok(None) };
    let written = match *channel {
        STDOUT => sink.out(bytes),
        STDERR => sink.err(bytes),
        ERROR => return status(bytes).map(Some),
        _ => Ok(()),
    };
    written.map_err(ExecError::Output)?;
    Ok(None)
}

/// The exit code in a `Status`, or why there is none.
fn status(bytes: &[u8]) -> std::result::Result<u8, ExecError> {
    let status: Status = serde_json::from_slice(bytes).map_err(|_| Error::Answer {
        path: "exec".to_owned(),
        problem: "the last message is not a Status",
    })?;
    if status.is_success() {
        return Ok(0);
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let code = causes.into_iter().find(|cause| cause.reason == "ExitCode");
    match code.and_then(|cause| cause.message.parse().ok()) {
        Some(code) => Ok(code),
        None => Err(ExecError::NotRun(status.message)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    async fn converse(
        said: &'static [&'static [u8]],
    ) -> (std::result::Result<u8, ExecError>, Kept, Vec<Vec<u8>>) {
        let (near, far) = tokio::io::duplex(4096);
        let near = socket(near).await;
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
        // A connection that breaks off is not a success.
        let (code, ..) = converse(&[b"\x01half"]).await;
        assert!(matches!(code, Err(ExecError::Connection(_))), "{code:?}");
    }

    #[tokio::test]
    async fn pongs_for_a_server_that_does_not_read_are_bounded() {
        let (near, far) = tokio::io::duplex(4096);
        let carried = tokio::spawn(async {
            let (_input, receiver) = mpsc::channel(1);
            carry(socket(near).await, receiver, &mut Kept::default(), true).await
        });
        let (mut reads, mut writes) = tokio::io::split(far);
        let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
        for _ in 0..4 * UNREAD / ping.len() {
            writes.write_all(&ping).await.unwrap();
        }
        let end = b"\x03{\"status\":\"Success\"}";
        writes.write_all(&[&[0x82, u8::try_from(end.len()).unwrap()], &end[..]].concat()).await.unwrap();
        let mut pongs = Vec::new();
        reads.read_to_end(&mut pongs).await.unwrap();
        assert_eq!(carried.await.unwrap().unwrap(), 0);
        assert!((1..=UNREAD + 8192).contains(&pongs.len()), "{} bytes of pongs", pongs.len());
    }
}
