//! Lists. Those without `limit` are read and sent in parts too, so that the server never holds a whole one, however
//! long it is and however slowly the client reads.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use palisade_k8s::yaml;
use palisade_store::{Cursor, Revision};
use serde_json::Value;
use tokio::sync::mpsc;

use super::work::{Shape, Work};
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::limits;
use crate::protobuf;
use crate::raw;
use crate::respond::{self, Format};
use crate::share::Lease;
use crate::verb::{self, Listing};
use palisade_https::Body;

impl Shape {
    fn value(self, work: &Work, listing: Listing) -> Value {
        let (value, resource) = (listing.into_value(&work.target.resource), &work.target.resource);
        match self.format {
            Format::Table | Format::Metadata => respond::shaped(&value, self.format, resource, self.include),
            _ => value,
        }
    }

    /// Adds an object as a part of the list.
    fn push(self, work: &Work, object: Value, items: &mut Vec<u8>) {
        let resource = &work.target.resource;
        let text = match self.format {
            Format::Json => object.to_string(),
            Format::Metadata => respond::metadata_of(&object).to_string(),
            Format::Table => {
                let mut table = respond::shaped(&object, self.format, resource, self.include);
                table.pointer_mut("/rows/0").map(Value::take).unwrap_or_default().to_string()
            }
            Format::Yaml => yaml::write(&Value::Array(vec![object])),
            Format::Protobuf => {
                return resource
                    .message()
                    .into_iter()
                    .for_each(|message| protobuf::push_item(items, &object, message));
            }
        };
        items.extend_from_slice(self.comma(items.is_empty()));
        items.extend_from_slice(text.as_bytes());
    }

    /// The separator before an object.
    fn comma(self, is_first: bool) -> &'static [u8] {
        let has_commas = matches!(self.format, Format::Json | Format::Table | Format::Metadata);
        if has_commas && !is_first { b"," } else { b"" }
    }

    /// The head and the tail of a list whose objects take a number of bytes.
    fn frame(self, work: &Work, revision: Revision, next: Option<Cursor>, length: usize) -> Frame {
        let empty = self.value(work, Listing::empty(revision, next));
        let (mut head, end) = match self.format {
            Format::Protobuf => return Frame::of(protobuf::list_head(&empty, length), protobuf::END),
            Format::Yaml => (yaml::write(&empty), "items: []\n"),
            _ => (empty.to_string(), "]}"),
        };
        let at = head.rfind(end).unwrap_or(head.len());
        let mut tail = head.split_off(at);
        if self.format == Format::Yaml && length > 0 {
            tail = tail.split_off(end.len().min(tail.len()));
            head.push_str("items:\n");
        }
        Frame::of(head.into_bytes(), tail.as_bytes())
    }

    /// Whether the bytes of all objects are counted before the first of them.
    fn is_counted(self) -> bool {
        self.format == Format::Protobuf
    }

    /// Whether objects can be sent as they are stored.
    fn is_raw(self, work: &Work) -> bool {
        let selects = |name: &str| work.query.get(name).is_some_and(|selector| !selector.is_empty());
        self.format == Format::Json
            && work.target.resource.shows_as_kept()
            && !selects("labelSelector")
            && !selects("fieldSelector")
    }
}

/// The text before and after the objects of a list.
struct Frame {
    head: Vec<u8>,
    end: Bytes,
}

impl Frame {
    fn of(head: Vec<u8>, end: &[u8]) -> Self {
        Self { head, end: Bytes::copy_from_slice(end) }
    }
}

/// One part of a list, with its separators.
struct Part {
    items: Vec<u8>,
    revision: Revision,
    next: Option<Cursor>,
}

/// Answers a request for objects.
pub(super) async fn answer(work: &Arc<Work>, shape: Shape) -> ApiResult<Option<Response<Body>>> {
    let is_read = matches!(work.method, http::Method::GET | http::Method::HEAD);
    let is_list = is_read && work.target.name.is_empty();
    let is_review = work.target.resource.review.is_some();
    if !is_list || is_review {
        return Ok(None);
    }
    let limit = work.query.limit()?;
    let (first, slot) = part(work, shape, limit.unwrap_or(limits::PART), None).await?;
    match first.next.clone() {
        Some(next) if limit.is_none() => long(work, shape, (first, slot), next).await.map(Some),
        next => {
            let Frame { head, end } = shape.frame(work, first.revision, next, first.items.len());
            let text = [head.as_slice(), &first.items, &end].concat();
            let answer = Body::bytes(200, shape.format.media_type(), text);
            work.api.shares.hold_answer(&work.party, work.hangup.clone(), answer).await.map(Some)
        }
    }
}

/// Answers with a list of many parts, of which one at a time is held.
async fn long(
    work: &Arc<Work>,
    shape: Shape,
    (first, slot): (Part, Slot),
    next: Cursor,
) -> ApiResult<Response<Body>> {
    let place = work.api.shares.lists.get(&work.party, 1).await.map_err(|_| {
        ApiError::busy("too many long lists are being read; ask for pages with limit, or later")
    })?;
    let (revision, length) = (first.revision, first.items.len());
    let (frame, begun, next, size) = if shape.is_counted() {
        // Counted once and read again, since all of it is too much to be held. Each part has a place of its own.
        drop((first, slot));
        let length = count(work, shape, length, next).await?;
        let frame = shape.frame(work, revision, None, length);
        let size = frame.head.len() + length + frame.end.len();
        let start = verb::start(&work.call(None))?.unwrap_or_else(|| Cursor::start(revision));
        (frame, Vec::new(), start, Some(size as u64))
    } else {
        (shape.frame(work, revision, None, length), first.items, next, None)
    };
    let (sender, receiver) = mpsc::channel(1);
    let begun = Bytes::from([frame.head, begun].concat());
    let begun = work.api.shares.hold(&work.party, begun).await?;
    let sent = Rest { work: Arc::clone(work), shape, sender, end: frame.end, _place: place };
    tokio::spawn(sent.run(begun, next));
    Ok(Body::stream(shape.format.media_type(), receiver, size))
}

/// The bytes of all objects of a list, of which some are counted already.
async fn count(work: &Arc<Work>, shape: Shape, mut length: usize, next: Cursor) -> ApiResult<usize> {
    let mut next = Some(next);
    while next.is_some() {
        let (part, _slot) = part(work, shape, limits::PART, next).await?;
        length += part.items.len();
        next = part.next;
    }
    Ok(length)
}

/// The place of a list among the requests, until this is dropped.
struct Slot(Arc<Work>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.places.give_back();
    }
}

/// Reads a part. It comes with a place among the requests, which is kept until there is memory for the part.
async fn part(
    work: &Arc<Work>,
    shape: Shape,
    limit: usize,
    after: Option<Cursor>,
) -> ApiResult<(Part, Slot)> {
    work.places.hold(work.api.shares.requests.get(&work.party, 1).await?);
    let slot = Slot(Arc::clone(work));
    let work = Arc::clone(work);
    let done = tokio::task::spawn_blocking(move || {
        let after = if after.is_none() { verb::start(&work.call(None))? } else { after };
        let part = match shape.is_raw(&work) {
            true => as_stored(&work, limit, after.as_ref()),
            false => as_read(&work, shape, limit, after),
        };
        Ok((part?, slot))
    });
    done.await.map_err(|error| failure::internal("the request could not be answered", &error))?
}

fn as_read(work: &Work, shape: Shape, limit: usize, after: Option<Cursor>) -> ApiResult<Part> {
    let mut items = Vec::new();
    // Of each object only its text is kept.
    let add = |object: Value| {
        shape.push(work, object, &mut items);
        items.len()
    };
    let (revision, next) = verb::select(&work.call(None), Some(limit), after, add)?;
    Ok(Part { items, revision, next })
}

fn as_stored(work: &Work, limit: usize, after: Option<&Cursor>) -> ApiResult<Part> {
    let (target, resource) = (&work.target, &work.target.resource);
    let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let page = work.api.store.list(resource.storage(), namespace, Some(limit), after);
    let page = page.map_err(|error| failure::store(resource, "", error))?;
    let mut items = String::new();
    for object in &page.objects {
        if !items.is_empty() {
            items.push(',');
        }
        raw::show(&object.value, resource, object.revision, &mut items)
            .map_err(|error| failure::internal("a stored object cannot be read", &error))?;
    }
    Ok(Part { items: items.into_bytes(), revision: page.revision, next: page.next })
}

/// A list that is being sent.
struct Rest {
    work: Arc<Work>,
    shape: Shape,
    sender: mpsc::Sender<Bytes>,
    end: Bytes,
    _place: Lease,
}

impl Rest {
    /// Sends the part that was read, then reads on. A client that sees no end knows by the list's syntax that something
    /// is missing.
    async fn run(self, first: Bytes, next: Cursor) {
        let (mut held, mut next) = (first, Some(next));
        loop {
            let sent = tokio::time::timeout(limits::PART_TIME, self.sender.send(held)).await;
            if next.is_none() || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            held = match self.read_on(&mut next).await {
                Ok(held) => held,
                Err(error) => {
                    let plural = self.work.target.resource.plural();
                    tracing::warn!("a list of {plural} breaks off: {}", error.message);
                    return;
                }
            };
        }
    }

    async fn read_on(&self, next: &mut Option<Cursor>) -> ApiResult<Bytes> {
        let (part, _slot) = part(&self.work, self.shape, limits::PART, next.take()).await?;
        *next = part.next;
        // A selector may leave nothing of the last part. One that is counted begins with the first.
        let is_first = part.items.is_empty() || self.shape.is_counted();
        let end: &[u8] = if next.is_none() { &self.end } else { b"" };
        let text = [self.shape.comma(is_first), &part.items, end].concat();
        self.work.api.shares.hold(&self.work.party, Bytes::from(text)).await
    }
}
