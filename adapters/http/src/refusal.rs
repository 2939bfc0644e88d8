//! What is said instead of an answer: a status, and `{"error": {"name": .., "message": ..}}`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use ucan_core::{Ipld, dagjson};
use ucan_invocation::{ExecuteError, Failure};

/// The most that is read of the body of a refusal, in bytes.
pub(crate) const MOST: usize = 8 << 10;
/// The most that is kept of a text that the other side wrote, in characters.
const EXCERPT: usize = 500;

/// Why there is no answer, as a status and an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) failure: Failure,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, name: &str, message: impl Into<String>) -> Self {
        Self { status, failure: Failure::new(name, message) }
    }

    /// What a server says where its executor has no answer. Only what is wrong with the request is told to whoever sent
    /// it.
    pub(crate) fn of(error: &ExecuteError) -> Self {
        let status = match error.name() {
            "HostFailure" => return Self::host(),
            "LimitExceeded" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.name(), error.to_string())
    }

    /// Something here went wrong, which is nobody else's business.
    pub(crate) fn host() -> Self {
        let message =
            "the executor could not finish: what was asked for may have been done, and can be asked for again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "HostFailure", message)
    }

    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let text = |text: String| Ipld::String(text);
        let error = BTreeMap::from([
            ("name".to_owned(), text(self.failure.name)),
            ("message".to_owned(), text(self.failure.message)),
        ]);
        let body = dagjson::encode(&Ipld::Map([("error".to_owned(), Ipld::Map(error))].into()));
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Reads the body of a refusal. What strangers wrote is cut short, and has no control characters.
    pub(crate) fn read(body: &[u8]) -> Option<Failure> {
        let Ok(Ipld::Map(mut body)) = dagjson::decode(body) else { return None };
        let Some(Ipld::Map(error)) = body.remove("error") else { return None };
        match (error.get("name"), error.get("message")) {
            (Some(Ipld::String(name)), Some(Ipld::String(message))) if !name.is_empty() => {
                Some(Failure::new(excerpt(name), excerpt(message)))
            }
            _ => None,
        }
    }
}

/// The start of a text that strangers may have written.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().filter(|character| !character.is_control()).take(EXCERPT).collect();
    if text.chars().nth(EXCERPT).is_some() {
        short.push_str("..");
    }
    short
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn refusals_are_read_as_they_were_written() {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "MalformedContainer", "not a \"container\"");
        let written = refusal.response().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(Refusal::read(&written), Some(Failure::new("MalformedContainer", "not a \"container\"")));
    }

    #[test]
    fn what_is_no_refusal_is_not_taken_for_one() {
        for body in
            ["", "{}", "no", r#"{"error":"x"}"#, r#"{"error":{"name":"x"}}"#, r#"{"error":{"name":"","message":""}}"#]
        {
            assert_eq!(Refusal::read(body.as_bytes()), None, "{body}");
        }
        let long = "é\\u001b".repeat(EXCERPT + 1);
        let read = Refusal::read(format!(r#"{{"error":{{"name":"x","message":"{long}"}}}}"#).as_bytes()).unwrap();
        assert_eq!(read.message, "é".repeat(EXCERPT) + "..");
    }
}
