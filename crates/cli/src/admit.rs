//! `palisade admit`.

use std::io::{BufReader, Write};

use palisade_admission::{Policy, respond};
use palisade_k8s::review::{AdmissionResponse, ReviewResponse, Status};

use crate::args::AdmitArgs;
use crate::exit::Exit;
use crate::policy;

mod batch;
mod stream;

use batch::Batch;
use stream::{Input, Stream};

/// Size of the buffers for reading and writing, in bytes.
const BUFFER: usize = 256 * 1024;

pub(crate) fn run(args: &AdmitArgs) -> crate::Outcome {
    let policy = policy::load(&args.policy)?.build();
    let mut stream = Stream::new(BufReader::with_capacity(BUFFER, std::io::stdin().lock()));
    let mut out = std::io::stdout().lock();
    let mut exit = Exit::Fine;
    let mut batch = Batch::default();
    while batch.fill(&mut stream)? {
        // A client that waits for an answer before its next request gets it: everything that was read is answered
        // before more is read.
        for Answers { text, all_readable } in
            batch.answer(Answers::default, |input, all| all.add(&policy, input))
        {
            out.write_all(&text)?;
            if !all_readable {
                exit = Exit::Wrong;
            }
        }
        out.flush()?;
    }
    Ok(exit)
}

/// The answers as they are written.
struct Answers {
    text: Vec<u8>,
    all_readable: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self { text: Vec::with_capacity(BUFFER), all_readable: true }
    }
}

impl Answers {
    fn add(&mut self, policy: &Policy, input: &Input<'_>) {
        let (response, readable) = answer(policy, input);
        // An answer holds strings and numbers only, and writing to a vector cannot fail.
        let _whole = serde_json::to_writer(&mut self.text, &ReviewResponse::new(&response));
        self.text.push(b'\n');
        self.all_readable &= readable;
    }
}

/// The answer, and whether the input could be parsed.
fn answer(policy: &Policy, input: &Input<'_>) -> (AdmissionResponse, bool) {
    let unreadable = |uid: String, offset: usize, message: &str| {
        let (line, byte) = input.position(offset);
        let status = Status::bad_request(format!("line {line}, byte {byte}: {message}"));
        (AdmissionResponse { uid, status: Some(status), ..AdmissionResponse::default() }, false)
    };
    let text = match input.text() {
        Ok(text) => text,
        Err((offset, message)) => return unreadable(String::new(), offset, &message),
    };
    match respond(policy, text) {
        Ok(response) => (response, true),
        Err(error) => unreadable(error.uid, error.offset, &error.message),
    }
}
