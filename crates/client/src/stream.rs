//! Answers that come piece by piece.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::error::{Error, Result};

/// Maximum size of one event of a watch, in bytes. etcd stores no object above 1.5 MiB; JSON and `managedFields` add to
/// it.
const MAX_EVENT: usize = 32 * 1024 * 1024;

/// The pieces of an answer's body, as they come.
#[derive(Debug)]
pub struct Pieces(pub(crate) kube::client::Body);

impl Pieces {
    /// The next piece, or none at the end.
    ///
    /// # Errors
    /// [`Error::Broken`] if the connection breaks before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame.map_err(Error::broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// The events of a watch.
#[derive(Debug)]
pub struct Events {
    pieces: Pieces,
    /// Bytes of lines that are not complete, of which the first so many bytes have no line break.
    rest: BytesMut,
    searched: usize,
    path: String,
}

impl Events {
    pub(crate) fn new(pieces: Pieces, path: &str) -> Self {
        Self { pieces, rest: BytesMut::new(), searched: 0, path: path.to_owned() }
    }

    /// The next event, or none when the server ends the watch.
    ///
    /// # Errors
    /// [`Error::Broken`], and [`Error::Answer`] for a line that is not JSON or has no end.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(line) = self.line() {
                let event = serde_json::from_slice(&line).map_err(|_| self.bad("an event is not JSON"))?;
                return Ok(Some(event));
            }
            if self.rest.len() > MAX_EVENT {
                return Err(self.bad("an event is too long"));
            }
            match self.pieces.next().await? {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    fn line(&mut self) -> Option<BytesMut> {
        let fresh = self.rest.get(self.searched..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', fresh) else {
            self.searched = self.rest.len();
            return None;
        };
        let line = self.rest.split_to(self.searched + end + 1);
        self.searched = 0;
        Some(line)
    }

    fn bad(&self, problem: &'static str) -> Error {
        Error::Answer { path: self.path.clone(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_are_lines_however_they_are_cut() {
        let body = kube::client::Body::from(b"{\"a\":1}\n{\"a\":2}\nno".to_vec());
        let mut events = Events::new(Pieces(body), "/watch");
        assert_eq!(events.next().await.unwrap().unwrap()["a"], 1);
        assert_eq!(events.next().await.unwrap().unwrap()["a"], 2);
        assert!(events.next().await.unwrap().is_none());
        let mut events = Events::new(Pieces(kube::client::Body::from(b"no\n".to_vec())), "/watch");
        assert!(matches!(events.next().await, Err(Error::Answer { .. })));
        let mut cut = Events::new(Pieces(kube::client::Body::empty()), "/watch");
        for piece in ["{\"a\"", ":1}", "\n"] {
            assert!(cut.line().is_none());
            cut.rest.extend_from_slice(piece.as_bytes());
        }
        assert_eq!(&cut.line().unwrap()[..], b"{\"a\":1}\n");
    }
}
