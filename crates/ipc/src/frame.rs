//! Requests and answers as bytes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::{Failure, Request};

/// The longest JSON text of a request, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// The longest JSON text of an answer, in bytes: a report on two hundred policy objects.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The version of the messages; a daemon refuses any other.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct RequestOut<'a, A> {
    v: u32,
    id: u64,
    op: &'a str,
    args: &'a A,
}

/// A request as read: its arguments are still text, to be read by the operation that owns them
/// (a tagged enum would make serde copy secrets into buffers that nobody wipes).
#[derive(Deserialize)]
pub struct Incoming<'a> {
    v: u32,
    /// Chosen by the caller, repeated in the answer.
    pub id: u64,
    /// The operation's name.
    #[serde(borrow)]
    pub op: &'a str,
    #[serde(borrow)]
    args: &'a RawValue,
}

impl Incoming<'_> {
    /// The arguments of the operation `R`.
    pub fn args<R: Request>(&self) -> Result<R, Failure> {
        serde_json::from_str(self.args.get())
            .map_err(|_| Failure::new("bad_request", "The arguments do not fit the operation."))
    }
}

#[derive(Serialize)]
struct AnswerOut<'a, T> {
    v: u32,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct AnswerIn<T> {
    v: u32,
    id: u64,
    #[serde(default = "none")]
    ok: Option<T>,
    error: Option<Failure>,
}

fn none<T>() -> Option<T> {
    None
}

fn encode<T: Serialize>(message: &T) -> Zeroizing<Vec<u8>> {
    // Large enough for whatever carries a secret: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + MAX_REQUEST));
    bytes.extend_from_slice(&[0; 4]);
    // Writing our own messages to memory cannot fail: their keys are all strings.
    let _ = serde_json::to_writer(&mut *bytes, message);
    let length = (bytes.len() - 4) as u32;
    if let Some(head) = bytes.first_chunk_mut::<4>() {
        *head = length.to_le_bytes();
    }
    bytes
}

/// A request as one frame, its length in front.
pub fn encode_request<R: Request>(id: u64, args: &R) -> Zeroizing<Vec<u8>> {
    encode(&RequestOut {
        v: VERSION,
        id,
        op: R::OP,
        args,
    })
}

/// An answer as one frame, its length in front. One over the bound becomes a refusal.
pub fn encode_answer<T: Serialize>(id: u64, answer: Result<&T, &Failure>) -> Zeroizing<Vec<u8>> {
    let frame = encode(&AnswerOut {
        v: VERSION,
        id,
        ok: answer.ok(),
        error: answer.err(),
    });
    if frame.len() <= 4 + MAX_ANSWER {
        return frame;
    }
    let failure = Failure::new("too_long", "The answer is longer than a message may be.");
    encode(&AnswerOut::<()> {
        v: VERSION,
        id,
        ok: None,
        error: Some(&failure),
    })
}

/// Reads the JSON text of a request.
pub fn decode_request(text: &[u8]) -> Result<Incoming<'_>, Failure> {
    let incoming: Incoming<'_> = serde_json::from_slice(text)
        .map_err(|_| Failure::new("bad_request", "The message is not a request."))?;
    if incoming.v != VERSION {
        return Err(Failure::new(
            "bad_version",
            "The daemon speaks version 1 of the messages.",
        ));
    }
    Ok(incoming)
}

/// Reads the JSON text of the answer to request `id`.
pub fn decode_answer<T: DeserializeOwned>(id: u64, text: &[u8]) -> Result<T, Failure> {
    let unfit = || {
        Failure::new(
            "bad_answer",
            "The daemon's answer does not fit the request.",
        )
    };
    let answer: AnswerIn<T> = serde_json::from_slice(text).map_err(|_| unfit())?;
    match answer {
        AnswerIn {
            error: Some(failure),
            ..
        } => Err(failure),
        AnswerIn {
            v: VERSION,
            id: echoed,
            ok: Some(answer),
            ..
        } if echoed == id => Ok(answer),
        _ => Err(unfit()),
    }
}
