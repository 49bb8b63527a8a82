//! `palisade admit`.

use std::io::{BufWriter, Write};

use palisade_admission::{Policy, respond};
use palisade_k8s::review::{AdmissionResponse, ReviewResponse, Status};

use crate::args::AdmitArgs;
use crate::exit::Exit;
use crate::policy;

mod stream;

use stream::{Input, Stream};

pub(crate) fn run(args: &AdmitArgs) -> crate::Outcome {
    let policy = policy::load(&args.policy)?.build();
    let mut stream = Stream::new(std::io::stdin().lock());
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut exit = Exit::Fine;
    loop {
        if stream.is_about_to_wait() {
            // Whoever waits for this answer before asking again must get it now.
            out.flush()?;
        }
        let Some(input) = stream.next()? else { break };
        let (response, readable) = answer(&policy, &input);
        serde_json::to_writer(&mut out, &ReviewResponse::new(&response))?;
        out.write_all(b"\n")?;
        if !readable {
            exit = Exit::Wrong;
        }
    }
    out.flush()?;
    Ok(exit)
}

/// The answer, and whether the input could be read.
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
